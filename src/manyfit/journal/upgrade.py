"""Upgrades journal lines of older versions of Manyfit to the current one, step by step.

To change the format: increase `events.VERSION`, add a function to `_STEPS` that turns a record of
the previous version into the next one, and add a golden journal of the new version to the tests.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from manyfit.errors import JournalError
from manyfit.event_lines import VERSION

Record: TypeAlias = dict[str, Any]
Step: TypeAlias = Callable[[Record], Record]

# From each older version to the next one. Never remove one: journals outlive releases.
_STEPS: Mapping[int, Step] = {
    1: lambda record: record,  # version 2 chains lines by checksums, and adds a kind of event
}


def upgrade(
    record: Record, *, steps: Mapping[int, Step] = _STEPS, current: int = VERSION
) -> Record:
    """Return a parsed line as the current version would have written it.

    Args:
        record: The parsed line, which may be modified.
        steps: The functions from each older version to the next.
        current: The target version.

    Raises:
        JournalError: A newer Manyfit wrote it.
        ValueError: It has no version, or one that never existed.

    Example:
        >>> rename = lambda record: {"v": 1, "event": record["kind"]}
        >>> upgrade({"v": 0, "kind": "asked"}, steps={0: rename}, current=1)
        {'v': 1, 'event': 'asked'}
    """
    version: Any = record.get("v")
    if isinstance(version, int) and version > current:
        raise JournalError(
            f"it was written by a newer Manyfit (journal version {version}; this one reads up to "
            f"{current}). Upgrade with `pip install -U manyfit`, or give the study another name"
        )
    while version != current:
        if version not in steps:
            raise ValueError(f"not an event: there is no journal version {version!r}")
        record = steps[version](record)
        version += 1
        record["v"] = version
    return record
