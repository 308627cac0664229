"""Digests of data: equal for equal values, in every process, whatever their addresses."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from manyfit._optional import load
from manyfit.data.formats import is_from
from manyfit.data.shared import Shared

# Types whose repr determines the value.
PLAIN = (str, bytes, bytearray, int, float, complex, type(None), range, np.generic)
_MOST_ROWS = 1 << 20  # of longer data, this many rows are sampled, evenly spread
_LONGEST = 10_000  # characters of a repr
_DEEPEST = 8
_DISTANT = ("pyspark.", "py4j.")  # modules of objects whose repr may run a job
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def digest(*parts: str) -> str:
    """Return 16 hexadecimal digits that depend only on the texts."""
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(data))
        found.update(data)
    return found.hexdigest()


def digest_of(value: Any) -> str:
    """Return a digest of data: of plain values, containers, arrays, frames and shared data.

    Of long data, a million rows are sampled, evenly spread. Any other object counts by its `repr`,
    or by its type alone if the `repr` contains an address.

    Example:
        >>> digest_of({"a": [1, 2.0]}) == digest_of({"a": [1, 2.0]}) != digest_of({"a": [1, 2]})
        True
    """
    return digest(*told(value))


def told(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield texts that distinguish a value from others."""
    yield f"{type(value).__module__}.{type(value).__qualname__}"
    if depth > _DEEPEST:
        return
    if isinstance(value, PLAIN):
        yield repr(value)
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        yield from _told_items(value, depth + 1)
    elif isinstance(value, np.ndarray):
        yield from _told_array(value, depth)
    elif is_from("pandas", "DataFrame", value) or is_from("pandas", "Series", value):
        yield from _told_frame(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
        yield from _told_items(fields, depth + 1)
    else:
        yield from (_shown(value), str(getattr(value, "shape", "")))


def _told_items(items: Any, depth: int) -> Iterator[str]:
    if isinstance(items, Shared):
        yield items.digest
    elif isinstance(items, Mapping):
        for key, each in items.items():
            yield from (*told(key, depth), *told(each, depth))
    elif isinstance(items, set | frozenset):  # their order differs from process to process
        yield from sorted(digest(*told(each, depth)) for each in items)
    else:
        for each in items:
            yield from told(each, depth)


def _told_array(array: "np.ndarray[Any, Any]", depth: int) -> Iterator[str]:
    yield from (str(array.dtype), str(array.shape))
    part = array[:: _step(array.shape[0])] if array.ndim else array
    if array.dtype.hasobject:
        yield from told(part.tolist(), depth + 1)
    else:
        yield hashlib.blake2b(np.ascontiguousarray(part).view(np.uint8).data).hexdigest()


def _told_frame(frame: Any) -> Iterator[str]:
    names = frame.dtypes.items() if frame.ndim == 2 else [(frame.name, frame.dtype)]
    yield from (f"{name}: {dtype}" for name, dtype in names)
    yield str(frame.shape)
    try:
        hashes = load("pandas").util.hash_pandas_object(frame.iloc[:: _step(len(frame))])
    except TypeError:  # a cell is unhashable: a list, a dict
        return
    yield hashlib.blake2b(hashes.to_numpy().data).hexdigest()


def _step(rows: int) -> int:
    return max(1, rows // _MOST_ROWS)


def _shown(value: object) -> str:
    """Return the name of code, or the repr of an object if that is more than an address."""
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    if type(value).__module__.startswith(_DISTANT):
        return ""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - objects raise what they like from their own hooks
        return ""
    return "" if _ADDRESS.search(text) else text[:_LONGEST]
