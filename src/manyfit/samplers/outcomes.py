"""One loss for every ended trial, for a Gaussian process to learn from.

Complete trials have a loss. Pruned and failed ones are given one, because they carry information
too. A few trials that diverged must not flatten the differences between the others.
"""

import math
from bisect import bisect_right
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
        completed = [(self._curves[i], final[i]) for i in np.flatnonzero(~np.isnan(final))]
        worst = max((loss for _, loss in completed), default=0.0)
        maps: dict[int, tuple[Array, Array]] = {}
        for index in np.flatnonzero(np.isnan(final)):
            curve = self._curves[index]
            final[index] = worst
            if not curve.steps:
                continue
            step, low = curve.steps[-1], curve.lows[-1]
            if step not in maps:
                known = [(c.low_at(step), loss) for c, loss in completed if c.reaches(step)]
                maps[step] = tuple(np.sort(np.array(known).reshape(-1, 2), axis=0).T)
            there, then = maps[step]
            if len(there):
                beyond = max(low - there[-1], 0.0) + min(low - there[0], 0.0)
                final[index] = _bounded(np.interp(low, there, then) + beyond)
        return final


class _Curve:
    """The steps at which a trial reported, and its lowest loss up to each; empty if it diverged."""

    def __init__(self, measurements: Iterable[Measurement], metric: Metric) -> None:
        self.steps: list[int] = []
        self.lows: list[float] = []
        for measurement in measurements:
            value = measurement.metrics.get(metric.name)
            if value is None:
                continue
            if not math.isfinite(value):
                self.steps, self.lows = [], []
                return
            self.steps.append(measurement.step)
            loss = _bounded(metric.loss(value))
            self.lows.append(min(loss, self.lows[-1]) if self.lows else loss)

    def reaches(self, step: int) -> bool:
        """Return whether there is a report at or before a step, and one at or after it."""
        return bool(self.steps) and self.steps[0] <= step <= self.steps[-1]

    def low_at(self, step: int) -> float:
        """Return the lowest loss up to a step."""
        return self.lows[bisect_right(self.steps, step) - 1]


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
