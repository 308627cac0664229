"""Removes a folder when the last process that uses it has ended, in whatever way.

This program uses only the standard library: it outlives every worker, and the folder from which
they import Manyfit may be removed by then. `worker.node` runs its source with `python -c`, and also
calls `clear` itself.
"""

import contextlib
import fcntl
import os
import shutil
import sys
from pathlib import Path

LOCK = ".manyfit-lock"  # in the folder; every process that uses it holds a shared lock on this


def clear(folder: Path, *, wait: bool) -> None:
    """Remove a folder that no process uses; one without a lock file is not ours, and stays.

    Args:
        folder: The folder to remove.
        wait: Whether to wait until no process uses it; if not, a folder in use stays.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if is_at(lock, folder):
            # Renamed first, so that no process can join while it is being removed.
            gone = folder.rename(f"{folder}.{os.urandom(4).hex()}.gone")
            shutil.rmtree(gone, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)


def is_at(lock: int, folder: Path) -> bool:
    """Return whether an open lock file is the folder's own, not that of a removed folder."""
    try:
        there = (folder / LOCK).stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(lock), there)


def main(folder: Path) -> None:
    """Detach, remove folders whose janitors died, then wait to remove this folder."""
    if os.fork():
        os._exit(0)
    for other in folder.parent.iterdir():
        clear(other, wait=False)
    clear(folder, wait=True)
    with contextlib.suppress(OSError):  # it contains other folders
        folder.parent.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
