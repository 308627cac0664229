"""Spaces that objectives define as they run, by asking for one param after the other."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from manyfit._labels import label
from manyfit.choice import Choice, Domain, Entry, from_json
from manyfit.errors import SpaceError
from manyfit.space import Space
from manyfit.trial import Params


class OpenSpace(Space):
    """A space without params of its own, which contains whatever a trial asks for.

    A proposal for it has values of params that are known from earlier trials; `Layout` makes a
    space of these. Params have the same form, labels for options, when they are stored and when
    the objective receives them: it has the options.

    Example:
        >>> OpenSpace().contains({"units": 64}), OpenSpace().size
        (True, None)
    """

    size = None

    def __init__(self) -> None:
        super().__init__({})

    def check(self, params: Params) -> None:
        if not isinstance(params, Mapping):
            raise SpaceError(f"params must be a dict, but got {params!r:.200}")

    def store(
        self,
        point: Mapping[str, Any],
        rng: np.random.Generator | None = None,  # noqa: ARG002 - nothing is known to be missing
    ) -> dict[str, Any]:
        """Return a point that a user wrote, in stored form; any params will do.

        Raises:
            SpaceError: It isn't a mapping, a name isn't a string, or an option has no lasting
                label.
        """
        self.check(point)
        for name in point:
            if not isinstance(name, str):
                raise SpaceError(f"a name in a point must be a string, but got {name!r:.200}")
        values = {n: v.item() if isinstance(v, np.generic) else v for n, v in point.items()}
        return {name: label(value) for name, value in values.items()}

    def look_up(self, params: Params) -> dict[str, Any]:
        return dict(params)


def entries_of(domains: Mapping[str, Any]) -> dict[str, Entry]:
    """Return the domains that a trial has reported, from their records.

    Equal domains are one object, since most trials have the same ones.

    Raises:
        SpaceError: A record doesn't describe a domain, or a constant.
    """
    return {name: _entry_of(json.dumps(record)) for name, record in domains.items()}


@functools.lru_cache(maxsize=4096)
def _entry_of(text: str) -> Entry:
    try:
        return from_json(json.loads(text))
    except (AttributeError, KeyError, TypeError) as error:
        raise SpaceError(f"not a record of a domain: {text:.200} ({error})") from error


def are_alike(one: Entry, other: Entry) -> bool:
    """Return whether two domains may be of one param: numbers in other bounds, the same options.

    Example:
        >>> from manyfit.domain import Float, Int
        >>> are_alike(Int(1, 3), Int(2, 9)), are_alike(Int(1, 3), Float(1, 3))
        (True, False)
    """
    if isinstance(one, Choice) or isinstance(other, Choice):
        return bool(one == other)
    return type(one) is type(other) and one.log == other.log


def known_with(known: Mapping[str, Domain], found: Mapping[str, Entry]) -> dict[str, Domain]:
    """Return known domains and those found in a trial, the newest of those that are alike."""
    news = {
        name: entry
        for name, entry in found.items()
        if isinstance(entry, Domain) and are_alike(known.get(name, entry), entry)
    }
    return {**known, **news}
