"""Pickles the work for worker processes, or names the part that can't be pickled."""

import contextlib
import functools
import importlib.machinery
import inspect
import os
import secrets
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any

import cloudpickle

from manyfit._held import close_held, hold
from manyfit.errors import ObjectiveError
from manyfit.worker import guard
from manyfit.worker.blame import blame
from manyfit.worker.work import Site, Work


class Payload:
    """The pickled work, in an unnamed file that every slot reads, and the guard of its workers.

    It is a file because writing a large objective to a pipe would block until the worker has
    started.

    Attributes:
        has_loaded: Whether a worker has unpickled it; if another can't, its machine is the cause.

    Args:
        data: The result of `pack`.
        site: The location and settings of the worker processes.
    """

    def __init__(self, data: bytes, site: Site) -> None:
        self.site = site
        self.size = len(data)
        self.has_loaded = False
        self._mark = secrets.token_hex(8)
        self._marked = 0
        self._guard: subprocess.Popen[bytes] | None = None
        self._leash = -1  # the guard's pipe, which closes when this process dies
        self._file = tempfile.TemporaryFile(prefix="manyfit-")  # noqa: SIM115
        self._file.write(data)
        self._file.flush()

    def fileno(self) -> int:
        """Return the descriptor to pass to a worker process."""
        return self._file.fileno()

    def mark(self) -> str:
        """Return the mark of the next worker; from now on, no worker outlives this process.

        Raises:
            OSError: No process can be started.
        """
        if self._guard is None or self._guard.poll() is not None:
            self._dismiss_guard()
            self._guard, self._leash = _stand_guard(self._mark)
        self._marked += 1
        return f"{self._mark}-{self._marked}."

    def close(self) -> None:
        """Close the file and dismiss the guard, once all workers have ended."""
        self._file.close()
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            close_held(self._leash)
            self._guard = None


def _stand_guard(mark: str) -> "tuple[subprocess.Popen[bytes], int]":
    """Start a guard; returns it, and the descriptor for whose closing it waits."""
    environ = {name: value for name, value in os.environ.items() if name != guard.MARK}
    program = inspect.getsource(guard).encode("ascii", "backslashreplace")  # for any locale
    theirs, ours = os.pipe()
    hold(ours)
    try:
        started = subprocess.Popen(  # noqa: S603 - this Python, with a program of our own
            [sys.executable, "-I", "-S", "-c", program, mark],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environ,
            start_new_session=True,
        )
    except OSError:
        close_held(ours)
        raise
    finally:
        os.close(theirs)
    return started, ours


def unpack(fd: int) -> Work:
    """Return the work from the file of a `Payload`; exceptions of unpickling pass through."""
    # pread, not read: slots share the descriptor's position.
    with open(fd, "rb", closefd=True):
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        work: Work = cloudpickle.loads(data)
        return work


def pack(work: Work) -> bytes:
    """Pickle the work.

    Functions of `__main__`, lambdas and closures are pickled by value, those of modules by name. A
    module that a new process wouldn't find is pickled by value, too.

    Raises:
        ObjectiveError: Something in it can't be pickled.
    """
    with unfindable_by_value(work.objective):
        try:
            data: bytes = cloudpickle.dumps(work)
        except Exception as error:
            raise ObjectiveError(blame(work, error)) from error
        return data


@contextlib.contextmanager
def unfindable_by_value(function: object) -> Iterator[None]:
    """Have cloudpickle pickle a function's module by value if a new process wouldn't find it."""
    module = _unfindable_module(function)
    if module is not None:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
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
    """Return the file from which a new process would load a module; None if unknown."""
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
