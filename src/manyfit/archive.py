"""Studies on disk: their folders, their contents, and whether a call may resume them."""

import json
import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from weakref import WeakKeyDictionary

from manyfit._labels import is_label
from manyfit._names import from_file_name, to_file_name
from manyfit._own import own
from manyfit._version import __version__
from manyfit.engine import Engine, IllegalEventError
from manyfit.errors import ArgumentError, JournalCorruptError, StudyChangedError
from manyfit.events import (
    DriverStarted,
    Event,
    SpaceChanged,
    StudyCreated,
    StudyEnded,
    TrialAsked,
    WorkDescribed,
)
from manyfit.group_events import CallCreated
from manyfit.journal.file import FILE_NAME, read_events
from manyfit.layout import laid_out
from manyfit.metric import Direction, Metric
from manyfit.open_space import OpenSpace
from manyfit.pruners.auto import make_pruner
from manyfit.result import StudyResult
from manyfit.samplers.base import NoSampler
from manyfit.space import Space
from manyfit.trial import Trial

logger = logging.getLogger("manyfit")

# Reasons of studies and calls that have not ended.
NOT_STARTED = "not started"
NOT_ENDED = "not ended: its driver is running, or was killed"
GROUPS_FILE = "groups.json"  # in records of `tune_groups` from before it kept a journal
_MOST_NAME = 200  # bytes; file systems allow 255 or so


@dataclass(slots=True)
class Header:
    """The state of a study as a whole, from the part of its journal that has been read."""

    created: StudyCreated | None = None
    space: Space | None = None
    metric: Metric | None = None
    driver: DriverStarted | None = None
    work: WorkDescribed | None = None
    reason: str = NOT_STARTED
    asked: int = 0

    def take_in(self, event: Event) -> None:
        """Apply an event, if it concerns the study as a whole.

        Raises:
            JournalCorruptError: The first event isn't `StudyCreated`, or its space or metric can't
                be read.
        """
        if self.created is None and not isinstance(event, StudyCreated):
            raise JournalCorruptError(
                "the journal's first line is missing: the one that says what is tuned. It has "
                f"{type(event).__name__} in its place. Restore the journal from a backup",
                line=1,
            )
        match event:
            case StudyCreated():
                self.created = event
                self.space = space_of(event)
                self.metric = metric_of(event)
            case SpaceChanged():
                self.space = space_of(event)
            case WorkDescribed():
                self.work = event
            case DriverStarted():
                self.driver = event
                self.reason = NOT_ENDED
            case StudyEnded(reason):
                self.reason = reason
            case TrialAsked():
                self.asked += 1
            case _:
                pass

    def check_metric(self, metric: Metric) -> None:
        """Check that a call tunes the study's own metric, in the same direction.

        Raises:
            StudyChangedError: One of them differs.
        """
        was = self.metric
        if was is not None and was != metric:
            name = self.created.name if self.created is not None else ""
            raise StudyChangedError(
                f"study {name!r} tunes {was.name} ({was.direction}), but now {metric.name} "
                f"({metric.direction}) was asked for. Values of two metrics can't be compared: "
                "give the new study another name"
            )

    def check_space(self, name: str, space: Space) -> None:
        """Check that a call has the study's own space. Any space will do before the first trial.

        Raises:
            StudyChangedError: The space differs; the message says how, and what to do.
        """
        changes = self.space.difference(space) if self.space is not None and self.asked else []
        if changes:
            listed = "\n".join(f"  {change}" for change in changes)
            raise StudyChangedError(
                f"the space of study {name!r} has changed:\n{listed}\n"
                "Pass on_space_change='keep' to go on with the trials that still fit "
                "(the others stay on record and count no more), or give the study another name"
            )

    def news(
        self, name: str, space: Space, metric: Metric, seed: int
    ) -> StudyCreated | SpaceChanged | None:
        """Return the event to record when a study starts or resumes this way; None if no event."""
        described, now = space.to_json(), time.time()
        if self.space is None or not self.asked:
            if self.metric == metric and self.space == space:
                return None
            return StudyCreated(
                *(name, described, metric.name, metric.direction, seed, __version__, now),
                is_open=isinstance(space, OpenSpace),
            )
        return SpaceChanged(described, now) if space.difference(self.space) else None

    def say_what_counts_no_more(self, name: str, engine: Engine) -> None:
        """Warn of trials that are outside the space, if it has just been changed."""
        changes = self.space.difference(engine.space) if self.space is not None else []
        if engine.outside and changes:
            logger.warning(
                "%d of %d trials of study %s are outside its space as it is now, and count no more "
                "(%s). They stay on record: with the former space they count again.",
                len(engine.outside),
                len(engine.trials),
                name,
                "; ".join(changes),
            )


def space_of(event: StudyCreated | SpaceChanged | CallCreated) -> Space:
    """Return the space on record.

    Raises:
        JournalCorruptError: It can't be read.
    """
    if isinstance(event, StudyCreated) and event.is_open:
        return OpenSpace()
    try:
        return Space.from_json(event.space)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise JournalCorruptError(
            f"the space on record can't be read ({type(error).__name__}: {error}). The journal was "
            "damaged or edited: restore it from a backup"
        ) from error


def metric_of(event: StudyCreated | CallCreated) -> Metric:
    """Return the metric on record.

    Raises:
        JournalCorruptError: It can't be read.
    """
    try:
        return Metric(event.metric, cast("Direction", event.direction))
    except ValueError as error:
        raise JournalCorruptError(
            f"the metric on record can't be read ({error}). The journal was damaged or edited: "
            "restore it from a backup"
        ) from error


def study_folder(name: object, folder: str | Path) -> Path:
    """Return the absolute path of a study's folder.

    Raises:
        ArgumentError: The name can't be the name of a folder.
    """
    name = from_file_name(name) if isinstance(name, str) else name
    fits = isinstance(name, str) and re.fullmatch(r"[\w.-][\w. -]*", name) and name.strip(". ")
    if not isinstance(name, str) or not fits or len(name.encode()) > _MOST_NAME:
        raise ArgumentError(
            "name must be made of letters, digits, '_', '-', '.' and spaces, and not be long (it "
            f"names a folder), but got {name!r:.300}"
        )
    if not isinstance(folder, str | os.PathLike):
        raise ArgumentError(f"folder must be a path, but got {folder!r:.200}")
    return Path(to_file_name(os.fspath(folder))).absolute() / to_file_name(name)


def is_of_groups(folder: Path) -> bool:
    """Whether a folder has the record of a call of `tune_groups`."""
    return _maker(folder) == "tune_groups"


def check_kind(folder: Path, *, groups: bool) -> None:
    """Check that a folder doesn't have the other kind of record: of a study, or of groups.

    Raises:
        ArgumentError: It does.
    """
    other = "tune" if groups else "tune_groups"
    if _maker(folder) == other:
        raise ArgumentError(
            f"the name {from_file_name(folder.name)!r} is taken in {folder.parent} by a call of "
            f"{other}: give this one another name, or another folder"
        )


def _maker(folder: Path) -> str:
    """Return the function that made a record, going by its first line; empty if there is none."""
    if (folder / GROUPS_FILE).exists():
        return "tune_groups"
    try:
        with (folder / FILE_NAME).open("rb") as file:
            event = json.loads(file.readline())["event"]
    except (OSError, ValueError, TypeError, KeyError):
        return ""
    return "tune_groups" if event == "call-created" else "tune"


def replay(events: Iterable[Event], engine: Engine, header: Header) -> None:
    """Fold a journal's events into an engine and a header.

    Raises:
        JournalCorruptError: The journal contradicts itself: it was edited, or two were mixed.
        StudyChangedError: The engine's metric isn't that of the recorded trials.
    """
    for number, event in enumerate(events, start=1):
        header.take_in(event)
        if isinstance(event, TrialAsked):
            header.check_metric(engine.metric)
        try:
            engine.apply(event)
        except IllegalEventError as error:
            raise JournalCorruptError(
                f"the journal contradicts itself at line {number}: {error}. It was edited by hand, "
                "or lines are missing: restore it from a backup",
                number,
            ) from error


# For each engine, its trials as they were last shown, by number: its own, and what is shown.
_shown: "WeakKeyDictionary[Engine, dict[int, tuple[Trial, Trial]]]" = WeakKeyDictionary()


def result_of(engine: Engine, name: str, folder: Path, reason: str) -> StudyResult:
    """Return an engine's trials as a result, with params as the objective received them.

    Each of the space's values is copied only once, since a large constant may be in every trial. A
    trial that an earlier result has shown, and that hasn't changed, is shared with that result,
    because functions that are called after each trial get a result each time.
    """
    copies: dict[int, Any] = {}
    known = _shown.setdefault(engine, {})

    def copied(value: Any) -> Any:
        if is_label(value):
            return value
        if id(value) not in copies:
            copies[id(value)] = own(value)
        return copies[id(value)]

    def shown(trial: Trial) -> Trial:
        if trial.number in engine.outside:
            return trial
        before = known.get(trial.number)
        if before is None or before[0] is not trial:
            params = engine.space.look_up(trial.params)
            own_ones = engine.space.folded({name: copied(value) for name, value in params.items()})
            before = known[trial.number] = trial, replace(trial, params=own_ones)
        return before[1]

    return StudyResult(
        name=name,
        folder=folder,
        metric=engine.metric,
        space=laid_out(engine.space, engine.trials),
        reason=reason,
        trials=tuple(map(shown, engine.trials)),
        outside=frozenset(engine.outside),
    )


def materialized(engine: Engine, trial: Trial) -> Trial:
    """Return a trial with its own copies of the params that the objective receives."""
    if trial.number in engine.outside:
        return trial
    return replace(trial, params=engine.space.materialize(trial.params))


def load_study(name: str, *, folder: str | Path = ".manyfit") -> StudyResult:
    """Read a study's record without running anything, even while it runs or after a crash.

    Choices that are not plain values (functions, classes) are returned as their labels. Constants
    that look like credentials stay hidden.

    Args:
        name: The study's name.
        folder: The folder given to `tune`.

    Raises:
        ArgumentError: There is no such study; the message lists those there are. Or it is a call of
            `tune_groups`, which `load_groups` reads.
        JournalCorruptError: Its journal is damaged.
    """
    engine, header = on_record(name, folder)
    name, path = from_file_name(name), study_folder(name, folder)
    return result_of(engine, name, path, header.reason)


def on_record(name: str, folder: str | Path) -> tuple[Engine, Header]:
    """Return a study's trials and its header, read as `load_study` reads them.

    Raises:
        ArgumentError: There is no such study; the message lists those there are. Or it is a call of
            `tune_groups`, which `load_groups` reads.
        JournalCorruptError: Its journal is damaged.
    """
    name, path = from_file_name(name), study_folder(name, folder)
    if is_of_groups(path):
        raise ArgumentError(
            f"{name!r} is a call of tune_groups, not a study: manyfit.load_groups({name!r}) reads "
            "its result, and the same call again tunes what is missing or failed"
        )
    if not (path / FILE_NAME).exists():
        names = ", ".join(study_names(folder)) or "none"
        raise ArgumentError(f"there is no study {name!r} in {Path(folder)}; there are: {names}")
    header = Header()
    for event in read_events(path / FILE_NAME):
        header.take_in(event)
    metric = header.metric
    if metric is None or header.space is None:
        raise ArgumentError(f"study {name!r} was never begun: its journal is empty")
    engine = Engine(
        space=header.space, metric=metric, sampler=NoSampler(), pruner=make_pruner(None, metric)
    )
    replay(read_events(path / FILE_NAME), engine, Header())
    return engine, header


def study_names(folder: str | Path = ".manyfit") -> list[str]:
    """Return the names of the studies, and calls of `tune_groups`, in a folder.

    The most recently changed comes first.
    """
    root = Path(to_file_name(os.fspath(folder)))
    paths = [*root.glob(f"*/{FILE_NAME}"), *root.glob(f"*/{GROUPS_FILE}")]
    names = [path.parent.name for path in sorted(paths, key=_changed, reverse=True)]
    return [from_file_name(name) for name in dict.fromkeys(names)]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # it was deleted in the meantime
        return 0.0
