"""A Gaussian process: its kernel, what it learns, and what it predicts."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import solve
from scipy.optimize import approx_fprime, minimize

from manyfit.samplers.cube import Cube
from manyfit.samplers.outcomes import standardised
from manyfit.samplers.surrogate import (
    SEARCHING,
    Posterior,
    Prior,
    Theta,
    fit,
    inverted,
    kernel,
    matern,
    negative_log_posterior,
    trend,
)
from manyfit.space import Choice, Float, Space

SPACE = Space(
    {
        "x": Float(0, 1),
        "y": Float(0, 1),
        "c": Choice(["a", "b", "c"]),
        "m": Choice({"svm": {"C": Float(0, 1), "k": Choice(["rbf", "lin"])}, "net": {}}),
        "alone": Choice(["only"]),
    }
)


def points_of(space, count, seed=0):
    rng = np.random.default_rng(seed)
    cube = Cube(space)
    return cube.points(np.array([cube.row(space.sample(rng)) for _ in range(count)]))


def reals(count, dimensions=1, seed=0):
    return points_of(Space({f"x{i}": Float(0, 1) for i in range(dimensions)}), count, seed)


def with_trends(points, studies=2, seed=0):
    trends = np.random.default_rng(seed).standard_normal((len(points), studies))
    return replace(points, trends=trends)


def theta_of(points, length=0.5, additive=0.5, joint=0.5, noise=1e-4):
    variances = [additive, joint, noise]
    return Theta(np.log([length] * points.dimensions + variances))


def some_theta(points, seed, prior=SEARCHING):
    means, deviations = prior.moments(points.dimensions)
    return Theta(means + deviations * np.random.default_rng(seed).standard_normal(len(means)))


class TestKernel:
    def test_by_hand(self):
        """Main effects add up, and params act together, as the module's docstring says."""
        space = Space({"x": Float(0, 1), "c": Choice(["a", "b"]), "d": Choice(["a", "b"])})
        cube = Cube(space)
        one, other = {"x": 0.2, "c": "a", "d": "b"}, {"x": 0.5, "c": "b", "d": "b"}
        points = cube.points(np.array([cube.row(one), cube.row(other)]))
        theta = Theta(np.log([0.4, 2.0, 3.0, 0.6, 0.3, 0.1]))

        def m(r):
            return matern(np.array(np.sqrt(5.0) * r))

        apart = [0.3 / 0.4, 1 / 2.0, 0.0]
        expected = 0.6 / 3 * sum(map(m, apart)) + 0.3 * m(np.sqrt(np.dot(apart, apart) / 3))
        assert kernel(theta, points, points) == pytest.approx(
            np.array([[0.9, expected], [expected, 0.9]])
        )

    def test_matern(self):
        """It is 1 at distance 0, and flat there; it falls to nothing far away."""
        assert matern(np.array([0.0, 1e-4, 1.0, 100.0])) == pytest.approx(
            [1.0, 1.0, (1 + 1 + 1 / 3) * np.exp(-1), 0.0], abs=1e-8
        )

    @pytest.mark.parametrize("trends", [False, True])
    @pytest.mark.parametrize("seed", range(5))
    def test_symmetric_and_positive_definite(self, seed, trends):
        """With the noise, it is a covariance, whatever the hyperparameters and branches."""
        points = points_of(SPACE, 60, seed)
        points = with_trends(points) if trends else points
        theta = some_theta(points, seed, Prior())
        matrix = kernel(theta, points, points)

        assert matrix == pytest.approx(matrix.T)
        assert np.linalg.eigvalsh(matrix + theta.variances[2] * np.eye(60)).min() > 0

    def test_parts(self):
        """Between some points and others it is the block of the whole matrix."""
        points = with_trends(points_of(SPACE, 20))
        theta = some_theta(points, 0, Prior())
        whole = kernel(theta, points, points)

        assert kernel(theta, points[:5], points[5:]) == pytest.approx(whole[:5, 5:])

    def test_options_are_equally_far(self):
        """Which of two different options a choice has makes no difference to a third."""
        cube = Cube(Space({"c": Choice([*"abcd"])}))
        points = cube.points(cube.grid)
        matrix = kernel(theta_of(points), points, points)

        assert len(set(matrix[~np.eye(4, dtype=bool)].round(12))) == 1

    def test_nothing_to_tune(self):
        """In a space of constants, all points are one."""
        cube = Cube(Space({"epochs": 3}))
        points = cube.points(np.empty((3, 0)))

        matrix = kernel(theta_of(points), points, points)
        assert (matrix == matrix[0, 0]).all()


class TestLearning:
    @pytest.mark.parametrize("prior", [Prior(), SEARCHING], ids=["explaining", "searching"])
    @pytest.mark.parametrize("trends", [False, True])
    @pytest.mark.parametrize("seed", range(3))
    def test_what_is_minimised(self, seed, trends, prior):
        """It is the posterior density of the very kernel that predicts: GPML equation 5.8."""
        points = points_of(SPACE, 25, seed)
        points = with_trends(points) if trends else points
        losses = np.random.default_rng(seed).standard_normal(25)
        theta = some_theta(points, seed, prior)
        means, deviations = prior.moments(points.dimensions)
        value, _ = negative_log_posterior(points, losses, means, deviations)(theta.logs)

        noisy = kernel(theta, points, points) + theta.variances[2] * np.eye(25)
        rest = losses - trend(points)
        against = np.sum(((theta.logs - means) / deviations) ** 2)
        expected = (rest @ solve(noisy, rest) + np.linalg.slogdet(noisy)[1] + against) / 2
        assert value == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("prior", [Prior(), SEARCHING], ids=["explaining", "searching"])
    @pytest.mark.parametrize("trends", [False, True])
    @pytest.mark.parametrize("seed", range(3))
    def test_its_gradient(self, seed, trends, prior):
        """The gradient is what differences say: GPML equation 5.9."""
        points = points_of(SPACE, 25, seed)
        points = with_trends(points) if trends else points
        losses = np.random.default_rng(seed).standard_normal(25)
        at = some_theta(points, seed, prior).logs
        function = negative_log_posterior(points, losses, *prior.moments(points.dimensions))

        slopes = approx_fprime(at, lambda logs: function(logs)[0], 1e-6)
        assert function(at)[1] == pytest.approx(slopes, rel=1e-3, abs=1e-3)

    def test_a_summit(self):
        """What is found is better than what is near, and than the middle of the prior."""
        points = points_of(SPACE, 30)
        losses = standardised(points.numbers[:, 0] + 0.1 * points.corners[:, 0])
        moments = Prior().moments(points.dimensions)
        function = negative_log_posterior(points, losses, *moments)
        found = fit(points, losses).logs
        rng = np.random.default_rng(0)

        near = [function(found + 0.3 * rng.standard_normal(len(found)))[0] for _ in range(20)]
        assert function(found)[0] < min(near)
        assert function(found)[0] < function(moments[0])[0]

    @pytest.mark.parametrize("count", [12, 16])
    def test_the_higher_summit(self, count):
        """A jump that could be noise is seen as a jump if that is more probable."""
        points = reals(count, 2, seed=1)
        losses = standardised(points.numbers[:, 0] + (points.numbers[:, 1] > 0.8))
        means, deviations = SEARCHING.moments(2)
        function = negative_log_posterior(points, losses, means, deviations)
        steps = np.random.default_rng(0).standard_normal((10, len(means)))
        climbed = [minimize(function, means + deviations * step, jac=True).fun for step in steps]

        assert np.ptp(climbed) > 0.5
        assert function(fit(points, losses, SEARCHING).logs)[0] < min(climbed) + 0.01

    def test_which_params_matter(self):
        """A param without an effect gets a longer lengthscale than one with, choices too."""
        space = Space(
            {
                **{name: Float(0, 1) for name in ("matters", "idle")},
                **{name: Choice(["a", "b", "c"]) for name in ("also", "no")},
            }
        )
        points = points_of(space, 60)
        also = points.corners[:, :3] @ [0.0, 1.0, 2.0]
        losses = standardised(np.sin(6 * points.numbers[:, 0]) + also)
        matters, idle, also, no = fit(points, losses).lengths

        assert idle > 2 * matters
        assert no > 2 * also

    @pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
    def test_how_noisy(self, noise):
        """The noise is told from the function, within a factor of two."""
        points = reals(100, 2)
        rng = np.random.default_rng(0)
        signal = np.sin(5 * points.numbers[:, 0]) + points.numbers[:, 1]
        signal = (signal - signal.mean()) / signal.std()
        losses = np.sqrt(1 - noise) * signal + np.sqrt(noise) * rng.standard_normal(100)
        found = fit(points, losses).variances[2]

        assert found < 1e-3 if noise == 0 else noise / 2 < found < 2 * noise

    def test_nothing_to_see(self):
        """From pure noise it learns that it is noise; from a constant, that nothing matters."""
        points = reals(50, 3)
        noise = np.random.default_rng(0).standard_normal(50)

        assert fit(points, noise).variances[2] > 0.4
        assert sum(fit(points, np.zeros(50)).variances) < 0.5

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_few(self, count):
        """The prior has the say where there is next to nothing to learn from."""
        points = points_of(SPACE, count)
        theta = fit(points, np.zeros(count))

        assert np.isfinite(theta.logs).all()

    def test_equal_rows(self):
        """Configurations that are there many times, with different losses, are no problem."""
        points = reals(3, 2)[np.arange(30) % 3]
        losses = standardised(np.random.default_rng(0).standard_normal(30))
        theta = fit(points, losses)
        means, deviations = Posterior(theta, points, losses, points[:0]).predict(points)

        assert np.isfinite(means).all()
        assert means == pytest.approx(means[np.arange(30) % 3])
        assert (deviations > 0).all()

    def test_the_same_again(self):
        """The same data give the same hyperparameters."""
        points = points_of(SPACE, 30)
        losses = standardised(points.numbers[:, 0])

        assert (fit(points, losses).logs == fit(points, losses).logs).all()

    def test_many_options(self):
        """Options take memory by their number, not by that for each pair of trials."""
        space = Space({name: Choice(list(range(500))) for name in "ab"})
        points = points_of(space, 120)
        means, deviations = SEARCHING.moments(points.dimensions)
        tracemalloc.start()
        negative_log_posterior(points, np.zeros(120), means, deviations)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert peak < 20e6

    def test_many_params(self):
        """With more params than trials, the one that matters is still found."""
        points = reals(40, 60)
        lengths = fit(points, standardised((points.numbers[:, 7] - 0.4) ** 2)).lengths

        assert np.argmin(lengths) == 7


class TestInverted:
    def test_factor_and_inverse(self):
        """The factor is lower triangular; times its transpose it is the matrix."""
        points = reals(20, 2)
        matrix = kernel(theta_of(points), points, points) + 0.1 * np.eye(20)
        factor, inverse = inverted(matrix)

        assert (np.triu(factor, 1) == 0).all()
        assert factor @ factor.T == pytest.approx(matrix)
        assert inverse @ matrix == pytest.approx(np.eye(20), abs=1e-8)

    def test_what_rounding_has_spoiled(self):
        """A matrix that has lost its last digits of definiteness gets by with a bit more noise."""
        factor, inverse = inverted(np.ones((5, 5)))

        assert factor @ factor.T == pytest.approx(np.ones((5, 5)), abs=1e-3)
        assert np.isfinite(inverse).all()


class TestPosterior:
    def test_interpolates(self):
        """Without noise, it is sure of what it has seen, and less so of anything else."""
        points, others = reals(15, 2), reals(50, 2, seed=1)
        losses = standardised(points.numbers.sum(axis=1))
        posterior = Posterior(theta_of(points, noise=1e-9), points, losses, points[:0])
        means, deviations = posterior.predict(points)

        assert means == pytest.approx(losses, abs=0.01)
        assert deviations == pytest.approx(np.zeros(15), abs=5e-3)
        assert posterior.expected == pytest.approx(means)
        assert posterior.predict(others)[1].min() > deviations.max()

    @pytest.mark.parametrize("seed", range(3))
    def test_by_the_kernel(self, seed):
        """Main effects that are interpolated change what is predicted by less than 0.003."""
        points, others = points_of(SPACE, 60, seed), points_of(SPACE, 100, seed + 1)
        losses = np.random.default_rng(seed).standard_normal(60)
        theta = theta_of(points, length=0.2, noise=1e-2)
        noisy = kernel(theta, points, points) + theta.variances[2] * np.eye(60)
        across = kernel(theta, others, points)
        explained = np.einsum("ij,ji->i", across, solve(noisy, across.T))
        deviations = np.sqrt(np.diagonal(kernel(theta, others, others)) - explained)
        found = Posterior(theta, points, losses, points[:0]).predict(others)

        assert found[0] == pytest.approx(across @ solve(noisy, losses), abs=3e-3)
        assert found[1] == pytest.approx(deviations, abs=3e-3)

    def test_what_is_interpolated_is_no_noise(self):
        """What it has seen without noise is expected exactly, though main effects are rough."""
        points = reals(40, 2)
        losses = np.random.default_rng(0).standard_normal(40)
        posterior = Posterior(theta_of(points, length=0.15, noise=1e-9), points, losses, points[:0])

        assert posterior.expected == pytest.approx(losses, abs=2e-3)

    @pytest.mark.parametrize("dimensions", [1, 60])
    def test_many_at_once(self, dimensions):
        """What is expected of a point doesn't depend on the points that are asked about with it."""
        points, others = reals(9, dimensions), reals(300, dimensions, seed=1)
        posterior = Posterior(theta_of(points), points, points.numbers[:, 0], points[:0])
        means, deviations = posterior.predict(others)
        alone = [posterior.predict(others[at : at + 1]) for at in range(0, 300, 37)]

        assert means[::37] == pytest.approx([float(mean[0]) for mean, _ in alone])
        assert deviations[::37] == pytest.approx([float(each[0]) for _, each in alone])

    def test_far_away(self):
        """Far from anything seen, it falls back on the prior."""
        points = reals(5, 1)
        theta = theta_of(points, length=0.001, additive=1e-9, joint=1.0)
        posterior = Posterior(theta, points, np.ones(5), points[:0])
        means, deviations = posterior.predict(reals(1, 1, seed=9))

        assert means == pytest.approx([0.0], abs=1e-6)
        assert deviations == pytest.approx([1.0])

    def test_predicts(self):
        """What it has learned of a function in some places holds in others."""
        points, others = points_of(SPACE, 60), points_of(SPACE, 200, seed=1)

        def function(p):
            return (p.numbers[:, 0] - 0.3) ** 2 + 0.3 * p.numbers[:, 1] * p.corners[:, 1]

        losses = function(points)
        scaled = (losses - losses.mean()) / losses.std()
        posterior = Posterior(fit(points, scaled), points, scaled, points[:0])
        means, deviations = posterior.predict(others)
        errors = means - (function(others) - losses.mean()) / losses.std()

        assert np.sqrt(np.mean(errors**2)) < 0.3
        assert 0.8 < np.mean(np.abs(errors) < 2 * deviations) <= 1

    def test_pending(self):
        """Trials to come leave what is expected as it is, and take away the doubt around them."""
        points, others = reals(10, 2), reals(40, 2, seed=1)
        losses = standardised(points.numbers[:, 0])
        theta = theta_of(points)
        alone = Posterior(theta, points, losses, points[:0])
        busy = Posterior(theta, points, losses, others[:8])
        means, deviations = busy.predict(others)

        assert means == pytest.approx(alone.predict(others)[0])
        assert busy.expected == pytest.approx(np.append(alone.expected, means[:8]))
        assert (deviations <= alone.predict(others)[1] + 1e-9).all()
        assert deviations[:8].max() < 0.002 < alone.predict(others)[1][:8].min()

    def test_a_pending_trial_where_one_has_ended(self):
        """Pending trials may stand where others have ended, and where each other stand."""
        points = reals(10, 2)
        theta = theta_of(points, noise=1e-9)
        posterior = Posterior(theta, points, np.zeros(10), points + points)

        assert np.isfinite(posterior.predict(points)).all()


class TestTrends:
    def line(self, count, seed=0):
        """Return points with a trend that rises along the first param."""
        points = reals(count, 1, seed)
        trends = np.sqrt(12) * (points.numbers - 0.5)
        return replace(points, trends=trends)

    def test_before_any_trial(self):
        """One expects what earlier studies found, where nothing else is known."""
        points = self.line(3)
        posterior = Posterior(theta_of(points, length=0.001), points, trend(points), points[:0])
        others = self.line(20, seed=1)

        assert posterior.predict(others)[0] == pytest.approx(trend(others), abs=1e-6)

    def test_a_wrong_trend_is_given_up(self):
        """Where trials say the opposite, so does what is expected."""
        points, others = self.line(30), self.line(50, seed=1)
        losses = -np.sqrt(12) * (points.numbers[:, 0] - 0.5)
        means, _ = Posterior(fit(points, losses), points, losses, points[:0]).predict(others)

        assert means == pytest.approx(-np.sqrt(12) * (others.numbers[:, 0] - 0.5), abs=0.2)

    def test_none(self):
        """Without earlier studies nothing is expected."""
        assert trend(reals(4)).tolist() == [0.0] * 4
