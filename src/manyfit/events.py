"""The events of a study, as frozen values and as versioned lines of JSON.

The journal is a list of events, the engine folds them, and workers send them to the driver. They
are data, never code. The events of `tune_groups` (`manyfit.group_events`) are written the same way.
`manyfit.journal.upgrade` converts lines of older versions before they are decoded here.
Times (`at`) are wall time in seconds since the epoch; durations (`seconds`) are monotonic.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from itertools import product
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, TypeAlias, get_args, get_origin

from manyfit.group_events import (
    CallCreated,
    CallEnded,
    CallStarted,
    ClusterDescribed,
    GroupEnded,
    GroupEvaluated,
    GroupsDescribed,
    GroupsEvent,
    TrialScored,
)

VERSION = 2


@dataclass(frozen=True, slots=True)
class StudyCreated:
    """The first line of a journal: the study's name, space, metric and seed."""

    name: str
    space: Mapping[str, Any]
    metric: str
    direction: str
    seed: int
    manyfit: str
    at: float


@dataclass(frozen=True, slots=True)
class DriverStarted:
    """A driver took the study over; attempts that an earlier driver was running are lost.

    Attributes:
        isolated: Whether its trials run in processes of their own, and none can crash the driver.
    """

    host: str
    pid: int
    at: float
    isolated: bool = True


@dataclass(frozen=True, slots=True)
class SpaceChanged:
    """The study continues in another space; trials outside it are kept but no longer count."""

    space: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class WorkDescribed:
    """The objective and settings of a driver, if they differ from those of the driver before it.

    Attributes:
        objective: Digests of its code and of what the code refers to, by name (see `fingerprint`).
        settings: The sampler, the pruner and their settings, in words.
        code: The location and version of the objective's code (see `origin.code_of`). This and the
            following fields are empty if an older Manyfit didn't record them.
        packages: The versions of the packages installed.
        data: The shared data that the objective uses, by name: digest, size and contents.
        machine: The driver's machine (see `origin.machine`).
        unrecorded: The types of params and constants whose values the record has by label only, by
            name.
        advice: The advice that users have been shown in this study, which isn't repeated.
    """

    objective: Mapping[str, str]
    settings: Mapping[str, str]
    at: float
    code: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    unrecorded: Mapping[str, str] = field(default_factory=dict)
    advice: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrialAsked:
    """A trial was created with these params, in their stored form (see `Space.store`)."""

    number: int
    params: Mapping[str, Any]
    origin: str
    at: float


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A worker started an attempt at a trial."""

    number: int
    attempt: int
    worker: str
    at: float


@dataclass(frozen=True, slots=True)
class Reported:
    """The objective reported metrics at a step."""

    number: int
    attempt: int
    step: int
    metrics: Mapping[str, float]
    at: float


@dataclass(frozen=True, slots=True)
class Noted:
    """The objective noted something about its trial; a later note of the same name replaces it."""

    number: int
    attempt: int
    notes: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The pruner stopped an attempt; the worker learns of it when it next reports."""

    number: int
    attempt: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """The objective returned usable metrics, and perhaps notes: results that aren't numbers.

    Attributes:
        usage: What the attempt used of its machine (see `worker.usage`); empty if that is unknown.
    """

    number: int
    attempt: int
    metrics: Mapping[str, float]
    seconds: float
    at: float
    notes: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptPruned:
    """The objective ended because of a stop request."""

    number: int
    attempt: int
    reason: str
    seconds: float
    at: float
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The objective raised, returned no usable metric, or broke a limit."""

    number: int
    attempt: int
    reason: str
    error: str
    traceback: str
    fatal: bool
    seconds: float
    at: float
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The worker died, or the study was interrupted."""

    number: int
    attempt: int
    reason: str
    counts: bool
    at: float


@dataclass(frozen=True, slots=True)
class TrialAbandoned:
    """Every attempt at a trial was lost, and it isn't retried again."""

    number: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class StudyEnded:
    """A driver stopped, for this reason."""

    reason: str
    at: float


AttemptEvent: TypeAlias = (
    AttemptStarted
    | Reported
    | Noted
    | StopRequested
    | AttemptFinished
    | AttemptPruned
    | AttemptFailed
    | AttemptLost
)
TrialEvent: TypeAlias = TrialAsked | AttemptEvent | TrialAbandoned
Event: TypeAlias = (
    StudyCreated
    | DriverStarted
    | SpaceChanged
    | WorkDescribed
    | TrialEvent
    | StudyEnded
    | GroupsEvent
)

# Journals keep these names for ever: add to this table, never change or reuse a key.
_KINDS: dict[str, type[Event]] = {
    "study-created": StudyCreated,
    "driver-started": DriverStarted,
    "space-changed": SpaceChanged,
    "work-described": WorkDescribed,
    "asked": TrialAsked,
    "started": AttemptStarted,
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


# Fields that are omitted if they have their default, since a call may have very many groups.
_LEFT_OUT: dict[type[Event], Mapping[str, Any]] = {
    kind: _defaults(kind)
    for kind in (WorkDescribed, AttemptFinished, AttemptPruned, AttemptFailed, GroupEnded)
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
