"""A call of `tune_groups` in MLflow: in memory, and on real servers."""

import time

import pytest

from manyfit import MlflowTracker
from manyfit.testing.groups import group_ended, groups_info, tell_groups
from manyfit.testing.trackers import RecordingTracker, Story
from manyfit.trackers import mlflow, mlflow_courier, mlflow_patience
from manyfit.trackers.base import Outcome

NORTH, SOUTH = '["north",1]', '["süd",null]'


@pytest.fixture
def soon(monkeypatch):
    """Seconds become hundredths, but for those that the end of a study waits."""
    monkeypatch.setattr(mlflow_courier, "STANDING_PERIOD", 0.02)
    monkeypatch.setattr(mlflow_patience, "BACKOFF", (0.01, 0.05))


@pytest.fixture
def tracker(server, monkeypatch, soon):
    """A tracker of a server in memory."""
    monkeypatch.setattr(mlflow, "_connector", lambda *_, **__: lambda: server)
    return MlflowTracker()


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never comes"
        time.sleep(0.005)


def run_of(server, group):
    """The one run of a group that is still found by its tag."""
    (run,) = [run for run in server.runs.values() if run.tags.get("manyfit.group") == group]
    return run


def call_run(server):
    (run,) = [run for run in server.runs.values() if "manyfit.group" not in run.tags]
    return run


class TestRun:
    """The run of a call."""

    def test_params_and_tags(self, tracker, server, tmp_path):
        """The run says from the beginning what the call does, without credentials."""
        tracker.open(groups_info(tmp_path), ())
        wait_for(lambda: server.runs and call_run(server).params)
        run = call_run(server)
        assert run.name == "sales"
        assert run.params["by"] == "store, item"
        assert (run.params["n_trials"], run.params["groups"]) == ("20", "3")
        assert '"x": {"type": "float"' in run.params["space"]
        assert run.tags["manyfit.groups"] == "sales"
        assert run.tags["manyfit.state"] == "RUNNING"
        tracker.close("done", (), Outcome())
        assert "hunter2" not in str(server.runs)

    def test_standings(self, tracker, server, tmp_path):
        """Standings are metrics, at the count of groups that are done."""
        tracker.open(groups_info(tmp_path), ())
        for done, state in ((1, "COMPLETE"), (2, "FAIL")):
            tracker.record(group_ended(done, state=state), None)
            wait_for(
                lambda done=done: (
                    server.runs and (done, float(done)) in call_run(server).curve("groups_done")
                )
            )
        tracker.close("done", (), Outcome())
        run = call_run(server)
        assert [point for point in run.curve("groups_failed") if point[0]] == [(1, 0.0), (2, 1.0)]
        assert run.curve("median_gain")[0] == (1, pytest.approx(0.2))

    def test_end(self, tracker, server, tmp_path):
        """The end has figures, tags, files, and its status."""
        tell_groups(tracker, tmp_path)
        run = call_run(server)
        assert run.status == "FINISHED"
        assert run.curve("gain_p50") == [(3, 0.2)]
        assert run.tags["manyfit.reason"] == "all groups are done"
        assert "groups 3" in run.tags["mlflow.note.content"]
        assert set(run.files) == {"space.json", "table.csv", "figures.html"}
        assert len(server.runs) == 1

    def test_trials_of_all_groups(self, tracker, server, tmp_path):
        """A trial of mode `"shared"` has no run, and the call's run ends as others do."""
        story = Story(aside := RecordingTracker(), folder=tmp_path)
        story.run(2)
        tracker.open(groups_info(tmp_path, mode="shared"), ())
        for event in aside.events:
            tracker.record(event, story.trials[event.number])
        tracker.record(group_ended("north", 1), None)
        tracker.close("all groups are done", (), Outcome(["Groups sales"]))
        (run,) = server.runs.values()
        assert (run.status, run.curve("groups_done")[-1]) == ("FINISHED", (1, 1.0))

    @pytest.mark.parametrize(
        ("reason", "status"),
        [
            ("interrupted: the same call with name='sales' goes on", "KILLED"),
            ("the driver ended with ValueError: no", "FAILED"),
            ("the driver ended with KeyboardInterrupt", "KILLED"),
        ],
    )
    def test_other_ends(self, tracker, server, tmp_path, reason, status):
        """A call that was cut off is marked so."""
        tracker.open(groups_info(tmp_path), ())
        tracker.close(reason, ())
        assert call_run(server).status == status
        assert call_run(server).tags["manyfit.reason"] == reason

    def test_all_groups_failed(self, tracker, server, tmp_path):
        """A call fails whose groups have all failed, unless earlier ones have not."""
        for before, status in ((0, "FAILED"), (1, "FINISHED")):
            tracker.open(groups_info(tmp_path, before=before), ())
            tracker.record(group_ended("north", 1, state="FAIL"), None)
            tracker.close("all groups are done", (), Outcome())
            assert call_run(server).status == status


class TestGroups:
    """Runs of groups below the call's, where that is asked for."""

    def test_a_run_a_group(self, tracker, server, tmp_path):
        """Each has its params, metrics, tags and status."""
        tell_groups(tracker, tmp_path, child_runs=True)
        north, south = run_of(server, NORTH), run_of(server, SOUTH)
        assert (north.name, north.params, north.status) == ("north · 1", {"x": "0.5"}, "FINISHED")
        assert north.curve("mase") == [(0, 0.8)]
        assert north.curve("gain") == [(0, pytest.approx(0.2))]
        assert north.curve("baseline_mase") == [(0, 1.0)]
        assert (south.name, south.status) == ("süd · missing", "FAILED")
        assert north.tags["mlflow.parentRunId"] == "run0"

    def test_while_others_are_tuned(self, tracker, server, tmp_path):
        """A group has its run once it has ended."""
        tracker.open(groups_info(tmp_path, child_runs=True), ())
        tracker.record(group_ended("north", 1), None)
        wait_for(lambda: any(run.params == {"x": "0.5"} for run in server.runs.values()))
        tracker.close("done", (), Outcome())

    def test_the_same_call_again(self, tracker, server, tmp_path):
        """It goes on with the same run; a group that was tuned again has a new one, others not."""
        tell_groups(tracker, tmp_path, child_runs=True)
        tracker.open(groups_info(tmp_path, child_runs=True), ())
        again = [group_ended("north", 1, params={"x": 0.7}), group_ended("süd", None)]
        for group in again:
            tracker.record(group, None)
        tracker.close("all groups are done", (), Outcome(groups=lambda: again))
        assert run_of(server, NORTH).params == {"x": "0.7"}
        assert run_of(server, f"{NORTH} (replaced)").params == {"x": "0.5"}
        assert run_of(server, SOUTH).status == "FINISHED"
        assert len(server.runs) == 5
        assert call_run(server).status == "FINISHED"

    def test_a_call_that_asks_for_more(self, tracker, server, tmp_path):
        """It has a run of its own: MLflow takes no second value for a param."""
        tell_groups(tracker, tmp_path)
        tracker.open(groups_info(tmp_path, n_trials=40), ())
        tracker.close("done", (), Outcome())
        assert [run.params["n_trials"] for run in server.runs.values()] == ["20", "40"]


class TestTrouble:
    """Servers that are away, slow, or say no."""

    def test_away_in_between(self, tracker, server, tmp_path, caplog):
        """What a server missed while it was away is written when it is back, once."""
        tracker.open(groups_info(tmp_path), ())
        wait_for(lambda: server.runs and call_run(server).params)
        server.is_away = True
        tracker.record(group_ended(0), None)
        wait_for(lambda: "does not answer" in caplog.text)
        tracker.record(group_ended(1), None)
        server.is_away = False
        tracker.close("done", (), Outcome(metrics={"gain_p50": 0.2}))
        run = call_run(server)
        assert (1, 1.0) in run.curve("groups_done")
        assert run.curve("gain_p50") == [(2, 0.2)]
        assert run.status == "FINISHED"
        assert caplog.text.count("does not answer") == 1

    def test_away_at_the_end(self, tracker, server, tmp_path, caplog, monkeypatch):
        """What it missed is written by the same call, to the same run: its groups too."""
        monkeypatch.setattr(mlflow_patience, "CLOSE_QUIET", 0.3)
        tracker.open(groups_info(tmp_path, child_runs=True), ())
        wait_for(lambda: server.runs and call_run(server).params)
        server.is_away = True
        ended = [group_ended("north", 1), group_ended("süd", None)]
        for group in ended:
            tracker.record(group, None)
        outcome = Outcome(metrics={"gain_p50": 0.2}, groups=lambda: ended)
        tracker.close("done", (), outcome)
        assert "2 runs of groups are not written in full" in caplog.text
        assert f"manyfit sync sales --folder {tmp_path.parent}" in caplog.text
        server.is_away = False
        tracker.open(groups_info(tmp_path, before=2, child_runs=True), ())
        tracker.close("done", (), outcome)
        assert call_run(server).curve("gain_p50") == [(2, 0.2)]
        assert run_of(server, NORTH).status == run_of(server, SOUTH).status == "FINISHED"
        assert len(server.runs) == 3

    def test_killed_half_way(self, tracker, server, tmp_path):
        """A run that was created, and not written in full, is written by the same call again."""
        tracker.open(groups_info(tmp_path, child_runs=True), ())
        wait_for(lambda: server.runs and call_run(server).params)
        server.refuses = "set_status"
        tracker.record(group_ended("north", 1), None)
        wait_for(lambda: any(run.params == {"x": "0.5"} for run in server.runs.values()))
        tracker.close("not ended", (), Outcome())
        server.refuses = None
        tracker.open(groups_info(tmp_path, before=1, child_runs=True), ())
        tracker.close("done", (), Outcome(groups=lambda: [group_ended("north", 1)]))
        assert run_of(server, NORTH).status == "FINISHED"
        assert len(server.runs) == 2

    def test_a_lost_answer(self, tracker, server, tmp_path):
        """A group whose run was created, though nobody heard of it, has no second one."""
        server.loses_answers = True
        tracker.open(groups_info(tmp_path, child_runs=True), ())
        wait_for(lambda: server.runs and call_run(server).params)
        tracker.record(group_ended("north", 1), None)
        wait_for(lambda: server.calls.count("create") >= 1)
        server.loses_answers = False
        tracker.close("done", (), Outcome())
        assert run_of(server, NORTH).status == "FINISHED"

    def test_away_all_the_time(self, server, monkeypatch, tmp_path, caplog):
        """A server that never answers costs a bounded time, and the record is named."""
        server.is_away = True
        monkeypatch.setattr(mlflow, "_connector", lambda *_, **__: lambda: server)
        tracker = MlflowTracker(wait=0.3)
        tracker.open(groups_info(tmp_path), ())
        begun = time.monotonic()
        for done in range(1000):
            tracker.record(group_ended(done), None)
        assert time.monotonic() - begun < 5  # not a wait for each
        tracker.close("done", (), Outcome())
        assert time.monotonic() - begun < 15
        assert "its end is not written in full. The record has it all; the same call" in caplog.text

    def test_refused_artifacts(self, tracker, server, tmp_path, caplog):
        """Where artifacts are refused, all the rest is written."""
        server.refuses = "upload"
        tell_groups(tracker, tmp_path, child_runs=True)
        assert "MLflow takes no artifacts" in caplog.text
        assert len(server.runs) == 4
        assert call_run(server).status == "FINISHED"

    def test_refused_child(self, tracker, server, tmp_path, caplog):
        """A group whose run is refused costs no other one its run, and it is said."""
        server.refuses = "create"
        tell_groups(tracker, tmp_path, child_runs=True)
        assert call_run(server).status == "FINISHED"
        assert len(server.runs) == 1
        assert 'MLflow refused group ["north",1]: no' in caplog.text

    def test_refused_run(self, tracker, server, tmp_path, caplog):
        """A server that refuses the run is left alone, and the call goes on."""
        server.refuses = "begin"
        tell_groups(tracker, tmp_path)
        assert "nothing is written to MLflow: no" in caplog.text

    def test_slow(self, tracker, server, tmp_path):
        """A slow server delays no group."""
        server.delay = 0.2
        begun = time.monotonic()
        tracker.open(groups_info(tmp_path), ())
        for done in range(100):
            tracker.record(group_ended(done), None)
        assert time.monotonic() - begun < 100 * server.delay / 2
        server.delay = 0.0
        tracker.close("done", (), Outcome())
        assert call_run(server).status == "FINISHED"


@pytest.mark.integration
class TestServers:
    """Real servers."""

    def test_real_server(self, mlflow_process, tmp_path):
        """A real server has the run, its artifacts and its children; and so after a second call."""
        import mlflow

        tracker = MlflowTracker(mlflow_process.uri, experiment="groups")
        for before in (0, 3):
            tell_groups(tracker, tmp_path, child_runs=True, before=before)
        client = mlflow.MlflowClient(mlflow_process.uri)
        experiment = client.get_experiment_by_name("groups")
        found = client.search_runs([experiment.experiment_id])
        runs = {run.info.run_name: run for run in found}
        assert len(found) == 4
        assert set(runs) == {"sales", "north · 1", "süd · missing", "west · 3"}
        parent = runs["sales"]
        assert parent.info.status == "FINISHED"
        assert parent.data.metrics["gain_p50"] == 0.2
        assert parent.data.params["by"] == "store, item"
        files = {each.path for each in client.list_artifacts(parent.info.run_id)}
        assert files == {"space.json", "table.csv", "figures.html"}
        assert runs["north · 1"].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert runs["süd · missing"].info.status == "FAILED"

    def test_black_hole(self, black_hole, short_http, tmp_path, caplog):
        """A server that takes connections and says nothing costs seconds at most."""
        tracker = MlflowTracker(black_hole, experiment="x", wait=1.0)
        begun = time.monotonic()
        tracker.open(groups_info(tmp_path), ())
        tracker.record(group_ended(0), None)
        assert time.monotonic() - begun < 2  # a first answer isn't waited for
        tracker.close("done", (), Outcome())
        assert time.monotonic() - begun < 15
        assert "MLflow has not taken everything in time" in caplog.text
