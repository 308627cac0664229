"""An event as a line of a journal, with a checksum: `{...,"crc":"1c291ca3"}`.

The checksum is the CRC-32 of all before it, in hexadecimal: it finds any damage within 32 bits, and
all but one in four billion of the others. Lines of version 1 have none.
"""

import json
import re
import zlib

from manyfit.events import VERSION, Event, encode, from_record
from manyfit.journal.upgrade import upgrade

_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}')
_LENGTH = len(b',"crc":"00000000"}')
_UNSEALED = 1  # the last version whose lines have no checksum


def to_line(event: Event) -> bytes:
    r"""Return an event as a line, with its newline.

    Example:
        >>> from manyfit.events import StudyEnded
        >>> to_line(StudyEnded("done", at=1.0))
        b'{"v":2,"event":"study-ended","reason":"done","at":1.0,"crc":"b857a201"}\n'
    """
    body = encode(event)[:-1].encode("ascii")
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body))


def from_line(line: bytes) -> Event:
    """Return the event on a line of this version or an earlier one.

    Raises:
        ValueError: The line is damaged.
        JournalError: A newer Manyfit wrote it.
    """
    whole = line[:-1] if line.endswith(b"\n") else line
    seal = _SEAL.fullmatch(whole, max(0, len(whole) - _LENGTH))
    if seal is not None and zlib.crc32(whole[:-_LENGTH]) != int(seal[1], 16):
        raise ValueError("its checksum doesn't fit")
    try:
        record = json.loads(whole.decode() if seal is None else whole[:-_LENGTH].decode() + "}")
        if seal is None and _UNSEALED < record["v"] <= VERSION:
            raise ValueError("its checksum is missing")
        return from_record(upgrade(record))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an event: {type(error).__name__}: {error}") from error


def is_sealed(line: bytes) -> bool:
    """Whether a line, without its newline, has a checksum that fits: all of it is there."""
    seal = _SEAL.fullmatch(line, max(0, len(line) - _LENGTH))
    return seal is not None and zlib.crc32(line[:-_LENGTH]) == int(seal[1], 16)


def is_whole(line: bytes) -> bool:
    """Whether a line is a JSON object; no proper beginning of one is."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
