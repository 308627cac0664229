"""Functions drawn from a Gaussian process."""

import numpy as np
import pytest

from manyfit.samplers.cube import Cube
from manyfit.samplers.outcomes import standardised
from manyfit.samplers.paths import draw_paths, draw_thetas
from manyfit.samplers.surrogate import Posterior, Theta, fit
from manyfit.space import Choice, Float, Space

SPACE = Space(
    {
        "x": Float(0, 1),
        "c": Choice(["a", "b", "c"]),
        "m": Choice({"svm": {"C": Float(0, 1), "k": Choice(["rbf", "lin"])}, "net": {}}),
    }
)


def data(count, seed=0):
    rng = np.random.default_rng(seed)
    cube = Cube(SPACE)
    points = cube.points(np.array([cube.row(SPACE.sample(rng)) for _ in range(count)]))
    return points, standardised(points.numbers[:, 0] + points.corners[:, 0] + rng.random(count))


def test_their_mean_and_deviation_are_those_of_the_process():
    """Many functions have the mean and the standard deviation that `Posterior` predicts."""
    points, losses = data(20)
    others, _ = data(50, seed=1)
    theta = Theta(np.log([0.5] * points.dimensions + [0.6, 0.4, 0.1]))

    rngs = [np.random.default_rng(seed) for seed in range(10)]
    drawn = np.hstack([draw_paths(theta, points, losses, 400, rng)(others) for rng in rngs])

    mean, deviation = Posterior(theta, points, losses, points[:0]).predict(others)
    assert drawn.mean(axis=1) == pytest.approx(mean, abs=0.06)
    assert drawn.std(axis=1) == pytest.approx(deviation, abs=0.06)


def test_hyperparameters_vary_as_far_as_the_trials_leave_open():
    """The first are the most probable ones; more trials make the others gather around them."""

    def spread(count):
        points, losses = data(count)
        thetas = draw_thetas(points, losses, 50, np.random.default_rng(0))
        logs = np.array([theta.logs for theta in thetas])
        assert logs[0] == pytest.approx(fit(points, losses).logs)
        return logs.std(axis=0)[-1]  # of the noise, which is large here

    assert 0.0 < spread(80) < spread(12)
