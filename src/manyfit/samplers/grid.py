"""Grid search: every configuration once, in order."""

from manyfit.space import Space
from manyfit.trial import Params, Trial


class GridSampler:
    """Tries every configuration of a finite space once, the last param changing fastest.

    Configurations tried by `start_with` or before a resume are skipped. When all have been tried it
    proposes nothing more, which ends the study.

    Args:
        space: Every Float in it needs a step.
        seed: Ignored: the order is that of declaration.

    Raises:
        SpaceError: The space is infinite; the message says how to make it finite.

    Example:
        >>> from manyfit.space import Choice, Float
        >>> space = Space({"C": Float(0.5, 1.0, step=0.5), "kernel": Choice(["linear", "rbf"])})
        >>> GridSampler(space, seed=0).ask(0)
        {'C': 0.5, 'kernel': 'linear'}
    """

    def __init__(self, space: Space, seed: int) -> None:  # noqa: ARG002 - all samplers take one
        self._space = space
        self._size = space.finite_size()
        self._tried: set[str] = set()
        self._first = 0  # the index below which every configuration has been tried

    def tell(self, trial: Trial) -> None:
        self._tried.add(self._space.key(trial.params))

    def ask(self, number: int) -> Params | None:  # noqa: ARG002 - it counts what was told
        """Return the first configuration that has not been tried; None when all have."""
        while self._first < self._size:
            params = self._space.at(self._first)
            if self._space.key(params) not in self._tried:
                return params
            self._first += 1
        return None
