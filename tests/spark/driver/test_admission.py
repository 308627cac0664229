"""Who may start on a cluster whose slots are counted."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import ArgumentError
from manyfit.spark.driver.admission import Admission, constant_need, need_of

# What happens to an admission: somebody comes and needs so many, somebody leaves, slots change.
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.integers(0, 6)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("slots"), st.integers(0, 6)),
    ),
    max_size=60,
)


@given(events=EVENTS, slots=st.integers(0, 6))
def test_it_never_promises_more_than_there_is(events, slots):
    """Whoever is let in finds its slots; order is kept; nobody is lost or let in twice."""
    admission = Admission(slots)
    came, admitted = 0, []
    for what, number in events:
        if what == "enter":
            admission.enter((came, 1), number)
            came += 1
        elif what == "leave":
            admission.leave((number, 1))
            assert (number, 1) not in {*admission.waiting, *admission.running}
        else:
            admission.slots = number
        new = admission.admit()
        admitted += new
        if new:
            assert sum(admission.running.values()) <= admission.slots
        if admission.waiting:
            first = next(iter(admission.waiting.values()))
            assert sum(admission.running.values()) + first > admission.slots
    assert len(set(admitted)) == len(admitted)
    assert admitted == sorted(admitted)
    assert not set(admitted) & set(admission.waiting)
    assert list(admission.waiting) == sorted(admission.waiting)


@given(needs=st.lists(st.integers(1, 4), max_size=20), slots=st.integers(4, 9))
def test_all_that_can_run_do(needs, slots):
    """When whoever runs leaves some time, everybody's turn comes, first come first served."""
    admission = Admission(slots)
    for number, need in enumerate(needs):
        admission.enter((number, 1), need)
    order = []
    while admission.waiting or admission.running:
        order += admission.admit()
        admission.leave(next(iter(admission.running)))
    assert order == [(number, 1) for number in range(len(needs))]


def test_a_large_one_is_not_overtaken():
    """Small ones that come later wait behind it, though there is room for them."""
    admission = Admission(4)
    for number, need in enumerate([3, 4, 1, 1]):
        admission.enter((number, 1), need)
    assert admission.admit() == [(0, 1)]
    assert admission.admit() == []
    assert admission.waiting == {(1, 1): 4, (2, 1): 1, (3, 1): 1}
    admission.leave((1, 1))
    assert admission.admit() == [(2, 1)]


def test_fewer_slots_than_run():
    """What runs goes on when slots go; nothing starts until there are enough again."""
    admission = Admission(4)
    admission.enter((0, 1), 4)
    assert admission.admit() == [(0, 1)]
    admission.slots = 2
    admission.enter((1, 1), 1)
    assert admission.admit() == []
    admission.leave((0, 1))
    assert admission.admit() == [(1, 1)]


def params_of_spark_ml(**values):
    """An object whose params are read as those of Spark ML's estimators are."""
    return SimpleNamespace(num_workers="a Param", getOrDefault=values.__getitem__)


@pytest.mark.parametrize(
    ("given", "need"),
    [
        (None, 0),
        (3, 3),
        (np.int64(2), 2),
        (params_of_spark_ml(num_workers=4), 4),
        (SimpleNamespace(num_workers=5), 5),
        (SimpleNamespace(num_processes=6), 6),
        (SimpleNamespace(num_processes=6, local_mode=False), 6),
        (SimpleNamespace(num_processes=6, local_mode=True), 0),
    ],
)
def test_a_constant_need(given, need):
    """A number, or what an estimator or a distributor says, holds for every trial."""
    assert constant_need(given) == need_of(given, {}) == need


def test_a_need_that_params_decide():
    """A function is asked for each trial."""
    needs = lambda params: params["workers"]  # noqa: E731
    assert constant_need(needs) is None
    assert need_of(needs, {"workers": 7}) == 7
    with pytest.raises(KeyError):
        need_of(needs, {})


@pytest.mark.parametrize("given", [0, -1, 1.5, True, "2", [2], SimpleNamespace(num_workers=None)])
def test_what_is_no_need(given):
    """Anything else is refused, and shown with what is possible."""
    with pytest.raises(ArgumentError, match=r"must be a whole number of slots, at least 1, but"):
        constant_need(given)
    with pytest.raises(ArgumentError, match=r"slots_per_trial\(params\) must be a whole number"):
        need_of(lambda _: given, {})
