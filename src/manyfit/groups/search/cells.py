"""Copies mutable cells, such as lists and arrays, so that each call gets its own.

A copy of a frame shares the objects in its cells, and arrays from shared memory or Arrow are
read-only. On Spark, this file is pickled by value for workers.
"""

import copy
import datetime
import decimal
from collections.abc import Sequence
from typing import Any

import numpy as np

_FIXED = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    np.generic,
    decimal.Decimal,
    datetime.date,
    datetime.time,
    datetime.timedelta,
)


def changeable(frame: Any) -> list[Any]:
    """Return the names of the columns with mutable cells.

    Example:
        >>> import pandas
        >>> changeable(pandas.DataFrame({"shop": ["a"], "prices": [[1.0, 2.0]], "rows": [2]}))
        ['prices']
    """
    return [
        name
        for name, column in frame.items()
        if column.dtype.kind == "O"
        and not all(issubclass(kind, _FIXED) for kind in set(map(type, column)))
    ]


def owned(frame: Any, columns: Sequence[Any]) -> Any:
    """Return a copy of a frame, with copies of the cells in some columns.

    Args:
        frame: Any pandas DataFrame.
        columns: The columns, as returned by `changeable`.
    """
    copied = frame.copy()
    for name in columns:
        cells = np.empty(len(frame), dtype=object)
        for place, cell in enumerate(frame[name]):
            cells[place] = cell.copy() if _is_plain_array(cell) else copy.deepcopy(cell)
        copied[name] = cells
    return copied


def _is_plain_array(cell: Any) -> bool:
    return type(cell) is np.ndarray and not cell.dtype.hasobject
