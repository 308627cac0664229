"""Uses the memory of a worker's machine to explain its loss, and to check that trials fit."""

from collections.abc import Mapping
from typing import Any

# A machine with a smaller share of free memory was probably out of memory.
_SCARCE = 0.05


def lost_because(place: Mapping[str, Any], memory: Mapping[str, int], why: str) -> str:
    """Return why a worker was lost, and whether its machine had run out of memory.

    Args:
        place: The worker's place.
        memory: Bytes in its last beat: `used` by its trial, `total` and `available` on its machine;
            empty if there was none.
        why: How the connection ended.

    Example:
        >>> beat = {"used": 15_000_000_000, "total": 16_000_000_000, "available": 200_000_000}
        >>> print(lost_because({"name": "host3"}, beat, "it hung up")[:68])
        the worker on host3 was lost when its machine had run out of memory:
    """
    if memory and memory["available"] < _SCARCE * memory["total"]:
        return (
            f"the worker on {place['name']} was lost when its machine had run out of memory: of "
            f"{_gigabytes(memory['total'])} its trial used {_gigabytes(memory['used'])}, and "
            f"{_gigabytes(memory['available'])} were left. Give trials less to hold, run fewer on "
            "a machine, or set trial_memory"
        )
    return (
        f"the worker on {place['name']} was lost ({why}): its machine, executor or Python worker "
        "died or was taken away; nothing says that the trial was the cause"
    )


def too_little(host: str, workers: int, used: int, shared: int, total: int) -> str | None:
    """Return a warning if trials of this size, one per worker, don't fit into a machine.

    Args:
        host: The machine.
        workers: The number of trials that it runs at once.
        used: The largest private memory of a trial so far, in bytes.
        shared: The bytes of shared data, which all trials map.
        total: The bytes of the machine's memory.

    Example:
        >>> too_little("host3", 4, 5 * 10**9, 2 * 10**9, 16 * 10**9)[:79]
        'trials may run host3 out of memory: 4 at once, of which one was seen to use 5 G'
    """
    if workers * used + shared <= (1 - _SCARCE) * total:
        return None
    fitting = max(1, int(((1 - _SCARCE) * total - shared) / used))
    data = f", and {_gigabytes(shared)} of shared data" if shared else ""
    return (
        f"trials may run {host} out of memory: {workers} at once, of which one was seen to use "
        f"{_gigabytes(used)}{data} make {_gigabytes(workers * used + shared)}, and it has "
        f"{_gigabytes(total)}. {fitting} would fit: give each trial more of Spark's cores "
        "(cpus_per_trial), lower parallelism, or use machines with more memory a core"
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
