"""Asynchronous successive halving: only the best fraction of trials passes each rung."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from math import inf

from manyfit._checks import check_number, check_optional
from manyfit.metric import Metric
from manyfit.pruners.attempts import Attempts
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.pruners.curves import Lengths
from manyfit.trial import State, Trial


@dataclass(frozen=True, slots=True)
class AshaPruner:
    """Ends a trial that is not among the best 1 in `reduction` of those that came as far as it has.

    Trials are judged at the rungs: the steps `min_steps`, `min_steps * reduction`, `min_steps *
    reduction**2` and so on. Each is judged at once, by its best value so far, against the trials
    that have reached the rung; no trial waits for another. The first `reduction - 1` trials at a
    rung go on. Steps may be irregular: the first report at or past a rung counts, and a report that
    passes several rungs counts for the highest. A failed trial is forgotten.

    This is the stopping variant of Li et al., "A System for Massively Parallel Hyperparameter
    Tuning" (2020), algorithm 2: a trial that isn't promoted on arrival ends, rather than wait for a
    later promotion.

    Args:
        min_steps: The first step at which trials are judged. With None the rungs are the powers of
            `reduction`, beginning with the first that is at least a tenth of a typical curve: the
            median of the last steps that completed trials reported. No trial is ended before one
            has completed, so give a number if there are as many workers as trials.
        reduction: One trial in this many goes on; the paper's eta.

    Raises:
        ArgumentError: `min_steps` isn't an integer of at least 1, or `reduction` of at least 2.

    Example:
        >>> AshaPruner(min_steps=2)
        AshaPruner(min_steps=2, reduction=3)
    """

    min_steps: int | None = None
    reduction: int = 3

    def __post_init__(self) -> None:
        min_steps = check_optional("min_steps", self.min_steps, least=1, whole=True)
        reduction = check_number("reduction", self.reduction, least=2, whole=True)
        object.__setattr__(self, "min_steps", min_steps)
        object.__setattr__(self, "reduction", reduction)

    def bind(self, metric: Metric) -> Pruner:
        return _Asha(self, metric)


@dataclass(slots=True)
class _Climb:
    """The progress of a trial's current attempt: its lowest loss, and its loss at each rung."""

    low: float = inf
    rungs: dict[int, float] = field(default_factory=dict)


class _Asha:
    """Keeps, for each rung, the sorted lowest losses of the trials that have reached it."""

    def __init__(self, settings: AshaPruner, metric: Metric) -> None:
        self._settings = settings
        self._metric = metric
        self._lengths = Lengths()
        self._climbs = Attempts(_Climb, self._forgotten)
        self._lows: dict[int, list[float]] = {}

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        climb = self._climbs.of(trial)
        climb.low = min(climb.low, self._metric.loss(value))
        rung = self._rung(step)
        if rung is None or rung <= max(climb.rungs, default=0):
            return None
        climb.rungs[rung] = climb.low
        lows = self._lows.setdefault(rung, [])
        insort(lows, climb.low)
        early = self._settings.min_steps is None and rung < self._lengths.first_step
        return None if early else self._judge(climb.low, step, lows)

    def end(self, trial: Trial) -> None:
        self._lengths.end(trial)
        if trial.state is State.FAIL:
            self._climbs.forget(trial.number)

    def _judge(self, low: float, step: int, lows: list[float]) -> str | None:
        go_on = len(lows) // self._settings.reduction
        if go_on == 0 or bisect_left(lows, low) < go_on:
            return None
        best, needed = tell_apart(self._metric.loss(low), self._metric.loss(lows[go_on - 1]))
        return (
            f"{self._metric.name} {best} up to step {step} is worse than {needed}, which is needed "
            f"to be among the best {go_on} of {len(lows)} trials there"
        )

    def _rung(self, step: int) -> int | None:
        """Return the highest rung at or below a step."""
        rung = self._settings.min_steps or 1
        if step < rung:
            return None
        while rung * self._settings.reduction <= step:
            rung *= self._settings.reduction
        return rung

    def _forgotten(self, climb: _Climb) -> None:
        for rung, low in climb.rungs.items():
            del self._lows[rung][bisect_left(self._lows[rung], low)]
