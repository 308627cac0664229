"""From what a user passes as `pruner=` to the pruner of a study."""

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.base import Pruner, PrunerSettings
from manyfit.pruners.median import MedianPruner
from manyfit.trial import State, Trial

# Measured in benchmarks/pruning.py.
_GRACE = 0.2


@dataclass(frozen=True, slots=True)
class NoPruner:
    """Lets every trial go on to its own end, also one that reports NaN.

    Example:
        >>> NoPruner()
        NoPruner()
    """

    def bind(self, metric: Metric) -> Pruner:  # noqa: ARG002 - all pruners are bound alike
        """Return a pruner for one study."""
        return _Never()


@dataclass(frozen=True, slots=True)
class AutoPruner:
    """The median rule, with a grace period that fits the trials: a fifth of a typical curve.

    Where trials report 5 times they are first judged at step 1, where 100 times at step 20; so
    nobody need know beforehand whether steps are epochs, rounds or samples. The typical length is
    the median of the last steps that completed trials reported.

    Example:
        >>> AutoPruner()
        AutoPruner()
    """

    def bind(self, metric: Metric) -> Pruner:
        """Return a pruner for one study."""
        return _Auto(MedianPruner(min_steps=0).bind(metric))


_WORDS: Mapping[str, PrunerSettings] = {
    "auto": AutoPruner(),
    "median": MedianPruner(),
    "asha": AshaPruner(),
    "none": NoPruner(),
}


def make_pruner(pruner: str | PrunerSettings | None, metric: Metric) -> Pruner:
    """Return a new pruner for a study, from what the user passed.

    Whatever the pruner, except none, a trial that reports NaN or an infinity as the tuned metric is
    ended at once: it could not become a result.

    Args:
        pruner: `"auto"`, `"median"`, `"asha"`, `"none"`, None for none, or settings such as
            `MedianPruner(min_steps=3)`.
        metric: The metric being tuned.

    Raises:
        ArgumentError: `pruner` is none of these.

    Example:
        >>> pruner = make_pruner("auto", Metric("val_loss"))
    """
    settings: object = NoPruner() if pruner is None else pruner
    if isinstance(pruner, str):
        settings = _WORDS.get(pruner)
    if isinstance(settings, NoPruner):
        return settings.bind(metric)
    if isinstance(settings, type) or not isinstance(settings, PrunerSettings):
        words = ", ".join(map(repr, _WORDS))
        raise ArgumentError(
            f"pruner must be one of {words}, None, or a pruner such as MedianPruner(min_steps=3), "
            f"but got {pruner!r}"
        )
    return _EndDiverged(settings.bind(metric), metric)


class _Never:
    def report(self, trial: Trial, step: int, value: float) -> str | None:  # noqa: ARG002
        return None

    def end(self, trial: Trial) -> None:
        pass


class _EndDiverged:
    """Ends trials that report NaN or an infinity, and shows the others to a pruner."""

    def __init__(self, pruner: Pruner, metric: Metric) -> None:
        self._pruner = pruner
        self._metric = metric

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        if math.isfinite(value):
            return self._pruner.report(trial, step, value)
        shown = "NaN" if math.isnan(value) else value
        return f"{self._metric.name} is {shown} at step {step}: diverged"

    def end(self, trial: Trial) -> None:
        self._pruner.end(trial)


class _Auto:
    """Passes on the verdicts of another pruner, but not before the grace period is over."""

    def __init__(self, pruner: Pruner) -> None:
        self._pruner = pruner
        self._lengths: list[int] = []

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        reason = self._pruner.report(trial, step, value)
        return reason if step >= self._first_step() else None

    def end(self, trial: Trial) -> None:
        if trial.state is State.COMPLETE and trial.measurements:
            insort(self._lengths, trial.measurements[-1].step)
        self._pruner.end(trial)

    def _first_step(self) -> int:
        typical = self._lengths[len(self._lengths) // 2] if self._lengths else 0
        return max(1, math.ceil(_GRACE * typical))
