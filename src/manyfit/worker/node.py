"""A study's folder on one machine, shared by its processes there and removed after the last one.

::

    process ──shared lock──┐
    process ──shared lock──┼── root/token/.manyfit-lock ◄──exclusive lock, waiting── janitor
    process ──shared lock──┘

The kernel releases a lock when its holder ends, so the janitor gets its lock even after a SIGKILL.
"""

import contextlib
import fcntl
import hashlib
import inspect
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Self

from manyfit._held import close_held, open_held
from manyfit.errors import ArgumentError, ExecutorError
from manyfit.worker import janitor

_TOKEN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_GUARD = ".janitor"  # locked by the living janitor
_TURNS = ".turns"  # has a lock file for each name that is made once
# The only variables that the janitor inherits: it outlives the study, whose secrets must not.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class NodeFolder:
    """A folder shared by the processes of one user and one study on one machine.

    It is removed when the last of them closes it or ends, by SIGKILL or otherwise. What a crash of
    the machine left behind is removed before the folder is used again. Child processes don't keep
    it: a process that uses it joins by itself, or ends with one that has.

    Args:
        token: The study's name on this machine: 1 to 100 letters, digits, `_`, `-` and `.`.
        root: The folder to make it in, which is created if missing and removed if empty; by default
            `manyfit-UID` in the folder for temporary files.

    Raises:
        ArgumentError: The token can't be the name of a folder.
        ExecutorError: The folder can't be made or locked, or other users may write to its parent.

    Example:
        >>> with NodeFolder("study-1", Path(getfixture("tmp_path")) / "node") as node:
        ...     node.once("data/digits", Path.mkdir).is_dir()
        True
    """

    def __init__(self, token: str, root: Path | None = None) -> None:
        if not _TOKEN.fullmatch(token):
            raise ArgumentError(
                "token must be 1 to 100 letters, digits, '_', '-' or '.', and start with none of "
                f"the last two, but got {token!r}"
            )
        root = root or Path(tempfile.gettempdir()) / f"manyfit-{os.getuid()}"
        self.path = root.absolute() / token
        try:
            janitor.clear(self.path, wait=False)
            self._lock: int | None = _join(self.path)
        except OSError as error:
            raise ExecutorError(
                f"can't make the folder {self.path} that workers on this machine share "
                f"({error}). Set TMPDIR there to a folder on a local disk that user {os.getuid()} "
                "may write to"
            ) from error

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return the path of a file or folder in this one that is made once per machine.

        Other callers with the same name wait until it is made. If `make` raises or dies, nothing
        is left, and the next caller makes it.

        Args:
            name: The path in the folder, with `/` between the parts.
            make: Makes a file or a folder at the path it is given, which is a temporary one.

        Raises:
            ArgumentError: The name leads out of the folder.
            OSError: There is no room for it. Exceptions of `make` pass through.
        """
        return make_once(self.path, name, make)

    def close(self) -> None:
        """Leave the folder, which is removed if no other process uses it. Safe to call twice."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            close_held(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_once(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Make a file or folder once, like `NodeFolder.once`, in any folder of a local disk."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise ArgumentError(f"a name must lie in the node's folder, but got {name!r}")
    target = folder.joinpath(*parts)
    if target.exists():
        return target
    turn = folder / _TURNS / hashlib.sha256("/".join(parts).encode()).hexdigest()
    turn.parent.mkdir(exist_ok=True)
    with turn_at(turn):
        if not target.exists():
            _make(target, make)
    return target


def _join(folder: Path) -> int:
    """Return the descriptor of a shared lock, which keeps the folder until it is closed."""
    while True:
        _make_private(folder.parent)
        try:
            with contextlib.suppress(FileExistsError):  # it exists, or did a moment ago
                folder.mkdir(mode=0o700)
            lock = open_held(folder / janitor.LOCK, 0o600)
        except FileNotFoundError:  # the folder's janitor has just removed it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            if janitor.is_at(lock, folder):
                _hire(folder)
                return lock
        except BaseException:
            close_held(lock)
            raise
        close_held(lock)


def _make_private(root: Path) -> None:
    """Make the root folder, and refuse one to which other users may write."""
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700, parents=True)
    with contextlib.suppress(FileNotFoundError):
        found = root.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(f"{root} is not a folder, or is a link to one")
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{root} belongs to another user, or others may write to it")


def _hire(folder: Path) -> None:
    """Start a janitor unless one is alive; it inherits the lock that shows this."""
    guard = open_held(folder / _GUARD, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        done = subprocess.run(  # noqa: S603 - this Python, with a program of our own
            [sys.executable, "-I", "-S", "-c", inspect.getsource(janitor), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[guard],
            cwd="/",
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,
            check=False,
        )
        if done.returncode:
            raise ChildProcessError(f"{sys.executable} ended with code {done.returncode}")
    except BlockingIOError:
        pass
    finally:
        close_held(guard)


def _make(target: Path, make: Callable[[Path], None]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    _remove(part)  # left by a process that was killed
    try:
        make(part)
        part.rename(target)
    except BaseException:
        _remove(part)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def turn_at(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Let one thread of all processes at a time into the block with the same path.

    The kernel ends a turn with its process, so that the next one never waits in vain.

    Args:
        path: The lock's file, which is made if it is missing.
        wait: Whether to wait for the turn; if not, the block is told whether it has it.

    Example:
        >>> with turn_at(Path(getfixture("tmp_path")) / "turn", wait=False) as mine:
        ...     mine
        True
    """
    lock = open_held(path, 0o600)
    try:
        yield _locked(lock, wait)
    finally:
        close_held(lock)


def _locked(lock: int, wait: bool) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
