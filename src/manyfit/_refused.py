"""What is wrong with the spaces and the points that users write, in words."""

import difflib
import io
from collections.abc import Container, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any

from manyfit._tree import Path, when
from manyfit.choice import Choice, Domain, Entry
from manyfit.errors import SpaceError


def missing(name: str, rule: str, given: Mapping[str, Any]) -> str:
    """Say that a point lacks a param."""
    return f"{name} is missing: it must be {rule}. Given: {_listed(given)}"


def chosen(name: str, entry: Entry, params: Mapping[str, Any]) -> Any:
    """Return what an entry of a space is under params: an option, a param, or the constant.

    Raises:
        SpaceError: The param is missing.
    """
    if not isinstance(entry, Domain):
        return entry
    if name not in params:
        raise SpaceError(missing(name, entry.rule, params))
    return entry.option(params[name]) if isinstance(entry, Choice) else params[name]


def refuse_twice(names: Iterable[str]) -> None:
    """Refuse params of a point that are given by path and inside a dict or a list."""
    for name in names:
        raise SpaceError(f"a point has {name} twice: by its path, and inside a dict or a list")


def refuse_others(
    given: Mapping[str, Any], allowed: Container[str], places: Mapping[str, Sequence[Path]]
) -> None:
    """Refuse names of a point that aren't allowed.

    Raises:
        SpaceError: There is one; the message says where it is active, or which name is similar.
    """
    for name in given:
        if name in allowed:
            continue
        if name in places:
            paths = " or ".join(when(path) for path in places[name])
            raise SpaceError(f"{name} is only active {paths}. Leave it out of {_listed(given)}")
        close = difflib.get_close_matches(str(name), places, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"It has {_listed(places)}"
        raise SpaceError(f"{name!r} is not in the space. {hint}")


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "nothing"


def refuse_options(name: str, entry: Any, where: str) -> None:
    """Refuse a constant that looks like a list of options, which other libraries accept.

    Raises:
        SpaceError: It is a list, a range, a set, an iterator, or an array of one dimension.
    """
    kind, shown = type(entry).__name__, " ".join(repr(entry).split())
    asked = f"{name} in the space ({where}) is the {kind} {shown:.100}: options, or a constant?"
    if isinstance(entry, set):
        raise SpaceError(
            f"{asked} To try each item, write Choice(sorted(...)) around it. "
            "A constant can be a frozenset"
        )
    if isinstance(entry, list | range | KeysView | ValuesView) or _is_stream(entry):
        raise SpaceError(
            f"{asked} To try each item, write Choice(...) around it. A constant can be a "
            "tuple, or the only option of a Choice: Choice([[64, 32]])"
        )
    if hasattr(type(entry), "ndim") and entry.ndim == 1:
        raise SpaceError(
            f"{asked} To try each item, write Choice(...) around it. A constant can be the only "
            "option of a Choice: Choice([array])"
        )


def _is_stream(value: object) -> bool:
    """Return whether it yields its items only once, as a generator does; open files don't count."""
    return isinstance(value, Iterator) and not isinstance(value, io.IOBase)
