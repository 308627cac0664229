"""Removes a folder when the last process that uses it is gone, however that one ended.

A program of the standard library alone: it outlives every worker, and where they found Manyfit may
be gone by then. `worker.node` runs its text with `python -c`, and uses `clear` itself.
"""

import contextlib
import fcntl
import os
import shutil
import sys
from pathlib import Path

LOCK = ".manyfit-lock"  # in the folder; whoever uses the folder holds a shared lock on it


def clear(folder: Path, *, wait: bool) -> None:
    """Remove a folder that nobody uses; one without a lock in it is not ours, and stays.

    Args:
        folder: The folder to remove.
        wait: Whether to wait until nobody uses it; if not, one in use stays.
    """
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if is_at(lock, folder):
            # Renamed first, so that it is gone at once for whoever would join in the meantime.
            gone = folder.rename(f"{folder}.{os.urandom(4).hex()}.gone")
            shutil.rmtree(gone, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)


def is_at(lock: int, folder: Path) -> bool:
    """Whether the open lock file is still the one in the folder, and not that of a removed one."""
    try:
        there = (folder / LOCK).stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(lock), there)


def main(folder: Path) -> None:
    """Leave the caller, remove what died with its own janitor, then wait for this folder's end."""
    if os.fork():
        os._exit(0)
    for other in folder.parent.iterdir():
        clear(other, wait=False)
    clear(folder, wait=True)
    with contextlib.suppress(OSError):  # other folders are in it
        folder.parent.rmdir()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
