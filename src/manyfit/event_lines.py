"""Events as versioned lines of JSON, in the journal and from workers to the driver.

`manyfit.journal.upgrade` converts lines of older versions before they are decoded here.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import product
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    DriverStarted,
    Event,
    Noted,
    ParamsSuggested,
    Reported,
    SpaceChanged,
    StopRequested,
    StudyCreated,
    StudyEnded,
    TrialAbandoned,
    TrialAsked,
    WorkDescribed,
)
from manyfit.group_events import (
    CallCreated,
    CallEnded,
    CallStarted,
    ClusterDescribed,
    GroupEnded,
    GroupEvaluated,
    GroupsDescribed,
    TrialScored,
)

VERSION = 2

# Journals keep these names for ever: add to this table, never change or reuse a key.
_KINDS: dict[str, type[Event]] = {
    "study-created": StudyCreated,
    "driver-started": DriverStarted,
    "space-changed": SpaceChanged,
    "work-described": WorkDescribed,
    "asked": TrialAsked,
    "started": AttemptStarted,
    "suggested": ParamsSuggested,
    "reported": Reported,
    "noted": Noted,
    "stop-requested": StopRequested,
    "finished": AttemptFinished,
    "pruned": AttemptPruned,
    "failed": AttemptFailed,
    "lost": AttemptLost,
    "abandoned": TrialAbandoned,
    "study-ended": StudyEnded,
    "call-created": CallCreated,
    "call-started": CallStarted,
    "groups-described": GroupsDescribed,
    "cluster-described": ClusterDescribed,
    "trial-scored": TrialScored,
    "group-evaluated": GroupEvaluated,
    "group-ended": GroupEnded,
    "call-ended": CallEnded,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_FIELDS = {kind: tuple(f.name for f in fields(kind)) for kind in _NAMES}
# The types that JSON values of a field may have. `true` isn't a number; an int may be a float.
_TYPES: dict[Any, tuple[type, ...]] = {
    int: (int,),
    float: (float, int),
    str: (str,),
    bool: (bool,),
    NoneType: (NoneType,),
    Sequence: (list, tuple),
}


def _types_of(annotation: Any) -> tuple[type, ...]:
    if isinstance(annotation, UnionType):
        return sum(map(_types_of, get_args(annotation)), ())
    return _TYPES.get(get_origin(annotation) or annotation, (dict,))


_VALUES = {kind: attrgetter(*names) for kind, names in _FIELDS.items()}
# The combinations of types that each kind's fields may have: a set lookup is faster than a loop.
_SHAPES = {
    kind: frozenset(product(*(_types_of(each.type) for each in fields(kind)))) for kind in _NAMES
}
_KNOWN = {kind: frozenset({"v", "event", *names}) for kind, names in _FIELDS.items()}
_NUMBERS = frozenset({float, int})
# The fields that may hold NaN and infinities, which JSON can't write: directly, or in a mapping.
_FLOATS = {
    kind: tuple(each.name for each in fields(kind) if each.type == float | None) for kind in _NAMES
}
_FLOAT_MAPS = {
    kind: tuple(each.name for each in fields(kind) if each.type == Mapping[str, float])
    for kind in _NAMES
}


def _defaults(kind: type[Event]) -> dict[str, Any]:
    """Return the fields that a kind has by default, with their values."""
    return {
        each.name: {} if each.default is MISSING else each.default
        for each in fields(kind)
        if each.default is not MISSING or each.default_factory is not MISSING
    }


# Fields that are omitted if they have their default: a call may have very many groups, and older
# records have no such fields.
_LEFT_OUT: dict[type[Event], Mapping[str, Any]] = {
    kind: _defaults(kind)
    for kind in (
        *(StudyCreated, WorkDescribed, AttemptFinished, AttemptPruned, AttemptFailed),
        *(CallStarted, GroupEnded),
    )
}


def encode(event: Event) -> str:
    """Return an event as one line of strict JSON, without the newline.

    NaN and infinities in metrics are written as strings, since JSON has no numbers for them.
    """
    kind = type(event)
    record: dict[str, Any] = {"v": VERSION, "event": _NAMES[kind]}
    record.update((name, getattr(event, name)) for name in _FIELDS[kind])
    for name, default in _LEFT_OUT.get(kind, {}).items():
        if record[name] == default:
            del record[name]
    try:
        return _strict(record)
    except ValueError:
        for name in _FLOATS[kind]:
            if record.get(name) is not None:
                record[name] = _finite(record[name])
        for name in _FLOAT_MAPS[kind]:
            record[name] = {key: _finite(value) for key, value in record.get(name, {}).items()}
        return _strict(record)


# Made once: with these options, `json.dumps` makes an encoder in each call, which doubles the time.
_strict = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def decode(line: str | bytes) -> Event:
    """Return the event on a line of the current version.

    Raises:
        ValueError: The line is not JSON, or not an event of this version.
    """
    return from_record(json.loads(line))


def from_record(record: Any) -> Event:
    """Return the event in a parsed line of the current version.

    Raises:
        ValueError: It is not an object with the fields of a known event.
    """
    try:
        if record.pop("v") != VERSION:
            raise ValueError(f"not an event of version {VERSION}")
        kind = _KINDS[record.pop("event")]
        for name in _FLOAT_MAPS[kind]:
            values = record.get(name)
            if values is not None and not _NUMBERS.issuperset(map(type, values.values())):
                record[name] = {key: _number(value) for key, value in values.items()}
        for name in _FLOATS[kind]:
            if record.get(name) is not None:
                record[name] = _number(record[name])
        event = kind(**record)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not an event: {error}") from error
    values = _VALUES[kind](event)
    if tuple(map(type, values)) not in _SHAPES[kind]:
        raise ValueError(f"not an event: it holds what no {_NAMES[kind]!r} does: {values!r:.200}")
    return event


def unknown_in(record: Mapping[str, Any]) -> list[str]:
    """Return what a later version has added to a parsed line: its kind of event, or fields.

    Example:
        >>> unknown_in({"v": 2, "event": "study-ended", "reason": "done", "at": 1.0, "cost": 3})
        ['cost']
    """
    kind = _KINDS.get(record["event"])
    return [record["event"]] if kind is None else sorted(record.keys() - _KNOWN[kind])


def _number(value: Any) -> float:
    """Return a metric from its JSON value; NaN and infinities are strings there."""
    if type(value) in (float, int):
        return value  # type: ignore[no-any-return] # mypy doesn't narrow by `in`
    if type(value) is str:
        return float(value)
    raise ValueError(f"not an event: a metric is {value!r:.100}")
