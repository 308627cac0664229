"""The contract suite of executors for trials that are stopped, cut off or exceed their limits."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    Reported,
)
from manyfit.testing.rig import PATIENCE, Rig, RiggedContract, needs
from manyfit.worker.context import report


class StoppingContract(RiggedContract):
    """The part of the contract of executors about trials that don't end by themselves."""

    # ── stopping ──────────────────────────────────────────────────────────────────────────────

    @needs("live_reports")
    @pytest.mark.parametrize("swallow", ["nothing", "Exception", "BaseException"])
    def test_a_stop_ends_the_trial_at_a_report(self, rig: Callable[..., Rig], swallow: str) -> None:
        """A trial asked to stop is pruned with that reason, even if its code catches exceptions."""

        def objective(_: dict[str, Any]) -> float:
            caught = {"Exception": Exception, "BaseException": BaseException}.get(swallow, ())
            for step in range(2000):
                try:
                    report(step, loss=1.0)
                except caught:
                    if swallow == "BaseException" and step > 100:
                        return 0.0
                time.sleep(0.001)
            return 0.0

        run = rig(objective)
        run.react = lambda e: self._stop_at_report(run, e)
        end = run.run()
        assert isinstance(end, AttemptPruned)
        assert end.reason == "hopeless"
        assert isinstance(run.run(1), AttemptPruned)

    def _stop_at_report(self, run: Rig, event: AttemptEvent) -> None:
        if isinstance(event, Reported) and event.step == 5:
            run.executor.stop(event.number, event.attempt, "hopeless")

    def test_stopping_what_has_ended_is_harmless(self, rig: Callable[..., Rig]) -> None:
        """A stop that is too late, or for an unknown attempt, changes nothing."""
        run = rig(lambda _: 0.0)
        run.run()
        for kill in (False, True):
            run.executor.stop(0, 1, "too late", kill=kill)
            run.executor.stop(5, 1, "unknown", kill=kill)
        assert isinstance(run.run(1), AttemptFinished)
        assert len(run.events) == 4

    @needs("live_reports")
    def test_a_kill_is_answered_by_a_loss_that_does_not_count(
        self, rig: Callable[..., Rig]
    ) -> None:
        """A trial that is cut off is lost, without using up an attempt."""

        def objective(_: dict[str, Any]) -> float:
            for step in range(2000):
                report(step, loss=1.0)
                time.sleep(0.001)
            return 0.0

        run = rig(objective)

        def react(event: AttemptEvent) -> None:
            if isinstance(event, Reported) and event.step == 5:
                run.executor.stop(0, 1, "the study ended", kill=True)

        run.react = react
        end = run.run()
        assert isinstance(end, AttemptLost)
        assert (end.reason, end.counts) == ("the study ended", False)

    @needs("hard_kill")
    def test_a_kill_needs_no_report(self, rig: Callable[..., Rig], tmp_path: Path) -> None:
        """A trial that never reports can be killed, too, and its slot works again."""

        def objective(params: dict[str, Any]) -> float:
            if params["x"] > 0.5:
                (tmp_path / "asleep").touch()
                time.sleep(10.0 if can_kill else 0.1)
            return 0.0

        can_kill = self._has("hard_kill")
        run = rig(objective)
        run.submit(0, x=1.0)
        run.until((tmp_path / "asleep").exists)
        run.executor.stop(0, 1, "enough", kill=True)
        end = run.end_of(0)
        assert isinstance(end, AttemptLost)
        assert isinstance(run.run(1), AttemptFinished)

    # ── limits ────────────────────────────────────────────────────────────────────────────────

    def test_a_time_limit_ends_what_reports(self, rig: Callable[..., Rig]) -> None:
        """A trial that exceeds its time limit is a failure that names the limit."""

        def objective(_: dict[str, Any]) -> float:
            for step in range(400):
                report(step, loss=1.0)
                time.sleep(0.01)
            return 0.0

        end = rig(objective, seconds=0.3).run()
        assert isinstance(end, AttemptFailed)
        assert end.reason == "ran longer than trial_timeout=0.3s"
        assert 0.3 <= end.seconds < PATIENCE

    @needs("hard_kill")
    def test_a_time_limit_ends_what_never_reports(self, rig: Callable[..., Rig]) -> None:
        """The limit holds whatever the code is doing, and the slot works again."""

        def objective(params: dict[str, Any]) -> float:
            deadline = time.monotonic() + (seconds if params["x"] > 0.5 else 0.0)
            while time.monotonic() < deadline:
                pass
            return 0.0

        seconds = 5.0 if self._has("hard_kill") else 0.5
        run = rig(objective, seconds=0.3)
        end = run.run(0, x=1.0)
        assert isinstance(end, AttemptFailed)
        assert end.reason == "ran longer than trial_timeout=0.3s"
        assert isinstance(run.run(1), AttemptFinished)

    @needs("memory_limit")
    def test_a_memory_limit(self, rig: Callable[..., Rig]) -> None:
        """A trial that exceeds its memory limit is a failure that names the limit."""

        def objective(params: dict[str, Any]) -> float:
            hoard = b"x" * int(400e6 * params["x"])
            time.sleep(seconds if hoard else 0.0)
            return 0.0

        seconds = 5.0 if self._has("memory_limit") else 0.1
        run = rig(objective, memory=300_000_000)
        end = run.run(0, x=1.0)
        assert isinstance(end, AttemptFailed)
        assert end.reason.endswith("of memory, more than trial_memory=300 MB")
        assert isinstance(run.run(1, x=0.0), AttemptFinished)

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    def test_close_twice(self, rig: Callable[..., Rig]) -> None:
        """Closing is safe at any time, and twice."""
        run = rig(lambda _: 0.0, alone=True)
        run.executor.close()
        run.executor.close()

    def test_close_while_a_trial_runs(self, rig: Callable[..., Rig], tmp_path: Path) -> None:
        """Closing ends running trials, and leaves no process behind."""

        def objective(_: dict[str, Any]) -> float:
            (tmp_path / "new").write_text(str(os.getpid()), encoding="utf-8")
            (tmp_path / "new").rename(tmp_path / "pid")
            for step in range(2000):
                report(step, loss=1.0)
                time.sleep(0.001)
            return 0.0

        run = rig(objective, alone=True)
        run.submit()
        if not run.executor.capabilities.on_driver_thread:
            run.until((tmp_path / "pid").exists)
            pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
            run.executor.close()
            assert pid == os.getpid() or _is_gone(pid, 10.0 if run.is_remote else 0.0)
        run.executor.close()

    def test_it_can_be_opened_again(self, rig: Callable[..., Rig], tmp_path: Path) -> None:
        """A closed executor can be opened on other work."""
        run = rig(lambda _: 1.0, alone=True)
        run.run()
        run.executor.close()
        again = Rig(run.executor, lambda _: 2.0, tmp_path)
        end = again.run()
        assert isinstance(end, AttemptFinished)
        assert end.metrics == {"loss": 2.0}
        again.executor.close()


def _is_gone(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
