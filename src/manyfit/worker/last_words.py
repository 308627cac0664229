"""The last output of a worker process that died, or the location of a crash in C code."""

import os
import re
import sysconfig
from pathlib import Path
from typing import BinaryIO

_END = 1 << 12
_CRASH = 1 << 16  # bytes of a log; faulthandler writes up to 100 frames, and all C modules
_FATAL = re.compile(r"^Fatal Python error: .*", re.MULTILINE)
_CURRENT = re.compile(
    r"^(?:Stack|Current thread .*) \(most recent call first\):\n((?:  .*\n?)*)", re.MULTILINE
)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)
_LIBRARIES = ("site-packages", "dist-packages")
_STANDARD = (sysconfig.get_path("stdlib"), str(Path(__file__).parents[1]), "<frozen")


def last_words(path: Path, lines: int = 3, most: int = 300) -> str:
    """Return the last non-empty lines of a log, joined to one; empty if there is no log.

    After a crash in C code, return the output before it and its location: the function, and the
    user's own function that had called it.
    """
    try:
        with path.open("rb") as file:
            text = end_of(file, _CRASH)
    except OSError:
        return ""
    crashes = list(_FATAL.finditer(text))
    if not crashes:
        return " | ".join(_said(text[-_END:])[-lines:])[-most:]
    crash = crashes[-1]
    before = _said(text[: crash.start()])[-lines + 1 :]
    return " | ".join((*before, crash[0] + _place(text[crash.end() :])))[-most:]


def end_of(file: BinaryIO, most: int = _END) -> str:
    """Return the last few kilobytes of a file."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - most))
    return file.read().decode("utf-8", "replace")


def _said(text: str) -> list[str]:
    return [line.strip() for line in re.split("[\r\n]", text) if line.strip()]


def _place(report: str) -> str:
    """Return the location of a thread from `faulthandler`'s report of it."""
    current = _CURRENT.search(report)
    frames = _FRAME.findall(current[1]) if current else []
    if not frames:
        return ""
    own = next((frame for frame in frames if not _is_library(frame[0])), frames[0])
    called = "" if own is frames[0] else f", called from {_named(*own)}"
    return f" in {_named(*frames[0])}{called}"


def _is_library(file: str) -> bool:
    return file.startswith(_STANDARD) or not set(_LIBRARIES).isdisjoint(Path(file).parts)


def _named(file: str, line: str, function: str) -> str:
    path = Path(file)
    name = f"{path.parent.name}/{path.name}" if path.name == "__init__.py" else path.name
    return f"{function} ({name}:{line})"
