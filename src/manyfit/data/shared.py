"""Data that all trials read: written once, mapped by every process, never pickled itself.

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

VARIABLE = "MANYFIT_SHARED"  # the folder in which a worker finds what was brought to its machine

_formats: dict[str, Format] = {**FORMATS, "reference": REFERENCE}
_travelling: ContextVar[list["Shared"] | None] = ContextVar("travelling", default=None)
# What has arrived here: work that is unpickled again gets what is open already.
_arrived: "weakref.WeakValueDictionary[tuple[str, str], Shared]" = weakref.WeakValueDictionary()


@dataclass(frozen=True)
class Item:
    """One shared value: its name, how its file is to be read, and what must be in it.

    Args:
        name: What the value is called in the mapping.
        kind: `numpy`, `table`, `object` or `reference`.
        file: The file's name in the folder of its set.
        size: Bytes of the file.
        sha256: Its SHA-256, in hexadecimal.
    """

    name: str
    kind: str
    file: str
    size: int
    sha256: str


class Shared(Mapping[str, Any]):
    """What `share` returns: a read-only mapping from names to values, the same on every worker.

    A value is opened when it is first asked for, and stays open for all trials of the process.
    Pickled, it is a few hundred bytes, however large the values are. Two are equal when their data
    are.

    Attributes:
        items_by_file: What the files of this set hold.
        digest: Names the set by its contents, in hexadecimal.
        size: Bytes of all files; a reference counts with its description only.
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
            raise KeyError(f"nothing is shared as {name!r}; there is {', '.join(self)}")
        if name not in self._opened:
            value = _formats[item.kind].open(self.path(item.file))
            settle(value)
            self._opened.setdefault(name, value)  # another thread may have been faster
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
        """What is in the set, as JSON values: what `data.stock` needs to bring it to a machine."""
        return {"digest": self.digest, "items": [asdict(item) for item in self._items.values()]}

    def path(self, file: str) -> Path:
        """Return where a file of this set lies on this machine.

        Raises:
            ExecutorError: It doesn't.
        """
        brought = os.environ.get(VARIABLE)
        places = [Path(brought) / self.digest] if brought else []
        for place in (*places, self._home):
            if (place / file).exists():
                return place / file
        tried = " or ".join(map(str, (*places, self._home)))
        raise ExecutorError(
            f"the shared data ({', '.join(self)}) are not on this machine: {file} is not in "
            f"{tried}. They last as long as what share() returned, in the process that called it: "
            "keep it, or call share() again"
        )


def share(**values: Any) -> Shared:
    """Make values available to all trials on all machines, loaded once on each.

    Use the result inside the objective like a dict. NumPy arrays, pyarrow tables, and the memory of
    whatever else holds arrays (pandas, scipy.sparse, dicts of arrays) are mapped into each process,
    not copied, and are read-only: copy what you want to change. Other objects are unpickled once a
    process, so what a trial changes in them, later ones of that process may see.

    The data are written once, to the folder for temporary files (set TMPDIR for another), and are
    removed when the result is garbage or the process ends.

    Args:
        values: The data by name. `manyfit.Parquet` and its like refer to data in storage, which
            each machine reads for itself.

    Raises:
        ArgumentError: Nothing was given, or a value can't be pickled.
        ExecutorError: The folder for temporary files has no room for it.

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
    # At exit the folder of the whole process goes; doing it here would only delay the exit.
    weakref.finalize(shared, _discard, home, os.getpid()).atexit = False
    return shared


@contextlib.contextmanager
def in_transit() -> Iterator[list[Shared]]:
    """Collect what is shared by the objects that are pickled inside the block, each set once.

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


def digest_of(items: tuple[Item, ...]) -> str:
    """Return the digest of a set: of the names, kinds, sizes and sums of its files."""
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
    except Exception as error:  # objects raise what they like from their own hooks
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise ArgumentError(
            f"{name!r} can't be shared: it is of type {kind}, which can't be pickled "
            f"({type(error).__name__}: {error}). Make it inside the objective"
        ) from error
    return Item(name, kind, path.name, path.stat().st_size, digest)


@functools.cache
def _folder(pid: int) -> NodeFolder:
    """Return the folder of this process; a forked one starts a folder of its own."""
    return NodeFolder(f"driver-{pid}-{os.urandom(8).hex()}")


def _discard(home: Path, pid: int) -> None:
    if os.getpid() == pid:  # not in a forked child, whose copy is garbage as well
        shutil.rmtree(home, ignore_errors=True)


def _arrive(items: tuple[Item, ...], home: str) -> Shared:
    shared = Shared(items, Path(home))
    return _arrived.setdefault((shared.digest, home), shared)
