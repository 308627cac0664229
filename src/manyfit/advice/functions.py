"""What the loss may be all over the space, given a study's trials: functions drawn from a model."""

import math

import numpy as np
from numpy.typing import NDArray

from manyfit.advice.record import Record
from manyfit.samplers.cube import Array, Rows
from manyfit.samplers.outcomes import cross_section, standardised
from manyfit.samplers.paths import draw_paths, draw_thetas
from manyfit.samplers.threads import one_thread
from manyfit.trial import State

# The model learns from at most this many trials, among them this number of the worst: one of them
# may be all that a study knows of a region where nothing works.
_MOST, _WORST = 100, 10
# The number of hyperparameters drawn, of those that get functions, and of functions for each.
_DRAWN, _THETAS, _PATHS = 60, 6, 20
# Losses beyond a fence are those of the worst trial within it. The fence is this many times the
# distance from the best to the third quartile beyond that. One trial that diverged by chance would
# otherwise be worth an effect of the params that it happened to have.
_FENCE = 3.0
# The largest loss whose square is finite, roughly.
_LARGEST = 1e150


class Functions:
    """Functions drawn from the sampler's Gaussian process, fitted to a study's trials.

    Pruned and failed trials count, with the losses that `Outcomes` gives them. Values are losses
    with mean 0 and standard deviation 1 over the space.

    Args:
        record: The study, with at least one trial.
        seed: The source of the functions.

    Attributes:
        record: The study.
        noises: Standard deviations of the noise, from as many hyperparameters, shape (draws,).
        scale: The standard deviation of the losses over the space, in units of the metric.
        bad: The indices of trials that failed, or whose losses are far above the others.
        largest: The share of the variance over the space that is due to a single trial.
    """

    def __init__(self, record: Record, seed: int = 0) -> None:
        self.record = record
        rng = np.random.default_rng(seed)
        used = _telling(record.losses)
        points = record.points(used)
        votes = points.votes()
        losses, scale = scaled_losses(record.losses[used], votes)
        squares = votes * losses**2
        self.largest = float(squares.max() / squares.sum())
        is_far = record.losses > _fence(record.losses[used], votes)
        has_failed = [trial.state is State.FAIL for trial in record.trials]
        self.bad: NDArray[np.intp] = np.flatnonzero(is_far | has_failed)
        with one_thread():
            thetas = draw_thetas(points, losses, _DRAWN, rng)
            self._paths = [
                draw_paths(theta, points, losses, _PATHS, rng) for theta in thetas[:_THETAS]
            ]
        self.noises: Array = np.sqrt([theta.variances[-1] for theta in thetas])
        self.scale = scale

    def values(self, rows: Rows) -> Array:
        """Return one column of values for each function, shape (rows, functions)."""
        points = self.record.cube.points(rows)
        with one_thread():
            return np.hstack([path(points) for path in self._paths])


def _telling(losses: Array) -> NDArray[np.intp]:
    """Return the indices of the trials to learn from: a cross-section that has the worst."""
    if len(losses) <= _MOST:
        return np.arange(len(losses))
    order = np.argsort(losses, kind="stable")
    others, worst = order[:-_WORST], order[-_WORST:]
    return np.sort(np.append(others[cross_section(losses[others], _MOST - _WORST)], worst))


def scaled_losses(losses: Array, votes: Array) -> tuple[Array, float]:
    """Return losses with mean 0 and standard deviation 1; one far above the others joins these.

    The second value is the standard deviation by which they were divided. It is NaN if three in
    four are as low as the lowest, or hardly higher: the worse half is then given by rank alone.

    Unlike `standardised`, this keeps ratios of differences, and with them the shares of params.

    Args:
        losses: Shape (n,).
        votes: The weight of each loss (see `Points.votes`).

    Example:
        >>> scaled_losses(np.array([1.0, 2.0, 3.0, 1e300]), np.ones(4))[0].round(1).tolist()
        [-1.5, -0.3, 0.9, 0.9]
    """
    shares = votes / votes.sum()
    losses = np.clip(losses, -_LARGEST, _LARGEST)
    fence = _fence(losses, votes)
    cut = np.minimum(losses, losses[losses <= fence].max())
    centred = cut - shares @ cut
    scale = float(np.sqrt(shares @ centred**2))
    if fence == losses.min() or scale == 0.0:
        return standardised(losses, votes), math.nan
    return centred / scale, scale


def _fence(losses: Array, votes: Array) -> float:
    """Return the loss above which losses are far from the others; the lowest if most equal it."""
    losses = np.clip(losses, -_LARGEST, _LARGEST)
    order = np.argsort(losses, kind="stable")
    below = np.cumsum(votes[order]) / votes.sum()
    third = losses[order[min(int(np.searchsorted(below, 0.75)), len(order) - 1)]]
    return float(third + _FENCE * (third - losses.min()))
