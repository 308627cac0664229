"""Learning curves: each trial's lowest loss by step, and the sorted losses of all at a step."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from manyfit.pruners.attempts import Attempts
from manyfit.trial import State, Trial

# Steps of up to this many bits are told apart exactly; of longer ones only the leading bits count.
_EXACT_BITS = 6
# The first share of a typical curve, which predicts little; measured in benchmarks/pruning.py.
_GRACE = 0.1
# Lengths differ if, without the longest and shortest fifth, they do by more than this factor.
_APART = 1.25


@dataclass(slots=True)
class Curve:
    """The curve of a trial's current attempt: for each step reported, the lowest loss up to it.

    Example:
        >>> curve = Curve(steps=[1, 4], lows=[0.9, 0.5])
        >>> curve.low_at(3), curve.low_at(4), curve.low_at(5)
        (0.9, 0.5, None)
    """

    steps: list[int] = field(default_factory=list)
    lows: list[float] = field(default_factory=list)
    ended: bool = False

    def low_at(self, step: int) -> float | None:
        """Return the lowest loss up to a step; None before the first report, and ahead of it.

        An ended trial keeps its best loss at later steps. If pruned trials dropped out, a trial
        would be compared with the survivors alone, and every step would end the same share of
        those again, down to the last one.
        """
        if not self.ended and (not self.steps or self.steps[-1] < step):
            return None
        known = bisect_right(self.steps, step)
        return self.lows[known - 1] if known else None

    def pace(self, step: int, low: float) -> float:
        """Return the fall in loss per step over the second half of the steps up to a new report.

        A straight line at this pace is the best case, since curves flatten out. If there is no
        report from the first half, the pace is that since the first report.

        Example:
            >>> Curve(steps=[1, 4], lows=[0.9, 0.5]).pace(8, 0.3)
            0.05
        """
        since = max(0, bisect_right(self.steps, step // 2) - 1)
        return (self.lows[since] - low) / (step - self.steps[since])


class Curves:
    """The curves of a study's trials, and the sorted lowest losses at each milestone asked about.

    A trial that starts again or has failed is forgotten, as if it had never reported.
    """

    def __init__(self) -> None:
        self._curves = Attempts(Curve, self._forgotten)
        self._milestones: list[int] = []
        self._lows: dict[int, list[float]] = {}

    def curve(self, trial: Trial) -> Curve:
        """Return the curve of the trial's current attempt; an earlier attempt's is forgotten."""
        return self._curves.of(trial)

    def company(self, curve: Curve, step: int) -> list[float]:
        """Return the sorted lowest losses of the other trials at a step that a trial just reached.

        It is empty if the trial reached the step's milestone before, and was judged there. The list
        is not a copy: read it before the next `add`, and don't change it.
        """
        milestone = _milestone(step)
        # The trial isn't in this list yet, since it reaches the milestone only now.
        if curve.steps and curve.steps[-1] >= milestone:
            return []
        if milestone not in self._lows:
            lows = (curve.low_at(milestone) for curve in self._curves.all())
            self._lows[milestone] = sorted(low for low in lows if low is not None)
            insort(self._milestones, milestone)
        return self._lows[milestone]

    def add(self, curve: Curve, step: int, low: float) -> None:
        """Record a trial's lowest loss up to a step later than all it has reported."""
        before = curve.steps[-1] if curve.steps else None
        curve.steps.append(step)
        curve.lows.append(low)
        self._enter(curve, self._between(before, step))

    def end(self, trial: Trial) -> None:
        """Record that a trial has ended."""
        if trial.state is State.FAIL:
            self._curves.forget(trial.number)
            return
        curve = self.curve(trial)
        curve.ended = True
        if curve.steps:
            self._enter(curve, self._between(curve.steps[-1], None))

    def _between(self, after: int | None, upto: int | None) -> list[int]:
        """Return the milestones in (after, upto]."""
        known = self._milestones
        start = 0 if after is None else bisect_right(known, after)
        return known[start : len(known) if upto is None else bisect_right(known, upto)]

    def _enter(self, curve: Curve, milestones: Iterable[int]) -> None:
        for milestone in milestones:
            low = curve.low_at(milestone)
            if low is not None:
                insort(self._lows[milestone], low)

    def _forgotten(self, curve: Curve) -> None:
        for milestone in self._milestones:
            low = curve.low_at(milestone)
            if low is not None:
                del self._lows[milestone][bisect_left(self._lows[milestone], low)]


class Lengths:
    """The last steps of completed trials, from which the length of a typical curve is measured."""

    def __init__(self) -> None:
        self._lengths: list[int] = []

    def __len__(self) -> int:
        """The number of completed trials that reported."""
        return len(self._lengths)

    @property
    def typical(self) -> int:
        """The median of the last steps; 0 before the first trial is complete."""
        return self._lengths[len(self._lengths) // 2] if self._lengths else 0

    @property
    def first_step(self) -> float:
        """The first step at which a curve is informative: a tenth of the typical one, at least 1.

        Infinity before the first trial has completed.
        """
        return max(1, math.ceil(_GRACE * self.typical)) if self._lengths else math.inf

    @property
    def differ(self) -> bool:
        """Whether trials have lengths of their own; of five trials, one may be an exception."""
        if not self._lengths:
            return False
        fifth = len(self._lengths) // 5
        return self._lengths[-1 - fifth] + 1 > _APART * (self._lengths[fifth] + 1)

    def is_last(self, step: int) -> bool:
        """Return whether all completed trials ended at this step: to end another saves nothing."""
        return self._lengths[:1] == [step] == self._lengths[-1:]

    def end(self, trial: Trial) -> None:
        """Record that a trial has ended; only completed ones count."""
        if trial.state is State.COMPLETE and trial.measurements:
            insort(self._lengths, trial.measurements[-1].step)


def _milestone(step: int) -> int:
    """Round a step down to one of a few hundred: exact below 64, then to six leading bits.

    Steps that count samples or seconds differ from trial to trial; a list for each step would cost
    a pass over all trials at every report.
    """
    shift = max(0, step.bit_length() - _EXACT_BITS)
    return step >> shift << shift
