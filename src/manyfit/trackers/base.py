"""The seam between a driver and mirrors of what it does: MLflow, the terminal, one of your own."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from manyfit.events import Event
from manyfit.group_events import GroupEnded
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import Trial


@dataclass(frozen=True, slots=True)
class GroupsInfo:
    """What a call of `tune_groups` has beside what every study has.

    Attributes:
        by: The key columns.
        mode: `"independent"`, `"shared"` or `"transfer"`.
        sampler: The name of the sampler; None if that is not known.
        total: The number of groups; None while it isn't known.
        before: How many of them earlier calls have tuned.
        again: How many failed in earlier calls, and are tuned again.
        child_runs: Whether each group is to have a run of its own where runs are kept.
    """

    by: tuple[str, ...]
    mode: str
    sampler: str | None = None
    total: int | None = None
    before: int = 0
    again: int = 0
    child_runs: bool = False


@dataclass(frozen=True, slots=True)
class StudyInfo:
    """What a tracker may know of a study, or of a call of `tune_groups`.

    Attributes:
        name: The study's name.
        folder: The study's own folder; `folder / "logs" / log_name(number, attempt)` holds an
            attempt's output once the attempt has ended.
        space: The space being searched.
        metric: The metric being tuned.
        seed: The study's seed.
        n_trials: How many trials it is to have in all; None if unlimited, 0 if that is not known.
            Of groups: each of them, or in mode `"shared"` all together.
        parallelism: How many trials, or groups, run at once; None if that is not known.
        notes: Sentences a person should read once, such as what an executor can't do.
        remote: Whether trials run where files and servers of this machine may not be seen.
        outside: Numbers of trials that are outside the space, because it was changed since. They
            are on record and count no more: neither are they best.
        on_driver_thread: Whether nothing is told of a trial between its start and its end.
        groups: What is particular to a call of `tune_groups`; None for a study.
    """

    name: str
    folder: Path
    space: Space
    metric: Metric
    seed: int
    n_trials: int | None
    parallelism: int | None
    notes: Sequence[str] = ()
    remote: bool = False
    on_driver_thread: bool = False
    outside: Container[int] = ()
    groups: GroupsInfo | None = None

    def counting(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials that count: those that are not outside the space."""
        return [trial for trial in trials if trial.number not in self.outside]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call of `tune_groups` ended, as people read it.

    Attributes:
        lines: The result in a few lines.
        metrics: Figures over all groups.
        tags: The same in words.
        files: Makes the texts that are worth keeping, by file name: tables, failures, pictures.
        groups: Yields all groups on record, those of earlier calls included.
    """

    lines: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Callable[[], Mapping[str, str]] = dict
    groups: Callable[[], Iterable[GroupEnded]] = tuple


class Tracker(Protocol):
    """A mirror of the journal, written behind it and never read for decisions.

    `tune` and `tune_groups` tell trackers the same way: of a call over groups each `GroupEnded` is
    recorded, with no trial, and `prepare` is not called.

    Called on the driver's thread. No method raises for what happens on the tracker's side, and only
    `open`, `prepare` and `close` may wait, each for a bounded time: a tracker that is slow or away
    never fails or delays a trial. What it missed, it writes when its server is back, or when the
    study is next opened.
    """

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Begin; `history` holds the trials of earlier drivers, some not yet mirrored perhaps."""

    def prepare(self, trial: Trial) -> Mapping[str, str]:
        """Return environment variables for the worker of a trial that is about to start (again)."""

    def record(self, event: Event, trial: Trial | None) -> None:
        """Take in an event that is on disk, and its trial as it stands since (if it has one)."""

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """End: write what is still unwritten, within a bounded time.

        Args:
            reason: Why it ended, in one line.
            trials: All trials; none for groups.
            outcome: How it ended; for groups, and unless the call raised.
        """
