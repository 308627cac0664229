"""How to reproduce a study, or a call of `tune_groups`, from its journal."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

from manyfit.errors import JournalError
from manyfit.events import (
    DriverStarted,
    SpaceChanged,
    StudyCreated,
    StudyEnded,
    WorkDescribed,
)
from manyfit.group_events import CallCreated, CallEnded, CallStarted
from manyfit.journal.file import FILE_NAME, read_events
from manyfit.trackers.progress import counted

Told: TypeAlias = str | Mapping[str, str]


def facts(folder: Path) -> list[tuple[str, str]]:
    """Return what a record says of how it was made, a title and a text for each.

    Args:
        folder: The folder of a study or a call.
    """
    return [
        (title, each if isinstance(each, str) else listed(each)) for title, each in told(folder)
    ]


def told(folder: Path) -> list[tuple[str, Told]]:
    """Return what a record says of how it was made: for each title a text, or texts by name.

    Args:
        folder: The folder of a study or a call.
    """
    found: list[tuple[str, Told]] = [("record", str(folder))]
    if not (folder / FILE_NAME).exists():
        return found
    last: dict[type, object] = {}
    drivers = 0
    try:
        for event in read_events(folder / FILE_NAME):
            drivers += isinstance(event, DriverStarted | CallStarted)
            last[type(event)] = event
    except JournalError as error:
        return [*found, ("damaged", str(error))]
    for each in last.values():
        found += _facts_of(each)
    if drivers > 1:
        found.append(("resumed", counted(drivers - 1, "time")))
    return found


def _facts_of(event: object) -> Iterator[tuple[str, Told]]:
    match event:
        case StudyCreated() | CallCreated():
            yield "created", f"{moment(event.at)}, by Manyfit {event.manyfit}"
            yield "seed", str(event.seed)
        case WorkDescribed():
            yield from _described(event)
        case CallStarted():
            yield from _driver(event)
            for function, digests in event.functions.items():
                yield f"digests of {function}", digests
            for name in ("code", "packages", "machine"):
                if found := getattr(event, name):
                    yield name, found
        case DriverStarted():
            yield from _driver(event)
        case SpaceChanged():
            yield "space changed", moment(event.at)
        case StudyEnded() | CallEnded():
            yield "ended", moment(event.at)


def _driver(event: CallStarted | DriverStarted) -> Iterator[tuple[str, Told]]:
    yield "driver", f"{event.host}, process {event.pid}, from {moment(event.at)}"


def _described(event: WorkDescribed) -> Iterator[tuple[str, Told]]:
    """Yield whatever is recorded of the work, by the names of the event's fields."""
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Mapping) and value:
            title = "digests of the objective" if field.name == "objective" else field.name
            yield title, value


def listed(items: Mapping[str, str]) -> str:
    """Return texts by name as one text."""
    return ", ".join(f"{name} {text}" for name, text in items.items())


def moment(at: float) -> str:
    """Return wall time in words, with its zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at))
