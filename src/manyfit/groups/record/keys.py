"""Keys of groups: the values of the key columns, as one text that is the same on every backend."""

import datetime
import decimal
import hashlib
import importlib
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def key_text(values: Sequence[Any]) -> str:
    """Return the values of a key as a JSON list, the same for pandas, Spark and Arrow.

    Missing values (None, NaN, NaT) are null, so that they are one group. Times are ISO 8601, those
    with a zone in UTC. A float that is whole is another key than the integer.

    Example:
        >>> key_text(["north", 3, float("nan")])
        '["north",3,null]'
    """
    plain = [_plain(value) for value in values]
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def texts_of(table: Any, columns: Sequence[str]) -> list[str]:
    """Return the text of each row's values in some columns of an Arrow table.

    Example:
        >>> import pyarrow
        >>> texts_of(pyarrow.table({"shop": ["a", "b"], "day": [1, 2]}), ["shop"])
        ['["a"]', '["b"]']
    """
    if not columns:
        return [key_text([])] * len(table)
    values = [key_values(table.column(name)) for name in columns]
    return [key_text(each) for each in zip(*values, strict=True)]


def key_values(column: Any) -> list[Any]:
    """Return the values of an Arrow column; times with a zone in UTC, where no two look alike."""
    if getattr(column.type, "tz", None):
        arrow = importlib.import_module("pyarrow")
        column = column.cast(arrow.timestamp(column.type.unit, "UTC"))
    values: list[Any] = column.to_pylist()
    return values


def group_seed(seed: int, text: str) -> int:
    """Return the seed of a group: 32 bits of SHA-256 of the study's seed and the group's key.

    Example:
        >>> group_seed(0, '["a"]') != group_seed(0, '["b"]') != group_seed(1, '["b"]')
        True
    """
    digest = hashlib.sha256(f"{seed}:{text}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big")


def _plain(value: Any) -> Any:
    if value is None or type(value).__name__ == "NAType":  # pandas' NA, which has no truth value
        return None
    if value != value:  # noqa: PLR0124 - NaN and NaT, of whichever library
        return None
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item()
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else str(value)  # -0.0 is 0.0, as to pandas
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.UTC)
        return datetime.datetime.isoformat(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, decimal.Decimal):
        return format(value.normalize(), "f")
    return str(value)
