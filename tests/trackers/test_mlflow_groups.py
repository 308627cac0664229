"""A call of `tune_groups` in MLflow: in memory, and on real servers."""

import time

import pytest

from manyfit import Float, Metric, MlflowTracker, Space
from manyfit.trackers.groups import Child, GroupsInfo, Outcome, Standing
from manyfit.trackers.mlflow_groups import MlflowGroups

SPACE = Space({"x": Float(0.0, 1.0), "password": "hunter2hunter2"})
OUTCOME = Outcome(
    "all groups are done",
    ["Groups m4", "  groups 3"],
    metrics={"gain_p50": 0.2, "groups": 3.0},
    tags={"manyfit.complete": "3"},
    files={"table.csv": "g,value\na,1.0\n", "figures.html": "<html>ö</html>"},
    children=[
        Child("north", {"x": 0.5}, {"mase": 0.8}, {"manyfit.group": '["north"]'}),
        Child("süd", {}, {}, {"manyfit.state": "FAIL"}, "FAILED"),
    ],
)


@pytest.fixture
def info(tmp_path):
    return GroupsInfo(
        "m4", tmp_path, Metric("mase"), SPACE, ("store", "item"), "independent", 7, n_trials=20
    )


def mirror(server, **settings):
    """A mirror of a server in memory."""
    return MlflowGroups(lambda folder: lambda: server, period=0.02, **settings)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never comes"
        time.sleep(0.01)


def standing(done, **given):
    return Standing(done, median_gain=0.1 * done, best_gain=0.5, mean_value=1.0, **given)


class TestRun:
    """The run of a call."""

    def test_params_and_tags(self, server, info):
        """The run says from the beginning what the call does, without credentials."""
        groups = mirror(server)
        groups.open(info)
        wait_for(lambda: server.runs and server.parent.params)
        assert server.parent.name == "m4"
        assert server.parent.params["by"] == "store, item"
        assert server.parent.params["n_trials"] == "20"
        assert '"x": {"type": "float"' in server.parent.params["space"]
        assert server.parent.tags["manyfit.state"] == "RUNNING"
        groups.close(OUTCOME)
        assert "hunter2" not in str(server.runs)

    def test_standings(self, server, info):
        """Standings are metrics, at the count of groups that are done."""
        groups = mirror(server)
        groups.open(info)
        for done in (1, 2):
            groups.progress(standing(done, failed=done - 1))
            wait_for(
                lambda done=done: server.runs and len(server.parent.curve("groups_done")) >= done
            )
        groups.close(OUTCOME)
        assert server.parent.curve("groups_done")[:2] == [(1, 1.0), (2, 2.0)]
        assert server.parent.curve("groups_failed")[:2] == [(1, 0.0), (2, 1.0)]
        assert server.parent.curve("median_gain")[0] == (1, 0.1)

    def test_end(self, server, info):
        """The end has figures, tags, files, and its status."""
        groups = mirror(server)
        groups.open(info)
        groups.progress(standing(3))
        groups.close(OUTCOME)
        run = server.parent
        assert run.status == "FINISHED"
        assert run.curve("gain_p50") == [(3, 0.2)]
        assert run.tags["manyfit.reason"] == "all groups are done"
        assert "groups 3" in run.tags["mlflow.note.content"]
        assert set(run.files) == {"space.json", "table.csv", "figures.html"}
        assert len(server.runs) == 1

    @pytest.mark.parametrize("status", ["FAILED", "KILLED"])
    def test_other_ends(self, server, info, status):
        """A call that was cut off is marked so."""
        groups = mirror(server)
        groups.open(info)
        groups.close(Outcome("interrupted", status=status))
        assert server.parent.status == status

    def test_children(self, server, info):
        """Groups have runs below the call's, where that is asked for."""
        groups = mirror(server, child_runs=True)
        groups.open(info)
        groups.close(OUTCOME)
        north, south = (run for identity, run in server.runs.items() if identity != "run0")
        assert (north.name, north.params, north.status) == ("north", {"x": "0.5"}, "FINISHED")
        assert north.curve("mase") == [(0, 0.8)]
        assert (south.name, south.status) == ("süd", "FAILED")
        assert north.tags["mlflow.parentRunId"] == "run0"

    def test_unopened(self, server):
        """A mirror that was never opened has nothing to do."""
        groups = mirror(server)
        groups.progress(standing(1))
        groups.close(OUTCOME)
        assert server.runs == {}


class TestTrouble:
    """Servers that are away, slow, or say no."""

    def test_away_in_between(self, server, info, caplog):
        """A server that was away gets the newest standing and the end, once each."""
        groups = mirror(server)
        groups.open(info)
        wait_for(lambda: server.runs and server.parent.params)
        server.is_away = True
        groups.progress(standing(1))
        wait_for(lambda: "does not answer" in caplog.text)
        groups.progress(standing(2))
        server.is_away = False
        groups.close(OUTCOME)
        assert server.parent.curve("gain_p50") == [(2, 0.2)]
        assert server.parent.status == "FINISHED"
        assert caplog.text.count("does not answer") == 1

    def test_away_all_the_time(self, server, info, caplog):
        """A server that never answers costs a bounded time, and the record is named."""
        server.is_away = True
        groups = mirror(server, wait=0.3)
        groups.open(info)
        begun = time.monotonic()
        for done in range(1000):
            groups.progress(standing(done))
        assert time.monotonic() - begun < 0.5
        groups.close(OUTCOME)
        assert time.monotonic() - begun < 3
        assert f"The record has it all: {info.folder}. The same call with name='m4'" in caplog.text
        assert "written later" not in caplog.text

    def test_refused_artifacts(self, server, info, caplog):
        """Where artifacts are refused, all the rest is written."""
        server.refuses = "upload"
        groups = mirror(server, child_runs=True)
        groups.open(info)
        groups.close(OUTCOME)
        assert "refused a part of the end" in caplog.text
        assert len(server.runs) == 3
        assert server.runs["run0"].status == "FINISHED"

    def test_refused_child(self, server, info):
        """A group whose run is refused costs no other one its run."""
        server.refuses = "create"
        groups = mirror(server, child_runs=True)
        groups.open(info)
        groups.close(OUTCOME)
        assert server.runs["run0"].status == "FINISHED"
        assert len(server.runs) == 1

    def test_refused_run(self, server, info, caplog):
        """A server that refuses the run is left alone, and the call goes on."""
        server.refuses = "begin"
        groups = mirror(server)
        groups.open(info)
        groups.progress(standing(1))
        groups.close(OUTCOME)
        assert "nothing is written to MLflow: no" in caplog.text

    def test_slow(self, server, info):
        """A slow server delays no standing."""
        server.delay = 1.5
        groups = mirror(server)
        begun = time.monotonic()
        groups.open(info)
        for done in range(100):
            groups.progress(standing(done))
        assert time.monotonic() - begun < 1.5
        server.delay = 0.0
        groups.close(OUTCOME)
        assert server.parent.status == "FINISHED"


@pytest.mark.integration
class TestServers:
    """Real servers."""

    def test_real_server(self, mlflow_process, info):
        """A real server has the run, its artifacts and its children."""
        import mlflow

        tracker = MlflowTracker(mlflow_process.uri, experiment="groups")
        groups = MlflowGroups(tracker.connector, child_runs=True, period=0.1)
        groups.open(info)
        groups.progress(standing(2))
        groups.close(OUTCOME)
        client = mlflow.MlflowClient(mlflow_process.uri)
        experiment = client.get_experiment_by_name("groups")
        runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
        assert set(runs) == {"m4", "north", "süd"}
        parent = runs["m4"]
        assert parent.info.status == "FINISHED"
        assert parent.data.metrics["gain_p50"] == 0.2
        assert parent.data.params["by"] == "store, item"
        files = {each.path for each in client.list_artifacts(parent.info.run_id)}
        assert files == {"space.json", "table.csv", "figures.html"}
        assert runs["north"].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert runs["süd"].info.status == "FAILED"

    def test_black_hole(self, black_hole, short_http, info, caplog):
        """A server that takes connections and says nothing costs seconds at most."""
        groups = MlflowGroups(MlflowTracker(black_hole, experiment="x").connector, wait=1.0)
        begun = time.monotonic()
        groups.open(info)
        groups.progress(standing(1))
        assert time.monotonic() - begun < 2  # a first answer isn't waited for
        groups.close(OUTCOME)
        assert time.monotonic() - begun < 15
        assert "MLflow has not taken everything in time" in caplog.text
