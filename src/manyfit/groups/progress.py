"""Keeps count of groups while they are tuned, and tells the mirrors."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from manyfit.errors import ArgumentError
from manyfit.groups.record.row import BASELINE, FAIL, Table
from manyfit.groups.result.outcome import outcome_of
from manyfit.groups.result.summary import numbers
from manyfit.trackers.auto import is_installed
from manyfit.trackers.groups import GroupsInfo, GroupsMirror, Outcome, Standing
from manyfit.trackers.mlflow import MlflowTracker
from manyfit.trackers.mlflow_groups import MlflowGroups
from manyfit.trackers.terminal_groups import make_groups_progress

if TYPE_CHECKING:
    from manyfit.groups.result.result import GroupsResult

# Of so many gains a median is quick, and those of more groups move it little.
_MOST_GAINS = 100_000


class Tally:
    """Where a call stands, from the tables of rows as they come.

    Args:
        info: What is known of the call.
        now: Monotonic time.
    """

    def __init__(self, info: GroupsInfo, now: float) -> None:
        self._info = info
        self._began = now
        self._done = self._failed = self._kept = 0
        self._gains: list[float] = []
        self._best: float | None = None
        self._values = 0
        self._sum = 0.0

    def take(self, rows: Table) -> None:
        """Count the rows of groups that have ended, each group once."""
        states = rows.column("state").to_pylist()
        self._done += len(states)
        self._failed += states.count(FAIL)
        self._kept += states.count(BASELINE)
        gains, values = _finite(rows, "gain"), _finite(rows, "value")
        if gains:
            self._best = max(gains) if self._best is None else max(self._best, *gains)
            self._gains += gains[: _MOST_GAINS - len(self._gains)]
        self._values += len(values)
        self._sum += sum(values)

    def standing(self, now: float) -> Standing:
        """Return where the call stands; the time left is judged by the pace of this call alone."""
        elapsed, total = now - self._began, self._info.total
        done = self._info.before + self._done
        left = None
        if total is not None and self._done >= max(2, self._info.slots or 0):
            left = max(0, total - done) * elapsed / self._done
        return Standing(
            done=done,
            failed=self._failed,
            kept=self._kept,
            total=total,
            median_gain=float(np.median(self._gains)) if self._gains else None,
            best_gain=self._best,
            mean_value=self._sum / self._values if self._values else None,
            elapsed=elapsed,
            seconds_left=left,
        )


class Mirrors:
    """All mirrors of one call.

    Args:
        mirrors: The mirrors.
        clock: Monotonic time.
        period: Seconds between two standings that are worth working out.
    """

    def __init__(
        self,
        mirrors: Iterable[GroupsMirror],
        *,
        clock: Callable[[], float] = time.monotonic,
        period: float = 0.25,
    ) -> None:
        self._mirrors: Sequence[GroupsMirror] = tuple(mirrors)
        self._clock = clock
        self._period = period
        self._tally: Tally | None = None
        self._told_at = -float("inf")

    @classmethod
    def of(
        cls,
        tracker: Literal["auto"] | MlflowTracker | None,
        progress: str | bool | None,
        *,
        child_runs: bool = False,
    ) -> "Mirrors":
        """Return the mirrors that `tracker=` and `progress=` ask for.

        Args:
            tracker: `"auto"` for MLflow where it is installed, an `MlflowTracker`, or None.
            progress: `"auto"` or True, `"plain"`, or None or False.
            child_runs: Whether each group has an MLflow run of its own.

        Raises:
            ArgumentError: One of them is none of these.
        """
        found: list[GroupsMirror] = []
        shown = make_groups_progress(progress)
        found += [shown] if shown is not None else []
        if tracker == "auto":
            tracker = MlflowTracker() if is_installed("mlflow") else None
        if tracker is not None:
            if not isinstance(tracker, MlflowTracker):
                raise ArgumentError(
                    f"tracker must be 'auto', None or an MlflowTracker, but got {tracker!r:.200}"
                )
            found.append(MlflowGroups(tracker.connector, child_runs=child_runs))
        return cls(found)

    def open(self, info: GroupsInfo) -> None:
        """Begin."""
        self._tally = Tally(info, self._clock())
        for mirror in self._mirrors:
            mirror.open(info)

    def say(self, sentence: str) -> None:
        """Tell people something."""
        for mirror in self._mirrors:
            mirror.say(sentence)

    def show(self, rows: Table) -> None:
        """Take in rows of groups that have ended."""
        if self._tally is None:
            return
        self._tally.take(rows)
        now = self._clock()
        if self._mirrors and now - self._told_at >= self._period:
            self._told_at = now
            self._tell(now)

    def close(self, result: "GroupsResult") -> None:
        """End with a result."""
        self._close(outcome_of(result) if self._mirrors else Outcome(result.reason))

    def abandon(self, reason: str, *, interrupted: bool = False) -> None:
        """End without one: the call was interrupted, or raised. Does nothing after `close`."""
        status: Literal["KILLED", "FAILED"] = "KILLED" if interrupted else "FAILED"
        self._close(Outcome(reason, [reason], status=status))

    def _close(self, outcome: Outcome) -> None:
        if self._tally is None:
            return
        self._tell(self._clock())
        self._tally = None
        for mirror in self._mirrors:
            mirror.close(outcome)

    def _tell(self, now: float) -> None:
        if self._tally is not None:
            standing = self._tally.standing(now)
            for mirror in self._mirrors:
                mirror.progress(standing)


def _finite(rows: Table, name: str) -> list[float]:
    found = numbers(rows, name)
    finite: list[float] = found[np.isfinite(found)].tolist()
    return finite
