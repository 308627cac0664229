"""How much params matter, compared with functions whose Sobol indices are known."""

import numpy as np
import pytest

from manyfit.advice.after import Findings
from manyfit.advice.functions import scaled_losses
from manyfit.advice.importance import FEWEST
from manyfit.metric import Metric
from manyfit.samplers.gp import GPSampler
from manyfit.space import Choice, Float, Space
from manyfit.testing.samplers import finished, trial
from manyfit.trial import Failed

LOSS = Metric("loss")
CUBE = Space({f"x{i}": Float(0, 1) for i in range(4)})


def additive(x0, x1, x2, x3):
    """Variances 1/12, 4/12 and 64/180 of the first three, and no interaction."""
    return x0 + 2 * x1 + 8 * (x2 - 0.5) ** 2


def product(x0, x1, x2, x3):
    """Variance 1 of the pair together, 1/12 of the third, and none of any param of the pair alone.

    With u uniform, the variance of u - 1/2 is 1/12, so that of 12 (u - 1/2)(v - 1/2) is 1.
    """
    return 12 * (x0 - 0.5) * (x1 - 0.5) + x2


def at_random(space, function, count, seed=0):
    rng = np.random.default_rng(seed)
    points = [space.sample(rng) for _ in range(count)]
    return [finished(n, params, function(**params)) for n, params in enumerate(points)]


def searched(space, function, count, seed=0):
    sampler = GPSampler(space, LOSS, seed)
    trials = []
    for number in range(count):
        params = sampler.ask(number)
        trials.append(finished(number, params, function(**params)))
        sampler.tell(trials[-1])
    return trials


def shares_of(space, trials):
    found = Findings.of(space, LOSS, trials).importances
    return {each.params: each for each in (*found.params, *found.pairs)}


def test_an_additive_function():
    """Shares are the known ones, wherever the sampler has looked, and no pair interacts."""
    shares = shares_of(CUBE, searched(CUBE, additive, 30))
    total = 1 / 12 + 4 / 12 + 64 / 180

    for name, known in (("x0", 1 / 12), ("x1", 4 / 12), ("x2", 64 / 180), ("x3", 0.0)):
        assert shares[name,].share == pytest.approx(known / total, abs=0.02)
        assert shares[name,].high - shares[name,].low < 0.1
    assert max(each.high for params, each in shares.items() if len(params) == 2) < 0.02


def test_a_product():
    """A pair whose product matters is found, with its share, and no other pair."""
    shares = shares_of(CUBE, at_random(CUBE, product, 40))

    assert shares["x0", "x1"].share == pytest.approx(12 / 13, abs=0.07)
    assert shares["x0",].share == pytest.approx(12 / 13, abs=0.07)
    assert shares["x2",].share == pytest.approx(1 / 13, abs=0.07)
    others = [each for params, each in shares.items() if len(params) == 2 and "x1" not in params]
    assert max(each.high for each in others) < 0.05


def test_options_and_branches():
    """Options have shares like numbers; a param of a branch has that of the trials that have it."""
    inner = {"on": {"y": Float(0, 1)}, "off": {}}
    space = Space({"x": Float(0, 1), "c": Choice(["a", "b", "c"]), "m": Choice(inner)})
    worth = {"a": 0.0, "b": 1.0, "c": 2.0}

    def function(x, c, m, y=0.5):
        return worth[c] + y

    shares = shares_of(space, at_random(space, function, 40))

    # Var c = 2/3; y varies by 1/12 in half of the space, and is its mean in the other half.
    known = 2 / 3 / (2 / 3 + 1 / 24)
    assert shares["c",].share == pytest.approx(known, abs=0.03)
    assert shares["y",].share == pytest.approx(1 - known, abs=0.03)
    assert shares["x",].high < 0.02


def test_intervals_show_what_trials_leave_open():
    """With noise, or with fewer trials, the intervals are wider."""
    rng = np.random.default_rng(1)

    def noisy(**params):
        return additive(**params) + rng.normal()

    def width(trials):
        return max(each.high - each.low for each in shares_of(CUBE, trials).values())

    many = width(at_random(CUBE, additive, 40))
    assert width(at_random(CUBE, additive, 12)) > 2 * many
    assert width(at_random(CUBE, noisy, 40)) > 2 * many


def test_diverged_trials_do_not_hide_the_others():
    """A few losses of a billion times the others are cut off."""
    trials = at_random(CUBE, additive, 40)
    wild = [finished(each.number, each.params, 1e9) for each in trials[::20]]

    shares = shares_of(CUBE, [*wild, *trials[1:20], *trials[21:]])

    assert shares["x1",].share > 0.2
    assert scaled_losses(np.array([1.0, 2.0, 3.0, 1e9]), np.ones(4))[0].max() < 2.0


@pytest.mark.parametrize(
    "trials",
    [
        [],
        at_random(CUBE, additive, FEWEST - 1),
        at_random(CUBE, lambda **params: 1.0, 30),
        [trial(n, CUBE.sample(np.random.default_rng(n)), Failed("no", "E")) for n in range(30)],
    ],
    ids=["none", "few", "equal", "failed"],
)
def test_trials_that_show_nothing(trials):
    """Too few trials, or equal losses, have no shares."""
    assert shares_of(CUBE, trials) == {}
