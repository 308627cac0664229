"""A journal as a file of JSON lines: `journal.jsonl` in the study's folder.

A line is complete once its newline is written. Only the last one can be torn, because a failed
write is undone before the next one starts. A torn line was never committed, so nothing has acted on
it. Checksums chain the lines, so that damaged, missing and moved lines are detected; only a file
that ends early, after a complete line, looks as if the driver had died there.

If the file is deleted or truncated while its study runs, the next commit notices and writes it
again; damage in place is repaired at the study's end. If another process has replaced the file, it
is left alone: the study ends, and its events are saved as a study of their own next to it.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Self

from manyfit._held import close_held, is_held, open_held
from manyfit.errors import JournalCorruptError, JournalError, StudyLockedError
from manyfit.events import Event
from manyfit.journal.copy import Copy, saved_folder, state_of
from manyfit.journal.disk import make_folder, sync, sync_folder, write
from manyfit.journal.line import checksum_of, from_line, is_sealed, is_whole, to_line
from manyfit.journal.lock import StudyLock, hold

FILE_NAME = "journal.jsonl"
LOCK_NAME = "lock"

_log = logging.getLogger("manyfit")


class FileJournal:
    """The journal in a study's folder, locked by this driver until `close`.

    Opening it cuts off (and logs) a torn last line, which a death while writing leaves. A write
    that fails is undone: the journal stays readable, and the next append may succeed.

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
        make_folder(folder)
        self._lock = StudyLock(folder / LOCK_NAME)
        self._file: int | None = None
        try:
            self._file = _open(self.path)
            self._durable = _repair(self._file, self.path)
            self._checksum = _checksum_before(self._file, self._durable)
            self._copy = Copy()
            self._copy.add_file(self._file)
        except BaseException:
            self._release()
            raise
        self._batch = bytearray()  # appended, not committed yet
        self._torn = False  # whether other bytes than these may follow the committed ones
        self._refusal: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> Iterator[Event]:
        """Yield every event, oldest first; exhaust it before the first `append`.

        Raises:
            JournalCorruptError: A line is damaged.
            JournalError: The file can't be read, or a newer Manyfit wrote it.
        """
        return _decode_lines(self.path, may_be_torn=False)

    def append(self, event: Event) -> None:
        """Add an event. It may be lost until `commit` returns.

        Raises:
            JournalError: The event can't be written; earlier ones stay readable.
        """
        file = self._writable()
        line = to_line(event, checksum_of(self._batch) if self._batch else self._checksum)
        self._torn = True  # a signal's exception may come between two partial writes
        try:
            write(file, line)
        except OSError as error:
            self._take_back(file)
            raise JournalError(f"can't write to {self.path}: {error.strerror}") from error
        self._batch += line
        self._torn = False

    def commit(self) -> None:
        """Return once every appended event would survive a power cut; free if there are none.

        Raises:
            JournalError: The disk refuses. Events not committed are dropped, and the journal
                accepts no more: after a failed sync the kernel discards what it could not write
                (https://wiki.postgresql.org/wiki/Fsync_Errors). Or another process has written to
                the file; the message says where this driver's events are.
        """
        file = self._writable()
        if not self._batch:
            return
        file = self._in_place(file)
        try:
            sync(file)
        except OSError as error:
            self._refusal = f"can't save {self.path}: {error.strerror}"
            self._batch.clear()
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._durable)
            raise JournalError(self._refusal) from error
        self._copy.add(bytes(self._batch))
        self._durable += len(self._batch)
        self._checksum = checksum_of(self._batch)
        self._batch.clear()

    def close(self) -> None:
        """Commit, and release the study for another driver. Safe to call twice.

        If the file has been damaged meanwhile, it is written again, with a warning.
        """
        if self._file is None:
            return
        try:
            if self._refusal is None and is_held(self._file):  # a forked process does nothing
                self.commit()
                self._in_place(self._file, to_the_byte=True)
        finally:
            self._release()

    def _in_place(self, file: int, *, to_the_byte: bool = False) -> int:
        """Return the open file, after restoring it at its path if needed."""
        try:
            state = state_of(file, self.path, self._durable + len(self._batch))
            if state == "whole" and to_the_byte and not self._copy.is_in(file):
                state = "damaged"
            if state == "whole":
                return file
            if state == "taken":
                self._leave()
            file = self._write_again(None if state == "deleted" else file)
        except StudyLockedError:
            self._leave()
        except OSError as error:
            self._refusal = f"{self.path} is gone, and can't be written again: {error.strerror}"
            raise JournalError(self._refusal) from error
        _log.warning(
            "%s was %s while the study ran. The journal was written again; other contents of its "
            "folder, such as logs, were not",
            self.path,
            state,
        )
        return file

    def _write_again(self, file: int | None) -> int:
        """Write the whole journal into its file, or into a new one if there is none."""
        if file is None:
            make_folder(self.path.parent)
            self._release()
            self._lock = StudyLock(self.path.with_name(LOCK_NAME))
            file = self._file = _open(self.path)
            if os.fstat(file).st_size:
                self._leave()
        os.ftruncate(file, 0)
        for part in (*self._copy, bytes(self._batch)):
            write(file, part)
        sync(file)
        return file

    def _leave(self) -> NoReturn:
        """Save this driver's events as a study of their own, and leave the other file alone."""
        saved = saved_folder(self.path.parent)
        make_folder(saved)
        (saved / FILE_NAME).write_bytes(b"".join((*self._copy, self._batch)))
        self._refusal = (
            f"{self.path} was changed by another process while the study ran, so this driver has "
            f"ended. Its events are saved as study {saved.name!r} ({saved}): `manyfit show` reads "
            f"it, and the same call continues it under name={saved.name!r}"
        )
        raise JournalError(self._refusal)

    def _writable(self) -> int:
        if self._file is None:
            raise JournalError(f"{self.path} is closed; open the study again to continue")
        if self._refusal is not None:
            raise JournalError(self._refusal)
        if self._torn:
            self._take_back(self._file)
        return self._file

    def _take_back(self, file: int) -> None:
        try:
            os.ftruncate(file, self._durable + len(self._batch))
        except OSError as error:
            raise JournalError(f"can't repair {self.path}: {error.strerror}") from error
        self._torn = False

    def _release(self) -> None:
        if self._file is not None:
            close_held(self._file)
            self._file = None
        self._lock.release()


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a journal without locking it, even while a driver writes to it.

    A torn last line is skipped, and left in the file.

    Args:
        path: The journal, or the study's folder.

    Raises:
        JournalCorruptError: A complete line is damaged.
        JournalError: The file can't be read, or a newer Manyfit wrote it.
    """
    return _decode_lines(path / FILE_NAME if path.is_dir() else path, may_be_torn=True)


def _decode_lines(path: Path, *, may_be_torn: bool) -> Iterator[Event]:
    number = before = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield from_line(line, before)
                except ValueError as error:
                    if may_be_torn and not _may_be_whole(line, before):
                        return
                    said = _damage(path, number, line, error)
                    raise JournalCorruptError(said, number) from error
                before = checksum_of(line)
    except OSError as error:
        raise JournalError(f"can't read {path}: {error.strerror}") from error
    except JournalCorruptError:
        raise
    except JournalError as error:
        raise JournalError(f"can't read line {number} of {path}: {error}") from error


def _damage(path: Path, number: int, line: bytes, error: Exception) -> str:
    start = line[:80].decode("utf-8", "backslashreplace").rstrip("\n")
    remedy = (
        "or copy it and cut it off before this line: the study continues from there"
        if number > 1
        else "or move it away: the study begins anew"
    )
    return (
        f"line {number} of {path} is damaged ({error}): {start!r}. It is not the torn end of an "
        f"interrupted write, so nothing was repaired. Restore the file from a backup, {remedy}"
    )


def _may_be_whole(line: bytes, before: int) -> bool:
    """Return whether the last line of a file may be complete."""
    return line.endswith(b"\n") or is_whole(line) or is_sealed(line[:-1], before)


def _open(path: Path, flags: int = 0) -> int:
    """Open a journal and lock it, too, in case the lock file is removed."""
    is_new = not path.exists()
    try:
        file = open_held(path, 0o666, os.O_APPEND | flags)
    except OSError as error:
        raise JournalError(f"can't write to {path}: {error.strerror}") from error
    try:
        hold(file, path)
    except BaseException:
        close_held(file)
        raise
    if is_new:
        sync_folder(path.parent)
    return file


def _repair(file: int, path: Path) -> int:
    """Cut off a torn last line, or add a missing newline; returns the new size."""
    size = os.fstat(file).st_size
    try:
        start, line = _last_line(file, size)
        if line and not line.endswith(b"\n"):
            size = _mend(file, path, start, line)
        # A dead driver may have written events without committing them; they will be acted on now.
        sync(file)
    except OSError as error:
        raise JournalError(f"can't repair the end of {path}: {error.strerror}") from error
    return size


def _mend(file: int, path: Path, start: int, line: bytes) -> int:
    end = start + len(line)
    if is_sealed(line[:-1], _checksum_before(file, start)):
        _log.warning("%s: the newline of its last line was damaged, and is written anew", path)
        os.ftruncate(file, end - 1)
    elif is_whole(line):  # edited by hand, and saved without the newline
        end += 1
    else:
        os.ftruncate(file, start)
        _log.warning(
            "%s: its last line is incomplete, because a driver died while writing it. Its %d bytes "
            "were cut off; nothing that was acted on is lost",
            path,
            len(line),
        )
        return start
    write(file, b"\n")
    return end


def _checksum_before(file: int, place: int) -> int:
    """Return the checksum of the line that ends at an offset of the file."""
    return checksum_of(_last_line(file, place)[1])


def _last_line(file: int, size: int) -> tuple[int, bytes]:
    """Return the offset of the last line before `size`, and the line, without reading the file."""
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
