"""What a pruner knows of each trial's current attempt."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from manyfit.trial import Trial

T = TypeVar("T")


class Attempts(Generic[T]):
    """Keeps one thing for the current attempt of each trial.

    A trial that starts again reports from the beginning, so its earlier attempt is forgotten.

    Args:
        new: Makes the thing for an attempt.
        forgotten: Is called with what is forgotten.

    Example:
        >>> from manyfit.testing.samplers import finished
        >>> attempts = Attempts(list)
        >>> attempts.of(finished(0, {}, 0.5)).append(0.5)
        >>> attempts.of(finished(0, {}, 0.5))
        [0.5]
    """

    def __init__(
        self, new: Callable[[], T], forgotten: Callable[[T], None] = lambda _: None
    ) -> None:
        self._new, self._forgotten = new, forgotten
        self._found: dict[int, tuple[int, T]] = {}

    def of(self, trial: Trial) -> T:
        """Return what is kept for the trial's current attempt; something new at first."""
        attempt = trial.attempts[-1].number
        known = self._found.get(trial.number)
        if known is not None and known[0] == attempt:
            return known[1]
        self.forget(trial.number)
        found = self._new()
        self._found[trial.number] = attempt, found
        return found

    def forget(self, number: int) -> None:
        """Forget a trial; does nothing if it is not known."""
        if (known := self._found.pop(number, None)) is not None:
            self._forgotten(known[1])

    def all(self) -> Iterable[T]:
        """Return what is kept, for all trials."""
        return (found for _, found in self._found.values())
