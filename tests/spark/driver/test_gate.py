"""Trials wait for slots, while the cluster grows and shrinks."""

import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import ArgumentError
from manyfit.spark.driver import gate as spark_gate
from manyfit.spark.driver.gate import Admission, Gate, constant_need, need_of
from manyfit.spark.slots import Slots


class FakeSession:
    """Says how many slots there are; counts how often it is asked."""

    def __init__(self, now, most=None, on_demand=False):
        self.found = Slots(now, most, on_demand, made_of="2 executors of 2 cores")
        self.asked = 0

    def slots(self):
        self.asked += 1
        return self.found


@pytest.fixture
def clock(monkeypatch):
    """A clock that is put forward by hand."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(spark_gate, "time", clock)
    return clock


def gate_to(session, slots=None, needs=lambda params: params["need"]):
    gate = Gate(session, needs, slots)
    gate.open()
    return gate


def enter(gate, *needs):
    for number, need in enumerate(needs):
        gate.enter((number, 1), {"need": need})


def test_slots_are_not_counted_without_need():
    """Ordinary jobs share slots: everybody is let in, and Spark isn't asked."""
    session = FakeSession(1)
    gate = gate_to(session, needs=None)
    enter(gate, *range(50))
    assert len(gate.admit()) == 50
    assert gate.refuse() == []
    assert gate.limit(8) == 8
    assert session.asked == 0


@pytest.mark.parametrize("slots", [0, -1, 1.5, True, "4"])
def test_slots_must_be_a_number(slots):
    """What is no number of slots is refused."""
    with pytest.raises(ArgumentError, match="slots must be a whole number, at least 1, or None"):
        Gate(FakeSession(4), 1, slots)


def test_slots_that_nobody_knows():
    """If nothing tells, one is asked to say."""
    gate = Gate(FakeSession(None), 1, None)
    assert gate.limit(8) == 8
    with pytest.raises(ArgumentError, match="set slots="):
        gate.open()
    assert gate_to(FakeSession(None), slots=4, needs=2).limit(8) == 2
    assert gate_to(FakeSession(None, most=6), needs=2).limit(8) == 3


def test_given_slots_hold():
    """The number that the user gives is not compared with the cluster's."""
    session = FakeSession(100)
    gate = gate_to(session, slots=3)
    enter(gate, 2, 2, 4)
    assert gate.admit() == [(0, 1)]
    ((key, reason),) = gate.refuse()
    assert key == (2, 1)
    assert reason.startswith("needs 4 slots at once, and the cluster has 3 (slots=3): lower")
    assert session.asked == 0


def test_executors_that_are_yet_to_come(clock, caplog):
    """What settings promise is waited for, and people are told after a while, once."""
    session = FakeSession(2, most=4)
    gate = gate_to(session)
    enter(gate, 4, 5)
    assert gate.admit() == []
    assert [key for key, _ in gate.refuse()] == [(1, 1)]
    with caplog.at_level(logging.WARNING, "manyfit"):
        for _ in range(40):
            clock.now += 1.0
            assert gate.admit() == []
    assert [record.getMessage() for record in caplog.records] == [
        "trial 0 needs 4 slots at once, and so far the cluster has 2: it waits for more"
    ]
    assert session.asked <= 21
    session.found = Slots(4, 4)
    clock.now += 2.0
    assert gate.admit() == [(0, 1)]


def test_what_is_not_waited_for(clock, caplog):
    """A trial that comes late has not waited yet, and one that can't run waits for nothing."""
    gate = gate_to(FakeSession(2, most=4))
    enter(gate, 1)
    gate.admit()
    clock.now += 60.0
    gate.enter((1, 1), {"need": 4})
    gate.admit()
    gate.enter((2, 1), {"need": 5})
    gate.leave((1, 1))
    clock.now += 60.0
    gate.admit()
    assert not caplog.records
    assert [key for key, _ in gate.refuse()] == [(2, 1)]


def test_a_young_session_gets_time(clock, caplog):
    """Without a promise, executors have 20 s to come before it is judged what can't run."""
    gate = gate_to(FakeSession(2))
    enter(gate, 4)
    for _ in range(10):
        assert (gate.admit(), gate.refuse()) == ([], [])
        clock.now += 2.0
    clock.now += 1.0
    gate.admit()
    assert not caplog.records
    ((key, reason),) = gate.refuse()
    assert key == (0, 1)
    assert reason == (
        "needs 4 slots at once, and the cluster has 2 (2 executors of 2 cores): lower "
        "slots_per_trial (num_workers, num_processes), or give the session more executors"
    )


def test_executors_that_were_lost_may_come_back(clock):
    """Slots that have been there before are waited for; nothing starts on what is gone."""
    session = FakeSession(4)
    gate = gate_to(session)
    enter(gate, 4, 4)
    assert gate.admit() == [(0, 1)]
    clock.now += 60.0
    session.found = Slots(2, None)
    gate.admit()
    gate.leave((0, 1))
    assert (gate.admit(), gate.refuse()) == ([], [])
    clock.now += 60.0
    session.found = Slots(4, None)
    assert gate.admit() == [(1, 1)]


def test_executors_on_demand():
    """Where executors come with the work, what may come is there."""
    gate = gate_to(FakeSession(0, most=6, on_demand=True))
    enter(gate, 6, 1, 7)
    assert gate.admit() == [(0, 1)]
    assert [key for key, _ in gate.refuse()] == [(2, 1)]


def test_nobody_is_asked_while_nothing_waits(clock):
    """A count costs Spark a little, so there is one only when there is a reason."""
    session = FakeSession(4)
    gate = gate_to(session)
    enter(gate, 1, 1)
    for _ in range(20):
        clock.now += 5.0
        gate.admit()
        gate.refuse()
    assert session.asked == 1


def test_what_a_function_raises_passes_through():
    """A function that can't say how many fails its own trial, which its caller sees to."""
    gate = gate_to(FakeSession(4))
    with pytest.raises(KeyError):
        gate.enter((0, 1), {})
    with pytest.raises(ArgumentError, match=r"slots_per_trial\(params\) must be a whole number"):
        gate.enter((0, 1), {"need": 0})
    assert gate.admit() == []


@pytest.mark.parametrize(
    ("now", "most", "limit"), [(2, 4, 2), (4, 2, 2), (2, None, 1), (1, None, 1), (2, math.inf, 3)]
)
def test_parallelism_follows_what_is_promised(now, most, limit):
    """A new session may lack executors: those it will get count, since trials can wait for them."""
    assert Gate(FakeSession(now, most), 2, None).limit(3) == limit


# ── admission ─────────────────────────────────────────────────────────────────────────────────────

# What happens at a gate: a trial comes and needs some slots, a trial leaves, slots change.
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
    """An admitted trial finds its slots; order is kept; no trial is lost or admitted twice."""
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
    """If running trials end, every waiting one is admitted, in the order of arrival."""
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
