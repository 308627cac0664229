"""Turn what a user passes as `pruner=` into the pruner of a study."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.base import Pruner, PrunerSettings
from manyfit.pruners.median import MedianPruner
from manyfit.pruners.narrowing import Narrowing
from manyfit.trial import Trial

if TYPE_CHECKING:
    import optuna

# What a user passes as `pruner`.
Pruning: TypeAlias = "str | PrunerSettings | optuna.pruners.BasePruner | None"


@dataclass(frozen=True, slots=True)
class NoPruner:
    """Never ends a trial, not even one that reports NaN.

    Example:
        >>> NoPruner()
        NoPruner()
    """

    def bind(self, metric: Metric) -> Pruner:  # noqa: ARG002 - all pruners are bound alike
        return _Never()


@dataclass(frozen=True, slots=True)
class AutoPruner:
    """Lets an ever smaller share of the best trials go on, as trials progress.

    A trial is judged at every step by its best value so far, against all trials that came as far or
    ended before. You needn't know how long curves are, nor whether steps are epochs, rounds or
    samples: completed trials show it.

    - **Lengths are alike**, or trials end some steps after their best. At a tenth of a typical
      curve, the median of the last steps, the better half of the trials goes on. Each time the
      number of steps doubles, half of those go on, down to one in twenty at the end; in between the
      share falls smoothly. If curves cross, the order at one step is not decisive. A trial
      therefore also goes on if it is no worse than one of the two best completed trials was at that
      step, or if it would beat the best of them by improving at the pace of the second half of its
      steps so far. No trial is ended before a tenth of a typical curve.
    - **Lengths differ, and params explain them**: they are proportional to a param or its inverse
      (the number of epochs), to the product or the quotient of two (epochs and batch size), or have
      an option each; one param may decide the unit of steps. Learning rates often follow such
      lengths, so trials are compared at the same share of their own lengths, and their pace doesn't
      count. The better half goes on at a twentieth, one in forty at the end, and what is no worse
      than the best completed trial was.
    - **Lengths differ, and nothing explains them.** Steps are compared, but predict less, so the
      share falls more slowly: from 30 % at a twentieth to 9 % at the end.

    No trial is ended before three trials that report have completed, or at its first report, unless
    its length is known. None is ended at the step at which all completed trials have ended, or at
    the end of its known length: nothing would be saved. So curves of one or two points, if all are
    as long, are never cut.

    Example:
        >>> AutoPruner()
        AutoPruner()
    """

    def bind(self, metric: Metric) -> Pruner:
        return Narrowing(metric)


_WORDS: Mapping[str, PrunerSettings] = {
    "auto": AutoPruner(),
    "median": MedianPruner(),
    "asha": AshaPruner(),
    "none": NoPruner(),
}


def make_pruner(pruner: Pruning, metric: Metric) -> Pruner:
    """Return a new pruner for a study, from what the user passed.

    Every pruner except "none" ends a trial at once that reports NaN or an infinity as the tuned
    metric: it could not become a result.

    Args:
        pruner: `"auto"`, `"median"`, `"asha"`, `"none"`, None (the same as `"none"`), settings such
            as `MedianPruner(min_steps=3)`, or an instance of one of Optuna's pruners.
        metric: The metric being tuned.

    Raises:
        ArgumentError: `pruner` is none of these.

    Example:
        >>> pruner = make_pruner("auto", Metric("val_loss"))
    """
    settings: object = NoPruner() if pruner is None else pruner
    if isinstance(pruner, str):
        settings = _WORDS.get(pruner)
    # If optuna was never imported, `pruner` can't be one of its pruners.
    if "optuna" in sys.modules and _optuna().is_optuna_pruner(pruner):
        settings = _optuna().OptunaPruner(pruner)
    if isinstance(settings, NoPruner):
        return settings.bind(metric)
    if isinstance(settings, type) or not isinstance(settings, PrunerSettings):
        words = ", ".join(map(repr, _WORDS))
        raise ArgumentError(
            f"pruner must be one of {words}, None, a pruner such as MedianPruner(min_steps=3), or "
            f"an instance of one of Optuna's pruners, but got {pruner!r:.200}"
        )
    return _EndDiverged(settings.bind(metric), metric)


def _optuna() -> Any:
    return load("manyfit.pruners.optuna")


def prunes(pruner: Pruner) -> bool:
    """Return whether a pruner of `make_pruner` can end a trial.

    Example:
        >>> prunes(make_pruner(None, Metric("loss"))), prunes(make_pruner("auto", Metric("loss")))
        (False, True)
    """
    return not isinstance(pruner, _Never)


class _Never:
    def report(self, trial: Trial, step: int, value: float) -> str | None:  # noqa: ARG002
        return None

    def end(self, trial: Trial) -> None:
        pass


class _EndDiverged:
    """Ends trials that report NaN or an infinity; another pruner judges the rest."""

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
