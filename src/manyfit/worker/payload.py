"""Pack the work for its journey to worker processes, or name what in it can't travel."""

import functools
import importlib.machinery
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cloudpickle

from manyfit.errors import ObjectiveError
from manyfit.worker.work import Work

_DEEPEST = 8
_MOST_ITEMS = 1000


class Payload:
    """The pickled work, in a file that has no name and that every slot reads.

    A file, because writing a large objective to a pipe would wait for a worker that is still
    starting.

    Args:
        work: What every trial shares.

    Raises:
        ObjectiveError: It can't be pickled; names the variable to blame.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        data = pack(work)
        self.size = len(data)
        self._file = tempfile.TemporaryFile(prefix="manyfit-")  # noqa: SIM115
        self._file.write(data)
        self._file.flush()

    def fileno(self) -> int:
        """Return the descriptor to hand to a worker process."""
        return self._file.fileno()

    def close(self) -> None:
        """Give the file up; workers that have it open keep it."""
        self._file.close()


def unpack(fd: int) -> Work:
    """Return the work from the file of a `Payload`; raises whatever unpickling raises."""
    # Not read(): slots share the descriptor's position.
    with open(fd, "rb", closefd=True):
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        work: Work = cloudpickle.loads(data)
        return work


def pack(work: Work) -> bytes:
    """Pickle the work.

    Functions of `__main__`, lambdas and closures travel by value, those of modules by name. A
    module that a fresh process wouldn't find travels by value, too.

    Raises:
        ObjectiveError: Something in it can't be pickled.
    """
    module = _unfindable_module(work.objective)
    if module is not None:
        cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps(work)
    except Exception as error:
        raise ObjectiveError(_blame(work, error)) from error
    else:
        return data
    finally:
        if module is not None:
            cloudpickle.unregister_pickle_by_value(module)


def _unfindable_module(objective: object) -> types.ModuleType | None:
    """Return the objective's module if importing its name elsewhere would not give that module."""
    while isinstance(objective, functools.partial):
        objective = objective.func
    owner = objective if hasattr(objective, "__qualname__") else type(objective)
    name = getattr(owner, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    file = getattr(module, "__file__", None)
    if module is None or file is None or name == "__main__":
        return None
    if module.__name__ in cloudpickle.list_registry_pickle_by_value():
        return None
    return None if _find(module.__name__) == os.path.realpath(file) else module


def _find(name: str) -> str | None:
    """Return the file that a fresh process would load a module from; None if it can't tell."""
    path: Any = None
    spec: importlib.machinery.ModuleSpec | None = None
    parts = name.split(".")
    for depth in range(len(parts)):
        spec = _find_spec(".".join(parts[: depth + 1]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return os.path.realpath(spec.origin) if spec is not None and spec.origin else None


def _find_spec(name: str, path: Any) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


# ── blame ─────────────────────────────────────────────────────────────────────────────────────────


def _blame(work: Work, error: Exception) -> str:
    name = getattr(work.objective, "__qualname__", type(work.objective).__name__)
    if _pickles(work.objective):
        return f"the space or the metric can't be sent to a worker process: {_said(error)}"
    path, culprit = _trace(work.objective)
    what = f"its {' → its '.join(path)} is" if path else "it is"
    kind = f"{type(culprit).__module__}.{type(culprit).__qualname__}".removeprefix("builtins.")
    return (
        f"the objective {name} can't be sent to a worker process: {what} of type {kind}, which "
        f"can't be pickled ({_said(error)}). Create it inside the objective, or use "
        "executor='threads' or 'inline'"
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _pickles(value: object) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:  # noqa: BLE001 - objects raise what they like from their own hooks
        return False
    return True


def _trace(value: object) -> tuple[list[str], object]:
    """Follow what can't be pickled to where it starts; returns the way there and the culprit."""
    path: list[str] = []
    seen = {id(value)}
    while len(path) < _DEEPEST:
        for name, part in _parts(value):
            if id(part) not in seen and not _pickles(part):
                seen.add(id(part))
                path.append(name)
                value = part
                break
        else:
            break
    return path, value


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield what an object consists of, by names that a person recognises."""
    if isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield "object", value.__self__
        yield "function", value.__func__
    elif isinstance(value, functools.partial):
        yield "function", value.func
        yield from ((f"argument {i}", part) for i, part in enumerate(value.args))
        yield from ((f"argument {name!r}", part) for name, part in value.keywords.items())
    elif isinstance(value, Mapping):
        items = list(value.items())[:_MOST_ITEMS]
        yield from ((f"item {key!r:.50}", part) for key, part in items)
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"item {i}", part) for i, part in enumerate(list(value)[:_MOST_ITEMS]))
    elif isinstance(value, type):
        yield from ((f"attribute {name!r}", part) for name, part in vars(value).items())
    else:
        yield from _parts_of_instance(value)


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"closure variable {name!r}", cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield f"global variable {name!r}", function.__globals__[name]
    defaults: Mapping[str, Callable[..., Any]] = function.__kwdefaults__ or {}
    yield from ((f"default of {name!r}", part) for name, part in defaults.items())
    yield from ((f"default {i}", part) for i, part in enumerate(function.__defaults__ or ()))
    yield from ((f"attribute {name!r}", part) for name, part in vars(function).items())


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _parts_of_instance(value: object) -> Iterator[tuple[str, object]]:
    yield from (
        (f"attribute {name!r}", part) for name, part in getattr(value, "__dict__", {}).items()
    )
    slots = (name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
    for name in slots:
        if hasattr(value, name):
            yield f"attribute {name!r}", getattr(value, name)
