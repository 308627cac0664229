"""Trials on the driver's own thread."""

import os
import random

import pytest

from manyfit.errors import ExecutorError
from manyfit.events import AttemptFinished, AttemptLost, AttemptPruned, AttemptStarted, Reported
from manyfit.executors.inline import InlineExecutor
from manyfit.testing.rig import Rig
from manyfit.worker.context import current_trial, report
from manyfit.worker.work import Task


def kinds(run):
    return [type(event).__name__ for event in run.events]


def test_it_runs_within_poll(tmp_path):
    """Nothing happens before poll, and all of it within one."""
    ran = []
    run = Rig(InlineExecutor(), lambda _: ran.append(1) or 0.0, tmp_path)
    run.submit()
    assert ran == []
    run.poll()
    assert kinds(run) == ["AttemptStarted", "AttemptFinished"]


def test_a_stop_acts_in_the_very_report(tmp_path):
    """What the driver decides about a report is known when that report returns."""
    steps = []

    def objective(params):
        for step in range(10):
            steps.append(step)
            report(step, loss=1.0)
        return 0.0

    run = Rig(InlineExecutor(), objective, tmp_path)

    def react(event):
        if isinstance(event, Reported) and event.step == 3:
            run.executor.stop(0, 1, "hopeless")

    run.react = react
    assert isinstance(run.run(), AttemptPruned)
    assert steps == [0, 1, 2, 3]


def test_ctrl_c_in_the_objective(tmp_path):
    """The trial is lost without counting, and the interrupt reaches the driver."""

    def objective(params):
        raise KeyboardInterrupt

    run = Rig(InlineExecutor(), objective, tmp_path)
    run.submit()
    with pytest.raises(KeyboardInterrupt):
        run.poll()
    assert isinstance(run.events[-1], AttemptLost)
    assert run.events[-1].counts is False


def test_a_failing_handler_is_not_the_objectives_business(tmp_path):
    """The driver's own error can't be swallowed by user code, and ends the trial it came up in."""

    def objective(params):
        for step in range(10):
            try:
                report(step, loss=1.0)
            except Exception as error:  # noqa: BLE001
                caught.append(error)
        return 0.0

    caught = []
    run = Rig(InlineExecutor(), objective, tmp_path)

    def react(event):
        raise OSError("disk full")

    run.react = react
    run.submit()
    with pytest.raises(OSError, match="disk full"):
        run.poll()
    assert kinds(run) == ["AttemptStarted"]
    run.react = lambda _: None
    run.poll()
    assert kinds(run) == ["AttemptStarted", "AttemptLost"]
    assert caught == []


def test_killing_what_has_not_begun(tmp_path):
    """A queued attempt that is cut off comes back as lost and never runs."""
    run = Rig(InlineExecutor(), lambda _: 0.0, tmp_path)
    run.submit(4)
    run.executor.stop(4, 1, "over", kill=True)
    run.poll()
    run.poll(0)
    assert kinds(run) == ["AttemptLost"]


def test_the_trial_has_the_process_for_itself(tmp_path):
    """Environment and random state are the trial's, and the environment is put back."""

    def objective(params):
        return {"loss": random.random(), "set": float(os.environ["SET"])}

    run = Rig(InlineExecutor(), objective, tmp_path)
    for number in (0, 1):
        run.executor.submit(Task(number, 1, {"x": 0.0, "act": "math.sin"}, 5, {"SET": "7"}))
        run.end_of(number)
    first, second = (event for event in run.events if isinstance(event, AttemptFinished))
    assert first.metrics == second.metrics
    assert first.metrics["set"] == 7.0
    assert "SET" not in os.environ


def test_a_trial_within_a_trial(tmp_path):
    """An objective may tune something of its own; it then goes on with its own trial."""

    def objective(params):
        inner = Rig(InlineExecutor(), lambda _: float(current_trial().number), tmp_path / "in")
        end = inner.run(9)
        inner.executor.close()
        report(0, loss=end.metrics["loss"])
        return float(current_trial().number)

    end = Rig(InlineExecutor(), objective, tmp_path).run(3)
    assert end.metrics == {"loss": 3.0}


def test_it_must_be_opened(tmp_path):
    """A trial that is polled for without work is an error that says what is missing."""
    executor = InlineExecutor()
    executor.submit(Task(0, 1, {}, 0))
    with pytest.raises(ExecutorError, match="open"):
        executor.poll(lambda _: None, 0)


def test_the_worker_is_named(tmp_path):
    """The start says where it runs."""
    run = Rig(InlineExecutor(), lambda _: 0.0, tmp_path)
    run.run()
    assert isinstance(run.events[0], AttemptStarted)
    assert run.events[0].worker.endswith(f":{os.getpid()}")
