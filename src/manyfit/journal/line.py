"""An event as a line of a journal, with a checksum: `{...,"crc":"1c291ca3"}`.

The checksum is the CRC-32, in hexadecimal, of everything before it on the line, starting from the
checksum of the previous line. It detects any damage within 32 bits, and all but one in four billion
of other damages. Because the checksums form a chain, it detects missing, moved and duplicate lines.
It can't detect that complete lines are missing at the end: the file then looks as if the driver had
died before it wrote them.

The chain starts with 0: at the first line, and after lines of version 1, which have no checksums.
"""

import json
import re
import zlib

from manyfit.errors import JournalError
from manyfit.event_lines import VERSION, encode, from_record, unknown_in
from manyfit.events import Event
from manyfit.journal.upgrade import upgrade

_SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}')
_LENGTH = len(b',"crc":"00000000"}')
_UNSEALED = 1  # the last version whose lines have no checksum


def to_line(event: Event, before: int = 0) -> bytes:
    r"""Return an event as a line, with its newline.

    Args:
        event: The event.
        before: The checksum of the previous line; 0 if there is none.

    Example:
        >>> from manyfit.events import StudyEnded
        >>> to_line(StudyEnded("done", at=1.0))
        b'{"v":2,"event":"study-ended","reason":"done","at":1.0,"crc":"b857a201"}\n'
    """
    body = encode(event)[:-1].encode("ascii")
    return b'%b,"crc":"%08x"}\n' % (body, zlib.crc32(body, before))


def from_line(line: bytes, before: int = 0) -> Event:
    """Return the event on a line of this version or an earlier one.

    Args:
        line: The line, with or without its newline.
        before: The checksum of the previous line; 0 if there is none.

    Raises:
        ValueError: The line is damaged, or doesn't follow the previous line.
        JournalError: A newer Manyfit wrote it.
    """
    whole = line.removesuffix(b"\n")
    has_seal = _seal_of(whole, len(whole)) is not None
    if has_seal and not is_sealed(whole, before):
        raise ValueError("its checksum doesn't fit: it was altered, or a line before it is missing")
    try:
        record = json.loads(whole[:-_LENGTH].decode() + "}" if has_seal else whole.decode())
        if not has_seal and _UNSEALED < record["v"] <= VERSION:
            raise ValueError("its checksum is missing")
        record = upgrade(record)
        if has_seal and (news := unknown_in(record)):
            raise JournalError(
                f"it was written by a newer Manyfit: this one doesn't know {', '.join(news)}. "
                "Upgrade with `pip install -U manyfit`, or use another name"
            )
        return from_record(record)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an event: {type(error).__name__}: {error}") from error


def checksum_of(lines: bytes | bytearray) -> int:
    """Return the checksum on the last of some lines; 0 if it has none."""
    seal = _seal_of(lines, len(lines) - lines.endswith(b"\n"))
    return 0 if seal is None else int(seal[1], 16)


def is_sealed(line: bytes, before: int) -> bool:
    """Return whether a line, without its newline, has a correct checksum, so is complete."""
    seal = _seal_of(line, len(line))
    return seal is not None and zlib.crc32(line[:-_LENGTH], before) == int(seal[1], 16)


def is_whole(line: bytes) -> bool:
    """Return whether a line is a JSON object, which no incomplete line is."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _seal_of(lines: bytes | bytearray, end: int) -> re.Match[bytes] | None:
    return _SEAL.fullmatch(lines, max(0, end - _LENGTH), end)
