"""A study's record as a file of JSON lines: `journal.jsonl` in the study's folder.

A line is whole once its newline is there. Only the last one can be torn, because a failed write is
taken back before the next one starts; a torn one was never committed, so nobody has acted on it.
"""

import contextlib
import fcntl
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from manyfit.errors import JournalCorruptError, JournalError
from manyfit.events import Event, encode, from_record
from manyfit.journal.lock import StudyLock
from manyfit.journal.upgrade import upgrade

FILE_NAME = "journal.jsonl"
LOCK_NAME = "lock"

_log = logging.getLogger("manyfit")


class FileJournal:
    """The journal in a study's folder, held by this driver until `close`.

    A torn last line, which a death while writing leaves, is cut off (and logged) when it is opened.
    A write that fails is taken back: the journal stays readable, and the next append may work.

    Args:
        folder: The study's own folder; made if missing, with its parents.

    Raises:
        StudyLockedError: Another driver holds the study.
        JournalError: The folder can't be made or written.

    Example:
        >>> from manyfit.events import StudyEnded
        >>> with FileJournal(Path(getfixture("tmp_path")) / "fashion") as journal:
        ...     events = list(journal.read())
        ...     journal.append(StudyEnded("64 trials are done", at=1.0))
        ...     journal.commit()
    """

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()  # an objective may change the working folder
        self.path = folder / FILE_NAME
        _make_folder(folder)
        self._lock = StudyLock(folder / LOCK_NAME)
        self._file: int | None = None
        try:
            self._file = _open(self.path)
            self._size = self._durable = _repair(self._file, self.path)
        except BaseException:
            self._release()
            raise
        self._torn = False  # bytes beyond `_size` are in the file, or may be
        self._refusal: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> Iterator[Event]:
        """Yield every event, oldest first; to be exhausted before the first `append`.

        Raises:
            JournalCorruptError: A line is damaged.
            JournalError: The file can't be read, or a newer Manyfit wrote it.
        """
        return _decode_lines(self.path, may_be_torn=False)

    def append(self, event: Event) -> None:
        """Add an event. It may be lost until `commit` returns.

        Raises:
            JournalError: It can't be written; what was written before stays readable.
        """
        file = self._writable()
        line = f"{encode(event)}\n".encode("ascii")
        self._torn = True  # also if a signal's exception comes between two partial writes
        try:
            _write(file, line)
        except OSError as error:
            self._take_back(file)
            raise JournalError(f"can't write to {self.path}: {error.strerror}") from error
        self._size += len(line)
        self._torn = False

    def commit(self) -> None:
        """Return once every appended event would survive a power cut; free if there is none.

        Raises:
            JournalError: The disk refuses. What was not committed is dropped, and the journal takes
                no more: after a failed sync the kernel forgets what it could not write.
        """
        file = self._writable()
        if self._size == self._durable:
            return
        try:
            _sync(file)
        except OSError as error:
            self._refusal = f"can't save {self.path}: {error.strerror}"
            self._size = self._durable
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
            raise JournalError(self._refusal) from error
        self._durable = self._size

    def close(self) -> None:
        """Commit, and let another driver have the study. Safe to call twice."""
        if self._file is None:
            return
        try:
            if self._refusal is None:
                self.commit()
        finally:
            self._release()

    def _writable(self) -> int:
        if self._file is None:
            raise JournalError(f"{self.path} is closed; open the study again to go on")
        if self._refusal is not None:
            raise JournalError(self._refusal)
        if self._torn:
            self._take_back(self._file)
        return self._file

    def _take_back(self, file: int) -> None:
        try:
            os.ftruncate(file, self._size)
        except OSError as error:
            raise JournalError(f"can't mend {self.path}: {error.strerror}") from error
        self._torn = False

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._lock.release()


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a journal without holding it, also while a driver writes to it.

    A torn last line is left out and left alone.

    Args:
        path: The journal, or the study's folder.

    Raises:
        JournalCorruptError: A line other than the last is damaged.
        JournalError: The file can't be read, or a newer Manyfit wrote it.
    """
    return _decode_lines(path / FILE_NAME if path.is_dir() else path, may_be_torn=True)


def _decode_lines(path: Path, *, may_be_torn: bool) -> Iterator[Event]:
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield from_record(upgrade(json.loads(line.decode())))
                except (ValueError, TypeError, AttributeError) as error:
                    if may_be_torn and not _is_whole(line) and _is_last(line, file):
                        return
                    raise JournalCorruptError(_damage(path, number, line, error)) from error
    except OSError as error:
        raise JournalError(f"can't read {path}: {error.strerror}") from error
    except JournalCorruptError:
        raise
    except JournalError as error:
        raise JournalError(f"can't read line {number} of {path}: {error}") from error


def _damage(path: Path, number: int, line: bytes, error: Exception) -> str:
    start = line[:80].decode("utf-8", "backslashreplace").rstrip("\n")
    return (
        f"line {number} of {path} is damaged ({error}): {start!r}. "
        "It is not the torn end of an interrupted write, so nothing was repaired. Restore the file "
        "from a backup, or copy it and delete the line by hand if you can do without it"
    )


def _is_whole(line: bytes) -> bool:
    """Whether a line is JSON; no proper beginning of an object is."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _is_last(line: bytes, file: BinaryIO) -> bool:
    # Without its newline it was the end of the file when it was read, though a driver may have
    # written the rest since.
    return not line.endswith(b"\n") or not file.read(1)


def _make_folder(folder: Path) -> None:
    """Make a folder so that it survives a power cut: each new name is synced in its parent."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"can't make the study's folder {folder}: {error.strerror}. "
            "Give tune(folder=...) a folder you may write to"
        ) from error
    for path in missing:
        _sync_folder(path.parent)


def _open(path: Path) -> int:
    is_new = not path.exists()
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise JournalError(f"can't write to {path}: {error.strerror}") from error
    if is_new:
        _sync_folder(path.parent)
    return file


def _repair(file: int, path: Path) -> int:
    """Cut a torn last line off, complete one that only lacks its newline; return the size since."""
    size = os.fstat(file).st_size
    try:
        start, line = _last_line(file, size)
        if line and not _is_whole(line):
            os.ftruncate(file, start)
            _log.warning(
                "%s: its last line was torn when a driver died while writing it. Its %d bytes were "
                "cut off; nothing that was acted on is lost",
                path,
                size - start,
            )
            size = start
        elif line and not line.endswith(b"\n"):  # edited by hand, and saved without it
            _write(file, b"\n")
            size += 1
        # What a dead driver wrote and never committed is about to be acted on.
        _sync(file)
    except OSError as error:
        raise JournalError(f"can't repair the end of {path}: {error.strerror}") from error
    return size


def _last_line(file: int, size: int) -> tuple[int, bytes]:
    """Return where the last line starts, and the line, without reading the whole file."""
    chunk = 1 << 16
    tail = b""
    start = size
    while start > 0:
        length = min(chunk, start)
        start -= length
        tail = os.pread(file, length, start) + tail
        newline = tail.rfind(b"\n", 0, len(tail) - 1)
        if newline >= 0:
            return start + newline + 1, tail[newline + 1 :]
    return 0, tail


def _write(file: int, data: bytes) -> None:
    written = os.write(file, data)
    while written < len(data):  # a disk that is nearly full takes a part, and refuses the rest
        written += os.write(file, data[written:])


def _sync(file: int) -> None:
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # fsync there stops at the drive's cache
    else:
        os.fdatasync(file)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some network file systems can't sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
