"""The courier carries a study to a server that is fast, slow, away, or back."""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from manyfit.errors import MissingExtraError
from manyfit.events import Event
from manyfit.testing.trackers import Story
from manyfit.trackers import mlflow_courier, mlflow_patience
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow_courier import Courier
from manyfit.trackers.mlflow_remote import RefusedError
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
        self.courier.start(trial)
        self.waits.append(time.monotonic() - begun)
        return {}

    def record(self, event: Event, trial: Trial | None) -> None:
        if trial is not None:
            self.courier.update(trial)

    def close(self, reason: str, trials: Sequence[Trial]) -> None:
        self.courier.close(reason, trials)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths, but for those that the end of a study waits."""
    monkeypatch.setattr(mlflow_courier, "PATIENCE", 0.2)
    monkeypatch.setattr(mlflow_courier, "FIRST_FOLLOW", 0.05)
    monkeypatch.setattr(mlflow_courier, "FOLLOW_PERIOD", 0.1)
    monkeypatch.setattr(mlflow_patience, "BACKOFF", (0.01, 0.05))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the end of a study reads the time from, which is what a test says it is."""
    clock = SimpleNamespace(now=lambda: 0.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now(), time=time.time)
    for module in (mlflow_courier, mlflow_patience):
        monkeypatch.setattr(module, "time", fake)
    return clock


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


def test_a_run_starts_when_its_trial_does(server: Any, tmp_path: Path) -> None:
    """However long a worker takes to begin, and the server to answer: to the moment."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.start(story.ask())
    story.now += 5
    story.start(story.ask())
    story.end()
    began = [story.trials[number].attempts[0].started_at for number in range(2)]
    assert [server.run_of(number).started_at for number in range(2)] == began


def test_on_the_drivers_thread_a_run_is_there_before_the_trial_ends(
    server: Any, tmp_path: Path
) -> None:
    """Nothing is told of the trial meanwhile, so its run is made with it prepared."""
    tracker = Carried(lambda: server)
    aside = Story(folder=tmp_path)
    tracker.open(dataclasses.replace(aside.study, on_driver_thread=True), ())
    begun = time.time()
    tracker.prepare(aside.trials[aside.ask()])
    prepared = time.time()
    until(lambda: "create" in server.calls)
    assert begun <= server.run_of(0).started_at <= prepared
    tracker.close("done", ())


def test_many_requests_at_a_time(server: Any, tmp_path: Path) -> None:
    """A slow server has the study of many trials soon, since it answers several at once."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    server.delay = 0.02
    story.run(32, steps=2)
    story.end()
    assert 1 < server.most_in_flight <= mlflow_courier.CARRIERS
    assert [server.run_of(number).status for number in range(32)] == ["FINISHED"] * 32


def test_a_server_that_refuses_half_of_all_requests(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It has all of the study in the end."""
    server.refuses_some = 0.5
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(20, steps=2)
    story.end()
    assert [server.run_of(number).status for number in range(20)] == ["FINISHED"] * 20
    assert server.parent.tags["manyfit.best.trial"] == "19"
    assert "once more" not in caplog.text


def test_an_answer_is_a_sign_of_life(server: Any, tmp_path: Path, clock: SimpleNamespace) -> None:
    """A server is waited for as long as it answers, though a trial takes it many requests."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    until(lambda: len(server.runs) == 1)
    clock.now = lambda: 3.0 * len(server.calls)  # of 5 without an answer; a trial takes three
    server.delay = 0.2  # so the end looks at the time between two answers
    story.run(1)
    story.end()
    assert server.run_of(0).status == "FINISHED"


def test_a_slow_import_is_not_the_servers_doing(
    server: Any, tmp_path: Path, clock: SimpleNamespace
) -> None:
    """The end of a study waits for MLflow, and only then for the server."""

    def connect() -> Any:
        time.sleep(0.3)  # the end has begun to wait
        clock.now = lambda: 60.0  # of 5 without an answer, and 30 in all
        return server

    server.delay = 0.2  # so the end looks at the time before the first answer
    history = Story(folder=tmp_path)
    history.run(1)
    tracker = Carried(connect)
    tracker.open(history.study, tuple(history.trials.values()))
    tracker.close("done", tuple(history.trials.values()))
    assert server.run_of(0).status == "FINISHED"


def test_the_end_waits_as_long_as_it_is_told(server: Any, tmp_path: Path) -> None:
    """With `wait`, silence is no reason to leave before."""
    aside = Story(folder=tmp_path)
    courier = Courier(aside.study, (), lambda: server, wait=5.0)
    until(lambda: len(server.runs) == 1)
    server.is_away = True
    aside.run(1)
    courier.update(aside.trials[0])
    back = threading.Timer(0.5, setattr, (server, "is_away", False))
    back.start()
    assert courier.close("done", tuple(aside.trials.values()))
    assert server.run_of(0).status == "FINISHED"
    back.join()


def test_a_running_trial_is_followed(server: Any, tmp_path: Path) -> None:
    """Params, in a tag, and curves of a long trial are there while it runs."""
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.start(story.ask())
    until(lambda: len(server.runs) == 2)
    assert server.run_of(0).tags["manyfit.params"] == '{"lr": 0.1, "size": "S"}'
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


def test_an_order_to_end_leaves_little_time(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interrupt a slow server isn't waited for as long as after a study's own end."""
    monkeypatch.setattr(mlflow_patience, "CLOSE_HASTE", 0.1)
    story = Story(Carried(lambda: server), folder=tmp_path)
    until(lambda: len(server.runs) == 1)
    server.delay = 1.0  # of three requests for each trial
    story.run(4)
    begun = time.monotonic()
    story.end("interrupted: the same call goes on")
    assert time.monotonic() - begun < 2.5


def test_a_server_that_is_away_makes_one_trial_wait(server: Any, tmp_path: Path) -> None:
    """The first waits for the study to be opened there, and not for long."""
    server.is_away = True
    tracker = Carried(lambda: server)
    story = Story(tracker, folder=tmp_path)
    story.run(50)
    assert sum(tracker.waits) < 50 * mlflow_courier.PATIENCE / 2
    server.is_away = False
    until(lambda: len(server.runs) == 51)
    story.end()


def test_a_slow_server_makes_no_trial_wait(server: Any, tmp_path: Path) -> None:
    """Trials start at once, and their runs come when they come."""
    tracker = Carried(lambda: server)
    story = Story(tracker, folder=tmp_path)
    story.run(1)
    server.delay = 0.25
    story.run(20)
    assert sum(tracker.waits[1:]) < 20 * mlflow_courier.PATIENCE / 2
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
    until(lambda: "does not answer" in caplog.text)
    server.is_away = False
    story.run(3, steps=2)
    story.end()
    assert [server.run_of(number).status for number in range(9)] == ["FINISHED"] * 9
    assert {len(server.run_of(number).curve("accuracy")) for number in range(9)} == {2}
    told = [record.getMessage() for record in caplog.records]
    assert "MLflow does not answer (nobody there)" in told[0]
    assert told[1] == "MLflow answers again."


def test_what_is_unwritten_at_the_end_is_said_and_written_at_the_next(
    server: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Closing a study whose server is away takes a bounded time, and the next resume catches up."""
    with monkeypatch.context() as patch:
        patch.setattr(mlflow_patience, "CLOSE_QUIET", 0.3)
        story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(2)
    until(lambda: [run.status for run in server.runs.values()].count("FINISHED") == 2)
    server.is_away = True
    story.run(3)
    begun = time.monotonic()
    story.end()
    assert time.monotonic() - begun < mlflow_patience.CLOSE_TOTAL / 2
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
    server: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A trial that the server chokes on is left out in the end, and the rest is written."""
    monkeypatch.setattr(mlflow_courier, "MAX_TRIES", 5)
    story = Story(Carried(lambda: server), folder=tmp_path)
    server.chokes_on = "00001-tale"
    story.start(story.ask())
    story.start(story.ask())
    story.finish(0, loss=1.0)
    until(lambda: [run.status for run in server.runs.values()].count("FINISHED") == 1)
    for finished in range(2, 20):
        story.run(1)
        until(lambda: [run.status for run in server.runs.values()].count("FINISHED") == finished)  # noqa: B023
    until(lambda: "does not take trial 1 (out of memory)" in caplog.text)
    begun = time.monotonic()
    story.end()
    assert time.monotonic() - begun < mlflow_patience.CLOSE_TOTAL / 2


def test_closing_does_not_wait_for_the_next_try(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has come back between two tries gets all of the study at its end."""
    monkeypatch.setattr(mlflow_patience, "BACKOFF", (0.1, 30.0))
    monkeypatch.setattr(mlflow_patience, "CLOSE_QUIET", 1.2)
    server.is_away = True
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(2)
    time.sleep(1.6)  # 0.1, 0.2, 0.4, 0.8: the next try is 1.6 after the last, at 3.1
    server.is_away = False
    story.end()
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
    assert sum(tracker.waits) < 20 * mlflow_courier.PATIENCE / 2
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
    assert sum(tracker.waits) < 20 * mlflow_courier.PATIENCE / 2
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
    before = {*threading.enumerate()}
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(3)
    story.end()
    left = {*threading.enumerate()} - before
    assert [thread for thread in left if thread.name.startswith("manyfit-mlflow")] == []


def test_one_thread_only_talks_to_a_database(server: Any, tmp_path: Path) -> None:
    """Where the disk is the limit, more would only get in each other's way."""
    server.is_local = True
    story = Story(Carried(lambda: server), folder=tmp_path)
    story.run(3, steps=1)
    story.end()
    assert server.threads == {"manyfit-mlflow"}


@pytest.mark.parametrize("some", [100, pytest.param(1000, marks=pytest.mark.soak("throughput"))])
def test_many_trials_cost_the_driver_little(
    server: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    some: int,
) -> None:
    """What the driver's thread does for a trial doesn't grow with their number."""
    monkeypatch.setattr(mlflow_patience, "CLOSE_QUIET", 0.3)
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
