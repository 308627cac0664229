"""What names a group: the values of its key columns, as one text on every backend."""

import datetime
import decimal
import hashlib
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


def group_seed(seed: int, text: str) -> int:
    """Return the seed of a group: 32 bits of SHA-256 of the study's seed and the group's key.

    Example:
        >>> group_seed(0, '["a"]') != group_seed(0, '["b"]') != group_seed(1, '["b"]')
        True
    """
    digest = hashlib.sha256(f"{seed}:{text}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big")


def _plain(value: Any) -> Any:
    if value is None or value != value:  # noqa: PLR0124 - NaN and NaT, of whichever library
        return None
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item()
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
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
