"""The progress of groups that are being tuned, as counts and as sentences."""

import math
import threading
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from manyfit.events import Event
from manyfit.group_events import GroupEnded
from manyfit.trackers.base import GroupsInfo, Outcome, StudyInfo
from manyfit.trackers.progress import ENDS, ENOUGH, Line, counted, duration, number
from manyfit.trial import State, Trial

# The median of this many gains takes milliseconds; further gains would hardly change it.
_MOST_GAINS = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """The progress of a call of `tune_groups` at one moment.

    Attributes:
        done: The number of groups that have ended, including those of earlier calls.
        failed: The number of groups that failed in this call.
        kept: The number of groups with only their baseline, in this call.
        total: The number of groups; None if unknown.
        median_gain: The median gain of groups that ended in this call; None before the first.
        best_gain: The largest of their gains.
        mean_value: The mean of the tuned metric over them.
        elapsed: Seconds since this call began.
        seconds_left: The time for the rest at this call's pace; None if unknown.
    """

    done: int
    failed: int = 0
    kept: int = 0
    total: int | None = None
    median_gain: float | None = None
    best_gain: float | None = None
    mean_value: float | None = None
    elapsed: float = 0.0
    seconds_left: float | None = None

    @property
    def headline(self) -> str:
        """The number of groups done, and their total."""
        groups = counted_groups(self.done if self.total is None else self.total)
        return groups if self.total is None else f"{self.done:,}/{groups}"

    @property
    def news(self) -> str:
        """Empty: there is no best group."""
        return ""

    @property
    def status(self) -> str:
        """The progress of the call, in one line.

        Example:
            >>> Standing(40, failed=1, total=414, median_gain=0.05, elapsed=61).status
            '40/414 groups, 1 failed, median gain 0.05, 1 min 1 s so far'
        """
        gain = self.median_gain
        parts = [self.headline]
        parts += [f"{self.kept:,} with their baseline only"] if self.kept else []
        parts += [f"{self.failed:,} failed"] if self.failed else []
        parts += [f"median gain {number(gain)}"] if gain is not None else []
        parts.append(f"{duration(self.elapsed)} so far")
        if self.seconds_left is not None and self.done != self.total:
            parts.append(f"about {duration(self.seconds_left)} left")
        return ", ".join(parts)

    @property
    def figures(self) -> Sequence[Line]:
        """The gains, and the groups without one."""
        line: Line = [("gain  ", "dim")]
        if self.median_gain is None or self.best_gain is None:
            line.append(("none yet   ", "dim"))
        else:
            style = "bold green" if self.median_gain > 0 else "bold yellow"
            line += [(number(self.median_gain), style), (" median   ", "dim")]
            line += [(number(self.best_gain), ""), (" best   ", "dim")]
        for count, word, style in (
            (self.kept, "baseline only", "yellow"),
            (self.failed, "failed", "red"),
        ):
            line += [(f"{count:,} ", style if count else "dim"), (f"{word}   ", "dim")]
        return (line,)


class GroupTally:
    """Counts groups as they end.

    Groups of earlier calls count as done, but the time left is estimated from this call's pace. It
    may be updated on one thread and read on others.

    Args:
        study: The call.
        groups: Its properties for groups.
        now: Monotonic time.
    """

    def __init__(self, study: StudyInfo, groups: GroupsInfo, now: float) -> None:
        self.study = study
        self.groups = groups
        self._began = now
        self._lock = threading.Lock()
        self._states: Counter[str] = Counter()
        self._gains = array("d")
        self._best: float | None = None
        self._values = 0
        self._sum = 0.0

    @property
    def opening(self) -> list[str]:
        """The sentences at the start of a call."""
        study, groups = self.study, self.groups
        total = "groups" if groups.total is None else counted_groups(groups.total)
        whose = "for all" if groups.mode == "shared" else "each"
        trials = "" if study.n_trials is None else f", {counted(study.n_trials, 'trial')} {whose}"
        at_once = "" if study.parallelism is None else f", {study.parallelism} at a time"
        aim = f"{study.name}: {study.metric.direction} {study.metric.name}"
        lines = [f"{aim} by {', '.join(groups.by)}, {groups.mode}: {total}{trials}{at_once}"]
        if groups.before:
            lines.append(f"resumed, with {counted_groups(groups.before)} done before")
        if groups.again:
            lines.append(f"{counted_groups(groups.again)} failed before: tuned again")
        return [*lines, *study.notes]

    def take(self, event: Event, trial: Trial | None) -> str | None:
        """Count a group that has ended; returns a sentence for the end of a trial of them all."""
        if isinstance(event, GroupEnded):
            with self._lock:
                self._count(event)
        if trial is None or not isinstance(event, ENDS) or not trial.state.is_finished:
            return None
        what = trial.reason
        if trial.value is not None:
            what = f"{self.study.metric.name} {trial.value:.6g}"
        elif trial.state is State.PRUNED:
            what = "worse than the best on a sample of the groups"
        return f"trial {trial.number}: {trial.state.value}, {what}"

    def _count(self, group: GroupEnded) -> None:
        self._states[group.state] += 1
        gain = gain_of(group, self.study)
        if gain is not None:
            self._best = gain if self._best is None else max(self._best, gain)
            if len(self._gains) < _MOST_GAINS:
                self._gains.append(gain)
        if group.value is not None and math.isfinite(group.value):
            self._values += 1
            self._sum += group.value

    def settle(self, trials: Sequence[Trial], reason: str) -> None:
        """Do nothing: all groups have been counted."""

    def view(self, now: float) -> Standing:
        """Return the progress of the call."""
        with self._lock:
            return self._standing(now)

    def _standing(self, now: float) -> Standing:
        elapsed, total, ended = now - self._began, self.groups.total, self._states.total()
        done, left = self.groups.before + ended, None
        if total is not None and ended >= max(ENOUGH, self.study.parallelism or 0):
            left = max(0, total - done) * elapsed / ended
        return Standing(
            done=done,
            failed=self._states["FAIL"],
            kept=self._states["BASELINE"],
            total=total,
            median_gain=float(np.median(self._gains)) if self._gains else None,
            best_gain=self._best,
            mean_value=self._sum / self._values if self._values else None,
            elapsed=elapsed,
            seconds_left=left,
        )

    @property
    def has_failed(self) -> bool:
        """Whether groups have failed and no other has ended, even in earlier calls."""
        failed = self._states["FAIL"]
        return bool(failed) and failed == self._states.total() + self.groups.before

    def closing(self, now: float, reason: str, outcome: Outcome | None) -> Sequence[str]:  # noqa: ARG002 - as of trials
        """Return the sentences at the end of a call."""
        return outcome.lines if outcome is not None and outcome.lines else [reason]


def gain_of(group: GroupEnded, study: StudyInfo) -> float | None:
    """Return a group's gain over its baseline; None if it isn't a finite number."""
    if group.value is None or group.baseline is None:
        return None
    gain = study.metric.loss(group.baseline) - study.metric.loss(group.value)
    return gain if math.isfinite(gain) else None


def counted_groups(count: int) -> str:
    """Return a count of groups.

    Example:
        >>> counted_groups(1), counted_groups(2000)
        ('1 group', '2,000 groups')
    """
    return "1 group" if count == 1 else f"{count:,} groups"
