"""A second copy of the journal, in case its file is removed while a study runs."""

import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 1 << 16


class Copy:
    """All bytes of a file, compressed in memory: a journal shrinks to a tenth.

    Attributes:
        size: The number of bytes.
        checksum: Their CRC-32.

    Example:
        >>> copy = Copy()
        >>> copy.add(b"one, ")
        >>> copy.add(b"two")
        >>> b"".join(copy)
        b'one, two'
    """

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(1)
        self._parts: list[bytes] = []
        self.size = self.checksum = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.checksum = zlib.crc32(data, self.checksum)
        if part := self._compressor.compress(data):
            self._parts.append(part)

    def add_file(self, file: int) -> None:
        """Add the contents of an open file."""
        for block in _blocks(file):
            self.add(block)

    def is_in(self, file: int) -> bool:
        """Return whether an open file has exactly these bytes."""
        checksum = 0
        for block in _blocks(file):
            checksum = zlib.crc32(block, checksum)
        return checksum == self.checksum

    def __iter__(self) -> Iterator[bytes]:
        """Yield all bytes, in blocks."""
        inflater = zlib.decompressobj()
        for part in (*self._parts, self._compressor.copy().flush()):
            yield inflater.decompress(part)


def _blocks(file: int) -> Iterator[bytes]:
    place = 0
    while block := os.pread(file, _BLOCK, place):
        yield block
        place += len(block)


def state_of(file: int, path: Path, size: int) -> str:
    """Return the state of an open file that had `size` bytes.

    Returns:
        `"whole"`; `"deleted"`; `"cut short"`; or `"taken"`, if another process has written to it or
        put another file in its place.
    """
    here = os.fstat(file)
    try:
        there = path.stat()
    except FileNotFoundError:
        return "deleted"
    if not os.path.samestat(here, there) or here.st_size > size:
        return "taken"
    return "whole" if here.st_size == size else "cut short"


def saved_folder(folder: Path) -> Path:
    """Return the folder in which to save a study whose own folder was taken over."""
    return folder.with_name(f"{folder.name}-saved-{time.strftime('%Y%m%d-%H%M%S')}")
