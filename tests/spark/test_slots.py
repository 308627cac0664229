"""How many tasks a cluster runs at once, by its settings and its cores."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.spark.slots import slots_of, usable_slots
from manyfit.worker.limits import usable_cpus

STANDALONE = {"spark.master": "spark://host:7077"}
YARN = {"spark.master": "yarn"}


def slots(settings, cores=None):
    return slots_of(lambda name: settings.get(name, ""), cores)


@pytest.mark.parametrize(
    ("master", "cores"),
    [
        ("local", 1),
        ("local[1]", 1),
        ("local[8]", 8),
        ("local[ 8 , 3 ]", 8),
        ("local[*]", usable_cpus()),
        ("local[*, 4]", usable_cpus()),
        ("local-cluster[2, 3, 1024]", 6),
        ("spark://host:7077", 1),
        ("yarn", 1),
        ("", 1),
    ],
)
def test_cores_of_local_spark(master, cores):
    """As many as the master's name says."""
    assert usable_slots(master) == cores


@pytest.mark.parametrize(
    ("settings", "now", "made_of"),
    [
        ({"spark.master": "local[4]"}, 4, "local[4]"),
        (
            {"spark.master": "local[5]", "spark.task.cpus": "2"},
            2,
            "local[5], spark.task.cpus=2",
        ),
        (
            {"spark.master": "local-cluster[2, 3, 1024]", "spark.task.cpus": "2"},
            2,
            "local-cluster[2, 3, 1024], spark.task.cpus=2",
        ),
    ],
)
def test_local_spark(settings, now, made_of):
    """The master tells, whatever the parallelism is said to be."""
    for cores in (None, 77):
        found = slots(settings, cores)
        assert (found.now, found.most, found.dependable, found.made_of) == (now, now, now, made_of)


@pytest.mark.parametrize(
    ("settings", "cores", "now", "most", "made_of"),
    [
        (STANDALONE, 8, 8, None, "8 cores"),
        (STANDALONE | {"spark.cores.max": "4"}, 4, 4, 4, "4 cores"),
        # Spark speaks of two cores before there is any, and where there is one.
        (STANDALONE | {"spark.cores.max": "1"}, 2, 1, 1, "1 core"),
        (
            STANDALONE | {"spark.cores.max": "5", "spark.executor.cores": "2"},
            2,
            2,
            4,
            "1 executor of 2 cores",
        ),
        (
            STANDALONE | {"spark.executor.cores": "4", "spark.task.cpus": "3"},
            8,
            2,
            None,
            "2 executors of 4 cores, spark.task.cpus=3",
        ),
        (YARN, 2, 2, 2, "2 executors of 1 core"),
        (
            YARN | {"spark.executor.instances": "3", "spark.executor.cores": "4"},
            4,
            4,
            12,
            "1 executor of 4 cores",
        ),
        (YARN | {"spark.executor.cores": "4"}, 2, 0, 8, "0 executors of 4 cores"),
        ({}, 6, 6, None, "6 cores"),
    ],
)
def test_executors_that_come_by_themselves(settings, cores, now, most, made_of):
    """What is there counts, and what the settings promise is known besides."""
    found = slots(settings, cores)
    assert (found.now, found.most, found.made_of) == (now, most, made_of)
    assert found.dependable == now


def test_cores_that_nobody_can_tell():
    """Where the user's own numbers hide the cluster's, what is promised counts, if anything."""
    assert slots(STANDALONE).dependable is None
    assert slots(STANDALONE | {"spark.cores.max": "6"}).dependable == 6
    assert slots(YARN | {"spark.executor.instances": "3"}).dependable == 3


def test_executors_on_demand():
    """What can come counts, since nothing comes before there is work for it."""
    on_demand = YARN | {"spark.dynamicAllocation.enabled": "true", "spark.executor.cores": "2"}
    found = slots(on_demand | {"spark.dynamicAllocation.maxExecutors": "5"}, 2)
    assert (found.now, found.most, found.dependable) == (2, 10, 10)
    assert slots(on_demand, 2).dependable == math.inf


@given(
    cores=st.integers(0, 64),
    size=st.integers(1, 16),
    cpus=st.integers(1, 8),
    most=st.none() | st.integers(1, 64),
)
def test_no_task_spans_two_executors(cores, size, cpus, most):
    """There are never more slots than cores allow, and as many as each executor holds."""
    settings = STANDALONE | {"spark.executor.cores": f"{size}", "spark.task.cpus": f"{cpus}"}
    settings |= {} if most is None else {"spark.cores.max": f"{most}"}
    usable = cores if most is None else min(cores, most)
    found = slots(settings, cores)
    assert found.now == (usable // size) * (size // cpus)
    assert found.now * cpus <= usable
