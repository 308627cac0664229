"""The protocol of a sampler, which the engine asks for params."""

from typing import Protocol

from manyfit.trial import Params, Trial


class Sampler(Protocol):
    """Proposes params, as a function of the space, the trials told, the seed and a trial's number.

    It is called on the driver, from one thread. It owns no clock, no files and no random state that
    outlives a call: randomness comes from (seed, number). A resumed study tells it the same trials
    in the same order, and so continues exactly where it was.

    Params are in their stored form (see `Space.store`): plain JSON values, choices as labels,
    active parameters only, no constants.
    """

    def tell(self, trial: Trial) -> None:
        """Record a trial: called when it was asked for (WAITING: pending), and when it ended.

        A lost trial is not told again until it ends. A trial that lies outside the space, because
        the space has changed since, is not told at all. A FAIL trial has no value.
        """

    def ask(self, number: int) -> Params | None:
        """Propose params for trial `number`; None when it will never propose anything new.

        It may repeat itself: `manyfit.samplers.distinct` then supplies another point.
        """


class NoSampler:
    """Proposes nothing: used to read a study's journal."""

    def tell(self, trial: Trial) -> None:
        pass

    def ask(self, number: int) -> Params | None:  # noqa: ARG002
        return None
