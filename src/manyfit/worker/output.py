"""Capture what trials print and log in a worker process, C libraries and subprocesses included.

::

    print, logging ──► redacted ──► descriptors 1 and 2 ──► the trial's log
    C code, subprocesses ──────────►
"""

import contextlib
import ctypes
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from manyfit.worker.logs import LINE, finalise, redact_bytes

_libc = ctypes.CDLL(None)


class ProcessOutput:
    """The output of a worker process, which runs one trial after another: one log file each.

    The streams live as long as the process, since libraries keep them: what moves from file to file
    is what descriptors 1 and 2 stand for.
    """

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._elsewhere = os.dup(1)
        self._renew_streams()
        # Shows INFO as well, as long as nobody configures logging, and stays out of the way of
        # logging.basicConfig, which does nothing once the root logger has a handler.
        logging.lastResort = _StderrHandler(logging.INFO)
        if logging.getLogger().level == logging.WARNING:
            logging.getLogger().setLevel(logging.INFO)

    @contextlib.contextmanager
    def to(self, path: Path, secrets: Sequence[str]) -> Iterator[None]:
        """Send all output of this process to a file within the block; an empty one is deleted."""
        self._secrets = tuple(secrets)
        self._renew_streams()
        with contextlib.suppress(OSError):  # without a log, it goes where it goes between trials
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            log = os.open(path, flags, 0o666)  # less what the umask takes away
            self._point_at(log)
            os.close(log)
        try:
            yield
        finally:
            self._flush()
            self._tell_what_is_lost()
            self._point_at(self._elsewhere)
            finalise(path, secrets)

    def _point_at(self, fd: int) -> None:
        os.dup2(fd, 1)
        os.dup2(fd, 2)

    def _renew_streams(self) -> None:
        """Open the streams, also again: an objective may have closed or replaced them."""
        if not isinstance(sys.stdout, _Redacted) or sys.stdout.closed:
            sys.stdout = _Redacted(1, self.redact)
        if not isinstance(sys.stderr, _Redacted) or sys.stderr.closed:
            sys.stderr = _Redacted(2, self.redact)
        self._streams: tuple[_Redacted, _Redacted] = (sys.stdout, sys.stderr)

    def _tell_what_is_lost(self) -> None:
        """Say in the log how much could not be written to it, if that has room by now."""
        lost = sum(stream.descriptor.take_lost() for stream in self._streams)
        if lost:
            with contextlib.suppress(OSError):
                os.write(1, b"\n... %d bytes could not be written ...\n" % lost)

    def _flush(self) -> None:
        for stream in self._streams:
            with contextlib.suppress(ValueError, OSError):  # closed by the objective
                stream.flush()
        _libc.fflush(None)  # what C code has printed and not yet written

    def redact(self, data: bytes) -> bytes:
        """Return output as it may be written."""
        return redact_bytes(data, self._secrets)


class _Redacted(io.TextIOWrapper):
    """A text stream onto a descriptor, which redacts what passes."""

    def __init__(self, fd: int, redact: Callable[[bytes], bytes]) -> None:
        self.descriptor = _RedactedDescriptor(fd, redact)
        buffer = io.BufferedWriter(self.descriptor)
        super().__init__(buffer, "utf-8", "backslashreplace", line_buffering=True)


class _RedactedDescriptor(io.FileIO):
    """Writes what it can: a full disk must not fail a trial that prints."""

    def __init__(self, fd: int, redact: Callable[[bytes], bytes]) -> None:
        super().__init__(fd, "wb", closefd=False)
        self._redact = redact
        self._lost = 0

    def write(self, data: Any) -> int:
        original = bytes(data)
        redacted = memoryview(self._redact(original))
        try:
            while redacted:
                redacted = redacted[super().write(redacted) :]
        except OSError:
            self._lost += len(redacted)
        return len(original)

    def take_lost(self) -> int:
        """Return how many bytes have been lost since it was last asked."""
        lost, self._lost = self._lost, 0
        return lost


class _StderrHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{LINE.format(record)}\n")
        except Exception:  # noqa: BLE001 - as all of logging's own handlers do
            self.handleError(record)
