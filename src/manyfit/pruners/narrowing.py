"""The default pruner's rule: an ever smaller share of the best trials goes on."""

import math
from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

from manyfit.metric import Metric
from manyfit.pruners.base import tell_apart
from manyfit.pruners.curves import Curve, Curves, Lengths
from manyfit.trial import State, Trial

# The share of trials that goes on at the end of a typical curve; see benchmarks/pruning.py.
_SHARE = 0.05
# The number of trials that must have completed before any is ended, and the number of best ones
# whose curves show how winners begin.
_STARTUP = 3
_WINNERS = 2


class _Winner(NamedTuple):
    """One of the best completed trials; these sort by final loss."""

    loss: float
    number: int
    curve: Curve


class Narrowing:
    """Judges the trials of one study, as `AutoPruner` describes.

    This is successive halving without rungs: a share of 0.05 / progress goes on, which is half of
    the trials at a tenth of a typical curve and halves each time the number of steps doubles. It
    follows Jamieson and Talwalkar, "Non-stochastic best arm identification" (2016), but judges at
    every step. Halving alone is wrong if curves cross, so a trial also survives if the winners were
    once as bad, or if its own pace leads to a win.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._curves = Curves()
        self._lengths = Lengths()
        self._winners: list[_Winner] = []

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        curve = self._curves.curve(trial)
        if curve.steps and step <= curve.steps[-1]:
            return None  # a repeated or earlier step, which `manyfit.report` doesn't allow
        low = min([self._metric.loss(value), *curve.lows[-1:]])
        reason = self._judge(curve, step, low, self._curves.company(curve, step))
        self._curves.add(curve, step, low)
        return reason

    def end(self, trial: Trial) -> None:
        self._curves.end(trial)
        self._lengths.end(trial)
        if trial.state is State.COMPLETE and trial.measurements:
            loss = self._metric.loss(self._metric.check(trial.value))
            insort(self._winners, _Winner(loss, trial.number, self._curves.curve(trial)))
            del self._winners[_WINNERS:]

    def _judge(self, curve: Curve, step: int, low: float, company: Sequence[float]) -> str | None:
        enough = len(self._lengths) >= _STARTUP and step >= self._lengths.first_step
        if not enough or not curve.steps:  # a single report shows no pace
            return None
        progress = min(1.0, step / self._typical)
        go_on = max(1, math.ceil(_SHARE / progress * (len(company) + 1)))
        if len(company) < go_on:
            return None
        needed = max([company[go_on - 1], *self._winners_at(step)])
        forecast = low - curve.pace(step, low) * max(0, self._typical - step)
        target = self._winners[0].loss
        if low <= needed or forecast < target:
            return None
        return self._reason(step, (low, needed), (forecast, target), (go_on, len(company) + 1))

    @property
    def _typical(self) -> int:
        return max(1, self._lengths.typical)

    def _winners_at(self, step: int) -> list[float]:
        lows = (winner.curve.low_at(step) for winner in self._winners)
        return [low for low in lows if low is not None]

    def _reason(
        self,
        step: int,
        lows: tuple[float, float],
        ends: tuple[float, float],
        places: tuple[int, int],
    ) -> str:
        # The metric's loss is its own inverse.
        best, needed = tell_apart(*map(self._metric.loss, lows))
        end, target = tell_apart(*map(self._metric.loss, ends))
        return (
            f"{self._metric.name} {best} up to step {step} is worse than {needed}, where the best "
            f"{places[0]} of {places[1]} trials and the winners so far stood, and at its pace it "
            f"ends at {end}, which doesn't beat {target}"
        )
