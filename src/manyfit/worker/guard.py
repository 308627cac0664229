"""Kills workers, and every process that they started, when their driver has died.

::

    driver ──pipe, never written to──► guard ──SIGKILL──► workers and their descendants

This program uses only the standard library, and `worker.payload` runs it as a process of its own.
It therefore works even while a worker holds the GIL in C code, and finds processes whose parents
have died.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# A variable in the environment of a worker. Every process that it starts inherits the variable,
# even one that has started a session of its own or lost its parent.
MARK = "MANYFIT_WORKER"

_MOST_SWEEPS = 50
_PAUSE = 0.005  # between sweeps: a process may have started another just before it was killed


def end_marked(mark: str) -> None:
    """Kill all other processes whose mark begins with `mark`; requires /proc (not on macOS)."""
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
        with contextlib.suppress(OSError):  # another user's process, or one that has ended
            variables = environ.read_bytes().split(b"\0")
            if pid != os.getpid() and any(each.startswith(beginning) for each in variables):
                yield pid


def main(mark: str) -> None:
    """Wait until the other end of standard input is closed, then kill the marked processes."""
    sys.stdin.buffer.read()
    end_marked(mark)


if __name__ == "__main__":
    main(sys.argv[1])
