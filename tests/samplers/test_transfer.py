"""What earlier studies are worth to a new one."""

import numpy as np
import pytest

from manyfit.metric import Metric
from manyfit.samplers.cube import Cube
from manyfit.samplers.earlier import Earlier
from manyfit.samplers.gp import GPSampler
from manyfit.samplers.transfer import Transfer
from manyfit.space import Choice, Float, Space
from manyfit.testing.samplers import finished

SPACE = Space({"x": Float(0, 1), "y": Float(0, 1), "kind": Choice(["a", "b", "c"])})


def loss(params, shift=0.0):
    return (
        (params["x"] - 0.2 - shift) ** 2
        + (params["y"] - 0.8 + shift) ** 2
        + 0.3 * (params["kind"] != "b")
    )


def earlier(shift=0.0, sign=1, count=30, seed=0):
    rng = np.random.default_rng(seed)
    params = [SPACE.sample(rng) for _ in range(count)]
    return Earlier(params, [sign * loss(each, shift) for each in params])


def best(count, studies, seed):
    sampler = GPSampler(SPACE, Metric("loss"), seed, studies)
    found = []
    for number in range(count):
        params = sampler.ask(number)
        found.append(loss(params))
        sampler.tell(finished(number, params, found[-1]))
    return min(found)


def test_related_studies_give_better_first_trials():
    """After five trials a study with related ones behind it is far ahead of a cold one."""
    related = [earlier(shift=0.05), earlier(shift=-0.05, seed=1)]
    warm = np.median([best(5, related, seed) for seed in range(5)])
    cold = np.median([best(5, [], seed) for seed in range(5)])

    assert warm < cold / 4


@pytest.mark.parametrize("sign", [0, -1], ids=["flat", "opposite"])
def test_no_harm_in_the_end(sign):
    """Studies that teach nothing, or the opposite of what holds, are soon given no weight."""
    misled = np.median([best(25, [earlier(sign=sign)], seed) for seed in range(3)])

    assert misled < 0.01


def test_too_few_trials():
    """A study of four trials is passed over, and makes no difference."""
    cube = Cube(SPACE)
    transfer = Transfer(cube, [earlier(count=4)])
    points = cube.points(np.array([cube.row({"x": 0.5, "y": 0.5, "kind": "a"})]))

    assert transfer.best == []
    assert transfer.with_trends(points).trends.shape == (1, 0)


def test_the_first_is_best_for_all():
    """Of several studies, the first trial is not the best of one but what all expect most of."""
    left, right = earlier(shift=-0.2), earlier(shift=0.2, seed=1)
    row = Transfer(Cube(SPACE), [left, right]).best[0]

    assert abs(row[0] - 0.2) < 0.2
    assert abs(row[1] - 0.8) < 0.2


def test_params_that_it_did_not_have():
    """A study of fewer params says something about those it had."""
    some = earlier()
    fewer = Earlier([{"x": each["x"], "y": each["y"]} for each in some.params], some.losses)

    assert np.median([best(8, [fewer], seed) for seed in range(3)]) < 0.15
