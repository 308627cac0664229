"""A study's record as a file of JSON lines: `journal.jsonl` in the study's folder.

A line is whole once its newline is there. Only the last one can be torn, because a failed write is
taken back before the next one starts; a torn one was never committed, so nobody has acted on it.
Checksums chain the lines, so that no damage, and no line that is missing or moved, goes unnoticed;
only a file that ends early, after a whole line, is as if the driver had died there.

A file that is deleted or cut short while its study runs is noticed at the next commit, and written
again; one that is damaged in place, at the study's end. One that somebody else has put in its place
is left alone: what this driver has recorded then becomes a study of its own beside it, and the
study ends.
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
        self._batch = bytearray()  # appended, and yet to be committed
        self._torn = False  # other bytes than these follow what is durable, or may
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
        line = to_line(event, checksum_of(self._batch) if self._batch else self._checksum)
        self._torn = True  # also if a signal's exception comes between two partial writes
        try:
            write(file, line)
        except OSError as error:
            self._take_back(file)
            raise JournalError(f"can't write to {self.path}: {error.strerror}") from error
        self._batch += line
        self._torn = False

    def commit(self) -> None:
        """Return once every appended event would survive a power cut; free if there is none.

        Raises:
            JournalError: The disk refuses. What was not committed is dropped, and the journal takes
                no more: after a failed sync the kernel forgets what it could not write. Or somebody
                else has written to the file; the message says where this driver's record is.
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
        """Commit, and let another driver have the study. Safe to call twice.

        What has been damaged in the file meanwhile is written again, and a warning says so.
        """
        if self._file is None:
            return
        try:
            if self._refusal is None and is_held(self._file):  # else this is a fork's copy
                self.commit()
                self._in_place(self._file, to_the_byte=True)
        finally:
            self._release()

    def _in_place(self, file: int, *, to_the_byte: bool = False) -> int:
        """Return the open file, once all that was written is in it and it is at its path."""
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
            "%s was %s while the study ran. What is on record was written again; what else was in "
            "its folder, such as logs, is not",
            self.path,
            state,
        )
        return file

    def _write_again(self, file: int | None) -> int:
        """Write the whole record into its file, or into a new one if there is none."""
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
        """Make a study of what this driver has recorded, and leave the other one alone."""
        saved = saved_folder(self.path.parent)
        make_folder(saved)
        (saved / FILE_NAME).write_bytes(b"".join((*self._copy, self._batch)))
        self._refusal = (
            f"{self.path} was changed by somebody else while the study ran, so this driver has "
            f"ended. What it has recorded is in study {saved.name!r} ({saved}): load_study reads "
            "it, and tune goes on with it under that name"
        )
        raise JournalError(self._refusal)

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
            os.ftruncate(file, self._durable + len(self._batch))
        except OSError as error:
            raise JournalError(f"can't mend {self.path}: {error.strerror}") from error
        self._torn = False

    def _release(self) -> None:
        if self._file is not None:
            close_held(self._file)
            self._file = None
        self._lock.release()


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a journal without holding it, also while a driver writes to it.

    A torn last line is left out and left alone.

    Args:
        path: The journal, or the study's folder.

    Raises:
        JournalCorruptError: A whole line is damaged.
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
    return (
        f"line {number} of {path} is damaged ({error}): {start!r}. "
        "It is not the torn end of an interrupted write, so nothing was repaired. Restore the file "
        "from a backup, or copy it and cut it off before this line: the study goes on from there"
    )


def _may_be_whole(line: bytes, before: int) -> bool:
    """Whether the end of a file is more than the beginning of a line."""
    return line.endswith(b"\n") or is_whole(line) or is_sealed(line[:-1], before)


def _open(path: Path, flags: int = 0) -> int:
    """Open a journal and hold it, even if somebody removes the file that says so."""
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
    """Cut a torn last line off, complete one that only lacks its newline; return the size since."""
    size = os.fstat(file).st_size
    try:
        start, line = _last_line(file, size)
        if line and not line.endswith(b"\n"):
            size = _mend(file, path, start, line)
        # What a dead driver wrote and never committed is about to be acted on.
        sync(file)
    except OSError as error:
        raise JournalError(f"can't repair the end of {path}: {error.strerror}") from error
    return size


def _mend(file: int, path: Path, start: int, line: bytes) -> int:
    end = start + len(line)
    if is_sealed(line[:-1], _checksum_before(file, start)):
        _log.warning("%s: the newline of its last line was damaged, and is written anew", path)
        os.ftruncate(file, end - 1)
    elif is_whole(line):  # edited by hand, and saved without it
        end += 1
    else:
        os.ftruncate(file, start)
        _log.warning(
            "%s: its last line was torn when a driver died while writing it. Its %d bytes were "
            "cut off; nothing that was acted on is lost",
            path,
            len(line),
        )
        return start
    write(file, b"\n")
    return end


def _checksum_before(file: int, place: int) -> int:
    """Return the checksum of the line that ends at a place in the file."""
    return checksum_of(_last_line(file, place)[1])


def _last_line(file: int, size: int) -> tuple[int, bytes]:
    """Return where the last line before a size starts, and the line, without reading it all."""
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
