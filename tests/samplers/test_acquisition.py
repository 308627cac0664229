"""Expected improvement, to the last digit; and whether its maximum is found."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from manyfit.samplers.acquisition import (
    candidates,
    log_augmentation,
    log_expected_improvement,
)
from manyfit.samplers.cube import Cube
from manyfit.space import Choice, Float, Int, Space


def log_ei(z, deviation=1.0):
    return log_expected_improvement(np.array([-z * deviation]), np.array([deviation]), 0.0)[0]


def integrated(z):
    """Return log E[max(z - t, 0)] for a standard normal t, by numerical integration."""
    # With s = z - t, φ(z - s) = φ(z) exp(z s - s² / 2): the tiny φ(z) is taken out of the integral.
    scale = 1 / max(-z, 1.0)
    value, _ = quad(
        lambda s: s * math.exp(z * s - s * s / 2 - (max(z, 0.0) ** 2) / 2),
        0,
        max(z, 0) + 40 * scale,
        points=[max(z, scale)],
        epsabs=0,
        epsrel=1e-12,
        limit=200,
    )
    return math.log(value) + max(z, 0.0) ** 2 / 2 - z * z / 2 - math.log(2 * math.pi) / 2


class TestLogExpectedImprovement:
    @pytest.mark.parametrize("z", [8, 4, 1, 0.1, 0, -0.5, -0.999, -1, -1.001, -2, -5, -8, -15, -30])
    def test_equals_the_integral(self, z):
        """It is what numerical integration of the definition gives, far into the tail."""
        assert log_ei(z) == pytest.approx(integrated(z), abs=1e-9)

    @pytest.mark.parametrize("z", [-100.0, -1000.0, -1001.0, -1e4, -1e6])
    def test_far_out(self, z):
        """Where the improvement itself is too small for a float, its logarithm isn't."""
        # The asymptotic series: h(z) = φ(z) / z² (1 - 3 / z² + ...).
        expected = -z * z / 2 - math.log(2 * math.pi) / 2 - 2 * math.log(-z) - 3 / z**2

        assert log_ei(z) == pytest.approx(expected, abs=1e-5, rel=1e-12)

    def test_a_sure_thing(self):
        """Where the mean is far below the best, it is the difference."""
        assert log_ei(1e6) == pytest.approx(math.log(1e6))

    def test_units(self):
        """All in another unit, it grows by the logarithm of the unit."""
        assert log_ei(-3, deviation=1e-6) == pytest.approx(log_ei(-3) + math.log(1e-6))

    def test_monotone(self):
        """A lower mean is always better, and where there is no hope, so is more uncertainty."""
        means = np.concatenate([-np.logspace(-3, 3, 300)[::-1], np.logspace(-3, 6, 300)])
        assert (np.diff(log_expected_improvement(means, np.ones(600), 0.0)) < 0).all()

        deviations = np.logspace(-6, 2, 300)
        assert (np.diff(log_expected_improvement(np.ones(300), deviations, 0.0)) > 0).all()

    def test_where_formulas_meet(self):
        """There is no step where one way to compute it takes over from another."""
        for z in (-1.0, -1000.0):
            below, above = log_ei(math.nextafter(z, -math.inf)), log_ei(math.nextafter(z, 0.0))
            assert below == pytest.approx(above, abs=1e-5, rel=0)

    def test_nowhere(self):
        """Nothing to look at gives nothing."""
        assert log_expected_improvement(np.empty(0), np.empty(0), 0.0).shape == (0,)


class TestLogAugmentation:
    @pytest.mark.parametrize("noise", [1e-3, 1.0, 30.0])
    def test_equals_the_definition(self, noise):
        """It is the logarithm of equation 12."""
        deviations = np.array([0.1, 1.0, 5.0])
        expected = np.log(1.0 - np.sqrt(noise / (deviations**2 + noise)))

        assert log_augmentation(deviations, noise) == pytest.approx(expected)

    def test_where_the_definition_has_no_digits(self):
        """A trial where all is known but the noise teaches next to nothing: it is still finite."""
        assert log_augmentation(np.array([1e-9]), 1.0) == pytest.approx([math.log(5e-19)])

    def test_without_noise(self):
        """A trial teaches all."""
        assert log_augmentation(np.array([1e-6, 1.0]), 0.0).tolist() == [0.0, 0.0]


class TestCandidates:
    SPACE = Space({"x": Float(0, 1), "y": Float(0, 1), "n": Int(1, 1000), "c": Choice([*"abcdef"])})

    def found(self, space, score, count=200, seed=0):
        """Return what is found from places all over, and from one incumbent."""
        cube = Cube(space)
        rng = np.random.default_rng(seed)
        anywhere = cube.from_units(rng.random((count, cube.dimensions)))
        return cube, candidates(cube, score, anywhere, anywhere[:1], rng)

    def test_the_best_comes_first(self):
        """They come in the order of their scores, the highest first."""
        _, rows = self.found(self.SPACE, lambda rows: rows[:, 0])

        assert (np.diff(rows[:, 0]) <= 0).all()
        assert rows[0, 0] > 0.999

    def test_a_narrow_peak(self):
        """A peak is climbed, in all params together."""

        def score(rows):
            c = np.where(rows[:, 3] == 4, 0.0, -1.0)
            return c - np.abs(rows[:, :3] - [0.3, 0.7, 0.123]).sum(axis=1)

        hits = [self.found(self.SPACE, score, 1000, seed)[1][0] for seed in range(20)]

        assert all(row[3] == 4 for row in hits)
        assert np.median([np.abs(row[:3] - [0.3, 0.7, 0.123]).max() for row in hits]) < 0.01

    def test_the_neighbourhood_of_what_has_been_tried(self):
        """A peak too narrow to be hit by chance is found where an incumbent stands beside it."""
        cube = Cube(self.SPACE)
        rng = np.random.default_rng(0)
        peak = cube.row({"x": 0.3, "y": 0.7, "n": 500, "c": "b"})
        anywhere = cube.from_units(rng.random((100, 4)))

        def score(rows):
            return -np.log(1e-6 + np.abs(rows - peak).max(axis=1))

        beside = cube.row({"x": 0.3, "y": 0.7, "n": 500, "c": "a"})[None]
        best = candidates(cube, score, anywhere, beside, rng)[0]

        assert cube.params(best)["c"] == "b"

    def test_all_lie_in_the_space(self):
        """Everything looked at is a configuration."""
        space = Space({"m": Choice({"a": {"x": Int(1, 9, log=True)}, "b": {"y": Float(0, 1)}})})
        cube, rows = self.found(space, lambda rows: -rows[:, 1])

        for row in rows:
            space.check(cube.params(row))

    def test_no_preference(self):
        """Where all scores are the same, it still answers, and always the same."""
        one, other = (self.found(self.SPACE, lambda rows: np.zeros(len(rows))) for _ in range(2))

        assert (one[1] == other[1]).all()
