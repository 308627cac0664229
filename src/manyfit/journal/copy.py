"""A second copy of what is on record, for the case that the file goes away while a study runs."""

import os
import zlib
from collections.abc import Iterator

_BLOCK = 1 << 20


class Copy:
    """All bytes of a journal, compressed in memory: a tenth of them, or less.

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

    def add(self, data: bytes) -> None:
        """Take in what has been put on record."""
        if part := self._compressor.compress(data):
            self._parts.append(part)

    def add_file(self, file: int) -> None:
        """Take in all that is in an open file."""
        place = 0
        while block := os.pread(file, _BLOCK, place):
            self.add(block)
            place += len(block)

    def __iter__(self) -> Iterator[bytes]:
        """Yield all of it, in blocks."""
        inflater = zlib.decompressobj()
        for part in (*self._parts, self._compressor.copy().flush()):
            yield inflater.decompress(part)
