"""The seam between the engine and whatever proposes params."""

from typing import Protocol

from manyfit.trial import Params, Trial


class Sampler(Protocol):
    """Proposes params: a function of the space, what it was told, the seed and a trial's number.

    Called on the driver, from one thread. It owns no clock, no files and no random state that
    outlives a call: randomness comes from (seed, number), so that a resumed study, which tells it
    the same facts in the same order, continues exactly where it was.

    Params are in their stored form (see `Space.store`): plain JSON values, choices as labels,
    active parameters only, no constants.
    """

    def tell(self, trial: Trial) -> None:
        """Take in a trial: called when it was asked (WAITING: pending), and when it ended.

        A trial that was lost is not told again until it ends. A trial that lies outside the space,
        because that was changed since, is not told at all. A FAIL trial has no value.
        """

    def ask(self, number: int) -> Params | None:
        """Propose params for trial `number`; None when it has nothing new to propose, ever.

        It may repeat itself: the engine asks `manyfit.samplers.distinct` for another point then.
        """


class NoSampler:
    """Proposes nothing: for reading a study's record."""

    def tell(self, trial: Trial) -> None:
        """Take no notice."""

    def ask(self, number: int) -> Params | None:  # noqa: ARG002
        """Propose nothing."""
        return None
