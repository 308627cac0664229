"""From what a user passes as `pruner=` to the pruner of a study."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.base import Pruner, PrunerSettings
from manyfit.pruners.median import MedianPruner
from manyfit.pruners.narrowing import Narrowing
from manyfit.trial import Trial


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
    """Narrows the field: as a trial comes further, it must be among ever fewer of the best.

    At a tenth of a typical curve the better half goes on, and whenever the distance doubles, half
    of those, down to one in twenty at the end; in between the share falls smoothly. A trial is
    judged at every step by its best value so far, against all trials that came as far or ended
    before. So nobody need know beforehand how long a curve is, nor whether steps are epochs, rounds
    or samples: typical is the median of the last steps that completed trials reported.

    Where curves cross, the order at a step is no verdict. So a trial also goes on that is no worse
    than one of the two best completed trials was at that step, and one that would beat the best
    of them if it went on improving as in the second half of its steps so far.

    Nobody is ended before three trials that report are complete, before a tenth of a typical curve,
    or at a first report. It ends nobody where curves have fewer than three points.

    Example:
        >>> AutoPruner()
        AutoPruner()
    """

    def bind(self, metric: Metric) -> Pruner:
        """Return a pruner for one study."""
        return Narrowing(metric)


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
            f"but got {pruner!r:.200}"
        )
    return _EndDiverged(settings.bind(metric), metric)


def prunes(pruner: Pruner) -> bool:
    """Whether a pruner of `make_pruner` may end a trial at all.

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
