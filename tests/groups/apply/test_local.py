"""Calls for many groups in worker processes."""

import os
import threading
import time

import pandas as pd
import pytest

from manyfit.groups.apply.calling import KnownGroup
from manyfit.groups.apply.local import called_with

HERE = os.getpid()


def portions(count):
    return [(f'["{n}"]', KnownGroup({"n": n}), pd.DataFrame({"x": [n]})) for n in range(count)]


def spread(call, count=40, **given):
    return called_with(call, portions(count), **{"patience": 0.0, "processes": 2, **given})


@pytest.mark.integration
def test_order():
    """Results come in the order of the groups, from several processes."""
    found = spread(lambda found, rows: (found.params["n"], int(rows["x"][0]), os.getpid()))
    assert [each[:2] for each in found] == [(n, n) for n in range(40)]
    assert HERE not in {each[2] for each in found}


def test_quick_calls_stay_here():
    """What takes no longer than starting processes does is done in this one."""
    assert set(spread(lambda found, rows: os.getpid(), patience=60.0)) == {HERE}
    assert set(spread(lambda found, rows: os.getpid(), processes=1)) == {HERE}


@pytest.mark.integration
def test_from_here_to_there():
    """Calls that turn out to take long go on elsewhere, each group once."""

    def slow(found, rows):
        time.sleep(0.02)
        return found.params["n"], os.getpid()

    found = spread(slow, patience=0.1)
    assert [each[0] for each in found] == list(range(40))
    assert found[0][1] == HERE != found[-1][1]


def test_no_groups():
    """No groups are no calls."""
    assert spread(lambda found, rows: 1, count=0) == []


@pytest.mark.integration
def test_errors_are_raised_as_they_are():
    """An exception of a process comes as the exception that it was, and names its group."""

    def fail(found, rows):
        if found.params["n"] == 33:
            raise KeyError("no")
        return 1

    with pytest.raises(KeyError) as caught:
        spread(fail)
    assert caught.value.__notes__ == ['in group ["33"]']


def test_what_cannot_travel():
    """A call that can't be pickled is made here."""
    lock = threading.Lock()

    def call(found, rows):
        with lock:
            return os.getpid()

    assert set(spread(call)) == {HERE}


@pytest.mark.integration
def test_process_that_dies():
    """What a process dies of there is tried again here."""

    def die(found, rows):
        if found.params["n"] == 7 and os.getpid() != here:
            os._exit(3)
        return found.params["n"]

    here = HERE
    assert spread(die) == list(range(40))
