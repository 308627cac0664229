"""Who the workers are, where, and at what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.remote.worker_table import Worker, WorkerTable
from manyfit.worker.work import Task


def worker(connection, host="a", executor=None):
    return Worker(connection, {"host": host, "name": executor or f"{host}/1"})


def task(number, attempt=1):
    return Task(number, attempt, {}, seed=0)


@pytest.fixture
def table():
    return WorkerTable()


def ready(table, *workers):
    for each in workers:
        table.add(each)
        table.is_ready(each)
    return workers


def test_a_worker_that_is_not_ready_is_given_nothing(table):
    """Only who has unpacked the setup is idle, and counted."""
    table.add(worker(0))

    assert table.idlest() is None
    assert table.n_ready == 0


def test_the_machine_with_the_least_to_do_comes_first(table):
    """An idle worker is taken where the fewest trials run; of equals, the one that came first."""
    first, _, third = ready(table, worker(0, "a"), worker(1, "a"), worker(2, "b"))
    assert table.idlest() is first
    table.assign(first, task(0))

    assert table.idlest() is third


def test_a_worker_is_found_by_its_attempt(table):
    """From assigning to releasing, an attempt leads to its worker."""
    (one,) = ready(table, worker(0))
    table.assign(one, task(7, 2))

    assert table.at(7, 2) is one
    assert table.at(7, 1) is None
    table.release(one)
    assert table.at(7, 2) is None
    assert table.idlest() is one


def test_one_that_is_struck_off_says_what_it_was_at(table):
    """A lost worker is found nowhere any more, and its task is known."""
    (one,) = ready(table, worker(0))
    table.assign(one, task(3))
    table.remove(one)

    assert one.task == task(3)
    assert (table.at(3, 1), table.n_ready, table.on("a")) == (None, 0, 0)


def test_surplus_is_over_the_emptiest_executor(table):
    """An executor where nobody is counts, if it is known to exist; one that emptied doesn't."""
    one, _, gone = ready(table, worker(0, "a", "x"), worker(1, "a", "x"), worker(2, "b", "emptied"))
    table.remove(gone)

    assert table.surplus(one, []) == 0
    assert table.surplus(one, ["y"]) == 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "ready", "assign", "release", "remove"]), st.integers(0, 5)
        )
    )
)
def test_counts_are_what_counting_would_give(steps):
    """Whatever happens in whatever order, the counts are those of the workers there are."""
    table = WorkerTable()
    for number, (step, connection) in enumerate(steps):
        one = table.workers.get(connection)
        if step == "add" and one is None:
            table.add(worker(connection, "ab"[connection % 2]))
        elif one is None:
            continue
        elif step == "ready" and not one.is_ready:
            table.is_ready(one)
        elif step == "assign" and one.is_ready and one.task is None:
            table.assign(one, task(number))
        elif step == "release":
            table.release(one)
        elif step == "remove":
            table.remove(one)
    workers = table.workers.values()

    assert table.n_ready == sum(each.is_ready for each in workers)
    assert table.on("a") == sum(each.host == "a" for each in workers)
    idle = [each for each in workers if each.is_ready and each.task is None]
    assert (table.idlest() in idle) if idle else table.idlest() is None
