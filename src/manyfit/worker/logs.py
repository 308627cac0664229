"""A trial's log as a file: without credentials, absent when empty, quoted when its worker died."""

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from manyfit._redact import redact, secret_values
from manyfit.trial import log_name

# How a log record is written.
LINE = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")

_BLOCK = 1 << 20
_END = 4096


def finalise(path: Path, secrets: Sequence[str] | None = None) -> None:
    """Redact a log whose writer is done, also one that was killed; delete it if it is empty.

    The file is replaced as a whole, so that a reader sees either the old one or the new one.
    """
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size == 0:
            path.unlink()
            return
        known = secret_values() if secrets is None else tuple(secrets)
        if any(redact_bytes(block, known) != block for block in _blocks(path)):
            _replace(path, known)


def _replace(path: Path, secrets: Sequence[str]) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        for block in _blocks(path):
            new.write(redact_bytes(block, secrets))
    Path(new.name).chmod(0o644)
    Path(new.name).replace(path)


def write_log(folder: Path, number: int, attempt: int, data: bytes) -> None:
    """Write an attempt's log into a study's folder, in the place of what may be there.

    As a whole: a reader sees either the old one or the new one.
    """
    path = _log_in(folder, number, attempt)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def extend_log(folder: Path, number: int, attempt: int, data: bytes) -> None:
    """Add to an attempt's log in a study's folder."""
    with _log_in(folder, number, attempt).open("ab") as file:
        file.write(data)


def _log_in(folder: Path, number: int, attempt: int) -> Path:
    path = folder / "logs" / log_name(number, attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block + file.readline(_BLOCK)


def redact_bytes(data: bytes, secrets: Sequence[str]) -> bytes:
    """Redact output of any encoding, cut anywhere."""
    text = data.decode("utf-8", "surrogateescape")
    redacted = redact(text, secrets)
    return data if redacted is text else redacted.encode("utf-8", "surrogateescape")


def tail(path: Path, lines: int = 3, most: int = 300) -> str:
    """Return the last lines of a log that say anything, on one line; empty when there is no log.

    Of a crash in C only the headline is quoted: the log has the frames.
    """
    try:
        with path.open("rb") as file:
            text = end_of(file)
    except FileNotFoundError:
        return ""
    text = re.split(r"\n(?:Current thread|Thread) 0x", text)[0]
    said = [line.strip() for line in re.split("[\r\n]", text) if line.strip()]
    return " | ".join(said[-lines:])[-most:]


def end_of(file: IO[bytes]) -> str:
    """Return the last few kilobytes of a file."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
    return file.read().decode("utf-8", "replace")
