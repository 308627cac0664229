"""A Gaussian process, which predicts the losses of untried configurations.

Its kernel is a sum of two parts. In the additive part each param has an effect of its own; in the
joint part params interact. With lengthscales l, and D params active in a typical configuration::

    k(x, y) = s² / D  Σ_d  m(r_d / l_d)  +  t² m(√(Σ_d (r_d / l_d)² / D))

where m is the Matérn function with ν = 5/2 and r_d is the distance of two numbers in the unit
interval, or 1 for two options that differ (the Hamming distance). A param contributes to the
additive part only if it is active in both configurations. The division by D in the joint
part is the scaling of lengthscales by √D of Hvarfner et al., "Vanilla Bayesian optimization
performs great in high dimensions" (2024), section 5.

Hyperparameters act mostly on their own (Hutter et al., "An efficient approach for assessing
hyperparameter importance", 2014), and main effects can be learned from few trials (Duvenaud et al.,
"Additive Gaussian processes", 2011): with the additive part a model explains trials well. A sampler
believes less in them (`SEARCHING`): main effects learned from a few trials would keep it away from
regions where no trial has been (benchmarks/search/README.md).

If there are earlier studies, the prediction of each is a trend f_s, and the function is
Σ_s ρ_s f_s(x) plus a process with this kernel: the autoregressive model of Kennedy &
O'Hagan, "Predicting the output from a complex computer code when fast approximations are available"
(2000), equation 1. The weights ρ are normal and integrated out (GPML section 2.7), so the weight of
an unrelated study goes to zero as trials arrive.

GPML is Rasmussen & Williams, "Gaussian processes for machine learning" (2006).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack
from scipy.optimize import minimize

from manyfit.samplers.cube import Array, Points, squared_distances
from manyfit.samplers.matern import SQRT5, matern

# Hyperparameters are learned from at most this many trials: the time is quadratic in it.
MOST_LEARNED = 120

# Mean and standard deviation of the weight of a trend; S trends have a mean of 1 / S times this.
_WEIGHT = (0.7, 0.7)
# So many points are predicted at once that their features stay in the processor's cache: from the
# first number to the second, with as many features in all as the third. The trials are gone over
# for each block, so that smaller ones take longer.
_FEWEST, _MOST, _FEATURES = 64, 256, 100_000
# The number of values of a number at which its main effect is computed exactly.
_NODES = 24
# Added to the noise, so that equal configurations leave the matrix positive definite.
_JITTER = 1e-6


@dataclass(frozen=True, slots=True)
class Prior:
    """Means and deviations of the logs of hyperparameters, each of which is log-normal.

    Losses are standardised, so every variance is a share of theirs.

    Attributes:
        length: Lengthscales.
        additive: The variance of the additive part, s².
        joint: The variance of the joint part, t².
        noise: The variance of the noise.
        starts: Where the search for hyperparameters starts: the noise, in deviations of its prior.
    """

    length: tuple[float, float] = (-0.7, 1.5)
    additive: tuple[float, float] = (-0.7, 1.0)
    joint: tuple[float, float] = (-0.7, 1.0)
    noise: tuple[float, float] = (-6.0, 2.0)
    starts: tuple[float, ...] = (1.0,)

    def moments(self, dimensions: int) -> tuple[Array, Array]:
        """Return means and deviations for each entry of `Theta.logs`."""
        each = [self.length] * dimensions + [self.additive, self.joint, self.noise]
        means, deviations = np.array(each).T
        return means, deviations


# For samplers: params act mostly together, and their effects are simpler than in `Prior()`.
SEARCHING = Prior((0.0, 1.0), (-1.2, 1.0), (-0.3, 1.0), starts=(1.0, -2.0))


@dataclass(frozen=True, eq=False)
class Theta:
    """Hyperparameters: the logs of lengthscales, then of s², t² and the variance of the noise."""

    logs: Array

    @property
    def lengths(self) -> Array:
        """The lengthscales, numbers before choices."""
        return np.exp(self.logs[:-3])

    @property
    def variances(self) -> tuple[float, float, float]:
        """The variances of the additive part, of the joint part, and of the noise."""
        additive, joint, noise = np.exp(self.logs[-3:])
        return float(additive), float(joint), float(noise) + _JITTER


def kernel(theta: Theta, one: Points, other: Points) -> Array:
    """Return the covariances of the function at all pairs of points."""
    additive, joint, _ = theta.variances
    count = one.typical
    squares = squared_distances(scaled(theta, one), scaled(theta, other))
    process = (additive / count) * _alone(theta, one, other)
    process += joint * matern(SQRT5 * np.sqrt(squares / count))
    return process + _WEIGHT[1] ** 2 * (one.trends @ other.trends.T)


def _alone(theta: Theta, one: Points, other: Points) -> Array:
    """Return the sum of the one-param kernels over the params that are active in both points."""
    numbers = one.numbers.shape[1]
    total = np.zeros((len(one), len(other)))
    for column, length in enumerate(theta.lengths[:numbers]):
        gaps = np.subtract.outer(one.numbers[:, column], other.numbers[:, column])
        effect = matern(np.abs(gaps) * (SQRT5 / length))
        if not (one.active[:, column].all() and other.active[:, column].all()):
            effect *= np.outer(one.active[:, column], other.active[:, column])
        total += effect
    return total + effects_of_choices(theta, one) @ effects_of_choices(theta, other).T


def effects_of_choices(theta: Theta, points: Points) -> Array:
    """Return features whose products are the one-param kernels of choices, summed.

    Two options that differ share m(1 / l); each option has the remainder, up to 1, for itself.
    """
    numbers = points.numbers.shape[1]
    apart = matern(SQRT5 / theta.lengths[numbers:])
    active = points.active[:, numbers:]
    own = points.corners * (np.sqrt(1.0 - apart) * active)[:, points.owners]
    return np.hstack([np.sqrt(apart) * active, own])


def scaled(theta: Theta, points: Points) -> Array:
    """Return points of a Euclidean space in which squared distances are sums over all params."""
    numbers = points.numbers.shape[1]
    far = math.sqrt(2.0) * theta.lengths[numbers:]
    return np.hstack(
        [points.numbers / theta.lengths[:numbers], points.corners / far[points.owners]]
    )


def trend(points: Points) -> Array:
    """Return the prior mean that earlier studies predict; zeros if there are none."""
    return np.asarray(points.trends.sum(axis=1) * (_WEIGHT[0] / max(points.trends.shape[1], 1)))


# ── learning ──────────────────────────────────────────────────────────────────────────────────


def fit(points: Points, losses: Array, prior: Prior = Prior()) -> Theta:
    """Return the hyperparameters with the highest posterior density (MAP), by L-BFGS.

    The same losses can often be explained by noise around a simple function, or by a function that
    is less simple: the density has a summit for each (GPML section 5.4.1). `SEARCHING` starts both
    from much noise and from little; `Prior()` from much noise only, because what is said about
    params should be by the simpler function. The starts are always the same, so the result is a
    function of the data alone.

    Args:
        points: n configurations.
        losses: Their losses, standardised, shape (n,).
        prior: The prior of the hyperparameters.
    """
    means, deviations = prior.moments(points.dimensions)
    function = negative_log_posterior(points, losses, means, deviations)
    noise = np.eye(1, len(means), len(means) - 1)[0]
    found = [
        minimize(
            function,
            means + share * deviations * noise,
            jac=True,
            method="L-BFGS-B",
            bounds=np.stack([means - 4.0 * deviations, means + 4.0 * deviations], axis=1),
            options={"maxiter": 40, "ftol": 1e-4},  # the likelihood isn't known more precisely
        )
        for share in prior.starts
    ]
    return Theta(min(found, key=lambda each: float(each.fun)).x)


def negative_log_posterior(
    points: Points, losses: Array, means: Array, deviations: Array
) -> Callable[[Array], tuple[float, Array]]:
    """Return a function of θ that returns -log p(θ | data), up to a constant, and its gradient."""
    pairs = np.triu_indices(len(losses), 1)
    squares = _squares_of_each(points, pairs)
    effects = _main_effects(points, pairs, squares)
    present = points.active.sum(axis=1) / points.typical
    losses = losses - trend(points)
    weights = _WEIGHT[1] ** 2 * (points.trends @ points.trends.T)
    count = points.typical

    def value_and_gradient(logs: Array) -> tuple[float, Array]:
        additive, joint, noise = Theta(logs).variances
        scales = np.exp(-2.0 * logs[:-3]) / count
        b = SQRT5 * np.sqrt(scales @ squares)
        decay = joint * np.exp(-b)
        together = (1.0 + b + b * b / 3.0) * decay
        alone, slopes = effects(logs)
        noisy = np.diag(additive * present + joint + noise)
        noisy[pairs] = additive * alone + together
        factor, inverse = inverted(noisy.T + weights)
        alpha = inverse @ losses
        z = (logs - means) / deviations
        # GPML equation 5.8, and the prior.
        value = 0.5 * (losses @ alpha + z @ z) + np.log(np.diagonal(factor)).sum()
        # GPML equation 5.9: ½ tr((K⁻¹ - αα') ∂K/∂θ), where ∂m/∂(log l) = 5/3 (1 + a) exp(-a) r²/l².
        outer = inverse - np.outer(alpha, alpha)
        each, own = outer[pairs], 0.5 * np.diagonal(outer)
        lengths = scales * (squares @ ((1.0 + b) * decay * each))
        lengths += additive * (slopes @ each)
        variances = [
            additive * (each @ alone + own @ present),
            each @ together + joint * own.sum(),
            (noise - _JITTER) * own.sum(),
        ]
        return float(value), np.concatenate([5.0 / 3.0 * lengths, variances]) + z / deviations

    return value_and_gradient


def _main_effects(
    points: Points, pairs: tuple[NDArray[np.intp], ...], squares: Array
) -> Callable[[Array], tuple[Array, Array]]:
    """Return a function of θ that returns the additive part of pairs, and its slopes.

    The part has variance 1; the slopes are 3/5 of the derivatives by the logs of lengthscales,
    shape (D, pairs).
    """
    both: Array | float = 1.0
    if not points.active.all():
        both = (points.active[pairs[0]] * points.active[pairs[1]]).T

    def value_and_slopes(logs: Array) -> tuple[Array, Array]:
        scaled = squares * np.exp(-2.0 * logs[:-3])[:, None]
        a = SQRT5 * np.sqrt(scaled)
        decay = np.exp(-a) * both / points.typical
        return ((1.0 + a + a * a / 3.0) * decay).sum(axis=0), (1.0 + a) * decay * scaled

    return value_and_slopes


def _squares_of_each(points: Points, pairs: tuple[NDArray[np.intp], ...]) -> Array:
    """Return the squared distances of pairs in each single dimension, shape (D, pairs)."""
    gaps = (points.numbers[pairs[0]] - points.numbers[pairs[1]]).T
    each = (points.corners[:, points.owners == owner] for owner in np.unique(points.owners))
    choices = [squared_distances(corners, corners)[pairs] > 0.0 for corners in each]
    return np.concatenate([gaps * gaps, np.reshape(choices, (len(choices), len(pairs[0])))])


def inverted(matrix: Array) -> tuple[Array, Array]:
    """Return the Cholesky factor of a positive definite matrix, and its inverse."""
    factor = factored(matrix)
    lower, _ = lapack.dpotri(factor, lower=1)  # above the diagonal are zeros
    return factor, lower + np.tril(lower, -1).T


def factored(matrix: Array) -> Array:
    """Return the Cholesky factor of a positive definite matrix, lower triangular."""
    factor, failed = lapack.dpotrf(matrix, lower=1)
    while failed:  # rounding has made a tiny eigenvalue negative
        matrix = matrix + 10 * _JITTER * np.diag(np.diagonal(matrix))
        factor, failed = lapack.dpotrf(matrix, lower=1)
    return np.asarray(factor)


# ── predicting ────────────────────────────────────────────────────────────────────────────────


class Posterior:
    """The process conditioned on losses, and on pending points whose losses are still unknown.

    The loss of a pending point is assumed to be its mean (the "Kriging believer" of Ginsbourger et
    al., "Kriging is well-suited to parallelize optimization", 2010). That leaves the mean unchanged
    and removes the variance around the point, so that it isn't proposed again.

    Args:
        theta: Hyperparameters.
        points: n configurations.
        losses: Their losses, standardised, shape (n,).
        pending: Configurations whose losses are still unknown; may be empty.

    Attributes:
        expected: The mean of the function at `points`, then at `pending`.
    """

    def __init__(self, theta: Theta, points: Points, losses: Array, pending: Points) -> None:
        self._theta = theta
        self._count = len(losses)
        points += pending
        self._embed = _Embedding(theta, points)
        self._known = self._embed(points)
        covariances = self._embed.covariances(self._known, self._known)
        _, _, noise = theta.variances
        # Pending points have no noise: it would leave enough variance to propose them again.
        noises = np.where(np.arange(len(points)) < self._count, noise, _JITTER)
        self._factor = factored(covariances + np.diag(noises))
        known = slice(0, self._count)
        # The leading block of a Cholesky factor is the factor of the leading block.
        rest = losses - trend(points[known])
        self._alpha, _ = lapack.dpotrs(self._factor[known, known], rest, lower=1)
        self.expected: Array = covariances[:, known] @ self._alpha + trend(points)

    def predict(self, points: Points) -> tuple[Array, Array]:
        """Return mean and standard deviation at other points: GPML algorithm 2.1."""
        columns = self._known.features.shape[1]
        size = min(max(_FEWEST, _FEATURES // max(columns, 1)), _MOST)
        starts = range(0, max(len(points), 1), size)
        blocks = [self._predict(points[at : at + size]) for at in starts]
        means, deviations = zip(*blocks, strict=True)
        return np.concatenate(means), np.concatenate(deviations)

    def _predict(self, points: Points) -> tuple[Array, Array]:
        embedded = self._embed(points)
        covariances = self._embed.covariances(embedded, self._known)
        mean = covariances[:, : self._count] @ self._alpha + trend(points)
        explained = blas.dtrsm(1.0, self._factor, covariances.T, lower=1, overwrite_b=1)
        variance = self._embed.variance(embedded) - np.einsum("ij,ij->j", explained, explained)
        return mean, np.sqrt(np.maximum(variance, 1e-12))


class _Embedded(NamedTuple):
    """Points of two Euclidean spaces, from which covariances are computed.

    Attributes:
        scaled: The joint part of the kernel is a function of distances here.
        features: The rest of the kernel is a product of these.
    """

    scaled: Array
    features: Array


class _Embedding:
    """The kernel for many points: main effects of numbers are interpolated between even nodes.

    That takes a fraction of the time of `kernel` (the Nyström approximation, GPML section 8.1). The
    covariance of main effects is off by less than 0.001 for a lengthscale of 0.15 or more, by up to
    0.06 for one of 0.05. It is still a covariance, so nothing is taken for noise.

    Args:
        theta: Hyperparameters.
        like: Any points of the space.
    """

    def __init__(self, theta: Theta, like: Points) -> None:
        self._theta = theta
        self._typical = like.typical
        self._lengths = theta.lengths[: like.numbers.shape[1], None, None]
        nodes = np.linspace(0.0, 1.0, _NODES)
        between = matern(np.abs(np.subtract.outer(nodes, nodes)) * (SQRT5 / self._lengths))
        whitening = np.linalg.inv(np.linalg.cholesky(between + 1e-9 * np.eye(_NODES)))
        self._nodes, self._whitening = nodes, whitening.transpose(0, 2, 1)

    def __call__(self, points: Points) -> _Embedded:
        additive, _, _ = self._theta.variances
        gaps = np.abs(points.numbers.T[:, :, None] - self._nodes)
        numbers = matern(gaps * (SQRT5 / self._lengths)) @ self._whitening
        numbers *= points.active.T[: len(numbers), :, None]
        effects = [*numbers, effects_of_choices(self._theta, points)]
        features = math.sqrt(additive / self._typical) * np.hstack(effects)
        return _Embedded(
            scaled(self._theta, points) * (SQRT5 / math.sqrt(self._typical)),
            np.hstack([features, _WEIGHT[1] * points.trends]),
        )

    def covariances(self, one: _Embedded, other: _Embedded) -> Array:
        """Return the covariances of the function at all pairs of points."""
        _, joint, _ = self._theta.variances
        together = matern(np.sqrt(squared_distances(one.scaled, other.scaled)))
        together *= joint
        together += one.features @ other.features.T
        return together

    def variance(self, points: _Embedded) -> Array:
        """Return the diagonal of `covariances(points, points)`."""
        _, joint, _ = self._theta.variances
        return np.asarray(joint + np.einsum("ij,ij->i", points.features, points.features))
