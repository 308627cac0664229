from hypothesis import given, settings
from hypothesis import strategies as st

from manyfit.samplers.base import NoSampler
from manyfit.samplers.lagged import LaggedSampler
from manyfit.testing.samplers import finished, trial


class Listener(NoSampler):
    """Remembers what it is told."""

    def __init__(self):
        self.told = []

    def tell(self, trial):
        self.told.append((trial.number, trial.state.is_finished))


def schedule(count, lag):
    """Return what trial `count` may know, in order: the end of k - lag, then k as pending."""
    told = []
    for number in range(count + 1):
        told += [(number - lag, True)] if number >= lag else []
        told += [(number, False)] if number < count else []
    return told


@settings(max_examples=settings.default.max_examples // 2)
@given(lag=st.integers(1, 6), data=st.data())
def test_the_order_follows_from_the_numbers_alone(lag, data):
    """In whatever order trials end, and however often it is asked, it tells them in one order."""
    listener = Listener()
    sampler = LaggedSampler(listener, lag)
    running = set()
    for number in range(12):
        due = {other for other in running if other <= number - lag}
        early = data.draw(st.sets(st.sampled_from(sorted(running - due) or [-1])))
        for other in data.draw(st.permutations(sorted(due | (early & running)))):
            sampler.tell(finished(other, {"x": 0.5}, 1.0))
            running.discard(other)
        for _ in range(data.draw(st.integers(1, 2))):
            sampler.ask(number)
        assert listener.told == schedule(number, lag)
        sampler.tell(trial(number, {"x": 0.5}))
        running.add(number)


def test_a_replay_tells_the_same():
    """Resumed from a record, where nobody asked, it tells what it would have told."""
    listener = Listener()
    sampler = LaggedSampler(listener, lag=2)
    for number in range(6):
        sampler.tell(trial(number, {"x": 0.5}))
        sampler.tell(finished(number, {"x": 0.5}, 1.0))
    sampler.ask(6)

    assert listener.told == schedule(6, 2)


def test_numbers_that_were_never_told_are_passed_over():
    """Trials outside the space, and repeats, leave gaps that nobody trips over."""
    listener = Listener()
    sampler = LaggedSampler(listener, lag=1)
    sampler.tell(trial(3, {"x": 0.5}))
    sampler.tell(finished(3, {"x": 0.5}, 1.0))
    sampler.ask(9)

    assert listener.told == [(3, False), (3, True)]
