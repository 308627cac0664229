"""How to reproduce a study, from its journal."""

import time
from collections.abc import Iterator
from pathlib import Path

from manyfit.errors import JournalError
from manyfit.events import (
    DriverStarted,
    Event,
    SpaceChanged,
    StudyCreated,
    StudyEnded,
    WorkDescribed,
)
from manyfit.journal.file import FILE_NAME, read_events
from manyfit.trackers.progress import counted


def facts(folder: Path) -> list[tuple[str, str]]:
    """Return what a study's record says of how it was made, a title and a text for each.

    Args:
        folder: The study's own folder.
    """
    found = [("record", str(folder))]
    if not (folder / FILE_NAME).exists():
        return found
    last: dict[type, Event] = {}
    drivers = 0
    try:
        for event in read_events(folder / FILE_NAME):
            drivers += isinstance(event, DriverStarted)
            last[type(event)] = event
    except JournalError as error:
        return [*found, ("damaged", str(error))]
    for event in last.values():
        found += _facts_of(event)
    if drivers > 1:
        found.append(("resumed", counted(drivers - 1, "time")))
    return found


def _facts_of(event: Event) -> Iterator[tuple[str, str]]:
    match event:
        case StudyCreated():
            yield "created", f"{moment(event.at)}, by Manyfit {event.manyfit}"
            yield "seed", str(event.seed)
        case WorkDescribed():
            for name, setting in event.settings.items():
                yield name, setting
            for name, digest in event.objective.items():
                yield f"digest of {name}", digest
        case DriverStarted():
            yield "driver", f"{event.host}, process {event.pid}, from {moment(event.at)}"
        case SpaceChanged():
            yield "space changed", moment(event.at)
        case StudyEnded():
            yield "ended", moment(event.at)
        case _:
            return


def moment(at: float) -> str:
    """Return wall time in words, with its zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at))
