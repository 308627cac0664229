"""One group's small study."""

import json
import os
import pickle
import warnings
from collections import Counter

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from manyfit import Choice, Float, NoImprovement, Space, report
from manyfit.errors import TrialStopped
from manyfit.events import AttemptFailed, AttemptFinished, AttemptLost, Reported
from manyfit.groups.job import GroupJob
from manyfit.groups.record.row import gain
from manyfit.groups.search.holdout import Holdout
from manyfit.groups.search.study import BASELINE_TRIAL, tune_group
from manyfit.metric import Metric

X = Space({"x": Float(0.0, 1.0)})


class Notes:
    """What is noted, in a list."""

    def __init__(self, known=(), spent=0.0):
        self.known = known
        self.spent = spent
        self.begun = []
        self.events = []

    def begin(self, number):
        self.begun.append(number)

    def told(self, ending):
        return ending

    def note(self, event):
        self.events.append(event)


class Unpicklable:
    """A model that tells what it shouldn't."""

    def __reduce__(self):
        raise TypeError(f"can't pickle {os.environ['MF_PASSWORD']}")


def square(group, params):
    """The optimum is the group's own."""
    return (params["x"] - group["best"].iloc[0]) ** 2


def frame(rows=10, best=0.3):
    return pd.DataFrame({"best": best, "y": np.arange(float(rows))})


def tuned(objective=square, data=None, notes=None, **settings):
    settings = {"n_trials": 8, "sampler": "random", "start_with": ({"x": 0.5},), **settings}
    cluster = settings.pop("cluster", "[]")
    job = GroupJob(("g",), objective, X, Metric("loss"), **settings)
    data = frame() if data is None else data
    return tune_group(job, '["a"]', data, notes or Notes(), cluster)


class TestSearch:
    """What is tried."""

    def test_the_baseline_comes_first(self):
        """The first point is the baseline; the best beats it by the gain."""
        row = tuned()
        assert (row.state, row.reason, row.trials) == ("COMPLETE", "", 8)
        assert row.baseline == pytest.approx(0.04)
        assert row.value == (row.params["x"] - 0.3) ** 2
        assert gain(row, Metric("loss")) == pytest.approx(0.04 - row.value)
        assert row.rows == 10
        assert row.seconds >= row.fit_seconds > 0

    def test_it_is_repeatable(self):
        """The same group with the same seed has the same trials, another group others."""
        one, other = (tuned(keep_trials=True).history for _ in range(2))
        assert one == other
        job = GroupJob(("g",), square, X, Metric("loss"), n_trials=8, keep_trials=True)
        assert tune_group(job, '["b"]', frame(), Notes()).history != one

    def test_a_direction(self):
        """Larger values may be the better ones."""
        job = GroupJob(
            ("g",), square, X, Metric("loss", "maximize"), n_trials=8, start_with=({"x": 0.5},)
        )
        row = tune_group(job, '["a"]', frame(), Notes())
        assert gain(row, job.metric) == pytest.approx(row.value - row.baseline)
        assert row.value > 0.04

    def test_stops(self):
        """A rule ends a group early."""
        assert tuned(n_trials=50, stop=(NoImprovement(3),)).trials < 50

    def test_pruning(self):
        """Trials that report are ended among themselves."""

        def steps(group, params):
            for step in range(10):
                report(step, loss=params["x"] + 1 / (step + 1))
            return params["x"]

        row = tuned(steps, n_trials=30, pruner="median")
        assert row.pruned > 0
        assert row.trials == 30

    def test_time_is_up(self):
        """A group's seconds count from the processes that died over it on."""
        assert tuned(seconds=5.0, n_trials=None, notes=Notes(spent=6.0)).state == "FAIL"
        assert tuned(seconds=0.05, n_trials=None).trials > 1

    def test_set_trials(self):
        """In a joint study, each cluster of groups has its trials set."""
        points = {'["north"]': ({"x": 0.3}, {"x": 0.9}), '["south"]': ({"x": 0.1},)}
        row = tuned(points=points, cluster='["north"]', start_with=())
        assert (row.trials, row.params) == (2, {"x": 0.3})

    def test_constants_and_options(self):
        """The objective receives constants, too; the row has what was tuned."""
        seen = []

        def objective(group, params):
            seen.append(params)
            return 1.0

        space = Space({"f": Choice(["min", "max"]), "c": (1, 2)})
        job = GroupJob(("g",), objective, space, Metric("loss"), n_trials=2)
        row = tune_group(job, '["a"]', frame(), Notes())
        assert {"f": "min", "c": (1, 2)} in seen
        assert row.params["f"] in ("min", "max")
        assert list(row.params) == ["f"]

    def test_what_a_fit_does_to_a_constant_no_other_sees(self):
        """Each trial, and each fold of one, gets options and constants of its own."""
        space, seen = Space({"x": Float(0.0, 1.0), "net": {"sizes": [1]}}), []

        def fit(train, valid, params):
            seen.append(len(params["net"]["sizes"]))
            params["net"]["sizes"].append(2)
            return params["x"]

        job = GroupJob(
            ("g",),
            fit,
            space,
            Metric("loss"),
            holdout=Holdout(folds=2),
            n_trials=3,
            sampler="random",
            start_with=({"x": 0.5},),
        )
        tune_group(job, '["a"]', frame(), Notes())

        assert set(seen) == {1}


class TestRows:
    """What a fit gets."""

    def test_each_fit_has_its_own(self):
        """What one changes, no other sees."""

        def vandal(group, params):
            assert "new" not in group
            group["new"] = 1
            group.loc[:, "y"] = -1.0
            return params["x"]

        assert tuned(vandal).failed == 0

    def test_cells_are_its_own(self):
        """Lists in cells, and arrays that are read-only elsewhere, can be changed at will."""
        array = np.ones(2)
        array.flags.writeable = False
        data = frame().assign(prices=[[1.0] for _ in range(10)], curve=[array] * 10)
        seen = []

        def vandal(train, valid, params):
            for rows in (train, valid):
                seen.append((rows["prices"].iloc[0], rows["curve"].iloc[0].sum()))
                rows["prices"].iloc[0].append(2.0)
                rows["curve"].iloc[0][:] = params["x"]
            return params["x"]

        assert tuned(vandal, data, holdout=Holdout.of("2 folds")).failed == 0
        assert all(prices == [1.0, 2.0] and total == 2.0 for prices, total in seen)
        assert data["prices"].tolist() == [[1.0]] * 10

    def test_order(self):
        """Rows are sorted if that is asked for."""
        data = pd.DataFrame({"t": [3, 1, 2], "best": 0.3})

        def objective(group, params):
            assert list(group["t"]) == [1, 2, 3]
            assert list(group.index) == [0, 1, 2]
            return 0.0

        assert tuned(objective, data, order_by=("t",)).failed == 0

    def test_holdout(self):
        """Training and validation rows are the same for all trials."""
        seen = set()

        def objective(train, valid, params):
            seen.add((tuple(train["y"]), tuple(valid["y"])))
            return params["x"]

        row = tuned(objective, holdout=Holdout.of(0.3))
        assert row.failed == 0
        ((fit, valid),) = seen
        assert len(valid) == 3
        assert {*fit, *valid} == set(range(10))

    def test_folds(self):
        """A trial is the mean of its folds, in all metrics that they share."""

        def objective(train, valid, params):
            report(0, loss=1.0)  # its own steps are no folds
            report(1, loss=1.0)
            return {"loss": params["x"] + len(valid), "fit": len(train)}

        row = tuned(objective, holdout=Holdout.of("4 folds"), n_trials=3)
        assert row.failed == 0
        assert row.metrics == {"loss": pytest.approx(row.params["x"] + 2.5), "fit": 7.5}

    def test_hopeless_folds(self):
        """Between folds, trials that can't catch up are ended."""
        calls = []

        def objective(train, valid, params):
            calls.append(params["x"])
            return params["x"] * (1 + 0.01 * valid["y"].mean())

        row = tuned(objective, holdout=Holdout.of("5 folds"), n_trials=20)
        assert row.pruned > 0
        assert len(calls) < 100

    def test_a_nan_fold_fails_its_trial(self):
        """A mean over other folds would be a lie."""

        def objective(train, valid, params):
            return float("nan") if 0 in valid["y"].to_numpy() else 1.0

        row = tuned(objective, holdout=Holdout.of("2 folds"))
        assert row.state == "FAIL"
        assert "fold " in row.reason
        assert "loss is NaN" in row.reason


class TestFailures:
    """They stay in the row."""

    def test_an_error(self):
        """The row has the first trial's reason, class and traceback, from the user's code on."""

        def objective(group, params):
            raise KeyError("no such thing")

        row = tuned(objective)
        assert (row.state, row.error, row.value) == ("FAIL", "KeyError", None)
        assert row.reason.startswith("all 8 trials failed; the first with KeyError: ")
        assert "no such thing" in row.traceback
        assert row.traceback.splitlines()[1].lstrip().startswith("File")
        assert "test_study.py" in row.traceback.splitlines()[1]

    def test_some_errors(self):
        """Trials that fail cost only themselves."""

        def objective(group, params):
            if params["x"] == 0.5 or params["x"] > 0.8:
                raise ValueError("too large")
            return params["x"]

        row = tuned(objective, n_trials=20)
        assert row.state == "COMPLETE"
        assert 0 < row.failed < 20
        assert (row.baseline, gain(row, Metric("loss"))) == (None, None)

    @pytest.mark.parametrize("value", [float("nan"), None, "high", {"other": 1.0}])
    def test_what_is_no_result(self, value):
        """NaN, nothing, text and a missing metric fail the trial."""
        row = tuned(lambda group, params: value)
        assert row.state == "FAIL"
        assert row.failed == row.trials

    def test_exits(self):
        """`sys.exit` in an objective is one more error."""

        def objective(group, params):
            raise SystemExit(3)

        assert tuned(objective).error == "SystemExit"

    def test_too_few_rows(self):
        """A group that can't be split keeps the baseline, says so, and nothing is fitted."""
        row = tuned(lambda train, valid, params: 1 / 0, frame(3), holdout=Holdout.of("last 3"))
        assert (row.state, row.params, row.value) == ("BASELINE", {"x": 0.5}, None)
        assert row.reason == "3 rows: holdout='last 3' needs 4 at least"

    def test_warnings_are_not_silenced_for_good(self):
        """A warning in a fit is the user's."""

        def objective(group, params):
            warnings.warn("hm", stacklevel=1)
            return 0.0

        with pytest.warns(UserWarning, match="hm"):
            assert tuned(objective, n_trials=1).state == "COMPLETE"

    def test_secrets_are_kept_out(self, monkeypatch):
        """What a fit raises, notes or returns as a model shows no secret of the environment."""
        monkeypatch.setenv("MF_PASSWORD", "hunter2 hunter2")
        notes = Notes()

        def fit(group, params):
            if len(notes.begun) == 1:
                raise ValueError(f"can't log in with {os.environ['MF_PASSWORD']}")
            return {"loss": 1.0, "note": os.environ["MF_PASSWORD"]}, Unpicklable()

        row = tuned(fit, notes=notes, keep_models=True, n_trials=2)
        assert row.reason.count("[redacted]") == 2
        assert "hunter2" not in f"{row} {notes.events}"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A database of MLflow, which takes seconds to make."""
    mlflow = pytest.importorskip("mlflow")
    return mlflow.MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.mark.filterwarnings("ignore")  # MLflow's own, about what it imports
@pytest.mark.integration  # MLflow takes seconds to import
class TestMLflow:
    """What fits log to MLflow themselves."""

    @pytest.fixture
    def runs(self, client, monkeypatch, request, tmp_path):
        """What gives the runs of the test."""
        import mlflow

        monkeypatch.chdir(tmp_path)  # artifacts go to mlruns of the working folder
        experiment = client.create_experiment(request.node.name)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
        yield lambda: client.search_runs([experiment])
        assert mlflow.active_run() is None

    def test_each_fit_has_a_run_of_its_own(self, runs):
        """Else the second trial's params would be changed values of the first one's."""
        import mlflow

        def fit(group, params):
            mlflow.log_params(params)
            if params["x"] == 0.5:
                raise ValueError("no")
            if params["x"] == 0.25:
                raise TrialStopped
            return params["x"]

        points = {"[]": tuple({"x": x} for x in (0.5, 0.25, 0.75))}
        row = tuned(fit, points=points, start_with=())
        assert (row.state, row.trials, row.failed, row.pruned) == ("COMPLETE", 3, 1, 1)
        ends = {run.data.params["x"]: run.info.status for run in runs()}
        assert ends == {"0.5": "FAILED", "0.25": "FINISHED", "0.75": "FINISHED"}

    def test_so_has_each_fold(self, runs):
        """What differs between folds differs between runs."""
        import mlflow

        def fit(train, valid, params):
            mlflow.log_param("first", valid["y"].iloc[0])
            return 1.0

        assert tuned(fit, n_trials=2, holdout=Holdout(folds=2)).failed == 0
        assert len(runs()) == 4

    def test_runs_say_whose_they_are(self, runs, monkeypatch):
        """The baseline's and the last model's, too; tags that were to be given anyway are kept."""
        import mlflow

        def baseline(train, valid):
            mlflow.log_metric("loss", 7.0)
            return 7.0

        def fit(train, valid, params):
            mlflow.log_metric("loss", params["x"])
            return params["x"], "model"

        monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"team": "sales"}')
        settings = {"holdout": Holdout(folds=2), "keep_models": True, "name": "m4"}
        assert tuned(fit, n_trials=2, baseline=baseline, **settings).failed == 0
        found = runs()
        names = Counter(run.info.run_name for run in found)
        assert names == {"a, trial 0": 2, "a, trial 1": 2, "a, baseline": 2, "a, model": 1}
        tags = next(run.data.tags for run in found if run.info.run_name == "a, trial 1")
        keys = ("manyfit.groups", "manyfit.group", "manyfit.trial", "team")
        assert [tags[key] for key in keys] == ["m4", '["a"]', "1", "sales"]

    def test_trials_of_all_groups_have_no_number(self, runs):
        """In mode "shared" each is the only one of its job."""
        import mlflow

        def fit(group, params):
            mlflow.log_params(params)
            return 1.0

        tuned(fit, points={"[]": ({"x": 0.5},)}, start_with=(), name="m4")
        (run,) = runs()
        assert run.info.run_name == "a"
        assert "manyfit.trial" not in run.data.tags


class TestBaseline:
    """A function to beat."""

    def test_it_is_called_once(self):
        """It gets what the objective gets, without params, and is no trial."""
        row = tuned(baseline=lambda group: {"loss": 7.0, "also": 1.0}, start_with=())
        assert (row.baseline, row.baseline_metrics) == (7.0, {"loss": 7.0, "also": 1.0})
        assert row.trials == 8
        assert gain(row, Metric("loss")) == 7.0 - row.value

    def test_it_is_kept_where_all_trials_fail(self):
        """Then it is what the group has."""
        row = tuned(lambda group, params: 1 / 0, baseline=lambda group: 2.0)
        assert (row.state, row.baseline, row.error) == ("BASELINE", 2.0, "ZeroDivisionError")

    def test_it_may_fail(self):
        """The trials go on, and the row says so."""
        row = tuned(baseline=lambda group: 1 / 0)
        assert (row.state, row.baseline) == ("COMPLETE", None)
        assert row.reason == "the baseline failed: ZeroDivisionError: division by zero"


class TestModels:
    """What is kept of them."""

    @staticmethod
    def fit(*given):
        *frames, params = given
        return (params["x"] - 0.3) ** 2, (params["x"], len(frames[0]))

    def test_the_best_trials(self):
        """It is that trial's own, and isn't fitted again."""
        notes = Notes()
        row = tuned(self.fit, keep_models=True, notes=notes)
        assert pickle.loads(row.model) == (row.params["x"], 10)
        assert len(notes.begun) == 8

    def test_an_estimator_that_is_used_again(self):
        """The model is what the best trial left of it, and not what the last one did."""
        model = {}

        def fit(group, params):
            model.update(params)
            return (params["x"] - 0.3) ** 2, model

        row = tuned(fit, keep_models=True)
        assert pickle.loads(row.model) == row.params != model

    def test_none_is_kept_unasked(self):
        """Models cost memory."""
        assert tuned(self.fit).model is None

    def test_of_folds(self):
        """It is fitted again, on all rows."""
        row = tuned(self.fit, keep_models=True, holdout=Holdout.of("2 folds"))
        assert pickle.loads(row.model) == (row.params["x"], 10)

    def test_of_a_group_that_is_too_small(self):
        """It is the baseline's, fitted on all rows."""
        row = tuned(self.fit, frame(2), keep_models=True, holdout=Holdout.of("5 folds"))
        assert pickle.loads(row.model) == (0.5, 2)
        also = tuned(
            self.fit,
            frame(2),
            keep_models=True,
            holdout=Holdout.of("5 folds"),
            baseline=lambda train, valid: (1.0, "naive"),
        )
        assert pickle.loads(also.model) == "naive"

    def test_one_that_cant_be_pickled(self):
        """The figures stand, and the reason says why there is no model."""
        row = tuned(lambda group, params: (1.0, (n for n in ())), keep_models=True)
        assert (row.state, row.model) == ("COMPLETE", None)
        assert row.reason.startswith("its model can't be kept: TypeError: ")

    def test_closures_travel(self):
        """Models may be functions of a notebook."""
        row = tuned(lambda group, params: (1.0, lambda rows: params["x"]), keep_models=True)
        assert cloudpickle.loads(row.model)(None) == row.params["x"]


class TestResuming:
    """A group whose process died goes on in the next."""

    def test_what_ended_isnt_run_again(self):
        """The row is the same as that of an undisturbed group."""
        whole = Notes()
        row = tuned(notes=whole, keep_trials=True)
        known = [event for event in whole.events if event.number < 3]
        rest = Notes(known=known, spent=1.0)
        again = tuned(notes=rest, keep_trials=True)
        assert rest.begun == [3, 4, 5, 6, 7]
        assert (again.history, again.params) == (row.history, row.params)
        assert again.seconds > 1.0

    def test_what_was_not_noted_is_run_again(self):
        """Trials that took milliseconds may be missing; the one that killed the process is not."""
        whole = Notes()
        row = tuned(notes=whole, keep_trials=True)
        known = [event for event in whole.events if event.number < 2]
        rest = Notes(known=[*known, AttemptLost(5, 1, "killed", True, 0.0)], spent=1.0)
        assert tuned(notes=rest, keep_trials=True).history == row.history
        assert rest.begun == [2, 3, 4, 5, 6, 7]
        twice = [AttemptLost(5, attempt, "killed", True, 0.0) for attempt in (1, 2)]
        rest = Notes(known=[*known, *twice], spent=1.0)
        assert tuned(notes=rest).failed == 1
        assert rest.begun == [2, 3, 4, 6, 7]

    def test_reports_without_an_end(self):
        """They are left out: the trial runs again, and reports again."""
        cut = [Reported(0, 1, step, {"loss": 1.0}, 0.0) for step in range(3)]

        def steps(group, params):
            report(0, loss=params["x"])
            return params["x"]

        rest = Notes(known=cut, spent=1.0)
        assert tuned(steps, notes=rest).failed == 0
        assert rest.begun[0] == 0

    def test_a_lost_trial_is_tried_once_more(self):
        """A worker that dies over the same trial twice fails it."""
        lost = [AttemptLost(0, attempt, "killed", True, 0.0) for attempt in (1, 2)]
        once = Notes(known=lost[:1], spent=1.0)
        assert tuned(notes=once).failed == 0
        assert once.begun[0] == 0
        twice = Notes(known=lost, spent=1.0)
        row = tuned(notes=twice)
        assert (row.failed, row.baseline, twice.begun[0]) == (1, None, 1)

    def test_a_trial_that_was_cut(self):
        """It has failed, and its group goes on."""
        cut = AttemptFailed(0, 1, "ran longer", "", "", False, 9.0, 0.0)
        row = tuned(notes=Notes(known=[cut], spent=9.0))
        assert (row.failed, row.trials, row.state) == (1, 8, "COMPLETE")

    def test_reports_are_taken_in(self):
        """The pruner of the next process knows the curves of the trials that ended."""

        def steps(group, params):
            for step in range(10):
                report(step, loss=params["x"] + 1 / (step + 1))
            return params["x"]

        settings = {"n_trials": 20, "pruner": "median", "keep_trials": True}
        whole = Notes()
        row = tuned(steps, notes=whole, **settings)
        known = [event for event in whole.events if event.number < 9]
        assert any(isinstance(event, Reported) for event in known)
        again = tuned(steps, notes=Notes(known=known, spent=1.0), **settings)
        assert (again.history, again.pruned) == (row.history, row.pruned)

    def test_a_baseline_is_known(self):
        """It isn't run again, nor if it killed its worker."""
        calls = []

        def baseline(group):
            calls.append(1)
            return 1.0

        done = AttemptFinished(BASELINE_TRIAL, 1, {"loss": 3.0}, 0.1, 0.0)
        assert tuned(baseline=baseline, notes=Notes([done], 1.0)).baseline == 3.0
        lost = AttemptLost(BASELINE_TRIAL, 1, "killed", True, 0.0)
        assert tuned(baseline=baseline, notes=Notes([lost], 1.0)).baseline is None
        assert calls == []

    def test_the_best_trial_of_an_earlier_process(self):
        """Its model died with that, so it is fitted again."""
        whole = Notes()
        row = tuned(TestModels.fit, notes=whole, keep_models=True)
        again = tuned(TestModels.fit, notes=Notes(whole.events, 1.0), keep_models=True)
        assert pickle.loads(again.model) == pickle.loads(row.model)


def test_history():
    """All trials with what became of them."""
    row = tuned(keep_trials=True, n_trials=2)
    first, _ = json.loads(row.history)
    assert first == [{"x": 0.5}, pytest.approx(0.04), "COMPLETE"]


def test_stopped_by_the_objective():
    """A trial that ends itself is pruned."""

    def objective(group, params):
        raise TrialStopped("enough")

    row = tuned(objective)
    assert (row.state, row.pruned) == ("FAIL", 8)
    assert row.reason == "no trial has completed: all 8 trials done"
