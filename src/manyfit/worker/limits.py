"""What a trial may use: memory, time's enforcement by killing, and threads.

The only file that imports psutil.
"""

import contextlib
import math
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
from threadpoolctl import ThreadpoolController

from manyfit.worker.cgroups import cpu_quota, memory_limits

# One variable a thread pool, read when its library is first loaded.
_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # XLA on the CPU, and with it JAX
)

_SIZE = re.compile(r"^(\w+): +(\d+) kB", re.MULTILINE)


def pool_variables(cpus: int) -> dict[str, str]:
    """Return the environment in which every pool of a new process has `cpus` threads.

    It goes over what the user's environment says: several workers with all cores each are slower
    than one.
    """
    return dict.fromkeys(_POOLS, str(cpus))


def limit_pools(cpus: int) -> None:
    """Give the BLAS and OpenMP pools loaded in this process at most `cpus` threads, for good.

    OpenMP keeps its number per thread, so each thread that runs trials must call it.
    """
    pools = ThreadpoolController()
    pools.limit(limits=_at_most(cpus, pools))


@contextlib.contextmanager
def limited_pools(cpus: int) -> Iterator[None]:
    """Give the pools loaded in this process at most `cpus` threads within the block."""
    pools = ThreadpoolController()
    with pools.limit(limits=_at_most(cpus, pools)):
        yield


def _at_most(cpus: int, pools: ThreadpoolController) -> dict[str, int]:
    """Return a limit for each library: what the user has made smaller stays so."""
    return {pool["prefix"]: min(cpus, pool["num_threads"]) for pool in pools.info()}


def usable_cpus() -> int:
    """Return how many cores this process may use, which can be fewer than the machine has.

    A container's share of a core counts as one, as it does for a JVM.
    """
    if sys.version_info >= (3, 13):
        cpus = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, cpu_quota())))


def machine_memory() -> tuple[int, int]:
    """Return this machine's memory and its available memory, in bytes.

    In a container, those of the container.
    """
    memory = psutil.virtual_memory()
    limits = [(memory.total, memory.available), *memory_limits()]
    total, available = (min(sizes) for sizes in zip(*limits, strict=True))
    return total, available


def tree_memory(pid: int, enough: int = 0) -> int:
    """Return the bytes of memory that a process and all its descendants hold; 0 once it is gone.

    Pages that several of them share, as forked processes do, count once. Files that are mapped
    don't: the kernel takes their pages back when it needs them. On macOS, which doesn't tell, it is
    all resident bytes of each.

    Args:
        pid: The process.
        enough: Where all resident bytes are no more than this, they are returned instead: they are
            known at once, while going through the pages of many gigabytes takes a moment.
    """
    tree = _tree(pid)
    resident = sum(map(_resident, tree))
    return resident if resident <= enough else sum(map(_held, tree))


def _resident(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _held(process: psutil.Process) -> int:
    """Return a process's share of the pages that hold no file."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:  # macOS, or it may not be read, or it is gone
        return _resident(process)
    kilobytes = {name: int(size) for name, size in _SIZE.findall(text)}
    shared_out = ("Pss_Anon", "Pss_Shmem") if "Pss_Anon" in kilobytes else ("Anonymous",)
    return 1024 * sum(kilobytes.get(name, 0) for name in shared_out)


def private_memory(pid: int) -> int:
    """Return the resident bytes of a process and its descendants that they share with nobody.

    Where the system doesn't tell what is shared (macOS), all of them.
    """
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            memory = process.memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
    return total


def kill_tree(pid: int) -> None:
    """Kill a process that leads a session, with all its descendants; what is gone already is left.

    It must not have been waited for, so that its number can't be another's by now.
    """
    for process in _tree(pid)[1:]:  # some may have left for a session of their own
        with contextlib.suppress(psutil.Error):
            process.kill()
    kill_group(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_group(pid: int) -> None:
    """Kill the process group that a process leads or has led, if anything is left of it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only zombies are left
        os.killpg(pid, signal.SIGKILL)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
