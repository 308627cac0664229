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
from manyfit.pruners.attempts import Attempts
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.pruners.early import TIMES, Early
from manyfit.trial import State, Trial

# These were measured in benchmarks/folds.py. This many trials that differ must have completed
# before any is ended.
_STARTUP = 4
# Only this better share of the complete trials counts: bad ones vary more, without bound.
_SHARE = 0.75
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
    completed all folds. A step past the last fold is ignored.

    With `stages`, an objective may also report its model of the first fold while that grows, as
    boosting does: stage 0, 1, ... at steps 0, 1, ..., each with twice the rounds of the stage
    before, the last with half of all; the folds follow at step `stages` and on. From stage 1 on, a
    trial ends if it is further behind than others have made up from there, and wouldn't catch up
    even if it went on at its present pace. Trials that report no stages are judged by folds.

    Args:
        folds: The number of folds, at least 2; with `stages`, at least 1.
        stages: The number of stages.

    Raises:
        ArgumentError: `folds` or `stages` isn't an integer, or is too small.

    Example:
        >>> FoldPruner(folds=5)
        FoldPruner(folds=5, stages=0)
    """

    folds: int
    stages: int = 0

    def __post_init__(self) -> None:
        stages = check_number("stages", self.stages, least=0, whole=True)
        folds = check_number("folds", self.folds, least=1 if stages else 2, whole=True)
        object.__setattr__(self, "stages", stages)
        object.__setattr__(self, "folds", folds)

    def bind(self, metric: Metric) -> Pruner:
        return _Folds(self, metric)


@dataclass(slots=True)
class _Row:
    """The losses of a trial's current attempt, stage by stage and fold by fold."""

    early: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


class _Whole(NamedTuple):
    """A complete trial; trials sort by mean loss."""

    loss: float
    number: int
    losses: tuple[float, ...]
    means: tuple[float, ...]  # over the first fold, the first two, and so on
    early: tuple[float, ...] = ()


class _Folds:
    def __init__(self, settings: FoldPruner, metric: Metric) -> None:
        self._folds = settings.folds
        self._stages = settings.stages
        self._metric = metric
        self._rows = Attempts(_Row)
        self._seen: set[tuple[float, ...]] = set()
        self._whole: list[_Whole] = []
        self._reach: list[float] = []  # after the first fold, the first two, and so on
        self._early = Early(settings.stages, metric)

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        row = self._rows.of(trial)
        fold, loss = step - self._stages, self._metric.loss(value)
        if fold < 0:
            return self._stage(row, step, loss)
        if fold != len(row.losses) or fold >= self._folds:
            return None  # a fold was skipped
        row.losses.append(loss)
        if not self._reach or fold + 1 == self._folds:
            return None
        return self._judge(_means(row.losses)[-1], fold)

    def end(self, trial: Trial) -> None:
        row = self._rows.of(trial)
        self._rows.forget(trial.number)
        if trial.state is not State.COMPLETE or len(row.losses) < self._folds:
            return
        losses = tuple(row.losses)
        early = tuple(row.early) if len(row.early) == self._stages else ()
        # The same model under other params would make the trials look more alike than they are.
        if (*early, *losses) not in self._seen:
            self._seen.add((*early, *losses))
            means = _means(losses)
            insort(self._whole, _Whole(means[-1], trial.number, losses, means, early))
            self._measure()

    def _stage(self, row: _Row, stage: int, loss: float) -> str | None:
        if stage != len(row.early):
            return None  # a stage was skipped
        row.early.append(loss)
        if not self._reach:
            return None
        return self._early.judge(row.early, self._whole[0].losses[0] + self._reach[0])

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
            scatter = np.std(best.losses, ddof=1) if self._folds > 1 else 0.0
            usual = _SCATTER * scatter * part
            self._reach = (TIMES * np.maximum(shown, usual)).tolist()
        grown = [one for one in self._whole if one.early]
        if self._stages and len(grown) >= _STARTUP:
            self._early.learn(grown[: math.ceil(_SHARE * len(grown))], float(usual[0]))

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
