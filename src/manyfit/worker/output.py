"""Captures what trials print and log in a worker process, including C code and subprocesses.

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

    The streams live as long as the process, because libraries keep them. For each trial,
    descriptors 1 and 2 are redirected to its log file.
    """

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._elsewhere = os.dup(1)
        self._renew_streams()
        # Shows INFO until logging is configured. It isn't a handler of the root logger, because
        # logging.basicConfig does nothing if that has one.
        logging.lastResort = _StderrHandler(logging.INFO)
        if logging.getLogger().level == logging.WARNING:
            logging.getLogger().setLevel(logging.INFO)

    @contextlib.contextmanager
    def to(self, path: Path, secrets: Sequence[str]) -> Iterator[None]:
        """Send all output of this process to a file within the block; an empty one is deleted."""
        self._secrets = tuple(secrets)
        self._renew_streams()
        with contextlib.suppress(OSError):  # without a log, output goes elsewhere
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            log = os.open(path, flags, 0o666)  # restricted by the umask
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
        """Open the streams, again if necessary: an objective may have closed or replaced them."""
        if not isinstance(sys.stdout, _Redacted) or sys.stdout.closed:
            sys.stdout = _Redacted(1, self.redact)
        if not isinstance(sys.stderr, _Redacted) or sys.stderr.closed:
            sys.stderr = _Redacted(2, self.redact)
        self._streams: tuple[_Redacted, _Redacted] = (sys.stdout, sys.stderr)

    def _tell_what_is_lost(self) -> None:
        """Write to the log how much of it was lost, if there is room by now."""
        lost = sum(stream.descriptor.take_lost() for stream in self._streams)
        if lost:
            with contextlib.suppress(OSError):
                os.write(1, b"\n... %d bytes could not be written ...\n" % lost)

    def _flush(self) -> None:
        for stream in self._streams:
            with contextlib.suppress(ValueError, OSError):  # closed by the objective
                stream.flush()
        _libc.fflush(None)  # writes what C code has buffered

    def redact(self, data: bytes) -> bytes:
        """Return output without secrets."""
        return redact_bytes(data, self._secrets)


class _Redacted(io.TextIOWrapper):
    """A text stream to a descriptor that redacts its output."""

    def __init__(self, fd: int, redact: Callable[[bytes], bytes]) -> None:
        self.descriptor = _RedactedDescriptor(fd, redact)
        buffer = io.BufferedWriter(self.descriptor)
        super().__init__(buffer, "utf-8", "backslashreplace", line_buffering=True)


class _RedactedDescriptor(io.FileIO):
    """A raw stream that counts what it can't write: a full disk must not fail a trial."""

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
        """Return the number of bytes lost since the last call."""
        lost, self._lost = self._lost, 0
        return lost


class _StderrHandler(logging.Handler):
    """Writes to whatever `sys.stderr` is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{LINE.format(record)}\n")
        except Exception:  # noqa: BLE001 - as all of logging's own handlers do
            self.handleError(record)
