"""A trial's log file: bounded in length, without credentials, absent if empty.

A problem with a log, such as a full disk, never fails a trial: the log is then shorter, or missing.
"""

import contextlib
import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from manyfit._redact import redact, secret_values
from manyfit.trial import log_name

# The format of a log record.
LINE = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")

# The number of first bytes, and of all bytes, that are kept of a log. A growing log may have twice
# as many.
HEAD = 1 << 20
MOST = 4 << 20
# Bytes removed at a cut, longer than any credential: they contain one that was cut in half.
_MARGIN = 1 << 12
_LEFT_OUT = re.compile(rb"\n\.\.\. (\d+) bytes left out \.\.\.\n")

logger = logging.getLogger("manyfit")


def finalise(path: Path, secrets: Sequence[str] | None = None) -> None:
    """Redact and shorten a log whose writer has ended or was killed; delete an empty one.

    The file is replaced as a whole, so a reader sees either the old or the new version, provided
    that the disk has room for both.
    """
    known = secret_values() if secrets is None else tuple(secrets)
    with contextlib.suppress(OSError), path.open("rb") as file:
        _lock(file)
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            path.unlink()
            return
        kept = shortened(file, known)
        file.seek(0)
        if size > MOST or file.read(size) != kept:
            _replace(path, kept)


def shorten(path: Path, secrets: Sequence[str]) -> None:
    """Shorten a log that is too long, in place, because processes are still writing to it.

    What they write at the very moment when the file is cut is lost.
    """
    with contextlib.suppress(OSError), path.open("r+b") as file:
        if not _lock(file, fcntl.LOCK_NB):
            return  # the log is being finalised
        kept = shortened(file, secrets)
        end = file.tell()
        file.seek(0)
        file.write(kept)
        file.seek(end)
        newer = file.read()  # written while this function was at work: often the trial's last words
        file.truncate(len(kept))
        file.seek(0, os.SEEK_END)
        file.write(newer)


def _lock(file: BinaryIO, flags: int = 0) -> bool:
    """Lock a log; returns False if another process has locked it. Some file systems can't lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | flags)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def is_too_long(path: Path) -> bool:
    """Return whether a growing log should be shortened."""
    try:
        return path.stat().st_size > 2 * MOST
    except OSError:
        return False


def shortened(file: BinaryIO, secrets: Sequence[str]) -> bytes:
    """Return a redacted log; the middle of a very long one is replaced by a note of its length.

    The log may still be growing, and may have been shortened before. All that was looked at is
    before the file's position.
    """
    end = size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= MOST:
        return redact_bytes(file.read(size), secrets)
    beginning = file.read(HEAD)
    before = list(_LEFT_OUT.finditer(beginning, HEAD - 2 * _MARGIN))
    if before:
        size += int(before[-1][1]) - len(before[-1][0])
        beginning = beginning[: before[-1].start()]
    head = redact_bytes(beginning, secrets)
    head = head if before else head[:-_MARGIN]
    file.seek(end - (MOST - HEAD))
    tail = redact_bytes(file.read(MOST - HEAD), secrets)[_MARGIN:]
    left_out = size - len(head) - len(tail)
    return head + b"\n... %d bytes left out ...\n" % left_out + tail


def _replace(path: Path, kept: bytes) -> None:
    try:
        with (
            tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as new,
            _removed_on_failure(new.name),
        ):
            new.write(kept)
            new.flush()
            os.fchmod(new.fileno(), path.stat().st_mode)  # keeps the permissions
            Path(new.name).replace(path)
    except OSError:
        path.write_bytes(kept)  # truncates the file first, which makes room


@contextlib.contextmanager
def _removed_on_failure(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_log(folder: Path, number: int, attempt: int, data: bytes) -> None:
    """Write an attempt's log into a study's folder, replacing any earlier one.

    It is replaced as a whole: a reader sees either the old or the new version.
    """
    try:
        path = _log_in(folder, number, attempt)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        with _removed_on_failure(str(part)):
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        logger.warning("the log of trial %d can't be kept: %s.", number, error)


def extend_log(folder: Path, number: int, attempt: int, data: bytes) -> None:
    """Append to an attempt's log in a study's folder, if there is room."""
    with contextlib.suppress(OSError), _log_in(folder, number, attempt).open("ab") as file:
        file.write(data)


def _log_in(folder: Path, number: int, attempt: int) -> Path:
    path = folder / "logs" / log_name(number, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def redact_bytes(data: bytes, secrets: Sequence[str]) -> bytes:
    """Redact output, which may have any encoding and be cut anywhere."""
    text = data.decode("utf-8", "surrogateescape")
    redacted = redact(text, secrets)
    return data if redacted is text else redacted.encode("utf-8", "surrogateescape")
