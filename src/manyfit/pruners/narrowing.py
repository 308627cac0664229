"""The default pruner's rule: an ever smaller share of the best trials goes on."""

import math
from bisect import insort
from collections.abc import Sequence
from typing import NamedTuple

from manyfit.metric import Metric
from manyfit.pruners.base import tell_apart
from manyfit.pruners.curves import Curve, Curves
from manyfit.pruners.progress import PLANNED, Progress
from manyfit.trial import State, Trial

# The number of best completed trials that are remembered.
_WINNERS = 2


class _Winner(NamedTuple):
    """One of the best completed trials; these sort by final loss."""

    loss: float
    number: int


class _Report(NamedTuple):
    """A report to judge: its point is where the trial is in the unit of `Progress`."""

    step: int
    point: int
    low: float
    curve: Curve


class Narrowing:
    """Judges the trials of one study, as `AutoPruner` describes.

    This is successive halving without rungs: if lengths are alike, a share of 0.05 / progress goes
    on, which is half of the trials at a tenth of a typical curve and halves each time the number of
    steps doubles. It follows Jamieson and Talwalkar, "Non-stochastic best arm identification"
    (2016), but judges at every step. Halving alone is wrong if curves cross, so a trial also
    survives if the winners were once as bad, or if its own pace leads to a win.
    """

    def __init__(self, metric: Metric) -> None:
        self._metric = metric
        self._trials: dict[int, Trial] = {}
        self._curves = Curves()
        self._progress = Progress(metric)
        self._winners: list[_Winner] = []

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        self._trials[trial.number] = trial
        report = self._placed(trial, step, value)
        if report is None:
            return None
        reason = self._judge(report, self._curves.company(report.curve, report.point))
        self._curves.add(report.curve, report.point, report.low)
        return reason

    def end(self, trial: Trial) -> None:
        self._trials[trial.number] = trial
        self._curves.end(trial)
        if trial.state is State.FAIL:
            del self._trials[trial.number]
        elif trial.state is State.COMPLETE and trial.measurements:
            loss = self._metric.loss(self._metric.check(trial.value))
            insort(self._winners, _Winner(loss, trial.number))
            del self._winners[_WINNERS:]
            if self._progress.end(trial):
                self._place_again()

    def _place_again(self) -> None:
        """Make the curves anew, after it was learned how far trials have come."""
        self._curves = Curves()
        for trial in self._trials.values():
            for each in trial.measurements:
                value = each.metrics.get(self._metric.name, math.nan)
                report = self._placed(trial, each.step, value) if math.isfinite(value) else None
                if report is not None:
                    self._curves.add(report.curve, report.point, report.low)
            if trial.state in (State.COMPLETE, State.PRUNED):
                self._curves.end(trial)

    def _placed(self, trial: Trial, step: int, value: float) -> _Report | None:
        """Return a report to judge; None if its place isn't known, or not ahead of the last one."""
        curve, point = self._curves.curve(trial), self._progress.point(trial, step)
        if point is None or (curve.steps and point <= curve.steps[-1]):
            return None
        return _Report(step, point, min([self._metric.loss(value), *curve.lows[-1:]]), curve)

    def _judge(self, report: _Report, company: Sequence[float]) -> str | None:
        progress, course = self._progress.at(report.step, report.point), self._progress.course
        # A single report shows no pace, and may be that of a model which has yet to learn anything.
        if progress is None or not (report.curve.steps or course is PLANNED):
            return None
        places = len(company) + 1
        go_on = max(1, math.ceil(course.share / progress**course.power * places))
        if len(company) < go_on:
            return None
        needed = max([company[go_on - 1], *self._winners_at(report.point)])
        if report.low <= needed or (course.by_pace and self._forecast(report) < self._target):
            return None
        share = progress if course is PLANNED else None
        return self._reason(report, needed, (go_on, places), share)

    @property
    def _target(self) -> float:
        return self._winners[0].loss

    def _forecast(self, report: _Report) -> float:
        """Return what a trial would come to at its pace."""
        left = max(0, self._progress.typical - report.step)
        return report.low - report.curve.pace(report.step, report.low) * left

    def _winners_at(self, point: int) -> list[float]:
        winners = self._winners[: self._progress.course.winners]
        curves = (self._curves.curve(self._trials[winner.number]) for winner in winners)
        lows = (curve.low_at(point) for curve in curves)
        return [low for low in lows if low is not None]

    def _reason(
        self, report: _Report, needed: float, places: tuple[int, int], share: float | None
    ) -> str:
        # The metric's loss is its own inverse.
        best, limit = tell_apart(*map(self._metric.loss, (report.low, needed)))
        after = "" if share is None else f", {share:.0%} of its length,"
        reason = (
            f"{self._metric.name} {best} up to step {report.step}{after} is worse than {limit}, "
            f"where the best {places[0]} of {places[1]} trials and the winners so far stood"
        )
        if not self._progress.course.by_pace:
            return reason
        end, target = tell_apart(*map(self._metric.loss, (self._forecast(report), self._target)))
        return f"{reason}, and at its pace it ends at {end}, which doesn't beat {target}"
