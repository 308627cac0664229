"""The protocols of a pruner, which ends hopeless trials early.

A user passes settings, such as `pruner=MedianPruner(min_steps=3)`: a frozen value that can be given
to any number of studies. Its method `bind` makes the pruner of one study, which the engine calls.
To write your own, make a class with `bind`, and one with `report` and `end`;
`manyfit.testing.pruners` has the contract suite for them.
"""

from typing import Protocol, runtime_checkable

from manyfit.metric import Metric
from manyfit.trial import Trial


class Pruner(Protocol):
    """Judges the running trials of one study by their reports, each against those of the others.

    It is called on the driver, from one thread, in the journal's order. It is also called while a
    journal is replayed, though its verdicts are then ignored, so its state is a function of the
    study's events. Each call must stay cheap as trials grow: keep running statistics instead of
    going over all trials.
    """

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        """Record the tuned metric that `trial` reported at `step`; return why to end it, or None.

        `trial` already holds this measurement, and `value` is finite: a trial that reports NaN or
        an infinity has diverged, and `make_pruner` ends it without asking. The steps of a trial
        increase, but need not be 0, 1, 2, and may differ between trials. A trial that starts again
        (a new attempt) reports from the beginning, which replaces its earlier reports.
        """

    def end(self, trial: Trial) -> None:
        """Record that `trial` ended: COMPLETE, PRUNED or FAIL."""


@runtime_checkable
class PrunerSettings(Protocol):
    """Settings of a pruner, as passed to `tune(pruner=...)`."""

    def bind(self, metric: Metric) -> Pruner:
        """Return a pruner for a study that tunes `metric`: a new one, with an empty memory."""


def tell_apart(value: float, other: float) -> tuple[str, str]:
    """Format two different numbers with the fewest digits, at least four, that tell them apart.

    Example:
        >>> tell_apart(0.69314718, 0.69314001)
        ('0.69315', '0.69314')
    """
    for digits in range(4, 17):
        texts = f"{value:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(value), repr(other)
