"""Trials in threads of the driver's process."""

import contextlib
import contextvars
import os
import threading
import time

import pytest

from manyfit.errors import ArgumentError, ExecutorError
from manyfit.events import AttemptFailed, AttemptFinished, AttemptLost, AttemptStarted, Reported
from manyfit.executors.threads import ThreadExecutor
from manyfit.testing.rig import Rig
from manyfit.worker.context import report
from manyfit.worker.work import Task


@contextlib.contextmanager
def opened(objective, folder, parallelism=2):
    run = Rig(ThreadExecutor(parallelism), objective, folder)
    yield run
    run.executor.close()


@pytest.mark.parametrize("parallelism", [0, -1])
def test_parallelism_must_be_positive(parallelism):
    """No thread is no executor."""
    with pytest.raises(ArgumentError, match="parallelism must be a whole number, at least 1"):
        ThreadExecutor(parallelism)


def test_submit_needs_open():
    """Submitting without work is an error that says what is missing."""
    with pytest.raises(ExecutorError, match="open"):
        ThreadExecutor(1).submit(Task(0, 1, {}, 0))


def test_each_thread_knows_its_trial(tmp_path):
    """Reports of trials that run at once don't mix, nor does their output."""
    together = threading.Barrier(2)

    def objective(params):
        for step in range(20):
            together.wait(10)
            report(step, loss=params["x"])
            print(params["x"])
        return params["x"]

    with opened(objective, tmp_path) as run:
        run.submit(0, x=0.25)
        run.submit(1, x=0.75)
        for number, x in ((0, 0.25), (1, 0.75)):
            end = run.end_of(number)
            assert end.metrics == {"loss": x}
            reports = [event for event in run.of(number) if isinstance(event, Reported)]
            assert [(event.step, event.metrics) for event in reports] == [
                (step, {"loss": x}) for step in range(20)
            ]
            assert run.log(number) == f"{x}\n" * 20


def test_threads_of_an_objective(tmp_path):
    """With several trials about, a thread brings its context; without it, it's told how."""
    both = threading.Barrier(2)

    def objective(params):
        errors = []

        def lost():
            try:
                report(0, loss=1.0)
            except RuntimeError as error:
                errors.append(error)

        both.wait(10)
        found = threading.Thread(
            target=contextvars.copy_context().run, args=(lambda: report(1, loss=1.0),)
        )
        for thread in (found, threading.Thread(target=lost)):
            thread.start()
            thread.join()
        both.wait(10)
        return float("copy_context().run" in str(errors[0]))

    with opened(objective, tmp_path) as run:
        run.submit(0)
        run.submit(1)
        for number in (0, 1):
            assert run.end_of(number).metrics == {"loss": 1.0}
            assert [event.step for event in run.of(number) if isinstance(event, Reported)] == [1]


def test_ctrl_c_raised_in_a_thread_is_a_failure(tmp_path):
    """Only the main thread gets a real one: elsewhere it is an exception like others."""

    def objective(params):
        raise KeyboardInterrupt

    with opened(objective, tmp_path) as run:
        end = run.run()
    assert isinstance(end, AttemptFailed)
    assert end.reason == "KeyboardInterrupt"


def test_a_worker_that_fails_itself(tmp_path):
    """When a task can't be unpacked, the attempt is lost and says why; the thread lives on."""
    with opened(lambda _: 0.0, tmp_path, 1) as run:
        end = run.run(0, act="no such choice")
        assert isinstance(end, AttemptLost)
        assert "the worker failed with " in end.reason
        assert isinstance(run.run(1), AttemptFinished)


def test_a_folder_that_takes_no_logs(tmp_path):
    """A trial ends as it would have, and has no log."""
    (tmp_path / "logs").touch()
    with opened(lambda _: print("x") or 0.0, tmp_path, 1) as run:
        assert isinstance(run.run(0), AttemptFinished)


def test_the_environment_is_everybodys(tmp_path):
    """Threads share the environment, so a task's variables are not set in it."""

    def objective(params):
        return float("SET" in os.environ)

    with opened(objective, tmp_path) as run:
        run.executor.submit(Task(0, 1, {"x": 0.0, "act": "math.sin"}, 5, {"SET": "7"}))
        assert run.end_of().metrics == {"loss": 0.0}


def test_closing_ends_the_threads(tmp_path):
    """None of them is left waiting for trials."""
    others = set(threading.enumerate())
    with opened(lambda _: 0.0, tmp_path) as run:
        run.run()
    assert set(threading.enumerate()) <= others


def test_what_others_print_is_not_a_trials(tmp_path, capsys):
    """A trial's log has what its own thread prints; the rest goes where it always went."""
    begun, go = threading.Event(), threading.Event()

    def objective(params):
        begun.set()
        go.wait(30)
        return 0.0

    with opened(objective, tmp_path, parallelism=1) as run:
        run.submit()
        run.until(begun.is_set)
        print("of the caller")
        go.set()
        run.end_of()
        assert run.log() is None
    assert capsys.readouterr().out == "of the caller\n"


def test_closing_does_not_wait_for_what_does_not_listen(tmp_path):
    """A trial that never reports is left behind, after a short grace."""
    go = threading.Event()
    with opened(lambda _: go.wait(30) and 0.0, tmp_path) as run:
        run.submit()
        run.until(lambda: any(isinstance(event, AttemptStarted) for event in run.events))
        began = time.monotonic()
        run.executor.close()
        assert time.monotonic() - began < 5
        go.set()
