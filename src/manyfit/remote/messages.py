"""Validates the messages of workers, so that none of them can break a study.

A worker may run another version of Manyfit, or may have been taken over. Its messages are data, and
data of the wrong kind are rejected here: everywhere else, values have their declared types.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias

from manyfit._labels import is_label
from manyfit.errors import MetricError
from manyfit.event_lines import decode
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Noted,
    ParamsSuggested,
    Reported,
)
from manyfit.metric import Metric
from manyfit.open_space import entries_of

Heard: TypeAlias = (
    AttemptStarted
    | ParamsSuggested
    | Reported
    | Noted
    | AttemptFinished
    | AttemptPruned
    | AttemptFailed
    | AttemptLost
)

_MOST = 1e300  # the largest number, which must fit a float
_TEXTS_OF_FACTS = ("python", "implementation", "platform", "machine", "manyfit")


class NonsenseError(Exception):
    """A worker sent something that no worker of this version sends."""


def event_in(line: object, metric: Metric) -> Heard:
    """Return the event on a line.

    Args:
        line: The message.
        metric: The metric that a result must have.

    Raises:
        NonsenseError: It isn't an event that a worker may send, or has a field of another type.

    Example:
        >>> line = '{"v":2,"event":"lost","number":3,"attempt":1,"reason":"","counts":true,"at":0}'
        >>> event_in(line, Metric("loss"))
        AttemptLost(number=3, attempt=1, reason='', counts=True, at=0)
    """
    if not isinstance(line, str):
        raise NonsenseError(f"an event that is no text: {line!r:.200}")
    try:
        event = decode(line)
        if isinstance(event, AttemptFinished):
            metric.check(event.metrics[metric.name])
        if isinstance(event, ParamsSuggested):
            _check_suggestions(event)
    except (LookupError, TypeError, ValueError, RecursionError, MetricError) as error:
        raise NonsenseError(f"{line:.200} is no event ({error})") from error
    if not isinstance(event, Heard) or not all(
        _is_a(kind.type, getattr(event, kind.name)) for kind in fields(event)
    ):
        raise NonsenseError(f"{line:.200} is no event that a worker sends")
    return event


def place_in(said: Any) -> dict[str, Any]:
    """Return a place, which has a `host` and a `name`.

    Raises:
        NonsenseError: It lacks one of them.
    """
    match said:
        case {"host": str(), "name": str()}:
            return dict(said)
    raise NonsenseError(f"{said!r:.200} is no place")


def facts_in(said: Any) -> dict[str, Any]:
    """Return the facts of a machine, as described by `manyfit.ship.facts`.

    Raises:
        NonsenseError: These are not facts of a machine.
    """
    match said:
        case {"packages": dict(packages), **rest} if all(
            isinstance(version, str | None) for version in packages.values()
        ) and all(isinstance(rest.get(name), str) for name in _TEXTS_OF_FACTS):
            return dict(said)
    raise NonsenseError(f"{said!r:.200} are no facts of a machine")


def memory_in(said: Any) -> dict[str, int]:
    """Return bytes of memory: `used`, `total` and `available`.

    Raises:
        NonsenseError: They are missing, or not sizes.
    """
    match said:
        case {"used": int(), "total": int(), "available": int()}:
            return dict(said)
    raise NonsenseError(f"{said!r:.200} tells no memory")


def _is_a(declared: Any, value: object) -> bool:
    """Return whether a value read from JSON has the declared type of an event's field."""
    if declared is float:
        return _is_number(value) and -_MOST < value < _MOST  # type: ignore[operator]
    if declared in (int, str, bool):
        return type(value) is declared and (declared is not int or 0 <= value < _MOST)  # type: ignore[operator]
    if not isinstance(value, Mapping):
        return False
    if declared == Mapping[str, Any]:
        return True  # checked above
    if declared == Mapping[str, str]:
        return all(isinstance(text, str) for text in value.values())
    return all(map(_is_number, value.values()))


def _check_suggestions(event: ParamsSuggested) -> None:
    """Check that params are labels, each with a domain.

    Raises:
        ValueError: They aren't.
    """
    has_domains = entries_of(event.domains).keys() == event.params.keys()
    if not has_domains or not all(map(is_label, event.params.values())):
        raise ValueError("params that are not labels, or without domains")


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < _MOST)
