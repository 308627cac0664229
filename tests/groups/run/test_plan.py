"""The order and the packing of groups on a cluster."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.groups.run.plan import Plan, Unit

WEIGHTS = st.lists(st.integers(1, 10_000), min_size=1, max_size=300)


def planned(weights, slots, cells=64):
    """Return a plan of groups with these weights, and who they are by code."""
    groups = {code: (weight, code % cells) for code, weight in enumerate(weights)}
    sums = {}
    for weight, cell in groups.values():
        whole, count = sums.get(cell, (0, 0))
        sums[cell] = (whole + weight, count + 1)
    units = [Unit(cell, *both) for cell, both in sums.items()]
    large = [Unit(code, weight) for code, (weight, _) in groups.items()]
    return Plan(large, units, {code: cell for code, (_, cell) in groups.items()}, slots)


def waves_of(plan, weight):
    """Return all waves."""
    waves = [plan.first()]
    while (wave := plan.next(weight)).tasks:
        waves.append(wave)
    return waves


def makespan(tasks, slots):
    """Return when the last of some tasks ends, if each begins on the first slot that is free."""
    free = [0.0] * slots
    for weight in tasks:
        heapq.heappush(free, heapq.heappop(free) + weight)
    return max(free)


@given(WEIGHTS, st.integers(1, 16), st.one_of(st.just(math.inf), st.floats(0, 1e5)))
def test_all_of_it_once(weights, slots, weight):
    """Every group is in one task, and weighs what it weighs."""
    waves = waves_of(planned(weights, slots), weight)
    assert sum(wave.weight for wave in waves) == sum(weights)
    assert sum(wave.groups for wave in waves) == len(weights)
    codes = [(u.code, u.is_large) for wave in waves for task in wave.tasks for u in task]
    assert len(set(codes)) == len(codes)
    assert all(task for wave in waves for task in wave.tasks)


@given(WEIGHTS, st.integers(1, 16))
def test_large_groups_come_first(weights, slots):
    """Each is a task of its own, the largest first; there are no more than 8 for a slot."""
    plan = planned(weights, slots)
    alone = plan.alone
    tasks = plan.first().tasks
    assert [task[0].weight for task in tasks] == sorted(
        (task[0].weight for task in tasks), reverse=True
    )
    assert {task[0].code for task in tasks} == alone
    assert len(tasks) <= 8 * slots
    assert all(weights[code] > sum(weights) / (8 * slots) for code in alone)


@pytest.mark.parametrize("slots", [2, 8])
@pytest.mark.parametrize(
    "weights",
    [
        [20_000] + [100] * 499,
        (100_000 / np.arange(1, 2001)).astype(int).tolist(),
        [100] * 1000,
    ],
    ids=["one of 200 times the median", "Zipf", "alike"],
)
def test_nobody_straggles(weights, slots):
    """It ends within 15 % of the best that can be."""
    best = max(sum(weights) / slots, max(weights))
    plan = planned(weights, slots, cells=1024)
    waves = [plan.first()]
    while (wave := plan.next(min(best * slots / 4, plan.left / 2))).tasks:
        waves.append(wave)
    tasks = [sum(unit.weight for unit in task) for wave in waves for task in wave.tasks]
    assert makespan(tasks, slots) <= 1.15 * best


def test_a_wave_is_as_heavy_as_asked():
    """But none has fewer than two groups a slot; its tasks weigh alike."""
    plan = planned([100] * 1000, 2, cells=1024)
    assert plan.first().tasks == ()
    assert plan.next(20_000).weight == 20_000
    assert plan.next(0).groups == 4
    wave = plan.next(5_000, tasks=3)
    weights = [sum(unit.weight for unit in task) for task in wave.tasks]
    assert len(weights) == 6
    assert max(weights) - min(weights) <= 100


def test_few_groups():
    """They are spread, one a task."""
    plan = planned([100] * 3, 8)
    waves = waves_of(plan, math.inf)
    assert sorted(len(task) for wave in waves for task in wave.tasks) == [1, 1, 1]
