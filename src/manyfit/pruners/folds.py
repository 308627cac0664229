"""Pruning between folds: ends a trial that can't catch up with the best on the remaining folds.

Two trials are compared on the same folds, so it doesn't matter how hard each fold is.
"""

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from manyfit._checks import check_number
from manyfit.metric import Metric
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.trial import State, Trial

# These were measured in benchmarks/folds.py. This many trials that differ must have completed
# before any is ended.
_STARTUP = 4
# Only this better share of the complete trials counts: bad ones vary more, without bound.
_SHARE = 0.75
# A gap of more than this many times what is usually made up can't be closed.
_TIMES = 3.0
# The trials so far may be more alike than later ones, as in a grid. The usual change is therefore
# at least this share of the scatter of the best trial's folds.
_SCATTER = 0.5


@dataclass(frozen=True, slots=True)
class FoldPruner:
    """Ends a trial that is too far behind the best, on the same folds, to catch up on the others.

    It is for an objective that evaluates every trial on the same folds in the same order, and
    reports the tuned metric of each fold, not a running mean, at the fold's index:
    `manyfit.report(fold, val_loss=...)`. A trial's result is the mean over all folds.

    Complete trials show how large a gap can be closed: the gap to the best trial in the mean over
    the first folds, minus the gap in the mean over all folds. A trial ends if its gap exceeds three
    times the root mean square of this, taken over the better three quarters of the complete trials.
    Folds that are hard for every trial, or that scatter more than others, therefore don't mislead.
    If the trials so far were much alike, half of the scatter of the best trial's folds counts
    instead.

    No trial is ended before four trials with different values have completed, or at the last fold.
    A trial that skips a fold is not judged from there on; trials are compared only with those that
    completed all folds. A step of `folds` or more is ignored.

    Args:
        folds: The number of folds, at least 2.

    Raises:
        ArgumentError: `folds` isn't an integer of at least 2.

    Example:
        >>> FoldPruner(folds=5)
        FoldPruner(folds=5)
    """

    folds: int

    def __post_init__(self) -> None:
        folds = check_number("folds", self.folds, least=2, whole=True)
        object.__setattr__(self, "folds", folds)

    def bind(self, metric: Metric) -> Pruner:
        return _Folds(self.folds, metric)


@dataclass(slots=True)
class _Row:
    """The losses of a trial's current attempt, fold by fold."""

    attempt: int
    losses: list[float] = field(default_factory=list)


class _Whole(NamedTuple):
    """A complete trial; trials sort by mean loss."""

    loss: float
    number: int
    losses: tuple[float, ...]
    means: tuple[float, ...]  # over the first fold, the first two, and so on


class _Folds:
    def __init__(self, folds: int, metric: Metric) -> None:
        self._folds = folds
        self._metric = metric
        self._rows: dict[int, _Row] = {}
        self._seen: set[tuple[float, ...]] = set()
        self._whole: list[_Whole] = []
        self._reach: list[float] = []  # after the first fold, the first two, and so on

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        attempt = trial.attempts[-1].number
        row = self._rows.get(trial.number)
        if row is None or row.attempt != attempt:
            row = self._rows[trial.number] = _Row(attempt)
        if step != len(row.losses) or step >= self._folds:
            return None  # a fold was skipped
        row.losses.append(self._metric.loss(value))
        if not self._reach or step + 1 == self._folds:
            return None
        return self._judge(_means(row.losses)[-1], step)

    def end(self, trial: Trial) -> None:
        row = self._rows.pop(trial.number, None)
        if row is None or trial.state is not State.COMPLETE:
            return
        if row.attempt != trial.attempts[-1].number or len(row.losses) < self._folds:
            return
        losses = tuple(row.losses)
        # The same model under other params would make the trials look more alike than they are.
        if losses not in self._seen:
            self._seen.add(losses)
            means = _means(losses)
            insort(self._whole, _Whole(means[-1], trial.number, losses, means))
            self._measure()

    def _measure(self) -> None:
        """Measure, for each fold, the gap that can't be closed after it."""
        if len(self._whole) < _STARTUP:
            return
        best, *others = self._whole[: math.ceil(_SHARE * len(self._whole))]
        with np.errstate(all="ignore"):  # values may overflow
            behind = np.array([one.means for one in others]) - best.means
            made_up = behind - behind[:, -1:]
            shown = np.sqrt((made_up**2).mean(axis=0))
            # The standard error of the mean of a sample from a finite population.
            part = np.sqrt(1 / np.arange(1, self._folds + 1) - 1 / self._folds)
            usual = _SCATTER * np.std(best.losses, ddof=1) * part
            self._reach = (_TIMES * np.maximum(shown, usual)).tolist()

    def _judge(self, mean: float, step: int) -> str | None:
        best, loss = self._whole[0], self._metric.loss
        there = best.means[step]
        end = best.loss + (mean - there) - self._reach[step]
        if not end > best.loss:  # NaN, where values overflow, ends nobody
            return None
        # The metric's loss is its own inverse.
        shown, needed = tell_apart(loss(end), loss(best.loss))
        own, others = tell_apart(loss(mean), loss(there))
        return (
            f"{self._metric.name} averages {own} on {_span(step)}, where trial {best.number} had "
            f"{others}: at best it ends at {shown}, which doesn't beat the {needed} of that trial"
        )


def _means(losses: Sequence[float]) -> tuple[float, ...]:
    return tuple(total / count for count, total in enumerate(accumulate(losses), start=1))


def _span(last: int) -> str:
    return f"folds 0 to {last}" if last else "fold 0"
