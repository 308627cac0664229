"""File formats of shared values: one file each, mapped into memory by every process.

========  ===================  =========================================================
kind      values               file
========  ===================  =========================================================
numpy     arrays               `.npy`
table     pyarrow tables       Arrow IPC
object    everything else      pickle, with the memory of its arrays after the pickle
========  ===================  =========================================================

An object's file is a header of little-endian 64-bit numbers (the number of parts, the size of
each), the pickle, and the buffers to which it refers, each part at a multiple of 64 bytes. Arrays
are therefore mapped wherever they are: in a pandas DataFrame, a sparse matrix or a dict.
"""

import io
import mmap
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import numpy.typing as npt

from manyfit._optional import load, require

_MOST_LABELS = 1_000_000  # for longer indices, pandas builds no hash table
_ALIGNMENT = 64  # bytes, of every part: the alignment that Arrow recommends


@dataclass(frozen=True)
class Format:
    """The functions that write values of one kind to a file, and open them."""

    suffix: str
    write: Callable[[Any, Path], None]
    open: Callable[[Path], Any]


def kind_of(value: object) -> str:
    """Return the name of a value's format; subclasses of arrays are pickled, to keep their class.

    Example:
        >>> kind_of(np.zeros(3)), kind_of(np.array([None])), kind_of({"a": 1})
        ('numpy', 'object', 'object')
    """
    if type(value) in (np.ndarray, np.memmap):
        array: npt.NDArray[Any] = value  # type: ignore[assignment]
        return "object" if array.dtype.hasobject else "numpy"
    return "table" if is_from("pyarrow", "Table", value) else "object"


def lend(value: Any) -> Any:
    """Return an opened value for one caller: for a pandas object, a shallow copy.

    Its memory is shared and read-only, but a trial may add columns or change names, which the next
    trial in the process must not see.
    """
    if is_from("pandas", "DataFrame", value) or is_from("pandas", "Series", value):
        return value.copy(deep=False)
    return value


def settle(value: Any) -> None:
    """Trigger what an opened value does on first use, before several threads use it.

    The indices of pandas then build a hash table of their labels. A thread that uses it meanwhile
    can get a KeyError for an existing label: https://github.com/pandas-dev/pandas/issues/28439
    """
    if is_from("pandas", "DataFrame", value) or is_from("pandas", "Series", value):
        for axis in value.axes:
            if len(axis) <= _MOST_LABELS:
                axis.is_unique  # noqa: B018 - it builds the table


def is_from(package: str, name: str, value: object) -> bool:
    """Return whether a value is of a package's class, by name, without importing the package."""
    kind = type(value)
    return kind.__name__ == name and kind.__module__.partition(".")[0] == package


# ── NumPy ─────────────────────────────────────────────────────────────────────────────────────────


def _write_array(array: npt.NDArray[Any], path: Path) -> None:
    with path.open("wb") as file:
        # The version that supports all types; if it chose this by itself, NumPy would warn.
        np.lib.format.write_array(file, array, version=(3, 0), allow_pickle=False)


def _open_array(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    return array.view(np.ndarray)  # still mapped, but not of the subclass memmap


# ── Arrow ─────────────────────────────────────────────────────────────────────────────────────────


def _write_table(table: Any, path: Path) -> None:
    write_batches(table.schema, table.to_batches(), path)


def write_batches(schema: Any, batches: Any, path: Path) -> None:
    """Write Arrow record batches as a file of kind `table`, with one at a time in memory."""
    with load("pyarrow").ipc.new_file(str(path), schema) as file:
        for batch in batches:
            file.write_batch(batch)


def _open_table(path: Path) -> Any:
    arrow = require("pyarrow", extra="arrow", purpose="a shared table")
    return arrow.ipc.open_file(arrow.memory_map(str(path), "r")).read_all()


# ── objects ───────────────────────────────────────────────────────────────────────────────────────


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc] # it has no types
    """Moves the memory of all arrays out of the pickle; NumPy's own support leaves some in."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.ndarray and not value.dtype.hasobject:
            if value.dtype.kind in "mM":  # Python's buffer protocol doesn't support times
                return _viewed, (value.view(np.int64), value.dtype)
            if not (value.flags.c_contiguous or value.flags.f_contiguous):
                return _viewed, (np.ascontiguousarray(value), value.dtype)
        return super().reducer_override(value)


def _viewed(array: npt.NDArray[Any], dtype: "np.dtype[Any]") -> npt.NDArray[Any]:
    return array.view(dtype)


@dataclass(frozen=True)
class PickledObject:
    """An object in the parts of its file: the pickle, and the arrays it refers to, not copied.

    Example:
        >>> path = Path(getfixture("tmp_path")) / "object"
        >>> pickled = PickledObject.of({"x": np.arange(3)})
        >>> pickled.write(path)
        >>> open_object(path)["x"].flags.writeable, open_object(path, private=True)["x"]
        (False, array([0, 1, 2]))
    """

    parts: tuple[memoryview, ...]

    @classmethod
    def of(cls, value: object) -> "PickledObject":
        """Pickle an object; what its own hooks raise passes through."""
        buffers: list[pickle.PickleBuffer] = []
        stream = io.BytesIO()
        _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
        return cls((stream.getbuffer(), *(buffer.raw() for buffer in buffers)))

    @property
    def size(self) -> int:
        """The number of bytes, but for the header and the gaps between parts."""
        return sum(part.nbytes for part in self.parts)

    def write(self, path: Path) -> None:
        """Write the file."""
        parts = self.parts
        with path.open("wb") as file:
            file.write(struct.pack(f"<{len(parts) + 1}Q", len(parts), *(p.nbytes for p in parts)))
            for part in parts:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                file.write(part)


def open_object(path: Path, *, private: bool = False) -> Any:
    """Open a file of `PickledObject`, mapped into memory.

    Args:
        path: The file.
        private: Whether the arrays may be changed; no other process and no later call sees that.
            Without it they are read-only.
    """
    access = mmap.ACCESS_COPY if private else mmap.ACCESS_READ
    with path.open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, access=access))
    (count,) = struct.unpack_from("<Q", memory)
    sizes = struct.unpack_from(f"<{count}Q", memory, 8)
    parts = []
    position = 8 + 8 * count
    for size in sizes:
        position += -position % _ALIGNMENT
        parts.append(memory[position : position + size])
        position += size
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - written by this study


def _write_object(value: object, path: Path) -> None:
    PickledObject.of(value).write(path)


FORMATS = {
    "numpy": Format(".npy", _write_array, _open_array),
    "table": Format(".arrow", _write_table, _open_table),
    "object": Format(".pickle", _write_object, open_object),
}
