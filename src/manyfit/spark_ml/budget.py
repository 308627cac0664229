"""The number of bytes of rows that a study may cache in Spark."""

import re
from typing import TYPE_CHECKING

from manyfit.front_plan import bytes_allowed
from manyfit.spark.session import Session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Spark's defaults: reserved memory (UnifiedMemoryManager.RESERVED_SYSTEM_MEMORY_BYTES), and the
# share of the rest for data (spark.memory.fraction).
_RESERVED = 300 << 20
_SHARE = 0.6
# The share of that which a study may use: fits need some of it as well.
_OURS = 0.5
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def budget_of(cache: bool | int, spark: "SparkSession") -> int:
    """Return the bytes that `cache=` allows: a given number, or half of the executors' data memory.

    Raises:
        ArgumentError: `cache` is neither True, False nor a positive number of bytes.
    """
    return bytes_allowed(cache, lambda: int(_OURS * _storage(Session(spark))))


def _storage(session: Session) -> float:
    """Return the bytes for execution and storage on all of Spark's executors."""
    place = "driver" if session.is_local else "executor"
    memory = bytes_in(session.setting(f"spark.{place}.memory", "1g"))
    share = float(session.setting("spark.memory.fraction", str(_SHARE)))
    return _executors(session) * share * max(0, memory - _RESERVED)


def _executors(session: Session) -> int:
    if session.is_local:
        return 1
    cores = int(session.setting("spark.executor.cores", "0")) // session.cpus
    return max(1, (session.slots().now or 0) // cores) if cores else 1


def bytes_in(setting: str) -> int:
    """Parse a size as written in Spark's settings; 0 if it can't be parsed.

    Example:
        >>> bytes_in("512m"), bytes_in("2g"), bytes_in("1024kb")
        (536870912, 2147483648, 1048576)
    """
    found = re.fullmatch(r"\s*(\d+)\s*([kmgt]?)i?b?\s*", setting.lower())
    return int(found[1]) * _UNITS[found[2]] if found else 0
