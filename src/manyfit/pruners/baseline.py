"""Ends trials that level off without beating a baseline."""

from dataclasses import dataclass
from math import inf

from manyfit._checks import check_number, check_optional
from manyfit.metric import Metric
from manyfit.pruners.attempts import Attempts
from manyfit.pruners.base import Pruner, tell_apart
from manyfit.trial import Trial


@dataclass(frozen=True, slots=True)
class BaselinePruner:
    """Ends a trial that hasn't beaten a baseline by a given step, and no longer improves.

    This is like Keras's `EarlyStopping(baseline=...)`, but a trial that is still improving goes on,
    however far from the baseline it is. A trial that has beaten the baseline is never ended. Other
    trials make no difference.

    Args:
        baseline: The value to beat, such as that of a majority vote or of the model in use.
        by_step: No trial is ended at a step smaller than this.
        patience: A trial whose best value is no older than this many steps is still improving; a
            fifth of `by_step` by default, and at least 2, so that a single bad step ends nobody.

    Raises:
        ArgumentError: `baseline` isn't finite, `by_step` isn't an integer of at least 0, or
            `patience` of at least 1.

    Example:
        >>> BaselinePruner(0.62, by_step=10)
        BaselinePruner(baseline=0.62, by_step=10, patience=2)
    """

    baseline: float
    by_step: int
    patience: int

    def __init__(self, baseline: float, *, by_step: int, patience: int | None = None) -> None:
        baseline = check_number("baseline", baseline)
        by_step = check_number("by_step", by_step, least=0, whole=True)
        patience = check_optional("patience", patience, least=1, whole=True)
        object.__setattr__(self, "baseline", baseline)
        object.__setattr__(self, "by_step", by_step)
        object.__setattr__(self, "patience", max(2, by_step // 5) if patience is None else patience)

    def bind(self, metric: Metric) -> Pruner:
        return _Baseline(self, metric)


@dataclass(slots=True)
class _Best:
    """The lowest loss of a trial's current attempt, and its step."""

    low: float = inf
    step: int = 0


class _Baseline:
    def __init__(self, settings: BaselinePruner, metric: Metric) -> None:
        self._settings = settings
        self._metric = metric
        self._bests = Attempts(_Best)

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        settings, metric = self._settings, self._metric
        best = self._bests.of(trial)
        loss = metric.loss(value)
        if loss < best.low:
            best.low, best.step = loss, step
        stale = step - best.step
        beaten = best.low < metric.loss(settings.baseline)
        if beaten or step < settings.by_step or stale < settings.patience:
            return None
        shown, _ = tell_apart(metric.loss(best.low), settings.baseline)
        return (
            f"{metric.name} {shown} up to step {step} doesn't beat the baseline "
            f"{settings.baseline:g} and hasn't improved for {stale} steps"
        )

    def end(self, trial: Trial) -> None:
        self._bests.forget(trial.number)
