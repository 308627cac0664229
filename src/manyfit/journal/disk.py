"""Disk operations of a journal: complete writes that survive a power cut."""

import contextlib
import fcntl
import os
import sys
from pathlib import Path

from manyfit.errors import JournalError


def make_folder(folder: Path) -> None:
    """Make a folder so that it survives a power cut: each new name is synced in its parent."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"can't make the study's folder {folder}: {error.strerror}. "
            "Pass tune(folder=...) a folder that you may write to"
        ) from error
    for path in missing:
        sync_folder(path.parent)


def write(file: int, data: bytes) -> None:
    """Write all bytes to the end of a file that is open for appending."""
    written = os.write(file, data)
    while written < len(data):  # a disk that is nearly full accepts a part, then refuses the rest
        written += os.write(file, data[written:])


def sync(file: int) -> None:
    """Return once all writes would survive a power cut."""
    if sys.platform == "darwin":
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)  # on macOS, fsync doesn't flush the drive's cache
    else:
        os.fdatasync(file)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the names in it survive a power cut."""
    with contextlib.suppress(OSError):  # some network file systems can't sync a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
