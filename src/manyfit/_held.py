"""Open files that are one process's own: a child that it forks lets go of them at once.

A forked child (a data loader of the user's, say) shares its parent's open files, and with them its
locks, which would then outlive the parent. Closing them in the child leaves the parent's hold
untouched. Programs that are started, rather than forked, don't inherit them (PEP 446).
"""

import contextlib
import os
from pathlib import Path

_held: set[int] = set()


def open_held(path: Path, mode: int, flags: int = 0) -> int:
    """Open a file to read and write, making it if need be; returns its descriptor.

    Args:
        path: The file.
        mode: What may be done with a new one, less what the umask takes away.
        flags: More of what `os.open` takes: `os.O_APPEND`, `os.O_EXCL`.

    Example:
        >>> descriptor = open_held(Path(getfixture("tmp_path")) / "lock", 0o600)
        >>> is_held(descriptor)
        True
        >>> close_held(descriptor)
        >>> is_held(descriptor)
        False
    """
    return hold(os.open(path, os.O_RDWR | os.O_CREAT | flags, mode))


def open_held_folder(path: Path) -> int:
    """Open a folder, to lock it; returns its descriptor."""
    return hold(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def hold(descriptor: int) -> int:
    """Keep what is open, such as one end of a pipe, from children that are forked; returns it."""
    _held.add(descriptor)
    return descriptor


def is_held(descriptor: int) -> bool:
    """Whether it is open in this process; if not, its number may by now be another file's."""
    return descriptor in _held


def close_held(descriptor: int) -> None:
    """Close a file, unless a fork has done so."""
    if descriptor in _held:
        _held.discard(descriptor)
        os.close(descriptor)


def _let_go_in_child() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)
