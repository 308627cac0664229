"""The seam between the engine and whatever ends hopeless trials early."""

from typing import Protocol

from manyfit.trial import Trial


class Pruner(Protocol):
    """Judges a running trial by its reports against those of the others.

    Called on the driver, from one thread, in the journal's order, also while a journal is replayed
    (the verdicts are then ignored), so its memory is a function of the study's facts. Each call must
    stay cheap as trials grow: keep running tallies instead of going over all trials.
    """

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        """Take in the tuned metric that `trial` reported at `step`; say why it should end, or None.

        `trial` already holds this measurement. `value` may be NaN: the model has diverged. Steps of one
        trial rise, but need not be 0, 1, 2, and may differ from trial to trial. A trial that starts
        again (a new attempt) reports from the beginning, and replaces what it reported before.
        """

    def end(self, trial: Trial) -> None:
        """Take in that `trial` ended: COMPLETE, PRUNED or FAIL."""
