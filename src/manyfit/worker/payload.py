"""Pack the work for its journey to worker processes, or name what in it can't travel."""

import functools
import importlib.machinery
import os
import sys
import tempfile
import types
from typing import Any

import cloudpickle

from manyfit.errors import ObjectiveError
from manyfit.worker.blame import blame
from manyfit.worker.work import Site, Work


class Payload:
    """The pickled work, in a file that has no name and that every slot reads.

    A file, because writing a large objective to a pipe would wait for a worker that is still
    starting.

    Args:
        data: What `pack` returned.
        site: Where and how the worker processes work.
    """

    def __init__(self, data: bytes, site: Site) -> None:
        self.site = site
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
        raise ObjectiveError(blame(work, error)) from error
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
