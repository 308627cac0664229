"""The seam between the driver and mirrors of the study: MLflow, the terminal."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from manyfit.events import Event
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import Trial


@dataclass(frozen=True, slots=True)
class StudyInfo:
    """What a tracker may know of a study.

    Attributes:
        name: The study's name.
        folder: The study's own folder; `folder / "logs" / log_name(number, attempt)` holds an
            attempt's output once the attempt has ended.
        space: The space being searched.
        metric: The metric being tuned.
        seed: The study's seed.
        n_trials: How many trials it is to have in all; None if unlimited, 0 if that is not known.
        parallelism: How many trials run at once.
        notes: Sentences a person should read once, such as what an executor can't do.
        remote: Whether trials run where files and servers of this machine may not be seen.
        outside: Numbers of trials that are outside the space, because it was changed since. They
            are on record and count no more: neither are they best.
        on_driver_thread: Whether nothing is told of a trial between its start and its end.
    """

    name: str
    folder: Path
    space: Space
    metric: Metric
    seed: int
    n_trials: int | None
    parallelism: int
    notes: Sequence[str] = ()
    remote: bool = False
    on_driver_thread: bool = False
    outside: Container[int] = ()

    def counting(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials that count: those that are not outside the space."""
        return [trial for trial in trials if trial.number not in self.outside]


class Tracker(Protocol):
    """A mirror of the journal, written behind it and never read for decisions.

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

    def close(self, reason: str, trials: Sequence[Trial]) -> None:
        """End: write what is still unwritten, within a bounded time."""
