"""The seam between the engine and whatever ends hopeless trials early.

What a user writes, `pruner=MedianPruner(min_steps=3)`, is settings: a frozen value that can be
given to any number of studies. `bind` makes the pruner of one study from it, which is what the
engine talks to. To write your own, make a class with `bind`, and one with `report` and `end`;
`manyfit.testing.pruners` has the contract they keep.
"""

from typing import Protocol, runtime_checkable

from manyfit.metric import Metric
from manyfit.trial import Trial


class Pruner(Protocol):
    """Judges the running trials of one study by their reports, each against those of the others.

    Called on the driver, from one thread, in the journal's order, also while a journal is replayed
    (the verdicts are then ignored), so its memory is a function of the study's facts. Each call
    must stay cheap as trials grow: keep running tallies instead of going over all trials.
    """

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        """Take in the tuned metric that `trial` reported at `step`; say why it should end, or None.

        `trial` already holds this measurement, and `value` is finite: a trial that reports NaN or
        an infinity has diverged, and `make_pruner` ends it without asking. Steps of one trial rise,
        but need not be 0, 1, 2, and may differ from trial to trial. A trial that starts again (a
        new attempt) reports from the beginning, and replaces what it reported before.
        """

    def end(self, trial: Trial) -> None:
        """Take in that `trial` ended: COMPLETE, PRUNED or FAIL."""


@runtime_checkable
class PrunerSettings(Protocol):
    """What `tune(pruner=...)` takes."""

    def bind(self, metric: Metric) -> Pruner:
        """Return a pruner for a study that tunes `metric`: a new one, with an empty memory."""


def tell_apart(value: float, other: float) -> tuple[str, str]:
    """Return two different numbers in as few digits, four or more, as show that they differ.

    Example:
        >>> tell_apart(0.69314718, 0.69314001)
        ('0.69315', '0.69314')
    """
    for digits in range(4, 17):
        texts = f"{value:.{digits}g}", f"{other:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(value), repr(other)
