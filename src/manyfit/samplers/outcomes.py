"""One loss for every ended trial, for a Gaussian process to learn from.

Complete trials have a loss. Pruned and failed ones are given one, because they carry information
too. A few trials that diverged must not flatten the differences between the others.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from manyfit.metric import Metric
from manyfit.samplers.cube import Array
from manyfit.trial import Measurement, State, Trial

_LARGEST = 1e300
_ROUNDING = 1e-9  # ranks are sums of floats: the middle one of 29 comes to slightly more than 0.5


class Outcomes:
    """The losses of ended trials, in the order in which they ended.

    A complete trial has its own loss. A pruned trial gets a prediction of its final loss: the
    sorted losses of completed trials at its last step are mapped to their sorted final losses,
    quantile by quantile, with slope 1 beyond the ends. Curves may cross, so the prediction is right
    on average only; trials pruned at the same step keep their order. A failed trial, one that
    diverged, and a pruned one that went further than every completed trial get the worst final
    loss of all completed trials.

    Args:
        metric: The metric to tune.

    Example:
        >>> from manyfit.testing.samplers import finished, trial
        >>> from manyfit.trial import Failed
        >>> outcomes = Outcomes(Metric("loss"))
        >>> outcomes.add(finished(0, {}, 0.5))
        >>> outcomes.add(trial(1, {}, Failed("it raised", "ValueError")))
        >>> outcomes.losses().tolist()
        [0.5, 0.5]
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._final: list[float] = []  # NaN: to be predicted
        self._curves: list[_Curve] = []
        self._losses: Array = np.empty(0)

    def __len__(self) -> int:
        return len(self._final)

    @property
    def completed(self) -> int:
        """The number of trials that have a loss of their own."""
        return int(np.count_nonzero(~np.isnan(self._final)))

    def add(self, trial: Trial) -> None:
        """Record a trial that has ended."""
        value, is_known = trial.value, trial.state in (State.COMPLETE, State.PRUNED)
        self._final.append(math.nan if value is None else _bounded(self._metric.loss(value)))
        self._curves.append(_Curve(trial.measurements if is_known else (), self._metric))

    def losses(self) -> Array:
        """Return a loss for each trial; zeros if none has completed."""
        if len(self._losses) < len(self._final):
            self._losses = self.first_losses(len(self._final))
        return self._losses

    def first_losses(self, count: int) -> Array:
        """Return the losses of the first `count` trials, as if there were no others."""
        final = np.array(self._final[:count])
        is_known = ~np.isnan(final)
        known = final[is_known]
        final[~is_known] = known.max() if len(known) else 0.0
        ended: dict[float, list[int]] = {}  # the trials to predict, by their last step
        for index in np.flatnonzero(~is_known).tolist():
            if len(steps := self._curves[index].steps):
                ended.setdefault(float(steps[-1]), []).append(index)
        curves = [self._curves[index] for index in np.flatnonzero(is_known)]
        at = np.array([*ended])
        lows = np.reshape([curve.lows_at(at) for curve in curves], (len(curves), len(at)))
        for there, indices in zip(lows.T, ended.values(), strict=True):
            reached = ~np.isnan(there)
            if reached.any():
                last = np.array([self._curves[index].lows[-1] for index in indices])
                final[indices] = _mapped(last, np.sort(there[reached]), np.sort(known[reached]))
        return final


class _Curve:
    """The steps at which a trial reported, and its lowest loss up to each; empty if it diverged."""

    def __init__(self, measurements: Iterable[Measurement], metric: Metric) -> None:
        reports = [
            (each.step, value)
            for each in measurements
            if (value := each.metrics.get(metric.name)) is not None
        ]
        if not all(math.isfinite(value) for _, value in reports):
            reports = []
        losses = [_bounded(metric.loss(value)) for _, value in reports]
        self.steps: Array = np.array([step for step, _ in reports], dtype=np.float64)
        self.lows: Array = np.minimum.accumulate(np.array(losses, dtype=np.float64))

    def lows_at(self, steps: Array) -> Array:
        """Return the lowest loss up to each step; NaN unless it reported before and after it."""
        if not len(self.steps):
            return np.full(len(steps), np.nan)
        places = np.searchsorted(self.steps, steps, side="right") - 1
        return np.where((places >= 0) & (steps <= self.steps[-1]), self.lows[places], np.nan)


def _mapped(low: Array, there: Array, then: Array) -> Array:
    """Return the losses at the same quantile among those that came of `there`, both sorted."""
    beyond = np.maximum(low - there[-1], 0.0) + np.minimum(low - there[0], 0.0)
    return np.asarray(np.clip(np.interp(low, there, then) + beyond, -_LARGEST, _LARGEST))


def _bounded(loss: float) -> float:
    """Clip a loss to a range in which sums and differences don't overflow."""
    return min(max(loss, -_LARGEST), _LARGEST)


def standardised(losses: Array, votes: Array | None = None) -> Array:
    """Return losses with mean 0 and standard deviation 1, the worse half by rank alone.

    The worse half is spread like that of a normal distribution, so a diverged trial is merely one
    of the worst. The better half keeps its shape, up to the best loss. This is the half-rank
    warping of Song et al., "The Vizier Gaussian process bandit algorithm" (2024), section 4.1. If
    all losses are equal, the result is all zeros.

    Args:
        losses: Shape (n,).
        votes: The weight of each loss in the mean and deviation (see `Points.votes`); equal by
            default.

    Example:
        >>> standardised(np.array([1.0, 2.0, 3.0, 4.0, 1e300])).round(1).tolist()
        [-1.5, -0.7, 0.1, 0.6, 1.4]
    """
    votes = np.ones(len(losses)) if votes is None else votes
    shares = votes / votes.sum()
    ranks = _ranks(losses, shares)
    # The lower median: with two in the middle, their mean would be useless if the upper diverged.
    middle = losses[ranks <= 0.5 + _ROUNDING].max(initial=losses.min())
    better = losses <= middle
    # Halved, so that the difference of two large numbers isn't infinite.
    below = np.where(better, losses / 2 - middle / 2, 0.0)
    below = below / (np.abs(below).max() or 1.0)
    spread = np.sqrt(shares[better] @ below[better] ** 2 / shares[better].sum()) or 1.0
    warped = np.where(better, below / spread, ndtri(np.clip(ranks, 0.5, 1.0 - 1e-9)))
    warped = warped - shares @ warped
    return np.asarray(warped / (np.sqrt(shares @ warped**2) or 1.0))


def cross_section(losses: Array, most: int) -> NDArray[np.intp]:
    """Return the indices of at most `most` trials: half are the best, half evenly spaced by rank.

    Trials near the optimum matter most, but the model must also know where losses are high.
    """
    if len(losses) <= most:
        return np.arange(len(losses))
    order = np.argsort(losses, kind="stable")
    best, others = order[: most // 2], order[most // 2 :]
    spread = np.linspace(0, len(others) - 1, most - len(best)).astype(np.intp)
    return np.sort(np.concatenate([best, others[spread]]))


def _ranks(values: Array, shares: Array) -> Array:
    """Return the rank of each value, from 0 to 1; equal values share their middle rank."""
    order = np.argsort(values, kind="stable")
    ends = np.concatenate([[0.0], np.cumsum(shares[order])])
    first = np.searchsorted(values[order], values, side="left")
    last = np.searchsorted(values[order], values, side="right")
    return np.asarray((ends[first] + ends[last]) / 2)
