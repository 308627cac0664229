"""Nested dicts and lists in a space: a param is named by its path, as in `optimizer.betas.0`.

::

    {"optimizer": {"lr": Float(..), "betas": [Float(..), 0.99]}}            what the objective gets
                  │ unfolded                                                    ▲ folded
                  ▼                                                             │
    {"optimizer.lr": Float(..), "optimizer.betas.0": Float(..), "optimizer.betas.1": 0.99}
"""

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

from manyfit.errors import SpaceError


class PathName(str):
    """The name of an entry that is inside a dict or a list: its steps, joined by dots."""

    __slots__ = ()


def unfolded(name: str, value: Any, is_nested: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Yield what is inside a dict or a list, at any depth, each under the name of its path.

    Args:
        name: The path of the dict or the list.
        value: The dict or the list.
        is_nested: Whether to go inside a value.

    Raises:
        SpaceError: It is neither a dict nor a list, or a key can't be a step of a path.
    """
    if isinstance(value, Mapping):
        for key in value:
            _check_key(name, key)
    elif not isinstance(value, list):
        raise SpaceError(
            f"{name} in the space has a Float, Int or Choice inside a {type(value).__name__}, but "
            "they may be inside dicts and lists only"
        )
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        path = PathName(f"{name}.{key}")
        if is_nested(item):
            yield from unfolded(path, item, is_nested)
        else:
            yield path, item


def _check_key(name: str, key: object) -> None:
    if not isinstance(key, str) or not key or "." in key or key.isdigit():
        raise SpaceError(
            f"a key in {name} must be a non-empty string without dots that is no number, because "
            f"params are named by their paths, as in {name}.lr, but got {key!r}"
        )


class _Box(dict[str, Any]):
    """A dict or a list that is being put together."""


def folded(values: Mapping[str, Any], nested: Container[str]) -> dict[str, Any]:
    """Return values of which those with `nested` names are inside dicts and lists.

    Example:
        >>> folded({"a.b": 1, "a.c.0": 2, "d.e": 3}, {"a.b", "a.c.0"})
        {'a': {'b': 1, 'c': [2]}, 'd.e': 3}
    """
    whole: dict[str, Any] = {}
    for name, value in values.items():
        *steps, last = name.split(".") if name in nested else [name]
        place = whole
        for step in steps:
            place = place.setdefault(step, _Box())
        place[last] = value
    return {name: _unboxed(value) for name, value in whole.items()}


def _unboxed(value: Any) -> Any:
    if type(value) is not _Box:
        return value
    items = {key: _unboxed(item) for key, item in value.items()}
    if all(key.isdigit() for key in items):
        return [items[key] for key in sorted(items, key=int)]
    return items


def leaves(name: str, value: Any, known: Container[str]) -> Iterator[tuple[str, Any]]:
    """Yield what is inside a value at the paths of `known` names, or beside them.

    Example:
        >>> dict(leaves("a", {"b": {"x": 1}, "c": [2]}, {"a.b", "a.c.0"}))
        {'a.b': {'x': 1}, 'a.c.0': 2}
    """
    is_branch = isinstance(value, Mapping | list | tuple) and name not in known
    if not is_branch:
        yield name, value
        return
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from leaves(f"{name}.{key}", item, known)
