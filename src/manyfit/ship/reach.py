"""Walks from an objective to everything it uses, and finds the modules this needs."""

import sys
import types
from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

from manyfit.ship.mentions import Mention, mentions_in_code
from manyfit.ship.places import Places
from manyfit.worker.blame import names_in, parts

# Enough for the functions and settings of any project; a limit for the object graphs of frameworks.
_MOST = 20_000
_PLAIN = (str, bytes, bytearray, int, float, complex, type(None))

# An object, and the names in the code that led to it, which show what is used of a module.
_Step: TypeAlias = tuple[object, frozenset[str]]


def reached(objective: object, places: Places) -> Iterator[Mention]:
    """Yield the modules that an objective needs, from its objects and its code.

    Functions of the project are followed through their global variables, closures, defaults,
    attributes (and so decorators) and imports; classes through bases and methods; other objects
    through their attributes and items. Installed packages are yielded, but not followed. `__main__`
    is treated like the rest of the project.
    """
    queue: deque[_Step] = deque([(objective, frozenset())])
    seen: dict[object, object] = {}  # keeps objects alive, so that no id is used again
    while queue and len(seen) < _MOST:
        value, names = queue.popleft()
        key = (id(value), names) if isinstance(value, types.ModuleType) else id(value)
        if isinstance(value, _PLAIN) or key in seen:
            continue
        seen[key] = value
        module = _module_of(value)
        yield Mention(module)
        if isinstance(value, types.FunctionType) and _is_open(module, places):
            yield from mentions_in_code(value.__code__, _package_of(value))
        queue.extend(_next(value, names, places))


def _next(value: object, names: frozenset[str], places: Places) -> Iterator[_Step]:
    ours = _is_open(_module_of(value), places)
    if isinstance(value, types.ModuleType):
        if ours:
            yield from ((vars(value)[name], names) for name in names & vars(value).keys())
    elif isinstance(value, types.FunctionType):
        names = frozenset(names_in(value.__code__))
        # A library's decorator is followed only to its arguments: the function that it wraps.
        given = ("closure", "attribute")
        yield from ((part, names) for name, part in parts(value) if ours or name.startswith(given))
    elif isinstance(value, type):
        if ours:
            yield from ((part, names) for part in (*value.__bases__, type(value)))
            yield from ((part, names) for _, part in parts(value))
    else:
        yield type(value), names
        yield from ((part, names) for _, part in parts(value))


def _is_open(module: str, places: Places) -> bool:
    """Return whether to follow what a module defines: the project's, or one that doesn't exist."""
    return places.is_project(module) or module not in sys.modules


def _module_of(value: object) -> str:
    if isinstance(value, types.ModuleType):
        return value.__name__
    name = getattr(value, "__module__", None)
    return name if isinstance(name, str) else type(value).__module__


def _package_of(function: types.FunctionType) -> str:
    package = function.__globals__.get("__package__")
    return package if isinstance(package, str) else ""
