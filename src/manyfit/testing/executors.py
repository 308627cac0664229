"""The contract suite of executors."""

import logging
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manyfit.errors import FatalError
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptStarted,
    Reported,
)
from manyfit.testing.rig import PATIENCE, Rig, RiggedContract, needs
from manyfit.testing.stopping import StoppingContract
from manyfit.worker.channel import ENDINGS
from manyfit.worker.context import current_trial, report

__all__ = ["ExecutorContract", "Rig", "RiggedContract", "needs"]


class ExecutorContract(StoppingContract):
    """The contract of every executor. Subclass it, and override `make_executor`.

    A test that needs a capability that the executor declares as missing is expected to fail. If it
    passes, the declaration is wrong, and that is an error.
    """

    # ── what comes back ───────────────────────────────────────────────────────────────────────

    def test_start_reports_and_one_ending(self, rig: Callable[..., Rig]) -> None:
        """An attempt comes back as its start, its reports in order, and one ending."""

        def objective(params: dict[str, Any]) -> dict[str, float]:
            for step in range(3):
                report(step, loss=1.0 / (1 + step), accuracy=math.nan)
            return {"loss": params["x"], "accuracy": 0.5}

        run = rig(objective)
        before = time.time()
        end = run.run(7, 2)
        assert [type(e) for e in run.of(7, 2)] == [
            AttemptStarted,
            Reported,
            Reported,
            Reported,
            AttemptFinished,
        ]
        steps = [(e.step, e.metrics["loss"]) for e in run.events if isinstance(e, Reported)]
        assert steps == [(0, 1.0), (1, 0.5), (2, 1.0 / 3)]
        assert isinstance(end, AttemptFinished)
        assert end.metrics == {"loss": 0.25, "accuracy": 0.5}
        assert 0 <= end.seconds < PATIENCE
        assert before - 1 <= run.events[0].at <= end.at <= time.time() + 1

    def test_objective_receives_options_and_constants(self, rig: Callable[..., Rig]) -> None:
        """The objective receives options and constants, not stored params."""

        def objective(params: dict[str, Any]) -> float:
            return float(params["act"](params["x"]) + params["layers"])

        end = rig(objective).run(act="math.cos")
        assert isinstance(end, AttemptFinished)
        assert end.metrics == {"loss": math.cos(0.25) + 3}

    def test_every_trial_comes_back_once(self, rig: Callable[..., Rig]) -> None:
        """Many trials over several slots: each begins once and ends once, with its own result."""
        run = rig(lambda params: params["x"], parallelism=2)
        waiting = list(range(20))
        running: set[int] = set()

        def fill() -> None:
            while waiting and len(running) < run.executor.parallelism:
                number = waiting.pop(0)
                running.add(number)
                run.submit(number, x=number / 20)

        def react(event: AttemptEvent) -> None:
            if isinstance(event, ENDINGS):
                running.discard(event.number)
                fill()  # the driver submits from within the handler as well

        run.react = react
        fill()
        run.until(lambda: not running)
        values = {e.number: e.metrics["loss"] for e in run.events if isinstance(e, AttemptFinished)}
        assert values == {number: number / 20 for number in range(20)}
        assert len(run.events) == 40

    def test_slots_work_at_the_same_time(self, rig: Callable[..., Rig], tmp_path: Path) -> None:
        """With a parallelism of two, two trials run at once: each waits for the other here."""

        def objective(params: dict[str, Any]) -> float:
            mine, other = ("a", "b") if params["x"] < 0.5 else ("b", "a")
            (tmp_path / mine).touch()
            deadline = time.monotonic() + PATIENCE
            while not (tmp_path / other).exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            return float((tmp_path / other).exists())

        run = rig(objective, parallelism=2)
        if run.executor.parallelism < 2:
            pytest.skip("it runs one trial at a time, and says so")
        run.submit(0, x=0.0)
        run.submit(1, x=1.0)
        for number in (0, 1):
            end = run.end_of(number)
            assert isinstance(end, AttemptFinished)
            assert end.metrics == {"loss": 1.0}

    def test_poll_waits_without_working(self, rig: Callable[..., Rig]) -> None:
        """Without events, `poll` returns after its timeout and uses no processor time."""
        run = rig(lambda _: 0.0)
        run.run()
        cpu, began = time.process_time(), time.monotonic()
        run.poll(0.5)
        assert time.monotonic() - began >= 0.45
        assert time.process_time() - cpu < 0.2

    def test_a_handler_that_raises_loses_nothing(self, rig: Callable[..., Rig]) -> None:
        """A handler's exception passes through `poll`; later events are passed on later."""

        def objective(_: dict[str, Any]) -> float:
            for step in range(3):
                report(step, loss=1.0)
            return 0.0

        run = rig(objective)

        def react(event: AttemptEvent) -> None:
            if isinstance(event, Reported) and event.step == 1:
                raise ZeroDivisionError

        run.react = react
        run.submit()
        with pytest.raises(ZeroDivisionError):
            run.end_of()
        run.react = lambda _: None
        end = run.end_of()
        assert isinstance(end, AttemptFinished if self._runs_on(run) else AttemptLost)
        assert len([e for e in run.events if isinstance(e, ENDINGS)]) == 1

    def _runs_on(self, run: Rig) -> bool:
        """Return whether a trial goes on while its handler fails: not if it runs inside `poll`."""
        return not run.executor.capabilities.on_driver_thread

    # ── what the objective sees ───────────────────────────────────────────────────────────────

    def test_current_trial(self, rig: Callable[..., Rig]) -> None:
        """The objective can ask which trial it is, and gets a scratch folder of its own."""

        def objective(_: dict[str, Any]) -> dict[str, float]:
            trial = current_trial()
            assert trial is not None
            (trial.scratch / "model").touch()
            assert (trial.study, trial.scratch.name) == ("contract", "3")
            return {"loss": 0.0, "at": trial.number * 10 + trial.attempt, "seed": trial.seed}

        end = rig(objective).run(3, 2)
        assert isinstance(end, AttemptFinished)
        assert end.metrics == {"loss": 0.0, "at": 32.0, "seed": 103.0}

    def test_output_is_captured(self, rig: Callable[..., Rig]) -> None:
        """The output of a trial is in its own log when its ending arrives."""

        def objective(params: dict[str, Any]) -> float:
            print(f"out {params['x']}")
            print(f"err {params['x']}", file=sys.stderr)
            logging.getLogger("training").warning("logged %s", params["x"])
            return 0.0

        run = rig(objective)
        logs = {}
        run.react = lambda event: logs.update({event.number: run.log(event.number)})
        run.run(0, x=0.125)
        run.run(1, x=0.5)
        for number, x in ((0, "0.125"), (1, "0.5")):
            log = logs[number] or ""
            assert [f"{word} {x}" in log for word in ("out", "err", "logged")] == [True] * 3
            assert "0.125" not in (logs[1] or "")

    def test_no_output_no_log(self, rig: Callable[..., Rig]) -> None:
        """A trial that prints nothing leaves no file."""
        run = rig(lambda _: 0.0)
        # No other test uses this number: a shared worker's machine may still have their logs.
        run.run(number=404)
        assert run.log(number=404) is None

    def test_credentials_are_kept_out(self, rig: Callable[..., Rig]) -> None:
        """A value that looks like a credential is neither in the log nor in the events."""

        def objective(_: dict[str, Any]) -> float:
            print("password='correct-horse'")
            raise ValueError("https://ann:correct-horse@example.com refused")

        run = rig(objective)
        end = run.run()
        assert isinstance(end, AttemptFailed)
        assert end.reason == "ValueError: https://[redacted]@example.com refused"
        assert "correct-horse" not in end.traceback.replace('"https://ann:correct-horse@', "")
        assert run.log() == "password='[redacted]'\n"

    def test_a_report_of_many_metrics(self, rig: Callable[..., Rig]) -> None:
        """A report may be larger than any buffer in its path."""

        def objective(_: dict[str, Any]) -> float:
            report(0, loss=1.0, **{f"metric_{i:0100}": i for i in range(5000)})
            return 0.0

        run = rig(objective)
        run.run()
        (reported,) = (e for e in run.events if isinstance(e, Reported))
        assert len(reported.metrics) == 5001
        assert reported.metrics[f"metric_{4999:0100}"] == 4999.0

    # ── failures ──────────────────────────────────────────────────────────────────────────────

    def test_an_exception_fails_the_trial_alone(self, rig: Callable[..., Rig]) -> None:
        """An exception of an objective arrives with its full traceback; the next trial runs."""

        def objective(params: dict[str, Any]) -> float:
            if params["x"] > 0.5:
                try:
                    raise KeyError("the cause")  # noqa: TRY301
                except KeyError as error:
                    raise ValueError("too\nlarge") from error
            return 0.0

        run = rig(objective)
        end = run.run(0, x=1.0)
        assert isinstance(end, AttemptFailed)
        assert (end.reason, end.error, end.fatal) == ("ValueError: too …", "ValueError", False)
        assert "KeyError: 'the cause'" in end.traceback
        assert "direct cause" in end.traceback
        assert end.traceback.rstrip().endswith("ValueError: too\nlarge")
        assert "worker/task.py" not in end.traceback
        assert isinstance(run.run(1), AttemptFinished)

    def test_fatal_error(self, rig: Callable[..., Rig]) -> None:
        """`FatalError` arrives as fatal."""

        def objective(_: dict[str, Any]) -> float:
            raise FatalError("no data")

        end = rig(objective).run()
        assert isinstance(end, AttemptFailed)
        assert (end.fatal, end.reason) == (True, "FatalError: no data")

    def test_an_unusable_metric_is_a_failure(self, rig: Callable[..., Rig]) -> None:
        """NaN and None become a failure with the metric's message."""
        values = {0.0: math.nan, 1.0: None}
        run = rig(lambda params: values[params["x"]])
        nan, none = run.run(0, x=0.0), run.run(1, x=1.0)
        assert isinstance(nan, AttemptFailed)
        assert isinstance(none, AttemptFailed)
        assert nan.reason.startswith("loss is NaN")
        assert none.reason.startswith("the objective returned None")
        assert (nan.error, nan.traceback) == ("UndefinedMetricError", "")

    def test_sys_exit_is_a_failure(self, rig: Callable[..., Rig]) -> None:
        """`sys.exit` in an objective fails its trial; the executor goes on."""

        def objective(params: dict[str, Any]) -> float:
            if params["x"] > 0.5:
                sys.exit(3)
            return 0.0

        run = rig(objective)
        end = run.run(0, x=1.0)
        assert isinstance(end, AttemptFailed)
        assert end.reason == "SystemExit: 3"
        assert isinstance(run.run(1), AttemptFinished)
