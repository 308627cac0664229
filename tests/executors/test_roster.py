"""Who the workers are, where, and at what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.executors.roster import Member, Roster
from manyfit.worker.work import Task


def member(connection, host="a", executor=None):
    return Member(connection, {"host": host, "name": executor or f"{host}/1"})


def task(number, attempt=1):
    return Task(number, attempt, {}, seed=0)


@pytest.fixture
def roster():
    return Roster()


def ready(roster, *members):
    for each in members:
        roster.add(each)
        roster.is_ready(each)
    return members


def test_a_worker_that_is_not_ready_is_given_nothing(roster):
    """Only who has unpacked the kit is idle, and counted."""
    roster.add(member(0))

    assert roster.idlest() is None
    assert roster.n_ready == 0


def test_the_machine_with_the_least_to_do_comes_first(roster):
    """An idle worker is taken where the fewest trials run; of equals, the one that came first."""
    first, _, third = ready(roster, member(0, "a"), member(1, "a"), member(2, "b"))
    assert roster.idlest() is first
    roster.assign(first, task(0))

    assert roster.idlest() is third


def test_a_worker_is_found_by_its_attempt(roster):
    """From assigning to releasing, an attempt leads to its worker."""
    (one,) = ready(roster, member(0))
    roster.assign(one, task(7, 2))

    assert roster.at(7, 2) is one
    assert roster.at(7, 1) is None
    roster.release(one)
    assert roster.at(7, 2) is None
    assert roster.idlest() is one


def test_one_that_is_struck_off_says_what_it_was_at(roster):
    """A lost worker is found nowhere any more, and its task is known."""
    (one,) = ready(roster, member(0))
    roster.assign(one, task(3))
    roster.remove(one)

    assert one.task == task(3)
    assert (roster.at(3, 1), roster.n_ready, roster.on("a")) == (None, 0, 0)


def test_surplus_is_over_the_emptiest_executor(roster):
    """An executor where nobody is counts, if it is known to exist; one that emptied doesn't."""
    one, _, gone = ready(
        roster, member(0, "a", "x"), member(1, "a", "x"), member(2, "b", "emptied")
    )
    roster.remove(gone)

    assert roster.surplus(one, []) == 0
    assert roster.surplus(one, ["y"]) == 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "ready", "assign", "release", "remove"]), st.integers(0, 5)
        )
    )
)
def test_counts_are_what_counting_would_give(steps):
    """Whatever happens in whatever order, the counts are those of the workers there are."""
    roster = Roster()
    for number, (step, connection) in enumerate(steps):
        one = roster.members.get(connection)
        if step == "add" and one is None:
            roster.add(member(connection, "ab"[connection % 2]))
        elif one is None:
            continue
        elif step == "ready" and not one.is_ready:
            roster.is_ready(one)
        elif step == "assign" and one.is_ready and one.task is None:
            roster.assign(one, task(number))
        elif step == "release":
            roster.release(one)
        elif step == "remove":
            roster.remove(one)
    members = roster.members.values()

    assert roster.n_ready == sum(each.is_ready for each in members)
    assert roster.on("a") == sum(each.host == "a" for each in members)
    idle = [each for each in members if each.is_ready and each.task is None]
    assert (roster.idlest() in idle) if idle else roster.idlest() is None
