"""Repeats of the leading trials, for noisy objectives; the winner is the one with the best mean.

The value that made a configuration lead is partly luck, and more so the more trials there were (the
winner's curse). It is therefore ignored here: means are taken over the repeats alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from manyfit._optional import load
from manyfit.metric import Metric
from manyfit.trial import State, Trial

# The number of best trials that are repeated. With five, the winner gains most of what repeating
# can gain; three more add little, and cost 60 % more.
LEADERS = 5
# The intervals hold the true mean with this probability, if the noise is normal.
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Repeated:
    """The repeats of a trial: its params, run again with fresh seeds.

    Attributes:
        number: The number of the repeated trial.
        trials: The numbers of its repeats that have ended.
        values: The values of those that completed.

    Example:
        >>> repeated = Repeated(7, trials=(20, 25, 30), values=(0.2, 0.25, 0.3))
        >>> print(repeated)
        0.25 on average of 3 repeats, 95 % interval 0.125793 to 0.374207
    """

    number: int
    trials: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def failed(self) -> int:
        """The number of repeats without a value: they failed, or lost every attempt."""
        return len(self.trials) - len(self.values)

    @property
    def mean(self) -> float:
        """The mean of the values; NaN if there are none."""
        count = len(self.values)
        return math.fsum(value / count for value in self.values) if count else math.nan

    @property
    def low(self) -> float:
        """The lower end of the mean's 95 % interval (Student's t); -inf below two values."""
        return self.mean - self._reach

    @property
    def high(self) -> float:
        """The upper end of the mean's 95 % interval; inf below two values."""
        return self.mean + self._reach

    def __str__(self) -> str:
        count = len(self.values)
        if not count:
            return "none of its repeats returned a value"
        failed = f" ({self.failed} failed)" if self.failed else ""
        if count == 1:
            return f"{self.mean:g} in 1 repeat{failed}"
        interval = f"95 % interval {self.low:g} to {self.high:g}"
        return f"{self.mean:g} on average of {count} repeats{failed}, {interval}"

    @property
    def _reach(self) -> float:
        """Half the interval: t · s / √n, where s² = Σ (value - mean)² / (n - 1)."""
        count, mean = len(self.values), self.mean
        if count < 2:
            return math.inf
        deviation = math.hypot(*(value - mean for value in self.values))
        t = float(load("scipy.special").stdtrit(count - 1, (1 + _CONFIDENCE) / 2))
        return t * deviation / math.sqrt(count * (count - 1))


def repeated(trials: Sequence[Trial], metric: Metric) -> tuple[Repeated, ...]:
    """Return the trials that were repeated, the one with the best mean first.

    Trials with a failed repeat come after all others. Repeats that have not ended yet are ignored.

    Args:
        trials: A study's trials by number; those outside its space may be missing.
        metric: The metric to tune.
    """
    repeats: dict[int, list[Trial]] = {}
    for trial in trials:
        if trial.repeat_of is not None:
            repeats.setdefault(trial.repeat_of, []).append(trial)
    found = [_summary(number, again) for number, again in repeats.items()]
    return tuple(sorted(found, key=lambda each: (each.failed, metric.loss(each.mean), each.number)))


def _summary(number: int, repeats: Sequence[Trial]) -> Repeated:
    ended = [trial for trial in repeats if trial.state.is_finished]
    values = tuple(trial.value for trial in ended if trial.value is not None)
    return Repeated(number, tuple(trial.number for trial in ended), values)


def best_trial(trials: Sequence[Trial], metric: Metric) -> Trial | None:
    """Return the best completed trial of a search; None if none has completed.

    That is the trial with the best value, the earliest of equals. If it has been repeated, it is
    the trial whose repeats have the best mean instead, once every leader has had a repeat:
    otherwise the first one repeated would win.
    """
    completed = {
        trial.number: (metric.loss(trial.value), trial.number)
        for trial in trials
        if trial.repeat_of is None and trial.state is State.COMPLETE and trial.value is not None
    }
    if not completed:
        return None
    number = min(completed, key=completed.__getitem__)
    again = repeated(trials, metric)
    if all(each.trials for each in again) and number in {each.number for each in again}:
        number = again[0].number
    return next(trial for trial in trials if trial.number == number)
