"""What a container leaves to this process: the limits of its control groups, on Linux.

A group's limit holds for the groups inside it, so a process meets those of its own group and of all
its ancestors, whatever the version: https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/admin-guide/cgroup-v1/.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
# Pages of files that the kernel takes back when it needs them. Of v1's two, one counts descendants.
_CACHE = re.compile(r"^(?:total_)?inactive_file (\d+)$", re.MULTILINE)


def cpu_quota(root: Path = _ROOT) -> float:
    """Return the CPUs whose time this process may use; infinite where no group limits it.

    Args:
        root: Where `proc` and `sys` are.

    Example:
        >>> cpu_quota(getfixture("tmp_path"))
        inf
    """
    return min(map(_quota, _folders("cpu", root)), default=math.inf)


def memory_limits(root: Path = _ROOT) -> Iterator[tuple[int, int]]:
    """Yield each group's memory limit and the memory still available in it, in bytes.

    Args:
        root: Where `proc` and `sys` are.
    """
    for folder in _folders("memory", root):
        limit = _read(folder, "memory.max") or _read(folder, "memory.limit_in_bytes")
        used = _read(folder, "memory.current") or _read(folder, "memory.usage_in_bytes")
        if limit.isdecimal() and used.isdecimal():
            cache = max(map(int, _CACHE.findall(_read(folder, "memory.stat"))), default=0)
            yield int(limit), max(0, int(limit) - max(0, int(used) - cache))


def _folders(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of this process's group and its ancestors; some may not be there.

    A container may see its own group as the root of what is mounted, and the group's path on the
    host in `/proc/self/cgroup`: the folders that are missing are then those of its ancestors.
    """
    mounted = root / "sys/fs/cgroup"
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        group = PurePosixPath(path.lstrip("/"))
        if ".." in group.parts:  # outside of what this process's namespace shows
            group = PurePosixPath()
        for mount in {mounted / names, mounted / controller} if names else {mounted}:
            yield from (mount / each for each in (group, *group.parents))


def _quota(folder: Path) -> float:
    found = _read(folder, "cpu.max") or (
        _read(folder, "cpu.cfs_quota_us") + " " + _read(folder, "cpu.cfs_period_us")
    )
    match found.split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
            return int(quota) / int(period)
    return math.inf  # "max" in version 2, -1 in version 1


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):  # none such, another system, or it may not be read
        return ""
