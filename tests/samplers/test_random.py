"""Random search: each trial a function of the seed and its number."""

import numpy as np

from manyfit.samplers.random import RandomSampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import finished

SPACE = Space({"x": Float(0, 1), "n": Int(1, 4), "c": Choice(["a", "b"], weights=[9, 1])})


def test_follows_the_space():
    """Over many trials, values are spread as bounds and weights say."""
    sampler = RandomSampler(SPACE, seed=0)
    drawn = [sampler.ask(number) for number in range(2000)]

    assert abs(np.mean([p["x"] for p in drawn]) - 0.5) < 0.03
    assert abs(np.mean([p["n"] == 4 for p in drawn]) - 0.25) < 0.04
    assert abs(np.mean([p["c"] == "a" for p in drawn]) - 0.9) < 0.03


def test_learns_nothing():
    """What it is told makes no difference."""
    one, other = RandomSampler(SPACE, seed=0), RandomSampler(SPACE, seed=0)
    one.tell(finished(0, SPACE.sample(np.random.default_rng(0)), 0.5))

    assert one.ask(1) == other.ask(1)


def test_seeds_and_numbers_do_not_run_together():
    """Trial 1 of seed 0 has nothing to do with trial 0 of seed 1."""
    drawn = [RandomSampler(SPACE, seed).ask(n)["x"] for seed in range(10) for n in range(10)]

    assert len(set(drawn)) == 100
