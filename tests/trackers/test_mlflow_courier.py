"""The courier carries a study to a server that is fast, slow, away, or back."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from manyfit.errors import MissingExtraError
from manyfit.events import Event
from manyfit.testing.trackers import Story
from manyfit.trackers import mlflow_courier
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow_copy import RefusedError
from manyfit.trackers.mlflow_courier import Courier
from manyfit.trial import Trial


class Carried:
    """A tracker that is a courier and nothing else."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self.connect = connect
        self.waits: list[float] = []

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        self.courier = Courier(study, history, self.connect)

    def prepare(self, trial: Trial) -> dict[str, str]:
        begun = time.monotonic()
        run = self.courier.start(trial)
        self.waits.append(time.monotonic() - begun)
        return {} if run is None else {"RUN": run.id}

    def record(self, event: Event, trial: Trial | None) -> None:
        if trial is not None:
            self.courier.update(trial)

    def close(self, reason: str, trials: Sequence[Trial]) -> None:
        self.courier.close(reason, trials)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths."""
    monkeypatch.setattr(mlflow_courier, "PATIENCE", 0.2)
    monkeypatch.setattr(mlflow_courier, "FIRST_FOLLOW", 0.05)
    monkeypatch.setattr(mlflow_courier, "FOLLOW", 0.1)
    monkeypatch.setattr(mlflow_courier, "CLOSE_QUIET", 0.3)
    monkeypatch.setattr(mlflow_courier, "CLOSE_TOTAL", 2.0)
    monkeypatch.setattr(mlflow_courier, "CLOSE_HASTE", 5.0)
    monkeypatch.setattr(mlflow_courier, "BACKOFF", (0.01, 0.05))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def test_writes_a_whole_study(server: Any, tmp_path: Path) -> None:
    """When a study is closed, all of it is on the server."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(5, steps=3)
    story.end()
    assert [server.run_of(number).status for number in range(5)] == ["FINISHED"] * 5
    assert server.parent.tags["manyfit.best.trial"] == "4"


def test_the_study_begins_when_it_is_opened(server: Any, tmp_path: Path) -> None:
    """However long it takes until the server is reached, the parent run starts with the study."""

    def connect() -> Any:
        time.sleep(0.1)
        return server

    begun = time.time()
    story = Story(Carried(connect), folder=tmp_path)
    story.run(1)
    story.end()
    assert server.parent.started_at - begun < 0.05


def test_a_trial_gets_its_run_before_it_starts(server: Any, tmp_path: Path) -> None:
    """`prepare` waits for the run's id, which is that of the trial."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    env = story.start(story.ask())
    assert server.runs[env["RUN"]].tags["manyfit.trial"] == "0"
    story.end()


def test_a_running_trial_is_followed(server: Any, tmp_path: Path) -> None:
    """Params and curves of a long trial are there while it runs."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.start(story.ask())
    until(lambda: server.run_of(0).params["lr"] == "0.1" if server.run_of(0).params else False)
    story.report(0, 0, loss=1.0)
    until(lambda: server.run_of(0).curve("loss") == [(0, 1.0)])
    story.report(0, 1, loss=0.5)
    until(lambda: server.run_of(0).curve("loss") == [(0, 1.0), (1, 0.5)])
    assert server.run_of(0).status == "RUNNING"
    story.finish(0, loss=0.5)
    story.end()


def test_a_trial_nobody_prepared_is_there_while_it_runs(server: Any, tmp_path: Path) -> None:
    """Someone's own loop, which needs no environment, is mirrored as well."""
    tracker = Carried(lambda: server)
    aside = Story(folder=tmp_path)
    aside.start(aside.ask())
    tracker.open(aside.study, ())
    tracker.courier.update(aside.trials[0])
    until(lambda: "create" in server.calls)
    assert server.run_of(0).status == "RUNNING"
    tracker.close("done", ())


def test_an_order_to_end_leaves_little_time() -> None:
    """After an interrupt a slow server isn't waited for as long as after a study's own end."""
    assert mlflow_courier.total_patience("all 20 trials done", 30.0) == 30.0
    assert mlflow_courier.total_patience("interrupted", 30.0) <= 5.0
    assert mlflow_courier.total_patience("interrupted: the same call goes on", 0.3) == 0.3


def test_a_server_that_is_away_makes_one_trial_wait(server: Any, tmp_path: Path) -> None:
    """After the first wait none follows, until it answers again."""
    server.is_away = True
    tracker = Carried(lambda: server)
    story = Story(tracker, folder=tmp_path)
    story.run(50)
    assert sum(tracker.waits) < 0.4
    server.is_away = False
    until(lambda: len(server.runs) == 51)
    assert story.start(story.ask()) != {}
    story.end()


def test_a_slow_server_makes_one_trial_wait(server: Any, tmp_path: Path) -> None:
    """A server that takes longer than a trial waits is as good as away."""
    tracker = Carried(lambda: server)
    story = Story(tracker, folder=tmp_path)
    story.run(1)
    server.delay = 0.25
    story.run(20)
    assert sum(tracker.waits) < 0.5
    server.delay = 0.0
    story.end()
    assert server.run_of(20).status == "FINISHED"


def test_what_was_missed_is_written_when_it_is_back(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that goes away in the middle misses nothing, has nothing twice, and is told of."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(3, steps=2)
    server.is_away = True
    story.run(3, steps=2)
    server.is_away = False
    story.run(3, steps=2)
    story.end()
    assert [server.run_of(number).status for number in range(9)] == ["FINISHED"] * 9
    assert {len(server.run_of(number).curve("accuracy")) for number in range(9)} == {2}
    told = [record.getMessage() for record in caplog.records]
    assert "MLflow does not answer (nobody there)" in told[0]
    assert told[1] == "MLflow answers again."


def test_what_is_unwritten_at_the_end_is_said_and_written_at_the_next(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing a study whose server is away takes a bounded time, and the next resume catches up."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(2)
    until(lambda: [run.status for run in server.runs.values()].count("FINISHED") == 2)
    server.is_away = True
    story.run(3)
    begun = time.monotonic()
    story.end()
    assert time.monotonic() - begun < 1.0
    assert "3 of 5 trials are not written in full" in caplog.records[-1].getMessage()
    server.is_away = False
    Story(Carried(lambda: server), folder=tmp_path, history=tuple(story.trials.values())).end()
    assert [server.run_of(number).status for number in range(5)] == ["FINISHED"] * 5
    assert server.parent.status == "FINISHED"


def test_a_killed_driver_leaves_no_run_running(server: Any, tmp_path: Path) -> None:
    """What a driver that died had running is brought to its state by the next."""
    dead = Carried(lambda: server)
    story = Story(dead, folder=tmp_path)
    story.start(story.ask())
    story.start(story.ask())
    dead.courier.close("", ())  # the thread must not outlive the test; the server knows no end
    server.parent.status = "RUNNING"
    story.trackers = ()
    story.lose(0, "the driver died")
    story.lose(1, "the driver died")
    story.abandon(1)
    again = Story(Carried(lambda: server), folder=tmp_path, history=tuple(story.trials.values()))
    until(lambda: server.run_of(1).status == "FAILED" and server.run_of(0).status == "KILLED")
    again.start(0)
    again.finish(0, loss=0.5)
    again.end()
    assert server.run_of(0).status == "FINISHED"


def test_a_trial_that_starts_again_stays_running(server: Any, tmp_path: Path) -> None:
    """Word of its lost attempt that comes late doesn't end the run of the next."""
    server.delay = 0.02
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.start(story.ask())
    for _ in range(5):
        story.lose(0)
        story.start(0)
    time.sleep(0.3)
    assert server.run_of(0).status == "RUNNING"
    story.finish(0, loss=0.5)
    story.end()
    assert server.run_of(0).status == "FINISHED"


def test_a_job_that_always_fails_does_not_hold_up_the_others(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A trial that the server chokes on is left out in the end, and the rest is written."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    server.chokes_on = "tale-00001"
    story.start(story.ask())
    story.start(story.ask())
    story.finish(0, loss=1.0)
    until(lambda: server.run_of(0).status == "FINISHED")
    for finished in range(2, 12):
        story.run(1)
        until(lambda: [run.status for run in server.runs.values()].count("FINISHED") == finished)  # noqa: B023
    until(lambda: "gave up writing trial 1 to MLflow: out of memory" in caplog.text)
    begun = time.monotonic()
    story.end()
    assert time.monotonic() - begun < 0.2


def test_closing_does_not_wait_for_the_next_try(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has come back between two tries gets all of the study at its end."""
    monkeypatch.setattr(mlflow_courier, "BACKOFF", (0.1, 30.0))
    server.is_away = True
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(2)
    time.sleep(0.8)  # 0.1, 0.2, 0.4: the next try is 0.8 away
    server.is_away = False
    begun = time.monotonic()
    story.end()
    assert time.monotonic() - begun < 0.5
    assert server.run_of(1).status == "FINISHED"


@pytest.mark.parametrize("error", [MissingExtraError("no mlflow"), RefusedError("no such server")])
def test_a_tracker_that_cannot_begin_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Trials go on without it, and don't wait."""

    def connect() -> Any:
        raise error

    tracker = Carried(connect)
    story = Story(tracker, folder=tmp_path)
    story.run(20)
    story.end()
    assert sum(tracker.waits) < 0.4
    assert [r.getMessage() for r in caplog.records] == [f"nothing is written to MLflow: {error}"]


def test_a_server_that_refuses_the_study_ends_the_courier(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An experiment that can't be used is said once; nothing waits."""
    server.refuses = "begin"
    tracker = Carried(lambda: server)
    story = Story(tracker, folder=tmp_path)
    story.run(20)
    story.end()
    assert sum(tracker.waits) < 0.4
    assert len(caplog.records) == 1


def test_credentials_in_an_error_are_not_told(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The message of a server's error goes through redaction."""
    server.refuses = "begin"
    server.message = "401 for https://ann:hunter2@host/"
    Story(Carried(lambda: server), folder=tmp_path).end()
    assert "hunter2" not in caplog.text
    assert "[redacted]" in caplog.text


def test_closing_leaves_no_thread(server: Any, tmp_path: Path) -> None:
    """The courier's thread ends with the study."""
    before = threading.active_count()
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(3)
    story.end()
    assert threading.active_count() == before


def test_one_thread_only_talks_to_the_server(server: Any, tmp_path: Path) -> None:
    """MLflow's client is used from the courier's thread alone."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(3, steps=1)
    story.end()
    assert server.threads == {"manyfit-mlflow"}


@pytest.mark.parametrize("some", [100, pytest.param(1000, marks=pytest.mark.soak("throughput"))])
def test_many_trials_cost_the_driver_little(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, some: int
) -> None:
    """What the driver's thread does for a trial doesn't grow with their number."""
    caplog.set_level(logging.ERROR, "manyfit.mlflow")
    server.is_away = True
    story = Story(Carried(lambda: server), folder=tmp_path, n_trials=None)

    def cost() -> float:
        begun = time.thread_time()
        story.run(some)
        return time.thread_time() - begun

    story.run(some)
    early = min(cost() for _ in range(3))
    story.run(4 * some)
    assert min(cost() for _ in range(3)) < 3 * early
    story.end()
