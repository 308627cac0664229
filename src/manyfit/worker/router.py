"""Captures what trials print and log in the driver's own process.

::

    print ──► sys.stdout, which finds the trial it belongs to ──► log (and terminal)

Output through `sys.stdout`, `sys.stderr` and `logging` is captured; that of C libraries is not.
"""

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO, cast

from manyfit._redact import redact
from manyfit.worker.logs import LINE, MOST, finalise, shorten


class _Log:
    """A trial's log file in the driver's process, created on the first write."""

    def __init__(self, path: Path, secrets: Sequence[str], *, tee: bool) -> None:
        self.tee = tee
        self._path = path
        self._secrets = secrets
        self._file: io.FileIO | None = None
        self._lock = threading.Lock()
        self._lost = 0  # bytes that could not be written: a full disk doesn't fail the trial
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

    def write(self, text: str) -> None:
        data = redact(text, self._secrets).encode("utf-8", "backslashreplace")
        with self._lock:
            try:
                self._append(data)
            except OSError:
                self._lost += len(data)

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = io.FileIO(self._path, "ab")
        elif self._file.tell() > 2 * MOST:
            shorten(self._path, self._secrets)
            self._file.seek(0, os.SEEK_END)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def close(self) -> None:
        with self._lock:
            if self._file is None:
                return
            if self._lost:
                with contextlib.suppress(OSError):
                    self._append(b"\n... %d bytes could not be written ...\n" % self._lost)
            self._file.close()
            self._file = None
            finalise(self._path, self._secrets)


_log: ContextVar[_Log | None] = ContextVar("manyfit_log", default=None)
_lock = threading.Lock()
_captures = 0
_alone: _Log | None = None  # the log of the only trial in this process, including its threads


def _current() -> _Log | None:
    return _log.get() or _alone


class _Router(io.TextIOBase):
    """Replaces `sys.stdout` or `sys.stderr`, and sends a trial's output to its log.

    Other code may keep a reference after it was uninstalled; it then passes everything on.
    """

    def __init__(self, original: TextIO) -> None:
        self.original = original

    def write(self, text: str) -> int:
        log = _current()
        if log is not None:
            log.write(text)
        if log is None:
            self.original.write(text)
        elif log.tee:
            with contextlib.suppress(OSError):  # a closed terminal doesn't fail a trial
                self.original.write(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        with contextlib.suppress(OSError) if _current() else contextlib.nullcontext():
            self.original.flush()

    def close(self) -> None:
        """Do nothing: an objective must not close the driver's terminal."""

    def fileno(self) -> int:
        return self.original.fileno()

    def isatty(self) -> bool:
        return self.original.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _LogHandler(logging.Handler):
    """Copies log records into the trial's log if no handler writes to a routed stream."""

    def emit(self, record: logging.LogRecord) -> None:
        log = _current()
        if log is None or record.name.partition(".")[0] == "manyfit" or _shown_by_router():
            return
        try:
            log.write(f"{LINE.format(record)}\n")
        except Exception:  # noqa: BLE001 - as all of logging's own handlers do
            self.handleError(record)


def _shown_by_router() -> bool:
    handlers = logging.getLogger().handlers
    return any(isinstance(getattr(handler, "stream", None), _Router) for handler in handlers)


_handler = _LogHandler(logging.INFO)


@contextlib.contextmanager
def in_driver(path: Path, secrets: Sequence[str], *, alone: bool) -> Iterator[None]:
    """Within the block, write the output of the trial in this thread to a file.

    Args:
        path: The log file, which is not created without output.
        secrets: Values to redact.
        alone: Whether it is the only trial in this process. Its output is then also shown on the
            terminal, and that of its threads is captured.
    """
    global _alone
    log = _Log(path, secrets, tee=alone)
    token = _log.set(log)
    outer = _alone
    if alone:
        _alone = log
    _install()
    try:
        yield
    finally:
        _uninstall()
        _alone = outer
        _log.reset(token)
        log.close()


_routers: dict[str, _Router] = {}


def _install() -> None:
    global _captures
    with _lock:
        _captures += 1
        sys.stdout = _routed("stdout", sys.stdout)
        sys.stderr = _routed("stderr", sys.stderr)
        root = logging.getLogger()
        if root.handlers:  # without handlers, logging.lastResort and basicConfig must keep working
            root.addHandler(_handler)  # adding it again does nothing


def _routed(name: str, stream: TextIO) -> TextIO:
    if isinstance(stream, _Router):
        return stream
    router = _routers.get(name)
    if router is None or router.original is not stream:
        # Kept alive forever: when it is uninstalled, `print` in another thread may be using it, and
        # older Pythons hold no reference: https://github.com/python/cpython/issues/130163
        router = _routers[name] = _Router(stream)
    return cast("TextIO", router)


def _uninstall() -> None:
    global _captures
    with _lock:
        _captures -= 1
        if _captures:
            return
        logging.getLogger().removeHandler(_handler)
        if isinstance(sys.stdout, _Router):
            sys.stdout = sys.stdout.original
        if isinstance(sys.stderr, _Router):
            sys.stderr = sys.stderr.original
