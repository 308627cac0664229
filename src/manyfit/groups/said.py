"""The output of a failed trial, from the log that it shares with others."""

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from manyfit._redact import redact
from manyfit.events import AttemptEvent, AttemptFailed

_MOST = 4000  # the number of last characters to keep


def size_of(log: Path) -> int:
    """Return the current length of a log in bytes; 0 if there is none."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # closed by the objective
            stream.flush()
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def with_output(ending: AttemptEvent, log: Path, start: int) -> AttemptEvent:
    """Return the ending of a trial; if it failed, its output is appended to its traceback.

    Args:
        ending: The ending.
        log: The log with its output.
        start: The length of the log when it began.
    """
    if not isinstance(ending, AttemptFailed) or size_of(log) <= start:
        return ending
    with log.open("rb") as file:
        file.seek(max(start, size_of(log) - 4 * _MOST))
        text = file.read().decode("utf-8", "replace").strip()[-_MOST:]
    said = f"\n\nIt printed:\n{redact(text)}" if text else ""
    return replace(ending, traceback=f"{ending.traceback.rstrip()}{said}".strip())
