"""However an objective ends, one ending comes home, and it says the right thing."""

import contextlib
import json
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import FatalError, MetricError, TrialStopped
from manyfit.event_lines import decode, encode
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Reported,
)
from manyfit.metric import Metric
from manyfit.space import Float, Space
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.context import report, reporting
from manyfit.worker.task import Place, run_task
from manyfit.worker.work import Limits, Task, Work

NOWHERE = Path("/nonexistent")


def nowhere(path, secrets):
    return contextlib.nullcontext()


def run(objective, *, tmp_path=NOWHERE, stop=None, stop_at=None, seconds=None, **task):
    """Run an objective; returns all events and the interrupt, if one came out."""
    events = []

    def send(event):
        events.append(event)
        if isinstance(event, Reported) and event.step == stop_at:
            channel.request(stop)

    channel = Channel(send)
    if stop is not None and stop_at is None:
        channel.request(stop)
    work = Work(
        objective, Space({"x": Float(0, 1)}), Metric("loss"), "s", tmp_path, Limits(seconds)
    )
    place = Place("here", nowhere, alone=True, on_driver_thread=True)
    try:
        run_task(work, Task(1, 2, {"x": 0.5}, 7, **task), channel, place)
    except KeyboardInterrupt:
        events.append("interrupt")
    assert isinstance(events[0], AttemptStarted)
    return events


def ending(objective, **options):
    events = run(objective, **options)
    return events[-1]


def raiser(error):
    def objective(params):
        raise error

    return objective


def test_a_number_is_a_result():
    """A returned number is the tuned metric."""
    end = ending(lambda params: np.float32(params["x"]))
    assert isinstance(end, AttemptFinished)
    assert end.metrics == {"loss": 0.5}
    assert (end.number, end.attempt) == (1, 2)


def test_only_the_tuned_metric_must_be_finite():
    """Other metrics may be NaN."""
    end = ending(lambda _: {"loss": 1.0, "other": math.nan})
    assert isinstance(end, AttemptFinished)


def test_the_traceback_begins_in_the_users_code():
    """None of Manyfit's own frames stand between the reader and the error."""
    end = ending(raiser(ValueError("no")))
    lines = end.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "in objective" in lines[1]
    assert "manyfit/worker" not in end.traceback
    assert (end.reason, end.error, end.fatal) == ("ValueError: no", "ValueError", False)


def test_an_objective_that_takes_no_params():
    """An error in the call itself is explained, though no line of the objective ran."""
    end = ending(lambda: 0.0)
    assert "takes 0 positional arguments but 1 was given" in end.reason
    assert "TypeError" in end.traceback


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError("never")


class RudeError(Exception):
    def __str__(self):
        raise SystemExit


class OddError(Exception):
    @property
    def __notes__(self):
        raise RuntimeError("odd")


@pytest.mark.parametrize(
    "error", [MuteError(), RudeError(), OddError("x")], ids=lambda e: type(e).__name__
)
def test_odd_exceptions_fail_like_others(error):
    """An exception that can't even be shown still fails its trial, under its name."""
    end = ending(raiser(error))
    assert isinstance(end, AttemptFailed)
    assert end.error == type(error).__name__
    assert end.error in end.reason
    assert end.error in end.traceback


def test_reason_is_one_short_line():
    """A message of many lines or of great length is cut; the traceback has all that fits."""
    end = ending(raiser(ValueError("\n\n  first\nsecond " + "x" * 500_000)))
    assert end.reason == "ValueError: first …"
    assert len(end.traceback) < 110_000
    assert "characters left out" in end.traceback


def test_an_endless_recursion():
    """A recursion error is an ordinary failure with a short traceback."""

    def objective(params):
        return objective(params)

    end = ending(objective)
    assert end.error == "RecursionError"
    assert len(end.traceback) < 10_000


def test_text_is_fit_for_utf8():
    """Lone surrogates, from undecodable file names, don't reach anybody who encodes."""
    end = ending(raiser(ValueError("caf\udce9 ☕")))
    assert end.reason == "ValueError: caf\\udce9 ☕"
    end.traceback.encode()
    assert decode(encode(end)) == end


@given(st.text(max_size=200))
def test_any_message_travels(text):
    """Whatever an exception says, its ending is one line of JSON, and comes back equal."""
    end = ending(raiser(ValueError(text)))
    assert "\n" not in encode(end)
    assert decode(encode(end)) == end
    assert len(end.reason.splitlines()) == 1


def test_credentials_of_the_task_are_kept_out(monkeypatch):
    """What a task's own environment holds under a secret name isn't told."""
    end = ending(
        lambda _: (_ for _ in ()).throw(ValueError(os.environ["MY_PASSWORD"])),
        env={"MY_PASSWORD": "correct horse"},
    )
    assert end.reason == "ValueError: [redacted]"
    assert "correct horse" not in end.traceback
    assert "MY_PASSWORD" not in os.environ


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit(), "SystemExit"),
        (GeneratorExit(), "GeneratorExit"),
        (MemoryError(), "MemoryError"),
        (MetricError("f1 is undefined"), "f1 is undefined"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_reasons(error, reason):
    """Each exception has its reason; one of Manyfit's about metrics stands for itself."""
    end = ending(raiser(error))
    assert isinstance(end, AttemptFailed)
    assert end.reason == reason
    assert end.traceback.startswith("Traceback")


def test_a_fatal_error_stays_fatal_after_a_stop():
    """A fatal error that comes while stopping still ends the study."""

    def objective(params):
        try:
            report(0, loss=1)
        finally:
            raise FatalError("disk full")

    end = ending(objective, stop=Stop("hopeless"), stop_at=0)
    assert end.fatal


def test_an_interrupt_on_the_drivers_thread():
    """Ctrl-C comes back as a loss that doesn't count, and then goes on its way."""
    events = run(raiser(KeyboardInterrupt()))
    assert isinstance(events[-2], AttemptLost)
    assert (events[-2].reason, events[-2].counts) == ("interrupted", False)
    assert events[-1] == "interrupt"


def test_the_objective_may_end_itself():
    """An objective that raises TrialStopped is pruned, with its reason or a plain one."""
    assert ending(raiser(TrialStopped("flat"))).reason == "flat"
    end = ending(raiser(TrialStopped()))
    assert isinstance(end, AttemptPruned)
    assert end.reason == "the objective ended it"


def test_a_stop_before_the_objective_began():
    """An attempt that is stopped before its start never runs."""
    end = ending(raiser(AssertionError("it ran")), stop=Stop("over", lost=True))
    assert isinstance(end, AttemptLost)
    assert (end.reason, end.counts) == ("over", False)


def test_a_stop_turned_into_another_exception():
    """Frameworks wrap what passes through them: it is still a stop."""

    def objective(params):
        try:
            report(0, loss=1)
        except BaseException as error:
            raise RuntimeError("callback failed") from error

    end = ending(objective, stop=Stop("hopeless"), stop_at=0)
    assert isinstance(end, AttemptPruned)
    assert end.reason == "hopeless"


def test_a_timeout_that_was_swallowed():
    """A trial that caught its time limit and returned has still exceeded it."""

    def objective(params):
        with contextlib.suppress(BaseException):
            report(0, loss=1)
        return 0.0

    end = ending(objective, seconds=0.0)
    assert isinstance(end, AttemptFailed)
    assert end.reason == "ran longer than trial_timeout=0s"


def test_a_stop_that_nobody_heard_changes_nothing():
    """An objective that returns without reporting again has its result."""

    def objective(params):
        report(0, loss=1)
        return 0.5

    events = []
    channel = Channel(events.append)
    work = Work(
        lambda _: channel.request(Stop("hopeless")) or 0.5,
        Space({"x": Float(0, 1)}),
        Metric("loss"),
        "s",
        NOWHERE,
    )
    run_task(work, Task(0, 1, {"x": 0.0}, 0), channel, Place("here", nowhere, alone=True))
    assert isinstance(events[-1], AttemptFinished)


def test_a_file_that_was_not_sent(tmp_path):
    """Where code came from the driver, a file that is missing beside it is said how to send."""
    events = []
    place = Place("here", nowhere, alone=True, code=(str(tmp_path),))
    work = Work(
        lambda _: (tmp_path / "w.json").read_text(),
        Space({"x": Float(0, 1)}),
        Metric("loss"),
        "s",
        NOWHERE,
    )
    run_task(work, Task(0, 1, {"x": 0.0}, 0), Channel(events.append), place)
    assert events[-1].reason.endswith("in ship=)")


INTERRUPTING = Place("here", nowhere, alone=True, interrupts=True)


def interrupted(raised, stop=None, seconds=None):
    """Run an objective that is interrupted by an exception, with a stop requested before."""
    events = []
    channel = Channel(events.append)

    def objective(params):
        if stop is not None:
            channel.request(stop)
        raise raised

    space = Space({"x": Float(0, 1)})
    work = Work(objective, space, Metric("loss"), "s", NOWHERE, Limits(seconds))
    run_task(work, Task(0, 1, {"x": 0.0}, 0), channel, INTERRUPTING)
    return events[-1]


@pytest.mark.parametrize("raised", [RuntimeError("cancelled"), SystemExit(1), KeyboardInterrupt()])
def test_an_interrupted_wait_is_the_stops_doing(raised):
    """Where a stop also interrupts, whatever the objective raises then is that stop."""
    end = interrupted(raised, Stop("hopeless"))
    assert (type(end), end.reason) == (AttemptPruned, "hopeless")
    end = interrupted(raised, Stop("the study ended", lost=True))
    assert (type(end), end.reason, end.counts) == (AttemptLost, "the study ended", False)
    end = interrupted(raised, Stop("ran longer than trial_timeout=9s", timeout=True))
    assert (type(end), end.reason) == (AttemptFailed, "ran longer than trial_timeout=9s")
    assert (end.error, end.traceback, end.fatal) == ("", "", False)


def test_an_error_after_the_time_limit_is_the_limits_doing():
    """Who enforces the limit by interrupting need not say so: the clock does."""
    end = interrupted(RuntimeError("cancelled"), seconds=0.0)
    assert end.reason == "ran longer than trial_timeout=0s"


def test_without_a_stop_an_error_is_an_error():
    """Where stops interrupt, other failures are what they are, and fatal ones stay fatal."""
    assert interrupted(RuntimeError("boom")).reason == "RuntimeError: boom"
    assert interrupted(FatalError("no data"), Stop("hopeless")).fatal


def test_the_ending_comes_after_the_log_is_complete():
    """Who reads the log at the ending reads all of it."""
    told = []

    @contextlib.contextmanager
    def capture(path, secrets):
        told.append(path.name)
        yield
        told.append("complete")

    work = Work(
        lambda _: told.append("runs") or 0.0,
        Space({"x": Float(0, 1)}),
        Metric("loss"),
        "s",
        NOWHERE,
    )
    channel = Channel(lambda event: told.append(type(event).__name__))
    run_task(work, Task(12, 1, {"x": 0.0}, 0), channel, Place("here", capture, alone=True))
    assert told == ["AttemptStarted", "00012-1.log", "runs", "complete", "AttemptFinished"]


def test_random_numbers_repeat():
    """The same seed gives the same draws; trials of other seeds draw others."""

    def objective(params):
        return {"loss": random.random(), "numpy": np.random.rand()}

    first, again = ending(objective), ending(objective)
    assert first.metrics == again.metrics


def test_the_environment_is_the_tasks(monkeypatch):
    """A task's variables are set for it alone."""
    monkeypatch.setenv("KEPT", "outer")
    end = ending(
        lambda _: float(os.environ["KEPT"] + os.environ["NEW"]), env={"KEPT": "1", "NEW": "2"}
    )
    assert end.metrics == {"loss": 12.0}
    assert os.environ["KEPT"] == "outer"
    assert "NEW" not in os.environ


def test_events_are_json():
    """Everything that is sent home is plain data."""

    def objective(params):
        report(np.int32(0), loss=np.float64(math.nan))
        return {"loss": np.float16(1)}

    for event in run(objective):
        json.loads(encode(event))


@pytest.mark.parametrize("then", [lambda: {"loss": 0.5}, lambda: 1 / 0])
def test_a_refused_report_fails_the_attempt_however_it_ends(then):
    """Whoever called the reporter may have swallowed the error; a stop counts more."""

    def objective(params):
        reporting().refusal = MetricError("no such metric")
        report(0, loss=1.0)
        return then()

    failed = ending(objective)
    assert (failed.reason, failed.error) == ("no such metric", "MetricError")
    assert "MetricError: no such metric" in failed.traceback

    stopped = ending(objective, stop=Stop("hopeless"), stop_at=0)
    assert isinstance(stopped, AttemptPruned)
