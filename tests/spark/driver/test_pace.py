"""How many trials run at once when nobody says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.spark.driver.pace import FIRST, MOST, Pace

SAMPLES = st.lists(
    st.tuples(st.floats(0.0, 3.0), st.integers(0, 12), st.floats(0.0, 2.0)), max_size=200
)


def sizes(use, seconds, running=None, every=0.25):
    """Feed it evenly; returns its size second by second."""
    pace, found = Pace(), []
    for tick in range(int(seconds / every) + 1):
        at = tick * every
        pace.sample(at, pace.size if running is None else running, use)
        if at == int(at):
            found.append(pace.size)
    return found


def test_idle_slots_let_one_more_in():
    """Five seconds below 80 % add one; each further one takes five seconds again."""
    assert sizes(0.5, 11)[:5] == [2] * 5
    assert sizes(0.5, 11)[5] == 3
    assert sizes(0.5, 11)[11] == 4


@pytest.mark.parametrize("use", [0.8, 0.95, 1.0, 1.7])
def test_a_busy_cluster_is_left_alone(use):
    """From 80 % on, nothing is added, however long."""
    assert sizes(use, 60)[-1] == FIRST


def test_there_is_an_end():
    """A cluster that stays idle gets ten trials and no more."""
    assert sizes(0.0, 200)[-1] == MOST


@pytest.mark.parametrize("running", [0, 1])
def test_missing_trials_say_nothing(running):
    """While fewer run than may, idle slots are no reason."""
    assert sizes(0.0, 60, running=running)[-1] == FIRST


def test_gaps_between_trials_do_not_count():
    """A moment without a trial neither adds to the time nor starts it anew."""
    pace = Pace()
    for tick in range(100):
        pace.sample(tick * 0.5, 1 if tick % 4 == 0 else 2, 0.0)
        if pace.size > FIRST:
            break
    assert 5.0 <= tick * 0.5 <= 12.0


def test_it_is_the_mean_over_time():
    """Long idle times weigh more than short busy ones, however often there are samples."""
    pace = Pace()
    for tick in range(100):
        pace.sample(tick * 0.01, 2, 1.0)  # a second, busy
    for second in range(1, 6):
        pace.sample(float(second), 2, 0.5)
    assert pace.size == 3


@given(SAMPLES)
def test_it_only_grows(samples):
    """Whatever comes, it stays between 2 and 10, and rises by one at most every five seconds."""
    pace, now, rises = Pace(), 0.0, [0.0]
    for seconds, running, use in samples:
        now += seconds
        before = pace.size
        pace.sample(now, running, use)
        assert before <= pace.size <= min(before + 1, MOST)
        if pace.size > before:
            assert now - rises[-1] >= 5.0 - 1e-6
            rises.append(now)
