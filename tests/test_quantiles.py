"""Priors of Float and Int: drawn from SciPy's distributions, recorded, and refused in words."""

import itertools
import json
import math

import numpy as np
import pytest
import scipy.stats

from manyfit.domain import Float, Int
from manyfit.errors import SpaceError
from manyfit.samplers.cube import Cube
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.grid import GridSampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Space

uniform, norm = scipy.stats.uniform, scipy.stats.norm
DOMAINS = {
    "normal": Float.normal(0, 2),
    "lognormal": Float.lognormal(-3, 1),
    "heavy": Float(prior=scipy.stats.cauchy()),
    "one bound": Float(low=0.5, prior=norm(0, 1)),
    "two bounds": Float(0, 1, prior=norm(0.5, 3)),
    "steps": Float.normal(0, 2, step=0.5),
    "steps up to": Float(high=1, step=0.25, prior=norm(0, 1)),
    "few steps": Float(0, 1, step=0.3, prior=norm(0.5, 0.2)),
    "log steps": Float(prior=scipy.stats.loguniform(1, 100), step=5),
    "whole": Int(prior=norm(10, 3)),
    "evens": Int(prior=norm(10, 3), step=2),
    "counts": Int(prior=scipy.stats.poisson(4)),
    "bounded counts": Int(2, 6, prior=scipy.stats.poisson(4)),
    "vast": Int(prior=scipy.stats.lognorm(9)),
}


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
class TestAnyPrior:
    def test_draws_are_in_stored_form_and_encode_back(self, domain):
        """What is decoded is contained, and its place in the unit interval leads back to it."""
        for unit in [0.0, 1e-12, *np.linspace(0, 1, 41), 1.0]:
            value = domain.decode(float(unit))
            again = domain.decode(domain.encode(value))

            assert domain.contains(value)
            assert domain.store("x", value) == value
            if 1e-9 < unit < 1 - 1e-9:
                assert again == pytest.approx(value, rel=1e-7, abs=1e-9)
            if 0.01 < unit < 0.99 and getattr(domain, "step", None):
                assert again == value

    def test_a_record_keeps_it(self, domain):
        """JSON holds it, without infinite numbers, and gives an equal domain."""
        text = json.dumps(Space({"x": domain}).to_json(), allow_nan=False)

        assert Space.from_json(json.loads(text)) == Space({"x": domain})

    def test_it_is_written_as_its_author_would(self, domain):
        """The repr makes an equal domain."""
        names = {**vars(scipy.stats), "Float": Float, "Int": Int}

        assert eval(repr(domain), names) == domain

    def test_settled_places_stay(self, domain):
        """The rows of a Gaussian process settle once, at the places of values."""
        units = np.linspace(0.001, 0.999, 200)
        settled = domain.settle(units)
        cube = Cube(Space({"x": domain}))

        assert (domain.settle(settled) == settled).all()
        assert [domain.encode(domain.decode(u)) for u in settled] == pytest.approx(settled)
        value = domain.decode(0.6)
        assert len(cube.holding({"x": value}).held(cube.row({"x": value})[None])) == 1


@pytest.mark.parametrize(
    ("domain", "law"),
    [
        (Float.normal(1, 2), norm(1, 2).cdf),
        (Float.lognormal(-3, 0.5), scipy.stats.lognorm(0.5, scale=math.exp(-3)).cdf),
        (Float(prior=scipy.stats.gamma(2, scale=3)), scipy.stats.gamma(2, scale=3).cdf),
        (Float(0, 1, prior=norm(0.5, 1)), scipy.stats.truncnorm(-0.5, 0.5, 0.5, 1).cdf),
    ],
)
def test_draws_follow_the_distribution(domain, law):
    """The Kolmogorov-Smirnov test finds no difference in 2000 draws."""
    rng = np.random.default_rng(0)
    draws = [Space({"x": domain}).sample(rng)["x"] for _ in range(2000)]

    assert scipy.stats.kstest(draws, law).pvalue > 0.01


@pytest.mark.parametrize(
    ("domain", "weights"),
    [
        (Float(prior=uniform(0, 10), step=5), {0.0: 0.25, 5.0: 0.5, 10.0: 0.25}),
        (Float(prior=uniform(1, 9), step=3), {0.0: 0.5 / 9, 3.0: 3 / 9, 6.0: 3 / 9, 9.0: 2.5 / 9}),
        (Int(prior=scipy.stats.randint(2, 6)), dict.fromkeys((2, 3, 4, 5), 0.25)),
        (Int(3, 4, prior=scipy.stats.binom(4, 0.5)), {3: 0.8, 4: 0.2}),
    ],
)
def test_a_step_stands_for_the_draws_nearest_to_it(domain, weights):
    """Draws are rounded to the grid; without a lower bound, to multiples of the step."""
    units = (np.arange(2000) + 0.5) / 2000
    values, counts = np.unique([domain.decode(unit) for unit in units], return_counts=True)
    found = dict(zip(values.tolist(), counts / 2000, strict=True))

    assert domain.size == len(weights)
    assert list(domain.values()) == list(weights)
    assert found == pytest.approx(weights, abs=2e-3)


def test_a_point_far_out_is_allowed_where_nothing_bounds_it():
    """A prior says what is likely, bounds what is possible."""
    space = Space({"x": Float.normal(0, 1), "y": Float.normal(0, 1, low=-1, high=1)})

    assert space.store({"x": 1e6, "y": 0.5}) == {"x": 1e6, "y": 0.5}
    assert space.encode({"x": 1e6, "y": 0.5})[0] == 1.0
    with pytest.raises(SpaceError, match=r"y must be a number from -1.0 to 1.0, but got 2"):
        space.store({"x": 0.0, "y": 2})
    with pytest.raises(SpaceError, match=r"x must be a number that is finite, but got inf"):
        space.store({"x": math.inf, "y": 0})


def test_a_repeat_is_replaced_by_another_draw():
    """The replacement is likely by the prior, too, and isn't just any value between the bounds."""
    space = Space({"n": Int(0, 10**9, prior=scipy.stats.poisson(2))})
    seen = {space.key({"n": n}) for n in range(4)}
    for number in range(20):
        params = distinct_params(RandomSampler(space, 0), space, number, seen, seed=0)

        assert params["n"] < 20
        assert space.key(params) not in seen


def test_a_grid_needs_bounds():
    """A grid over an endless prior is refused, and says what to give."""
    with pytest.raises(SpaceError, match=r"n may be any number\. Give it a step and bounds"):
        GridSampler(Space({"n": Int(prior=scipy.stats.poisson(2))}), seed=0)
    space = Space({"n": Int(0, 3, prior=scipy.stats.poisson(2))})
    assert [params["n"] for params in space.grid()] == [0, 1, 2, 3]


def test_bounds_may_be_changed():
    """A prior is cut where a next space leaves out what is of no use."""
    space = Space({"x": Float.normal(0, 1)}).replaced({"x": Float(-1, 3, prior=norm(0, 1))})
    changes = Space({"x": Float.normal(0, 1)}).difference(space)

    became = "Float(-1.0, 3.0, prior=norm(loc=0.0, scale=1.0))"
    assert changes == [f"x: Float(prior=norm(loc=0.0, scale=1.0)) became {became}"]


REFUSED = [
    (lambda: Float(prior=3), "prior must be a distribution of scipy.stats with its parameters"),
    (lambda: Float(prior=norm), "prior must be a distribution of scipy.stats with its parameters"),
    (lambda: Float(prior=scipy.stats.multivariate_normal()), "prior must be a distribution of"),
    (lambda: Float(prior=scipy.stats.poisson(3)), "is a prior of whole numbers: use Int"),
    (lambda: Float(prior=norm(0, -1)), "has invalid parameters: see scipy.stats.norm"),
    (lambda: Float(prior=norm([0, 1], 1)), "has invalid parameters: see scipy.stats.norm"),
    (lambda: Float(prior=norm(), log=True), "log and prior exclude each other"),
    (lambda: Int(1, 9, prior=norm(), log=True), "log and prior exclude each other"),
    (
        lambda: Float(20, 30, prior=norm()),
        "next to no values from 20 to 30; it has those from -3.09",
    ),
    (lambda: Float(5, 6, prior=uniform()), "it has those from 0 to 1. Move the bounds"),
    (lambda: Float(2, 1, prior=norm()), "needs low < high"),
    (lambda: Float(prior=norm(), step=-1), "needs 0 < step"),
    (lambda: Int(prior=norm(), step=0), "needs 0 < step"),
    (lambda: Float(), "Float needs low and high, or a prior"),
    (lambda: Int(), "Int needs low and high, or a prior"),
    (lambda: Float.normal(0, 0), "Float needs a positive number for sd, but got 0"),
    (lambda: Float.normal("a", 1), "Float needs a finite number for mean, but got 'a'"),
    (lambda: Float.lognormal(800, 1), "Float.lognormal needs a mean below 709, but got 800"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=itertools.count())
def test_refuses_what_is_no_prior(make, message):
    """Each refusal says what to do."""
    with pytest.raises(SpaceError) as caught:
        make()

    assert message in str(caught.value)


def test_refuses_a_distribution_that_no_record_can_name():
    """A class of the user's own, even with the name of another, can't come back from a file."""

    class Mine(scipy.stats.rv_continuous):
        def _pdf(self, x):
            return np.exp(-x)

    with pytest.raises(SpaceError, match=r"prior must be in scipy\.stats, so that a record can"):
        Float(prior=Mine(a=0, name="norm")())
