"""Data that all trials read: written once, mapped by every process, never pickled.

::

    share(x=…) ──► files in a folder of this process ──pickle: names and sums only──► objective
                        │                                                               │
                        └── an executor brings them, once a machine (data.stock) ──► mapped there
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manyfit.data.formats import FORMATS, Format, kind_of, lend, settle
from manyfit.data.references import REFERENCE, Reference
from manyfit.data.routes import megabytes
from manyfit.errors import ArgumentError, ExecutorError
from manyfit.worker.node import NodeFolder

VARIABLE = "MANYFIT_SHARED"  # the folder with the shared data on a worker's machine

_formats: dict[str, Format] = {**FORMATS, "reference": REFERENCE}
_travelling: ContextVar[list["Shared"] | None] = ContextVar("travelling", default=None)
# The sets that have arrived in this process: work that is unpickled again reuses the open ones.
_arrived: "weakref.WeakValueDictionary[tuple[str, str], Shared]" = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Item:
    """One shared value: its name, and the format and checksum of its file.

    Args:
        name: The value's name in the mapping.
        kind: `numpy`, `table`, `object` or `reference`.
        file: The file's name in the folder of its set.
        size: The size of the file, in bytes.
        sha256: The SHA-256 of the file, in hexadecimal.
    """

    name: str
    kind: str
    file: str
    size: int
    sha256: str


class Shared(Mapping[str, Any]):
    """A read-only mapping from names to values, the same on every worker; `share` returns it.

    A value is opened on first access, and stays open for all trials of the process. The pickle of
    a mapping has a few hundred bytes, however large the values are. Two mappings are equal if their
    data are.

    Attributes:
        items_by_file: The items of this set, by file name.
        digest: A hexadecimal digest of the contents, which identifies the set.
        size: The bytes of all files; a reference counts with its description only.
    """

    def __init__(self, items: tuple[Item, ...], home: Path) -> None:
        self.items_by_file = {item.file: item for item in items}
        self.digest = digest_of(items)
        self.size = sum(item.size for item in items)
        self._items = {item.name: item for item in items}
        self._home = home
        self._opened: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        item = self._items.get(name)
        if item is None:
            raise KeyError(f"nothing is shared as {name!r}; the names are {', '.join(self)}")
        if name not in self._opened:
            value = _formats[item.kind].open(self.path(item.file))
            settle(value)
            self._opened.setdefault(name, value)  # another thread may have opened it first
        return lend(self._opened[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Shared) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Shared({', '.join(self)}: {megabytes(self.size)})"

    def __deepcopy__(self, _memo: object) -> "Shared":  # all trials of a process share it
        return self

    def __reduce__(self) -> Any:
        travelling = _travelling.get()
        if travelling is not None and self not in travelling:
            travelling.append(self)
        return _arrive, (tuple(self._items.values()), str(self._home))

    @property
    def manifest(self) -> dict[str, Any]:
        """Return a JSON description of the set, with which `data.stock` brings it to a machine."""
        return {"digest": self.digest, "items": [asdict(item) for item in self._items.values()]}

    def path(self, file: str) -> Path:
        """Return the path of a file of this set on this machine.

        Raises:
            ExecutorError: The file isn't on this machine.
        """
        brought = os.environ.get(VARIABLE)
        places = [Path(brought) / self.digest] if brought else []
        for place in (*places, self._home):
            if (place / file).exists():
                return place / file
        tried = " or ".join(map(str, (*places, self._home)))
        raise ExecutorError(
            f"the shared data ({', '.join(self)}) are not on this machine: {file} is not in "
            f"{tried}. They exist as long as the object that share() returned, in the process that "
            "called it: keep that object, or call share() again"
        )


def share(**values: Any) -> Shared:
    """Make values available to all trials on all machines, loaded once on each.

    Use the result inside the objective like a dict. NumPy arrays, pyarrow tables, and the memory of
    other objects that contain arrays (pandas, scipy.sparse, dicts of arrays) are mapped into each
    process, not copied. They are read-only: copy what you want to change. Other objects are
    unpickled once per process, so later trials of a process may see what a trial changed in them.

    The data are written once, to the folder for temporary files (set TMPDIR to change it), and are
    removed when the result is garbage-collected or the process ends.

    Args:
        values: The data by name. `manyfit.Parquet` and other references stand for data in storage,
            which each machine reads for itself.

    Raises:
        ArgumentError: No values were given, or one can't be pickled.
        ExecutorError: The folder for temporary files has no room for them.

    Example:
        >>> import numpy as np
        >>> data = share(x=np.arange(3.0), scale=10)
        >>> float(data["x"].sum() * data["scale"]), sorted(data), data["x"].flags.writeable
        (30.0, ['scale', 'x'], False)
    """
    if not values:
        raise ArgumentError("share needs values by name, as in share(x=array), but got none")
    try:
        home = Path(tempfile.mkdtemp(prefix="data-", dir=_folder(os.getpid()).path))
    except OSError as error:
        raise ExecutorError(f"can't make a folder for shared data: {error}") from error
    try:
        items = (_write(i, name, values[name], home) for i, name in enumerate(values))
        shared = Shared(tuple(items), home)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    _arrived[shared.digest, str(home)] = shared
    # At exit the folder of the whole process is removed; doing it here would only delay the exit.
    weakref.finalize(shared, _discard, home, os.getpid()).atexit = False
    return shared


@contextlib.contextmanager
def in_transit() -> Iterator[list[Shared]]:
    """Collect the shared data of the objects that are pickled inside the block, each set once.

    Example:
        >>> import pickle
        >>> data = share(x=1)
        >>> with in_transit() as found:
        ...     size = len(pickle.dumps([data, data]))
        >>> found == [data]
        True
    """
    found: list[Shared] = []
    token = _travelling.set(found)
    try:
        yield found
    finally:
        _travelling.reset(token)


def alive(digest: str) -> Shared | None:
    """Return the shared data of this process with a digest, if they are still held by somebody."""
    return next((each for each in list(_arrived.values()) if each.digest == digest), None)


def digest_of(items: tuple[Item, ...]) -> str:
    """Return the digest of a set: of the names, kinds, sizes and checksums of its files."""
    text = json.dumps([asdict(item) for item in items], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(number: int, name: str, value: Any, home: Path) -> Item:
    if isinstance(value, Reference):
        value, kind = value.pinned(), "reference"
    else:
        kind = kind_of(value)
    path = home / f"{number}{_formats[kind].suffix}"
    try:
        _formats[kind].write(value, path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ExecutorError(
            f"can't write {name!r} to {path}: {error}. Set TMPDIR to a folder on a local disk with "
            "room for the shared data"
        ) from error
    except Exception as error:  # hooks for pickling may raise anything
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise ArgumentError(
            f"{name!r} can't be shared: it is of type {kind}, which can't be pickled "
            f"({type(error).__name__}: {error}). Make it inside the objective"
        ) from error
    return Item(name, kind, path.name, path.stat().st_size, digest)


@functools.cache
def _folder(pid: int) -> NodeFolder:
    """Return the folder of this process; a forked process has its own."""
    return NodeFolder(f"driver-{pid}-{os.urandom(8).hex()}")


def _discard(home: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked child, whose copy is collected, too
        shutil.rmtree(home, ignore_errors=True)


def _arrive(items: tuple[Item, ...], home: str) -> Shared:
    shared = Shared(items, Path(home))
    return _arrived.setdefault((shared.digest, home), shared)
