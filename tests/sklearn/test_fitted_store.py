"""A store of fronts: one is made once on a machine, within a budget, and is never half there."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest

from manyfit.front_plan import FrontPlan
from manyfit.prefixes import Demand, Shelf
from manyfit.sklearn.fitted_store import FittedStore, Tally

A, B = ("fold 0", "a"), ("fold 0", "b")
CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture
def opened(tmp_path):
    """Open the store, as each process of a machine does; all are closed at the end."""
    stores = []

    def open_store(uses=10, budget=1 << 20):
        plan = FrontPlan(Demand([A] * uses + [B] * uses), Shelf(budget))
        stores.append(FittedStore("study", plan, tmp_path / "node"))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def slowly(value):
    """What makes a front, in a time that is worth saving."""
    time.sleep(0.02)
    return value


def never():
    raise AssertionError("it was made already")


def test_a_front_is_made_once_for_all(opened):
    """Another opener of the store gets what the first one made, and may change its copy."""
    first, second = opened(), opened()
    tally = Tally()
    first.front(A, lambda: slowly({"x": np.arange(3)}))

    found = second.front(A, never, tally=tally)
    found["x"][0] = 99

    assert second.front(A, never)["x"].tolist() == [0, 1, 2]
    assert (tally.reused, tally.kept, tally.seconds >= 0.02) == (1, 0, True)


def test_what_is_made_at_once_is_not_kept(opened):
    """Keeping it would cost more than making it; that holds for all folds."""
    store = opened()
    store.front(A, lambda: 1)

    assert store.front(A, lambda: 2) == 2
    assert opened().front(("fold 1", "a"), lambda: slowly(3)) == 3
    assert store.savings.made == 0


def test_what_no_other_trial_needs_is_not_kept(opened):
    """It is made for the caller alone."""
    store = opened(uses=1)

    assert [store.front(A, lambda value=value: slowly(value)) for value in (1, 2)] == [1, 2]


def test_a_front_goes_with_its_last_use(opened, tmp_path):
    """Its file is removed once no trial is expected to need it."""
    store = opened(uses=2)
    store.front(A, lambda: slowly(bytes(1000)))
    files = tmp_path / "node" / "study" / "fronts"
    assert len(list(files.iterdir())) == 1

    for _ in range(2):
        store.done(A)

    assert list(files.iterdir()) == []


def test_the_budget_is_kept(opened, tmp_path):
    """A front worth more pushes out one worth less; one too large is made for its caller alone."""
    store = opened(budget=3000)
    store.front(A, lambda: slowly(bytes(2000)))
    store.front(B, lambda: time.sleep(0.1) or bytes(2000))
    store.front(("fold 0", "a"), lambda: slowly(bytes(5000)))

    sizes = [file.stat().st_size for file in (tmp_path / "node/study/fronts").iterdir()]

    assert len(sizes) == 1
    assert store.front(B, never) == bytes(2000)
    assert store.savings.most_bytes <= 3000


def test_others_wait_for_the_one_that_makes_it(opened):
    """They do other work meanwhile, and never make it a second time."""
    store, other = opened(), opened()
    begun, go_on = threading.Event(), threading.Event()

    def make():
        begun.set()
        go_on.wait(10)
        return slowly("made")

    def meanwhile():
        go_on.set()
        return other.prepare(B, lambda: slowly("prepared"))

    maker = threading.Thread(target=store.front, args=(A, make))
    maker.start()
    begun.wait(10)

    assert other.front(A, never, meanwhile=meanwhile) == "made"
    maker.join()
    assert store.front(B, never) == "prepared"
    assert not store.prepare(B, never)


@pytest.mark.parametrize("moment", ["make", "write"])
def test_a_killed_maker_is_replaced(opened, tmp_path, moment):
    """After kill -9 in mid-work, the one that waits makes the front."""
    store = opened()
    begun = CONTEXT.Event()

    class Torn:
        def __reduce__(self):
            return (bytes, (1000,))

    def die():
        mine = FittedStore("study", FrontPlan(Demand([A] * 9), Shelf(1 << 20)), tmp_path / "node")

        def make():
            begun.set()
            time.sleep(0.05)
            if moment == "make":
                os.kill(os.getpid(), signal.SIGKILL)
            return Torn()

        if moment == "write":
            os.replace = os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        mine.front(A, make)

    process = CONTEXT.Process(target=die)
    process.start()
    begun.wait(10)
    found = store.front(A, lambda: slowly("made"))
    process.join()

    assert process.exitcode == -signal.SIGKILL
    assert found == "made"
    assert store.front(A, never) == "made"


def test_a_full_disk_costs_time_only(opened, monkeypatch):
    """The fit goes on with a warning, and the next one makes its own."""
    store = opened()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("manyfit.data.formats.PickledObject.write", refuse)

    with pytest.warns(UserWarning, match="No space left on device"):
        assert store.front(A, lambda: slowly("made")) == "made"
    with pytest.warns(UserWarning, match="No space left on device"):
        assert store.front(A, lambda: slowly("again")) == "again"


def test_what_cannot_be_pickled_is_not_kept(opened):
    """A transformer with a lock or a socket inside is fitted by each trial."""
    store = opened()

    assert not isinstance(store.front(A, lambda: slowly(threading.Lock())), str)
    assert store.front(A, lambda: slowly("own")) == "own"
