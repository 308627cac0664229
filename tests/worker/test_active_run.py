"""What an objective logs to MLflow itself lands in its trial's run."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from manyfit.errors import TrialStopped
from manyfit.trackers import mlflow_autologging
from manyfit.worker.active_run import active_run


class TestEnvironment:
    """Whether or not there is MLflow."""

    def test_is_set_while_the_objective_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Afterwards it is as it was, also where the objective took a variable away."""
        monkeypatch.setenv("OLD", "old")
        monkeypatch.delenv("NEW", raising=False)
        before = dict(os.environ)
        with active_run({"OLD": "1", "NEW": "2"}, threaded=False):
            assert (os.environ["OLD"], os.environ["NEW"]) == ("1", "2")
            del os.environ["OLD"]
        assert dict(os.environ) == before

    def test_is_restored_when_the_objective_raises(self) -> None:
        """Errors pass through unchanged."""
        before = dict(os.environ)
        error = ValueError("no")
        with (
            pytest.raises(ValueError, match="no") as caught,
            active_run({"A": "1"}, threaded=False),
        ):
            raise error
        assert caught.value is error
        assert dict(os.environ) == before

    def test_is_left_alone_between_threads(self) -> None:
        """Threads share one environment, so none sets it for the others."""
        before = dict(os.environ)
        with active_run({"A": "1"}, threaded=True):
            assert dict(os.environ) == before

    def test_works_without_mlflow(self) -> None:
        """A worker needs no MLflow, and the file doesn't import it."""
        code = (
            "import sys; sys.modules['mlflow'] = None\n"
            "from manyfit.worker.active_run import active_run\n"
            "for threaded in (True, False):\n"
            "    with active_run({'MLFLOW_RUN_ID': 'a'}, threaded=threaded): print('ran')\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.split() == [b"ran", b"ran"]

    def test_does_not_import_mlflow(self) -> None:
        """An objective that doesn't use MLflow doesn't pay for it."""
        code = (
            "import sys\nfrom manyfit.worker.active_run import active_run\n"
            "with active_run({'MLFLOW_RUN_ID': 'a'}, threaded=False): pass\n"
            "print('mlflow' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.split() == [b"False"]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


class Place:
    """An experiment of its own, with the run of a study and runs for its trials."""

    def __init__(self, uri: str, name: str) -> None:
        import mlflow

        self.uri = uri
        self.client = mlflow.MlflowClient(uri)
        self.experiment = self.client.create_experiment(
            name, artifact_location=uri.replace("sqlite:///", "file:///") + "-artifacts"
        )
        self.parent = self.client.create_run(self.experiment, run_name="study").info.run_id

    def trial(self) -> dict[str, str]:
        tags = {"mlflow.parentRunId": self.parent}
        run = self.client.create_run(self.experiment, tags=tags).info.run_id
        return {
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_EXPERIMENT_ID": self.experiment,
            "MLFLOW_RUN_CONTEXT": f'{{"mlflow.parentRunId": "{run}"}}',
            "MLFLOW_RUN_ID": run,
        }

    def metrics(self, env: dict[str, str]) -> dict[str, float]:
        found: dict[str, float] = self.client.get_run(env["MLFLOW_RUN_ID"]).data.metrics
        return found

    def below(self, env: dict[str, str]) -> list[Any]:
        query = f"tags.mlflow.parentRunId = '{env['MLFLOW_RUN_ID']}'"
        return list(self.client.search_runs([self.experiment], query))

    def strays(self) -> list[Any]:
        runs = self.client.search_runs([self.experiment])
        return [run for run in runs if "mlflow.parentRunId" not in run.data.tags][:-1]


@pytest.fixture
def place(uri: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    import mlflow

    yield Place(uri, request.node.name)
    assert mlflow.active_run() is None
    mlflow.set_tracking_uri(None)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # MLflow's own, about what it imports
class TestMlflow:
    """In a process of its own, and inline."""

    def test_logging_lands_in_the_trials_run(self, place: Place) -> None:
        """`log_metric` and `log_params` need nothing else, trial after trial in one process."""
        import mlflow

        envs = [place.trial(), place.trial()]
        for index, env in enumerate(envs):
            with active_run(env, threaded=False):
                mlflow.log_metric("mine", index)
                mlflow.log_params({"p": index})
        assert [place.metrics(env) for env in envs] == [{"mine": 0.0}, {"mine": 1.0}]
        assert place.strays() == []

    def test_start_run_is_the_trials_run(self, place: Place) -> None:
        """A training function that starts a run of its own is given the trial's."""
        import mlflow

        env = place.trial()
        with active_run(env, threaded=False), mlflow.start_run() as run:
            mlflow.log_metric("mine", 1.0)
        assert run.info.run_id == env["MLFLOW_RUN_ID"]
        assert place.metrics(env) == {"mine": 1.0}
        assert place.strays() == []

    def test_nested_runs_go_below(self, place: Place) -> None:
        """One run for each fold, say."""
        import mlflow

        env = place.trial()
        with active_run(env, threaded=False), mlflow.start_run():
            for fold in range(2):
                with mlflow.start_run(nested=True):
                    mlflow.log_metric("fold", fold)
        assert len(place.below(env)) == 2
        assert place.strays() == []

    def test_a_second_run_goes_below(self, place: Place) -> None:
        """It may log other values of the same params, as it could without a study."""
        import mlflow

        env = place.trial()
        with active_run(env, threaded=False):
            for fold in range(3):
                with mlflow.start_run(tags={"fold": str(fold)}):
                    mlflow.log_param("fold", fold)
        assert place.client.get_run(env["MLFLOW_RUN_ID"]).data.params == {"fold": "0"}
        assert {run.data.params["fold"] for run in place.below(env)} == {"1", "2"}
        assert place.strays() == []

    def test_logging_after_its_run_has_ended_lands_there_again(self, place: Place) -> None:
        """A run is ended by a `with` block, by `end_run`, or by autologging."""
        import mlflow

        env = place.trial()
        with active_run(env, threaded=False):
            with mlflow.start_run():
                mlflow.log_metric("first", 1.0)
            mlflow.log_metric("second", 2.0)
            mlflow.end_run()
            mlflow.set_tag("third", "3")
            assert mlflow.active_run().info.run_id == env["MLFLOW_RUN_ID"]
        assert place.metrics(env) == {"first": 1.0, "second": 2.0}
        assert place.client.get_run(env["MLFLOW_RUN_ID"]).data.tags["third"] == "3"
        assert place.below(env) == place.strays() == []

    def test_asking_for_the_active_run_is_no_start(self, place: Place) -> None:
        """It is the trial's from the beginning; who starts a run then is given that one."""
        import mlflow

        env = place.trial()
        with active_run(env, threaded=False):
            assert mlflow.active_run().info.run_id == env["MLFLOW_RUN_ID"]
            with mlflow.start_run(tags={"mine": "yes"}) as run:
                mlflow.log_metric("mine", 1.0)
        assert run.info.run_id == env["MLFLOW_RUN_ID"]
        assert place.client.get_run(run.info.run_id).data.tags["mine"] == "yes"
        assert place.below(env) == place.strays() == []

    def test_a_run_that_is_yet_to_be_made(self, place: Place) -> None:
        """A trial starts before its run is there: the first call waits for it, and finds it."""
        import mlflow

        env = place.trial()
        key = {name: value for name, value in env.items() if name != "MLFLOW_RUN_ID"}
        run, key["MANYFIT_MLFLOW_KEY"] = env["MLFLOW_RUN_ID"], "abc-0"
        made = threading.Timer(0.2, place.client.set_tag, (run, "manyfit.key", "abc-0"))
        with active_run(key, threaded=False):
            made.start()
            mlflow.log_metric("mine", 1.0)
        made.join()
        assert place.metrics(env) == {"mine": 1.0}
        assert place.strays() == []

    def test_mlflow_imported_by_the_objective(self, place: Place) -> None:
        """Nothing is imported before; from then on it is as if it had been there."""
        env = place.trial()
        code = (
            "import sys\nfrom manyfit.worker.active_run import active_run\n"
            f"with active_run({env!r}, threaded=False):\n"
            "    assert 'mlflow' not in sys.modules\n"
            "    import mlflow\n"
            "    with mlflow.start_run(): mlflow.log_metric('first', 1.0)\n"
            "    mlflow.log_metric('second', 2.0)\n"
            "print(mlflow.start_run.__module__, type(mlflow.__spec__.loader).__name__)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.split() == [b"mlflow.tracking.fluent", b"SourceFileLoader"]
        assert place.metrics(env) == {"first": 1.0, "second": 2.0}
        assert place.below(env) == place.strays() == []

    def test_a_thread_that_the_objective_starts_logs_there_too(self, place: Place) -> None:
        """MLflow has an active run a thread; here they are all the trial's."""
        import mlflow

        env = place.trial()
        with active_run(env, threaded=False):
            thread = threading.Thread(target=mlflow.log_metric, args=("mine", 1.0))
            thread.start()
            thread.join(30)
        assert place.metrics(env) == {"mine": 1.0}
        assert place.strays() == []

    def test_an_objective_that_sets_an_experiment(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As scripts for training do; what they log lands in the trial's run all the same."""
        import mlflow

        monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
        env = place.trial()
        for _ in range(2):
            with active_run(env, threaded=False):
                mlflow.set_experiment(f"of its own, beside {place.experiment}")
                with mlflow.start_run():
                    mlflow.log_metric("mine", 1.0)
                mlflow.log_metric("more", 2.0)
        assert place.metrics(env) == {"mine": 1.0, "more": 2.0}
        assert place.below(env) == place.strays() == []

    def test_an_experiment_of_its_own_fails_no_trial(
        self, place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where it has been set before, it is logged to as without a study; and that is said."""
        import mlflow

        mlflow.set_tracking_uri(place.uri)
        other = place.client.create_experiment(f"other {place.experiment}", place.uri[10:])
        monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", other)
        env = place.trial()
        with active_run(env, threaded=False):
            mlflow.log_metric("mine", 1.0)
            mlflow.log_metric("more", 2.0)
        (run,) = place.client.search_runs([other])
        assert run.data.metrics == {"mine": 1.0, "more": 2.0}
        (said,) = [r.getMessage() for r in caplog.records if r.name == "manyfit"]
        assert "does not go to the trial's run" in said

    def test_what_is_replaced_is_put_back(self, place: Place) -> None:
        """Outside of trials MLflow is as it was."""
        import mlflow

        before = mlflow.start_run, mlflow.active_run, mlflow.tracking.fluent.start_run
        for threaded in (True, False):
            with active_run(place.trial(), threaded=threaded):
                assert mlflow.start_run is not before[0]
        after = mlflow.start_run, mlflow.active_run, mlflow.tracking.fluent.start_run
        assert after == before

    def test_autologging_lands_in_the_trials_run(self, place: Place) -> None:
        """Autologging starts a run if there is none, and here there is one to adopt.

        What the objective logs afterwards lands there too; a second fit goes below.
        """
        import mlflow
        from sklearn.linear_model import LogisticRegression

        env = place.trial()
        mlflow.sklearn.autolog(log_models=False, silent=True)
        try:
            with active_run(env, threaded=False):
                LogisticRegression(C=0.5).fit([[0.0], [1.0]], [0, 1])
                LogisticRegression(C=0.25).fit([[0.0], [1.0]], [0, 1])
                mlflow.log_metric("mine", 1.0)
        finally:
            mlflow.sklearn.autolog(disable=True)
        assert place.client.get_run(env["MLFLOW_RUN_ID"]).data.params["C"] == "0.5"
        assert place.metrics(env).keys() > {"mine"}
        assert [run.data.params["C"] for run in place.below(env)] == ["0.25"]
        assert place.strays() == []

    @pytest.mark.soak("contracts")
    def test_autologging_that_is_on_in_the_driver_is_on_in_workers(self, place: Place) -> None:
        """With its settings, where the objective says nothing of MLflow."""
        import mlflow

        env = place.trial()
        mlflow.sklearn.autolog(log_models=False, silent=True, log_post_training_metrics=False)
        try:
            env |= mlflow_autologging.for_workers()
        finally:
            mlflow.sklearn.autolog(disable=True)
        assert mlflow_autologging.for_workers() == {}
        code = (
            "from manyfit.worker.active_run import active_run\n"
            f"with active_run({env!r}, threaded=False):\n"
            "    from sklearn.linear_model import LogisticRegression\n"
            "    model = LogisticRegression(C=0.5).fit([[0.0], [1.0]], [0, 1])\n"
            "    model.score([[0.0], [1.0]], [0, 1])\n"
        )
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        run = place.client.get_run(env["MLFLOW_RUN_ID"])
        assert run.data.params["C"] == "0.5"
        assert "training_score" in run.data.metrics
        assert not [name for name in run.data.metrics if "score_x" in name]
        assert place.strays() == []

    def test_autologging_that_fails_fails_no_trial(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is said why it is not on."""
        with active_run({"MANYFIT_MLFLOW_AUTOLOGGING": '{"nosuch": {"a": 1}}'}, threaded=False):
            pass
        assert "autologging (nosuch) is not on in this worker" in caplog.text

    def test_a_model_is_logged_to_the_trials_run(self, place: Place, tmp_path: Path) -> None:
        """Also where that is the objective's first call."""
        import mlflow
        from sklearn.linear_model import LogisticRegression

        env = place.trial()
        model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        with active_run(env, threaded=False):
            mlflow.sklearn.log_model(model, name="model", pip_requirements=[])
        (logged,) = place.client.search_logged_models([place.experiment])
        assert logged.source_run_id == env["MLFLOW_RUN_ID"]

    def test_ends_what_is_left_active(self, place: Place) -> None:
        """Runs that the objective leaves open don't reach into the next trial."""
        import mlflow

        env = place.trial()
        with pytest.raises(TrialStopped), active_run(env, threaded=False):  # noqa: PT012
            mlflow.start_run()
            mlflow.start_run(nested=True)
            raise TrialStopped
        assert mlflow.active_run() is None
        assert [run.info.status for run in place.below(env)] == ["FINISHED"]

    def test_inside_a_run_of_the_users(self, place: Place) -> None:
        """Inline in `with mlflow.start_run():`, that run is active again afterwards."""
        import mlflow

        mlflow.set_tracking_uri(place.uri)
        env = place.trial()
        with mlflow.start_run(experiment_id=place.experiment) as outer:
            with active_run(env, threaded=False):
                mlflow.log_metric("mine", 1.0)
                with mlflow.start_run(nested=True):
                    mlflow.log_metric("nested", 2.0)
            assert mlflow.active_run().info.run_id == outer.info.run_id
            mlflow.log_metric("outer", 3.0)
        assert place.metrics(env) == {"mine": 1.0}
        assert [run.data.metrics for run in place.below(env)] == [{"nested": 2.0}]
        assert place.client.get_run(outer.info.run_id).data.metrics == {"outer": 3.0}

    def test_threads_have_a_run_each(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """At the same time, in one process, with one environment that says where runs are."""
        import mlflow

        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        envs = [place.trial() for _ in range(3)]
        together = threading.Barrier(3)

        def objective(index: int) -> None:
            with active_run(envs[index], threaded=True):
                together.wait(20)
                with mlflow.start_run():
                    mlflow.log_metric("mine", index)
                with mlflow.start_run():
                    mlflow.log_metric("nested", index)

        threads = [threading.Thread(target=objective, args=(index,)) for index in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [place.metrics(env)["mine"] for env in envs] == [0.0, 1.0, 2.0]
        found = [place.below(env)[0].data.metrics["nested"] for env in envs]
        assert found == [0.0, 1.0, 2.0]
        assert place.strays() == []
        assert "MLFLOW_TRACKING_URI" not in os.environ

    def test_an_objective_with_a_server_of_its_own_is_left_alone(
        self, place: Place, tmp_path: Path
    ) -> None:
        """Where the trial's run isn't known, none is entered: it logs as it always does."""
        import mlflow

        mlflow.set_tracking_uri(place.uri)
        env = {**place.trial(), "MLFLOW_TRACKING_URI": "http://elsewhere:5000"}
        for threaded in (True, False):
            with (
                active_run(env, threaded=threaded),
                mlflow.start_run(experiment_id=place.experiment) as run,
            ):
                assert run.info.run_id != env["MLFLOW_RUN_ID"]

    def test_a_run_that_is_gone_fails_no_trial(self, place: Place) -> None:
        """Somebody deleted it in the meantime: the objective runs."""
        import mlflow

        mlflow.set_tracking_uri(place.uri)
        env = place.trial()
        place.client.delete_run(env["MLFLOW_RUN_ID"])
        ran = []
        with active_run(env, threaded=True):
            ran.append(True)
        assert ran == [True]
