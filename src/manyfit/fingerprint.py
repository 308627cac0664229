"""Digests, by name, of all parts of the work, so that a resume can say what has changed.

A digest is the same in every process of one version of Python. It covers code and what the code
refers to: the project's functions, classes and variables. Comments, docstrings and line numbers
don't count; installed packages count by name only.
"""

import dis
import functools
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, TypeAlias

from manyfit._redact import is_secret_name
from manyfit.digest import PLAIN, digest, digest_of, told
from manyfit.worker.blame import name_of, names_in

Fingerprint: TypeAlias = Mapping[str, str]

PYTHON = "Python"  # the entry for the version that compiled the code
_MOST_PARTS = 500
_HAS_DOCSTRING = 0x4000000  # a flag of code, from Python 3.13 on
_SCRIPTS = frozenset({"__main__", "__mp_main__"})
_SITES = frozenset({"site-packages", "dist-packages"})
_LIBRARIES = frozenset({"manyfit", "pyspark", "py4j", *sys.stdlib_module_names})


def fingerprint(work: object) -> dict[str, str]:
    """Return digests of a function's code and of everything it refers to, by readable names.

    Global and closure variables, defaults, decorators, methods and attributes are followed through
    the project's own code. Variables that the code itself sets are left out, and so are those that
    look like credentials.

    Example:
        >>> import functools
        >>> before = fingerprint(functools.partial(pow, exp=2))
        >>> differences(before, fingerprint(functools.partial(pow, exp=3)))
        ['exp']
    """
    return folded(walk(work))


def folded(parts: Iterable[tuple[str, object, str | None]]) -> dict[str, str]:
    """Return the digests of parts that `walk` yielded, by name."""
    found = {PYTHON: f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name, _, own in parts:
        if own is not None:
            found[name] = digest(found.get(name, ""), own)
    return found


def walk(work: object) -> Iterator[tuple[str, object, str | None]]:
    """Yield all parts of the work: their names, values, and digests if they aren't made of others.

    At most 500 parts are yielded.
    """
    queue: deque[_Part] = deque([_Part(name_of(work), work)])
    seen: dict[int, object] = {}  # keeps objects alive, so that no id is used again
    while queue and len(seen) < _MOST_PARTS:
        part = queue.popleft()
        if id(part.value) in seen and not isinstance(part.value, PLAIN):
            continue
        seen[id(part.value)] = part.value
        own, further = _look_at(part)
        yield part.name, part.value, own
        queue.extend(further)


def differences(before: Fingerprint, now: Fingerprint) -> list[str]:
    """Return the names of parts changed, added or removed; none if the Python version differs.

    Example:
        >>> differences({"Python": "3.11", "train": "1f"}, {"Python": "3.11", "train": "2e"})
        ['train']
    """
    if before.get(PYTHON) != now.get(PYTHON):
        return []
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that the work refers to, and the names mentioned by the code that led to it."""

    name: str
    value: Any
    mentioned: frozenset[str] = frozenset()


def _look_at(part: _Part) -> tuple[str | None, Iterable[_Part]]:
    """Return the digest of a part itself, if it has one, and the parts to look at next."""
    value = part.value
    if isinstance(value, type | types.FunctionType):
        return _look_at_code(value)
    if hasattr(type(value), "__wrapped__"):
        return None, [_named(value.__wrapped__)]
    inner = _inside(part)
    return (digest_of(value), ()) if inner is None else (None, inner)


def _inside(part: _Part) -> list[_Part] | None:
    """Return the parts of a value that isn't data; None for data."""
    match part.value:
        case types.ModuleType() as module:
            ours = part.mentioned & vars(module).keys() if is_ours(module) else ()
            return [_Part(name, vars(module)[name], part.mentioned) for name in sorted(ours)]
        case types.MethodType() as method:
            return [_named(method.__func__), _Part(part.name, method.__self__)]
        case functools.partial() as partial:
            placed = [_Part(f"argument {i}", each) for i, each in enumerate(partial.args)]
            return [_named(partial.func), *placed, *starmap(_Part, partial.keywords.items())]
        case staticmethod() | classmethod() as method:
            return [_named(method.__func__)]
        case value if is_ours(type(value)) and hasattr(value, "__dict__"):
            held = [_Part(name, each) for name, each in vars(value).items() if _counts(name)]
            return [_named(type(value)), *held]
    return None


def _look_at_code(value: type | types.FunctionType) -> tuple[str, list[_Part]]:
    if not is_ours(value):
        return digest(value.__module__, value.__qualname__), _wrapped(value)
    if isinstance(value, type):
        members = [
            _Part(f"{value.__name__}.{name}", each)
            for name, each in vars(value).items()
            if isinstance(each, types.FunctionType | staticmethod | classmethod | type)
            or (isinstance(each, PLAIN) and not name.startswith("__"))
        ]
        return digest(value.__qualname__), [*map(_named, value.__bases__), *members]
    return digest(*_code(value.__code__, value.__doc__)), list(_referred(value))


def _wrapped(value: type | types.FunctionType) -> list[_Part]:
    """Return the function that a library's decorator wraps."""
    wrapped = getattr(value, "__wrapped__", None)
    return [] if wrapped is None else [_named(wrapped)]


def _referred(function: types.FunctionType) -> Iterator[_Part]:
    code = function.__code__
    names = frozenset(names_in(code))
    stored = frozenset(_stored(code))
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    known = {name: each.cell_contents for name, each in cells.items() if _is_filled(each)}
    known |= {name: each for name, each in function.__globals__.items() if name in names - stored}
    known |= function.__kwdefaults__ or {}
    known |= {f"default {i}": each for i, each in enumerate(function.__defaults__ or ())}
    known |= vars(function)
    for name, value in sorted(known.items()):
        if _counts(name) and value is not function:
            yield _Part(name, value, names)


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises where nothing is in it yet
    except ValueError:
        return False
    return True


def _stored(code: types.CodeType) -> Iterator[str]:
    """Yield the names of global variables that code sets: counters and caches, not settings."""
    yield from (step.argval for step in dis.get_instructions(code) if step.opname == "STORE_GLOBAL")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _stored(constant)


def _counts(name: str) -> bool:
    return not is_secret_name(name) and not (name.startswith("__") and name != "__wrapped__")


def is_ours(value: Any) -> bool:
    """Return whether the user's own code defines it, not Python or an installed package."""
    is_module = isinstance(value, types.ModuleType)
    name = value.__name__ if is_module else getattr(value, "__module__", None) or ""
    top = name.partition(".")[0]
    if name in _SCRIPTS or name not in sys.modules:
        return True
    file = getattr(sys.modules[name], "__file__", None)
    if file is None or top in _LIBRARIES:
        return False
    return _SITES.isdisjoint(Path(file).parts)


def _named(value: object) -> _Part:
    return _Part(name_of(value).rpartition("<locals>.")[2], value)


def _code(code: types.CodeType, doc: str | None) -> Iterator[str]:
    yield from (code.co_code.hex(), str(code.co_flags & ~_HAS_DOCSTRING), str(code.co_argcount))
    yield from (str(code.co_kwonlyargcount), code.co_exceptiontable.hex())
    yield from (*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant, None)
        else:  # a function without a docstring has None in its place
            yield from told(None if constant == doc else constant)
