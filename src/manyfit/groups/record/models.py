"""Stores models of groups in a file of the record, or in a folder of the user's."""

import hashlib
import logging
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from manyfit._held import close_held, open_held
from manyfit._optional import require
from manyfit.data.references import open_binary
from manyfit.errors import JournalError
from manyfit.journal.copy import state_of
from manyfit.journal.disk import make_folder, sync, write

FILE = "models"  # in the folder of the record
# A model's position in the file: the first byte, the number of bytes, and their CRC-32.
Place: TypeAlias = Sequence[int]

_log = logging.getLogger("manyfit")


class ModelFile:
    """The file of the pickled models of a call; rows have their positions.

    A driver that dies leaves bytes at the end that no row speaks of. They stay.

    Args:
        folder: The record's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._file: int | None = None
        self._size = 0

    def add(self, data: bytes) -> Place:
        """Write a model and return its position, which is valid once `sync` has returned.

        Raises:
            JournalError: The disk refuses.
        """
        try:
            file = self._opened()
            write(file, data)
        except OSError as error:
            raise JournalError(f"can't write {self._path}: {error.strerror}") from error
        place = [self._size, len(data), zlib.crc32(data)]
        self._size += len(data)
        return place

    def sync(self) -> None:
        """Make everything added survive a power cut; a file that was deleted is written again.

        Raises:
            JournalError: The disk refuses.
        """
        if self._file is None:
            return
        try:
            if state_of(self._file, self._path, self._size) == "deleted":
                self._write_again(self._file)
            sync(self._file)
        except OSError as error:
            raise JournalError(f"can't save {self._path}: {error.strerror}") from error

    def _opened(self) -> int:
        if self._file is None:
            self._file = open_held(self._path, 0o666, os.O_APPEND)
            self._size = os.fstat(self._file).st_size
        return self._file

    def _write_again(self, old: int) -> None:
        """Copy a deleted file, which can be read as long as it is open, to a new one."""
        make_folder(self._path.parent)
        self._file = open_held(self._path, 0o666, os.O_APPEND)
        place = 0
        while block := os.pread(old, 1 << 20, place):
            write(self._file, block)
            place += len(block)
        close_held(old)
        _log.warning("%s was deleted while groups were tuned, and is written again", self._path)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._file is not None:
            close_held(self._file)
            self._file = None


def read_models(folder: Path, places: Iterable[Place | None]) -> list[bytes | None]:
    """Return models from the record's file.

    Args:
        folder: The record's.
        places: Where each is; None for one that there isn't.

    Returns:
        The models; None also for those that are gone, or damaged.
    """
    try:
        file = os.open(folder / FILE, os.O_RDONLY)
    except FileNotFoundError:
        return [None for _ in places]
    try:
        return [None if place is None else _whole(file, *place) for place in places]
    finally:
        os.close(file)


def _whole(file: int, start: int, size: int, checksum: int) -> bytes | None:
    data = os.pread(file, size, start)
    return data if len(data) == size and zlib.crc32(data) == checksum else None


def model_name(group: str, data: bytes) -> str:
    """Return the file name of a group's model, made of characters that file names may have.

    Other models of the group, those of other calls, have other names: none is ever overwritten.

    Example:
        >>> model_name('["north"]', b"model")
        'e18f9743eb0e19cde3c4-9372c470eeadd5ecd9c3.pkl'
    """
    parts = (group.encode("utf-8", "surrogatepass"), data)
    return "-".join(hashlib.sha256(part).hexdigest()[:20] for part in parts) + ".pkl"


def store(folder: str, group: str, data: bytes) -> str:
    """Write a pickled model into a folder or below a URL, atomically, and return its path.

    Raises:
        OSError: There is no room, or no permission.
        MissingExtraError: A URL needs fsspec, which is not installed.
    """
    path = f"{folder.rstrip('/')}/{model_name(group, data)}"
    if "://" in path:
        fsspec = require("fsspec", extra="storage", purpose=f"models at {folder}")
        with fsspec.open(path, "wb") as file:
            file.write(data)
        return path
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(target)
    return str(target)


def fetch(path: str) -> bytes:
    """Return the pickled model at a path or URL.

    Raises:
        OSError: It isn't there.
    """
    with open_binary(path) as file:
        data: bytes = file.read()
        return data
