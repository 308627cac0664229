"""The seam between `tune_groups` and its mirrors: MLflow, the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trackers.progress import counted, duration, number


@dataclass(frozen=True, slots=True)
class GroupsInfo:
    """What a mirror may know of a call of `tune_groups`.

    Attributes:
        name: The call's name.
        folder: Where its record is.
        metric: What is tuned.
        space: What is searched.
        by: The key columns.
        mode: `"independent"`, `"shared"` or `"transfer"`.
        seed: The call's seed.
        sampler: What proposes params, in a word.
        n_trials: How many trials a group has; None where time limits them.
        total: How many groups there are; None while that isn't known.
        before: How many of them earlier calls have tuned.
        again: How many of them failed in earlier calls.
        slots: How many are tuned at once; None if that isn't known.
        remote: Whether they are tuned on other machines.
    """

    name: str
    folder: Path
    metric: Metric
    space: Space
    by: tuple[str, ...]
    mode: str
    seed: int
    sampler: str = "auto"
    n_trials: int | None = None
    total: int | None = None
    before: int = 0
    again: int = 0
    slots: int | None = None
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a call stands at one moment.

    Attributes:
        done: How many groups have ended, those of earlier calls included.
        failed: How many of these have failed.
        kept: How many have their baseline only.
        total: How many there are; None while that isn't known.
        median_gain: Over the groups that have ended, those of this call; None before the first.
        best_gain: The largest of their gains.
        mean_value: The mean of the tuned metric over them.
        elapsed: Seconds since this call began.
        seconds_left: What the rest will take at this call's pace; None if that can't be told.
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


@dataclass(frozen=True, slots=True)
class Child:
    """A group, where each is to have a run of its own."""

    name: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    status: Literal["FINISHED", "FAILED"] = "FINISHED"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    Attributes:
        reason: Why it ended, in one line.
        lines: What people should read of it.
        metrics: Figures over all groups.
        tags: More of them, in words.
        files: Texts that are kept, by file name.
        children: The groups, where each is to have a run of its own.
        status: `"KILLED"` if it was interrupted, `"FAILED"` if it raised.
    """

    reason: str
    lines: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    children: Iterable[Child] = ()
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED"


class GroupsMirror(Protocol):
    """A mirror of the record of groups, never read for decisions.

    Called on one thread. No method raises for what happens on the mirror's side, and only `open`
    and `close` may wait, each for a bounded time.
    """

    def open(self, info: GroupsInfo) -> None:
        """Begin."""

    def say(self, sentence: str) -> None:
        """Take in what people should know."""

    def progress(self, standing: Standing) -> None:
        """Take in where the call stands; as often as one likes."""

    def close(self, outcome: Outcome) -> None:
        """End: write what is still unwritten, within a bounded time."""


def opening(info: GroupsInfo) -> list[str]:
    """Return the sentences that begin a call."""
    groups = "groups" if info.total is None else counted_groups(info.total)
    trials = "" if info.n_trials is None else f", {counted(info.n_trials, 'trial')} each"
    if info.mode == "shared":
        trials = "" if info.n_trials is None else f", {counted(info.n_trials, 'trial')} for all"
    at_once = "" if info.slots is None else f", {info.slots} at a time"
    aim = f"{info.name}: {info.metric.direction} {info.metric.name} by {', '.join(info.by)}"
    lines = [f"{aim}, {info.mode}: {groups}{trials}{at_once}"]
    if info.before:
        lines.append(f"resumed, with {counted_groups(info.before)} done before")
    if info.again:
        lines.append(f"{counted_groups(info.again)} failed before: tuned again")
    return lines


def status(view: Standing) -> str:
    """Return where a call stands in one line.

    Example:
        >>> status(Standing(40, failed=1, total=414, median_gain=0.05, elapsed=61))
        '40/414 groups, 1 failed, median gain 0.05, 1 min 1 s so far'
    """
    done = counted_groups(view.done)
    parts = [done if view.total is None else f"{view.done:,}/{counted_groups(view.total)}"]
    parts += [f"{view.kept:,} with their baseline only"] if view.kept else []
    parts += [f"{view.failed:,} failed"] if view.failed else []
    parts += [f"median gain {number(view.median_gain)}"] if view.median_gain is not None else []
    parts.append(f"{duration(view.elapsed)} so far")
    if view.seconds_left is not None and view.done != view.total:
        parts.append(f"about {duration(view.seconds_left)} left")
    return ", ".join(parts)


def counted_groups(count: int) -> str:
    """Return a count of groups.

    Example:
        >>> counted_groups(1), counted_groups(2000)
        ('1 group', '2,000 groups')
    """
    return "1 group" if count == 1 else f"{count:,} groups"
