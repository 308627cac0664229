"""What an attempt uses of its machine."""

import contextlib
import os
import re
import resource
import sys
from pathlib import Path

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_OWN = Path("/proc/self")


class Usage:
    """The processor time and memory that this process uses from now on.

    Args:
        own_process: Whether nothing else runs in this process, so that its peak of memory may be
            forgotten: otherwise it is the peak since the process began.

    Example:
        >>> sorted(Usage().now())
        ['cpu_seconds', 'peak_memory']
    """

    def __init__(self, *, own_process: bool = False) -> None:
        if own_process:
            with contextlib.suppress(OSError):  # not Linux, or not allowed
                # It resets the high-water mark: https://docs.kernel.org/filesystems/proc.html
                (_OWN / "clear_refs").write_text("5", encoding="ascii")
        self._before = _cpu_seconds()

    def now(self) -> dict[str, float]:
        """Return `cpu_seconds`, also of child processes that have ended, and `peak_memory`, bytes.

        The memory is what the process holds at most, including files that it maps.
        """
        return {"cpu_seconds": _cpu_seconds() - self._before, "peak_memory": _peak_memory()}


def _cpu_seconds() -> float:
    return sum(os.times()[:4])


def _peak_memory() -> int:
    with contextlib.suppress(OSError):
        if found := _PEAK.search((_OWN / "status").read_text(encoding="utf-8")):
            return 1024 * int(found[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
