"""A lock that allows one driver per study, names its holder, and is released if the holder dies.

The lock is `flock` on an open file, not the existence of the file. The kernel releases it when its
holder ends, in whatever way, so no stale lock ever has to be deleted. The contents of the file are
for users only.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
from datetime import datetime
from pathlib import Path

from manyfit._held import close_held, is_held, open_held, open_held_folder
from manyfit.errors import JournalError, StudyLockedError


class StudyLock:
    """Locks a study from construction to `release`, also within this process.

    Args:
        path: The lock file, which is made if missing, and left empty when released.

    Raises:
        StudyLockedError: Another driver holds it; the message says which and since when.
        JournalError: The file can't be made or locked.

    Example:
        >>> lock = StudyLock(Path(getfixture("tmp_path")) / "lock")
        >>> lock.release()
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = open_held(path, 0o666)
            folder = open_held_folder(path.parent)
        except OSError as error:
            raise JournalError(f"can't make the lock file {path}: {error.strerror}") from error
        try:
            hold(descriptor, path)
            _hold_folder(folder, path)
            _sign(descriptor, path)
        except BaseException:
            close_held(descriptor)
            close_held(folder)
            raise
        self._descriptor: int | None = descriptor
        self._folder = folder

    def release(self) -> None:
        """Release the study for another driver. Safe to call twice, and in a forked child."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if not is_held(descriptor):
            return  # in a forked process
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        close_held(descriptor)
        close_held(self._folder)


def hold(descriptor: int, path: Path) -> None:
    """Lock an open file of a study until it is closed.

    Raises:
        StudyLockedError: Another driver holds it.
        JournalError: The file can't be locked.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StudyLockedError(_who_holds(path)) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
            raise JournalError(f"can't lock {path}: {error.strerror}") from error
        raise JournalError(
            f"the file system of {path} doesn't support locks ({error.strerror}), so a second "
            "driver could open this study. Pass tune(folder=...) a folder on a local disk"
        ) from error


def _hold_folder(folder: int, path: Path) -> None:
    """Lock the folder, too, so that deleting the lock file doesn't admit a second driver.

    If the file system can't lock folders, the file has to suffice.
    """
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StudyLockedError(_who_holds(path)) from None
    except OSError:
        pass


def _sign(descriptor: int, path: Path) -> None:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    except OSError as error:
        raise JournalError(f"can't write the lock file {path}: {error.strerror}") from error


def _who_holds(path: Path) -> str:
    study = f"study {path.parent.name!r} ({path.parent})"
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        pid, host, since = holder["pid"], holder["host"], holder["since"]
    except (OSError, ValueError, KeyError, TypeError):
        # Its holder is just writing it, or the disk had no room for that.
        return (
            f"{study} is held by another driver. Wait until it is done, or use another name. "
            f"`fuser {path}` shows its process"
        )
    if host != socket.gethostname():
        whom, advice = f"process {pid} on {host}", f"stop process {pid} on {host}"
    elif pid == os.getpid():
        whom, advice = "this process itself", "close the Study that is still open here"
    else:
        whom, advice = f"process {pid} on this machine", f"stop it (kill {pid})"
    return (
        f"{study} is held by {whom} since {since}. "
        f"Wait until it is done, {advice}, or use another name"
    )
