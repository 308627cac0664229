"""How far trials have come: by their steps, or by the share of their own lengths if it is known."""

import math
from collections import Counter
from dataclasses import dataclass

from manyfit.metric import Metric
from manyfit.pruners.curves import Lengths
from manyfit.pruners.planned import PlannedLengths
from manyfit.trial import Trial

# The number of trials that must have completed before any is judged.
_STARTUP = 3
# The whole of a trial whose length is known, in the unit of its points.
_WHOLE = 2**20


@dataclass(frozen=True, slots=True)
class Course:
    """How strictly trials are judged; the constants are from benchmarks/pruning.py.

    Attributes:
        share: The share of trials that goes on at the end.
        power: By how fast that share falls: it is `share / progress**power`.
        grace: The progress before which nobody is judged.
        winners: The number of best completed trials whose curves show how winners begin.
        by_pace: Whether a trial goes on whose pace leads to a win.
    """

    share: float
    power: float
    grace: float
    winners: int
    by_pace: bool


# If lengths are alike, or trials end when they no longer improve, steps show progress.
ALIKE = Course(0.05, 1.0, grace=0.1, winners=2, by_pace=True)
# If lengths are a setting, learning rates mostly follow them, so that a pace says little.
PLANNED = Course(0.025, 1.0, grace=0.03, winners=1, by_pace=False)
# If a trial's length is unknown, its step is compared, which predicts less: a larger share goes on.
UNKNOWN = Course(0.09, 0.4, grace=0.03, winners=2, by_pace=False)


class Progress:
    """Places the reports of trials, by what completed trials show of lengths.

    Attributes:
        course: How strictly trials are judged.
    """

    def __init__(self, metric: Metric) -> None:
        self.course = ALIKE
        self._metric = metric
        self._lengths = Lengths()
        self._planned = PlannedLengths()
        self._since_best: Counter[int] = Counter()

    @property
    def typical(self) -> int:
        """The last step of a typical trial, at least 1."""
        return max(1, self._lengths.typical)

    def end(self, trial: Trial) -> bool:
        """Take in a completed trial that reported; return whether points have moved."""
        before = self._planned.rule if self.course is PLANNED else None
        self._lengths.end(trial)
        self._planned.end(trial)
        self._since_best[self._reports_since_best(trial)] += 1
        is_setting = self._lengths.differ and not self._shows_patience
        rule = self._planned.rule if is_setting else None
        unplanned = UNKNOWN if is_setting else ALIKE
        self.course = unplanned if rule is None else PLANNED
        return rule != before

    def point(self, trial: Trial, step: int) -> int | None:
        """Return where a trial is at a step, in a unit in which trials are compared.

        It is the step, or the share of the trial's own length; None if that isn't known.
        """
        if self.course is not PLANNED or self._planned.rule is None:
            return step
        length = self._planned.rule.length(trial.params)
        return None if length is None else max(1, round(_WHOLE * (step + 1) / length))

    def at(self, step: int, point: int) -> float | None:
        """Return the progress at a step, at most 1; None if it is too early or too late to judge.

        A trial that is as long as all others, or as planned, has nothing left to save.
        """
        if len(self._lengths) < _STARTUP or self._lengths.is_last(step):
            return None
        if self.course is ALIKE:
            early = step < self._lengths.first_step
            return None if early else min(1.0, step / self.typical)
        planned = self.course is PLANNED
        if planned and point == _WHOLE:
            return None
        progress = point / _WHOLE if planned else (step + 1) / (self._lengths.typical + 1)
        return None if progress < self.course.grace else min(1.0, progress)

    @property
    def _shows_patience(self) -> bool:
        """Whether most trials have ended equally many reports after their best, not at it."""
        since, count = self._since_best.most_common(1)[0]
        return since > 0 and 2 * count > self._since_best.total()

    def _reports_since_best(self, trial: Trial) -> int:
        values = (each.metrics.get(self._metric.name, math.nan) for each in trial.measurements)
        losses = [self._metric.loss(value) for value in values]
        return len(losses) - 1 - losses.index(min(losses))
