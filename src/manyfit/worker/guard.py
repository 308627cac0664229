"""Ends workers, and all that they started, when the process that they work for has died.

::

    driver ──pipe, never written to──► guard ──SIGKILL──► workers and theirs, wherever they are

A program of the standard library alone, which `worker.payload` runs as a process of its own: it
needs neither the GIL of a worker that is in C code, nor a parent that still lives to be found by.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# In the environment of a worker, and so of what it starts: also of what has left for a session of
# its own, and of what lost its parent.
MARK = "MANYFIT_WORKER"

_MOST_SWEEPS = 50
_PAUSE = 0.005  # between sweeps: what was killed may have started something a moment before


def end_marked(mark: str) -> None:
    """Kill all processes but this one whose mark begins so; where /proc tells (not on macOS)."""
    for _ in range(_MOST_SWEEPS):
        found = list(_marked(f"{MARK}={mark}".encode()))
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(_PAUSE)


def _marked(beginning: bytes) -> Iterator[int]:
    for environ in Path("/proc").glob("[0-9]*/environ"):
        pid = int(environ.parent.name)
        with contextlib.suppress(OSError):  # it is another user's, or gone
            variables = environ.read_bytes().split(b"\0")
            if pid != os.getpid() and any(each.startswith(beginning) for each in variables):
                yield pid


def main(mark: str) -> None:
    """Wait until nobody holds the other end of standard input, then end what has the mark."""
    sys.stdin.buffer.read()
    end_marked(mark)


if __name__ == "__main__":
    main(sys.argv[1])
