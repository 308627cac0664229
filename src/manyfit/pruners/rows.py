"""Halving by rows: at each number of rows, the best fraction of trials goes on to more."""

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field

from manyfit._checks import check_number
from manyfit.metric import Metric
from manyfit.pruners.attempts import Attempts
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.trial import State, Trial


@dataclass(frozen=True, slots=True)
class RowsPruner:
    """Ends a trial that isn't among the best 1 in `reduction` of those with as many rows.

    Steps are numbers of rows. Unlike `AshaPruner`, which judges a learning curve by its best value
    so far, it compares scores on equally many rows only: those on other rows are not comparable.
    Equal scores are frequent on few rows. Of trials with equal scores the first go on, and later
    ones once one in `reduction` is due again. The first `reduction - 1` trials go on.

    Args:
        reduction: One trial in this many goes on.

    Raises:
        ArgumentError: `reduction` isn't an integer of at least 2.

    Example:
        >>> RowsPruner()
        RowsPruner(reduction=3)
    """

    reduction: int = 3

    def __post_init__(self) -> None:
        reduction = check_number("reduction", self.reduction, least=2, whole=True)
        object.__setattr__(self, "reduction", reduction)

    def bind(self, metric: Metric) -> Pruner:
        return _Rows(self.reduction, metric)


@dataclass(slots=True)
class _Rung:
    """The sorted losses of the trials at a number of rows; of each loss, how many went on."""

    losses: list[float] = field(default_factory=list)
    went_on: Counter[float] = field(default_factory=Counter)


@dataclass(slots=True)
class _Climb:
    """The current attempt of a trial: its loss at each number of rows, and whether it went on."""

    results: dict[int, tuple[float, bool]] = field(default_factory=dict)


class _Rows:
    """Keeps a rung for each number of rows."""

    def __init__(self, reduction: int, metric: Metric) -> None:
        self._reduction = reduction
        self._metric = metric
        self._rungs: dict[int, _Rung] = {}
        self._climbs = Attempts(_Climb, self._forgotten)

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        climb = self._climbs.of(trial)
        loss = self._metric.loss(value)
        rung = self._rungs.setdefault(step, _Rung())
        insort(rung.losses, loss)
        best = len(rung.losses) // self._reduction
        goes_on = best == 0 or bisect_left(rung.losses, loss) + rung.went_on[loss] < best
        rung.went_on[loss] += goes_on
        climb.results[step] = loss, goes_on
        if goes_on:
            return None
        return self._reason(value, rung, step, best)

    def end(self, trial: Trial) -> None:
        if trial.state is State.FAIL:
            self._climbs.forget(trial.number)

    def _forgotten(self, climb: _Climb) -> None:
        for step, (loss, went_on) in climb.results.items():
            rung = self._rungs[step]
            del rung.losses[bisect_left(rung.losses, loss)]
            rung.went_on[loss] -= went_on

    def _reason(self, value: float, rung: _Rung, step: int, best: int) -> str:
        last = self._metric.loss(rung.losses[best - 1])
        where = f"the best {best} of {len(rung.losses)} trials on {step} rows"
        if value == last:
            return f"{self._metric.name} {value:.4g} is no better than that of the last of {where}"
        shown, needed = tell_apart(value, last)
        return f"{self._metric.name} {shown} is worse than {needed}, that of the last of {where}"
