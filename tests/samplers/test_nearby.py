"""Search near the best: even at first, then ever closer."""

import numpy as np
import pytest

from manyfit.metric import Metric
from manyfit.samplers.nearby import NearbySampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import LOSS, SamplerContract, finished, trial
from manyfit.trial import Failed

SPACE = Space({"x": Float(0, 1), "y": Float(0, 1)})


class TestContract(SamplerContract):
    """It keeps what samplers keep."""

    def make_sampler(self, space, metric, seed):
        """Return a new one."""
        return NearbySampler(space, metric, seed)


def search(sampler, space, loss, trials=30):
    """Return the best loss."""
    found = []
    for number in range(trials):
        params = sampler.ask(number)
        found.append(loss(params))
        sampler.tell(finished(number, params, found[-1]))
    return min(found)


def test_it_begins_alike():
    """Whatever the seed, the first points are the same, and fill the space."""
    one, other = (NearbySampler(SPACE, LOSS, seed) for seed in (1, 2))
    points = [one.ask(number) for number in range(64)]
    assert points == [other.ask(number) for number in range(64)]
    cells = {(int(4 * p["x"]), int(4 * p["y"])) for p in points[:32]}
    assert len(cells) == 16


def test_then_seeds_matter():
    """Neighbours are drawn, each number's on its own."""
    asked = []
    for seed in (1, 1, 2):
        sampler = NearbySampler(SPACE, LOSS, seed)
        for number in range(10):
            sampler.tell(finished(number, sampler.ask(number), float(number)))
        asked.append([sampler.ask(number) for number in (20, 21, 20)])
    assert asked[0] == asked[1] != asked[2]
    assert asked[0][0] == asked[0][2] != asked[0][1]


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_an_edge(edge):
    """An optimum on the edge is met exactly."""
    assert search(NearbySampler(SPACE, LOSS, 0), SPACE, lambda p: abs(p["x"] - edge)) == 0.0


def test_it_beats_random_search():
    """On a bowl, in most of many studies."""
    wins = 0
    for seed in range(30):
        best = np.random.default_rng((seed, 999)).random(2)

        def loss(params, best=best):
            return (params["x"] - best[0]) ** 2 + (params["y"] - best[1]) ** 2

        mine = search(NearbySampler(SPACE, LOSS, seed), SPACE, loss)
        wins += mine < search(RandomSampler(SPACE, seed), SPACE, loss)
    assert wins >= 24


def test_maximising():
    """It looks near the largest values then."""
    sampler = NearbySampler(SPACE, Metric("loss", "maximize"), 0)
    for number in range(10):
        params = sampler.ask(number)
        sampler.tell(finished(number, params, params["x"]))
    assert np.mean([sampler.ask(number)["x"] for number in range(40, 60)]) > 0.8


def test_failures_have_no_neighbours():
    """While nothing has completed, it goes on filling the space."""
    sampler = NearbySampler(SPACE, LOSS, 0)
    fresh = NearbySampler(SPACE, LOSS, 1)
    for number in range(30):
        params = sampler.ask(number)
        assert params == fresh.ask(number)
        sampler.tell(trial(number, params, Failed("no", "ValueError")))


def test_branches():
    """What a change of branch brings to life is drawn anew."""
    space = Space({"model": Choice({"a": {"n": Int(1, 9)}, "b": {"c": Float(0, 1)}})})
    sampler = NearbySampler(space, LOSS, 0)
    for number in range(40):
        params = sampler.ask(number)
        space.check(params)
        sampler.tell(finished(number, params, float(number % 5)))


def test_it_comes_closer():
    """Late proposals are nearer to the best trial than early ones are."""
    space = Space({f"x{n}": Float(-50, 50) for n in range(6)})
    sampler = NearbySampler(space, LOSS, 0)
    distances = []
    for number in range(70):
        params = sampler.ask(number)
        distances.append(sum(value**2 for value in params.values()) ** 0.5)
        sampler.tell(finished(number, params, distances[-1]))
    assert np.median(distances[50:]) < 0.3 * np.median(distances[7:20])


def test_it_follows_a_slope():
    """A model tells it where to look: where losses fall, it goes on."""
    space = Space({"x": Float(0, 1), "y": Float(0, 1)})
    steps = []
    for seed in range(20):
        sampler = NearbySampler(space, LOSS, seed)
        for number in range(8):
            params = {"x": 0.3 + number / 40, "y": 0.5}
            sampler.tell(finished(number, params, -params["x"]))
        steps.append(sampler.ask(8)["x"] - 0.475)
    assert sum(step > 0 for step in steps) >= 18


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_losses_of_any_size(scale):
    """One that is far above the others, or equal losses, or a failure, is no obstacle."""
    sampler = NearbySampler(SPACE, LOSS, 0)
    for number in range(30):
        params = sampler.ask(number)
        SPACE.check(params)
        if number == 3:
            sampler.tell(trial(number, params, Failed("no", "ValueError")))
        else:
            loss = 1e100 if number == 5 else 1.0 if number < 10 else params["x"]
            sampler.tell(finished(number, params, scale * loss))


def test_hundreds_of_trials():
    """It goes on, though its model sees but the best of them."""
    sampler = NearbySampler(SPACE, LOSS, 0)
    assert search(sampler, SPACE, lambda p: (p["x"] - 0.3) ** 2 + p["y"], trials=150) < 1e-3


def test_a_space_without_params():
    """There is one point."""
    sampler = NearbySampler(Space({}), LOSS, 0)
    for number in range(8):
        assert sampler.ask(number) == {}
        sampler.tell(finished(number, {}, 1.0))


def test_what_was_tried():
    """A neighbour that was tried gives way to another, mostly."""
    space = Space({"n": Int(1, 30)})
    counts = []
    for seed in range(12):
        sampler = NearbySampler(space, LOSS, seed)
        asked = []
        for number in range(20):
            asked.append(sampler.ask(number)["n"])
            sampler.tell(finished(number, {"n": asked[-1]}, abs(asked[-1] - 20.0)))
        assert 20 in asked
        counts.append(len(set(asked)))
    assert np.mean(counts) > 15
