"""The protocol of a tracker, such as MLflow, the terminal, or one of your own."""

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
    """What a call of `tune_groups` has in addition to a study.

    Attributes:
        by: The key columns.
        mode: `"independent"`, `"shared"` or `"transfer"`.
        sampler: The name of the sampler; None if unknown.
        total: The number of groups; None if unknown.
        before: The number of groups tuned by earlier calls.
        again: The number of groups that failed in earlier calls and are tuned again.
        child_runs: Whether each group has an MLflow run of its own.
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
        folder: The study's own folder; `folder / "logs" / log_name(number, attempt)` has an
            attempt's output once the attempt has ended.
        space: The space being searched.
        metric: The metric being tuned.
        seed: The study's seed.
        n_trials: The total number of trials; None if unlimited, 0 if unknown. For groups, the
            number per group, or in mode `"shared"` that of all together.
        parallelism: The number of trials, or groups, that run at once; None if unknown.
        notes: Sentences to show to the user once, such as what an executor can't do.
        remote: Whether trials run where files and servers of this machine may be inaccessible.
        outside: Numbers of trials outside the space, because it has changed since. They stay
            recorded and are ignored; they are never best.
        on_driver_thread: Whether no event of a trial arrives between its start and its end.
        groups: The properties of a call of `tune_groups`; None for a study.
        advice: Whether the user gets advice on the trials, at the end.
        files: Returns the texts to keep with a study that has ended, by file name; for groups,
            `Outcome` has them.
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
    advice: bool = True
    files: Callable[[], Mapping[str, str]] = dict

    def counting(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials that count, which are those inside the space."""
        return [trial for trial in trials if trial.number not in self.outside]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call of `tune_groups`, for users.

    Attributes:
        lines: The result in a few lines.
        metrics: Figures over all groups.
        tags: Properties in words.
        advice: Whether the user gets advice on the trials, at the end.
        files: Returns the texts to keep, by file name: tables, failures, plots.
        groups: Yields all recorded groups, including those of earlier calls.
    """

    lines: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Callable[[], Mapping[str, str]] = dict
    groups: Callable[[], Iterable[GroupEnded]] = tuple


class Tracker(Protocol):
    """A mirror of the journal, written later and never read for decisions.

    `tune` and `tune_groups` call trackers the same way. For a call over groups, each `GroupEnded`
    is recorded, without a trial, and `prepare` is not called.

    It is called on the driver's thread. No method raises for problems of the tracker, and only
    `open`, `prepare` and `close` may wait, each for a bounded time: a tracker that is slow or
    unreachable never fails or delays a trial. It writes what it has missed when its server is back,
    or when the study is next opened.
    """

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Begin; `history` has the trials of earlier drivers, which may not be mirrored yet."""

    def prepare(self, trial: Trial) -> Mapping[str, str]:
        """Return environment variables for the worker of a trial about to start, or start again."""

    def record(self, event: Event, trial: Trial | None) -> None:
        """Record an event that is on disk, and its trial after the event (if it has one)."""

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """End, and write what is missing, within a bounded time.

        Args:
            reason: Why it ended, in one line.
            trials: All trials; none for groups.
            outcome: The outcome; for groups, unless the call raised.
        """
