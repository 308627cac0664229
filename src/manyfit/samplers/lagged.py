"""Proposals that don't depend on the order in which trials finish."""

from manyfit.samplers.base import Sampler
from manyfit.trial import Params, Trial


class LaggedSampler:
    """Tells a sampler about trials in an order that depends on their numbers alone.

    The order for trial n is that of a study in which trial k - lag ends just before trial k is
    asked for. The proposal therefore depends only on the results of trials up to n - lag::

        for k = 0, 1, ..., n:   the end of trial k - lag;  (k < n)  trial k, pending

    Args:
        sampler: The sampler that proposes.
        lag: The distance, in trials, to the newest result used; 1 or more. The caller of `ask(n)`
            makes sure that trial n - lag and those before it have ended.

    Example:
        >>> from manyfit.samplers.base import NoSampler
        >>> LaggedSampler(NoSampler(), lag=4).ask(0) is None
        True
    """

    def __init__(self, sampler: Sampler, lag: int) -> None:
        self._sampler = sampler
        self._lag = lag
        self._asked: dict[int, Trial] = {}  # by number; not passed on yet
        self._ended: dict[int, Trial] = {}
        self._next = 0  # the first trial not yet passed on as pending

    def tell(self, trial: Trial) -> None:
        """Hold a pending or an ended trial back until its turn."""
        (self._ended if trial.state.is_finished else self._asked)[trial.number] = trial

    def ask(self, number: int) -> Params | None:
        """Tell the sampler what trial `number` may depend on, and return its proposal."""
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
