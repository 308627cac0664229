"""The limits of containers, from files as Linux shows them there."""

import math
import os
import sys

import psutil
import pytest

from manyfit.worker import limits
from manyfit.worker.cgroups import cpu_quota, memory_limits

GB = 1 << 30
NO_LIMIT = "9223372036854771712"  # what version 1 shows then


@pytest.fixture
def machine(tmp_path):
    """A function that writes what Linux shows: a process's groups, and files by their path."""

    def shown(groups, files):
        for name, text in {"/proc/self/cgroup": groups, **files}.items():
            path = tmp_path / (name if name.startswith("/proc") else f"/sys/fs/cgroup{name}")[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return tmp_path

    return shown


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/", {"/cpu.max": "200000 100000"}, 2.0),
        ("0::/", {"/cpu.max": "max 100000"}, math.inf),
        ("0::/", {}, math.inf),
        ("0::/app", {"/app/cpu.max": "50000 100000"}, 0.5),
        ("0::/pod/app", {"/pod/cpu.max": "150000 100000", "/pod/app/cpu.max": "max 100000"}, 1.5),
        ("0::/pod/app", {"/pod/cpu.max": "900000 100000", "/pod/app/cpu.max": "30000 10000"}, 3.0),
        ("0::/other", {"/app/cpu.max": "50000 100000"}, math.inf),
        ("0::/../../sibling", {"/cpu.max": "400000 100000"}, 4.0),
        ("0::/", {"/cpu.max": ""}, math.inf),
        ("0::/", {"/cpu.max": "100000 0"}, math.inf),
        (
            "4:memory:/\n3:cpu,cpuacct:/docker/1",
            {
                "/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "250000",
                "/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000",
                "/cpu,cpuacct/docker/cpu.cfs_quota_us": "-1",
                "/cpu,cpuacct/docker/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        (  # a container that sees its own group as the root
            "3:cpu,cpuacct:/docker/1\n0::/",
            {"/cpu/cpu.cfs_quota_us": "50000", "/cpu/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("1:cpu:/", {"/cpu/cpu.cfs_quota_us": "-1", "/cpu/cpu.cfs_period_us": "1000"}, math.inf),
    ],
)
def test_cpu_quota(machine, groups, files, cpus):
    """The tightest of a group and its ancestors counts, in both versions."""
    assert cpu_quota(machine(groups, files)) == cpus


def files_of(folder, limit, used, stat, version):
    names = {
        2: ("memory.max", "memory.current"),
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    }[version]
    texts = dict(zip(names, (limit, used), strict=True)) | {"memory.stat": stat}
    return {f"{folder}/{name}": str(text) for name, text in texts.items()}


@pytest.mark.parametrize(
    ("groups", "files", "found"),
    [
        ("0::/", files_of("", 4 * GB, GB, "anon 5", 2), [(4 * GB, 3 * GB)]),
        ("0::/", files_of("", 4 * GB, 3 * GB, f"inactive_file {GB}", 2), [(4 * GB, 2 * GB)]),
        ("0::/", files_of("", GB, 2 * GB, "", 2), [(GB, 0)]),
        ("0::/", files_of("", GB, 5, "inactive_file 9", 2), [(GB, GB)]),
        ("0::/", files_of("", "max", GB, "", 2), []),
        ("0::/", {"/memory.max": str(GB)}, []),
        (
            "0::/pod/app",
            files_of("/pod", 8 * GB, 6 * GB, "", 2) | files_of("/pod/app", 4 * GB, GB, "", 2),
            [(4 * GB, 3 * GB), (8 * GB, 2 * GB)],
        ),
        (
            "4:memory:/docker/1\n0::/",
            files_of("/memory", NO_LIMIT, 7, "", 1)
            | files_of(
                "/memory/docker/1", 2 * GB, GB, f"inactive_file 1\ntotal_inactive_file {GB}", 1
            ),
            [(2 * GB, 2 * GB), (int(NO_LIMIT), int(NO_LIMIT) - 7)],
        ),
    ],
)
def test_memory_limits(machine, groups, files, found):
    """Each group has its own; reclaimable file cache counts as available."""
    assert list(memory_limits(machine(groups, files))) == found


def test_another_system(tmp_path):
    """Where there are no control groups, as on macOS, nothing is limited."""
    assert cpu_quota(tmp_path) == math.inf
    assert list(memory_limits(tmp_path)) == []


@pytest.mark.parametrize(
    ("own", "quota", "cpus"), [(8, math.inf, 8), (8, 2.5, 3), (8, 0.3, 1), (2, 6.0, 2)]
)
def test_usable_cpus(monkeypatch, own, quota, cpus):
    """What the process may run on, and no more than its container may use; a part of one is one."""
    if sys.version_info >= (3, 13):
        monkeypatch.setattr(os, "process_cpu_count", lambda: own)
    elif hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(own)))
    else:
        monkeypatch.setattr(os, "cpu_count", lambda: own)
    monkeypatch.setattr(limits, "cpu_quota", lambda: quota)
    assert limits.usable_cpus() == cpus


def test_the_memory_of_a_container(monkeypatch):
    """A group's limit counts where it is less than the machine has."""
    machine = psutil.virtual_memory()
    monkeypatch.setattr(limits, "memory_limits", lambda: [(5_000, 400), (9_000, 300)])
    assert limits.machine_memory() == (5_000, 300)
    monkeypatch.setattr(limits, "memory_limits", lambda: [(1 << 62, 1 << 62)])
    assert limits.machine_memory()[0] == machine.total
