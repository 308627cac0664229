"""The median rule: a trial must keep up with the better half of the others."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.trial import State, Trial

# Steps of up to so many bits are told apart exactly; of longer ones only the leading bits count.
_EXACT_BITS = 6


@dataclass(frozen=True, slots=True)
class MedianPruner:
    """Ends a trial whose best value so far is worse than the median of the others at that step.

    No trial is ended before `n_startup` trials are complete. The others are all trials that have
    reached the step, and those that ended before it, with the best value each had by then; a failed
    trial is no company. Steps may be irregular and differ between trials: a trial is compared with
    what the others had shown at the same step or shortly before it, within a thirty-second.

    The median stopping rule of Golovin et al., "Google Vizier" (2017), section 3.1.

    Args:
        min_steps: No trial is ended at a step smaller than this.
        n_startup: So many trials must be complete before any is ended.

    Raises:
        ArgumentError: `min_steps` is negative, or `n_startup` less than 1.

    Example:
        >>> pruner = MedianPruner(min_steps=3)
        >>> pruner
        MedianPruner(min_steps=3, n_startup=5)
    """

    min_steps: int = 1
    n_startup: int = 5

    def __post_init__(self) -> None:
        if self.min_steps < 0:
            raise ArgumentError(f"min_steps must be 0 or more, but got {self.min_steps!r}")
        if self.n_startup < 1:
            raise ArgumentError(f"n_startup must be 1 or more, but got {self.n_startup!r}")

    def bind(self, metric: Metric) -> Pruner:
        """Return a pruner for one study."""
        return _Median(self, metric)


@dataclass(slots=True)
class _Curve:
    """What a trial's present attempt has shown: at each step, its lowest loss up to there."""

    attempt: int
    steps: list[int] = field(default_factory=list)
    lows: list[float] = field(default_factory=list)
    ended: bool = False

    def low_at(self, step: int) -> float | None:
        """Return the lowest loss up to a step; None if it isn't there yet or had nothing to show.

        A trial that has ended stays in the company at all later steps with the best it had. If the
        pruned ones dropped out, the median would be that of the survivors alone, and every step
        would end half of them again, down to the last one.
        """
        if not self.ended and (not self.steps or self.steps[-1] < step):
            return None
        known = bisect_right(self.steps, step)
        return self.lows[known - 1] if known else None


class _Median:
    """The running tallies: for each milestone that was ever asked about, the sorted lows there."""

    def __init__(self, settings: MedianPruner, metric: Metric) -> None:
        self._settings = settings
        self._metric = metric
        self._curves: dict[int, _Curve] = {}
        self._milestones: list[int] = []
        self._lows: dict[int, list[float]] = {}
        self._completed = 0

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        curve = self._curve(trial)
        before = curve.steps[-1] if curve.steps else None
        if before is not None and step <= before:
            return None  # against the rules of `manyfit.report`, and nothing to learn from
        milestone = _milestone(step)
        # The trial isn't among its own company yet, since it only reaches the milestone now.
        company = self._company(milestone) if before is None or before < milestone else []
        low = min([self._metric.loss(value), *curve.lows[-1:]])
        reason = self._judge(low, step, company)
        curve.steps.append(step)
        curve.lows.append(low)
        self._enter(curve, self._between(before, step))
        return reason

    def end(self, trial: Trial) -> None:
        if trial.state is State.FAIL:
            self._forget(trial.number)
            return
        self._completed += trial.state is State.COMPLETE
        curve = self._curve(trial)
        curve.ended = True
        if curve.steps:
            self._enter(curve, self._between(curve.steps[-1], None))

    def _judge(self, low: float, step: int, company: list[float]) -> str | None:
        settings = self._settings
        enough = min(self._completed, len(company)) >= settings.n_startup
        if step < settings.min_steps or not enough:
            return None
        middle = (company[(len(company) - 1) // 2] + company[len(company) // 2]) / 2
        if low <= middle:
            return None
        # A loss is turned back into a value the way it was made.
        best, median = tell_apart(self._metric.loss(low), self._metric.loss(middle))
        return (
            f"{self._metric.name} {best} up to step {step} is worse than the median {median} "
            f"of {len(company)} trials"
        )

    def _curve(self, trial: Trial) -> _Curve:
        """Return the curve of the trial's present attempt; that of an earlier one is forgotten."""
        attempt = trial.attempts[-1].number
        curve = self._curves.get(trial.number)
        if curve is None or curve.attempt != attempt:
            self._forget(trial.number)
            curve = self._curves[trial.number] = _Curve(attempt)
        return curve

    def _company(self, milestone: int) -> list[float]:
        """Return the sorted lows at a milestone, gathered from all curves when it is first met."""
        if milestone not in self._lows:
            lows = (curve.low_at(milestone) for curve in self._curves.values())
            self._lows[milestone] = sorted(low for low in lows if low is not None)
            insort(self._milestones, milestone)
        return self._lows[milestone]

    def _between(self, after: int | None, upto: int | None) -> list[int]:
        """Return the milestones in (after, upto]."""
        known = self._milestones
        start = 0 if after is None else bisect_right(known, after)
        return known[start : len(known) if upto is None else bisect_right(known, upto)]

    def _enter(self, curve: _Curve, milestones: Iterable[int]) -> None:
        for milestone in milestones:
            low = curve.low_at(milestone)
            if low is not None:
                insort(self._lows[milestone], low)

    def _forget(self, number: int) -> None:
        curve = self._curves.pop(number, None)
        if curve is None:
            return
        for milestone in self._milestones:
            low = curve.low_at(milestone)
            if low is not None:
                del self._lows[milestone][bisect_left(self._lows[milestone], low)]


def _milestone(step: int) -> int:
    """Round a step down to one of a few hundred: exact below 64, then to six leading bits.

    Steps that count samples or seconds differ from trial to trial; a tally for each would cost a
    pass over all trials at every report.
    """
    shift = max(0, step.bit_length() - _EXACT_BITS)
    return step >> shift << shift
