"""Memory of a process tree, the end of one, and threads for its pools."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import psutil
import pytest
import threadpoolctl

from manyfit.worker.limits import (
    kill_group,
    kill_tree,
    limited_pools,
    pool_variables,
    tree_memory,
)

FAMILY = """
import os, subprocess, sys, time
hoard = b"x" * 50_000_000
wait = "import time; time.sleep(60)"
leaver = subprocess.Popen([sys.executable, "-c", wait], start_new_session=True)
code = "x = b'x' * 50_000_000; print(flush=True);" + wait
stayer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
stayer.stdout.readline()
print(leaver.pid, stayer.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def family():
    """A process with two children, one of which has left its session; and all their numbers."""
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        yield parent, children
        kill_tree(parent.pid)


def gone(pid):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        # An orphan may have no parent here that waits for it.
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_memory_is_the_whole_trees(family):
    """A process answers for what its children use."""
    parent, _ = family
    assert 100_000_000 < tree_memory(parent.pid) < 400_000_000


SHARED = """
import mmap, os, sys, time
from pathlib import Path
size = 100_000_000
Path(sys.argv[1]).write_bytes(bytes(size))
file = open(sys.argv[1], "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
hoard = b"x" * size
children = [child for child in map(lambda _: os.fork(), range(2)) if child]
assert len(mapped[:]) + hoard.count(b"y") == size
print(flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system doesn't tell")
def test_shared_pages_count_once_and_files_do_not():
    """What forked processes share is held once; a mapped file is the kernel's to drop."""
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,  # a file in memory can't be dropped
        subprocess.Popen(
            [sys.executable, "-c", SHARED, f"{folder}/data"],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as parent,
    ):
        for _ in range(4):
            parent.stdout.readline()
        assert 100_000_000 < tree_memory(parent.pid) < 200_000_000
        assert tree_memory(parent.pid, enough=10**12) > 800_000_000
        kill_tree(parent.pid)


def test_kill_tree_ends_all(family):
    """Nobody survives, not even who left for a session of its own."""
    parent, children = family
    kill_tree(parent.pid)
    assert parent.wait(10) == -signal.SIGKILL
    assert all(gone(pid) for pid in children)


def test_kill_group_ends_what_a_dead_leader_left(family):
    """When the leader has ended, its group still can be."""
    parent, (leaver, stayer) = family
    parent.kill()
    parent.wait()
    kill_group(parent.pid)
    assert gone(stayer)
    os.kill(leaver, signal.SIGKILL)


def test_what_is_gone_uses_nothing_and_cannot_be_killed():
    """A process that has ended is no error."""
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as process:
        process.wait()
    assert tree_memory(process.pid) == 0
    kill_group(process.pid)


def test_pools_in_this_process():
    """Loaded pools have the given size within the block, and their own afterwards."""
    np.ones((8, 8)) @ np.ones((8, 8))
    before = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    with limited_pools(1):
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} <= {1}
    after = {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    assert after == before


def test_pools_are_never_made_larger():
    """A pool that the user has made smaller than a trial's share stays as it is."""
    with threadpoolctl.threadpool_limits(1), limited_pools(64):
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} <= {1}


def test_pools_of_a_new_process():
    """Every pool is told, and NumPy's listens."""
    assert set(pool_variables(3).values()) == {"3"}
    code = (
        "import numpy, threadpoolctl as t; print(*{p['num_threads'] for p in t.threadpool_info()})"
    )
    environment = {**os.environ, **pool_variables(1)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.stdout.split() == [b"1"]
