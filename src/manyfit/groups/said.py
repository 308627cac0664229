"""What a trial printed, out of the log that it shares with others: kept where it failed."""

import contextlib
import sys
from dataclasses import replace
from pathlib import Path

from manyfit._redact import redact
from manyfit.events import AttemptEvent, AttemptFailed

_MOST = 4000  # characters that are kept of it, the last ones


def size_of(log: Path) -> int:
    """Return how long a log is by now, in bytes; 0 where there is none."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # closed by the objective
            stream.flush()
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def with_output(ending: AttemptEvent, log: Path, start: int) -> AttemptEvent:
    """Return how a trial ended; if it failed, what it printed is below its traceback.

    Args:
        ending: How it ended.
        log: Where it printed.
        start: How long the log was when it began.
    """
    if not isinstance(ending, AttemptFailed) or size_of(log) <= start:
        return ending
    with log.open("rb") as file:
        file.seek(max(start, size_of(log) - 4 * _MOST))
        text = file.read().decode("utf-8", "replace").strip()[-_MOST:]
    said = f"\n\nIt printed:\n{redact(text)}" if text else ""
    return replace(ending, traceback=f"{ending.traceback.rstrip()}{said}".strip())
