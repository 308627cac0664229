"""Proposals that don't depend on who finishes first."""

from manyfit.samplers.base import Sampler
from manyfit.trial import Params, Trial


class LaggedSampler:
    """Tells a sampler the facts in an order that follows from the trials' numbers alone.

    For trial n that is the order of a study in which trial k - lag ends just before trial k is
    asked for, so the proposal rests on the results of trials up to n - lag, and on nothing else::

        for k = 0, 1, ..., n:   the end of trial k - lag;  (k < n)  trial k, pending

    Args:
        sampler: Whoever proposes.
        lag: How many trials back results are used, 1 or more. Whoever asks for trial n sees to it
            that trial n - lag and those before it have ended.

    Example:
        >>> from manyfit.samplers.base import NoSampler
        >>> LaggedSampler(NoSampler(), lag=4).ask(0) is None
        True
    """

    def __init__(self, sampler: Sampler, lag: int) -> None:
        self._sampler = sampler
        self._lag = lag
        self._asked: dict[int, Trial] = {}  # not passed on yet, by number
        self._ended: dict[int, Trial] = {}
        self._next = 0  # the first trial that was not passed on as pending

    def tell(self, trial: Trial) -> None:
        """Keep a pending or an ended trial until it is its turn."""
        (self._ended if trial.state.is_finished else self._asked)[trial.number] = trial

    def ask(self, number: int) -> Params | None:
        """Pass on what trial `number` may know, and return what the sampler proposes."""
        for earlier in range(self._next, number):
            self._pass_on(self._ended, earlier - self._lag)
            self._pass_on(self._asked, earlier)
        self._next = max(self._next, number)
        self._pass_on(self._ended, number - self._lag)
        return self._sampler.ask(number)

    def _pass_on(self, trials: dict[int, Trial], number: int) -> None:
        # Trials outside the space, and repeats, were never told.
        if (trial := trials.pop(number, None)) is not None:
            self._sampler.tell(trial)
