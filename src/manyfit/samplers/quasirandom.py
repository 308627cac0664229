"""Quasi-random search: points that fill the space more evenly than chance does."""

from typing import Any

import numpy as np

from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.space import Space
from manyfit.trial import Params, Trial

# A power of two, because Sobol points are balanced in such blocks. Drawing one by one takes ten
# times as long.
_BLOCK = 64
_MOST_POINTS = 2**30


class QuasiRandomSampler:
    """Takes trial n from the n-th point of a scrambled Sobol sequence.

    It doesn't learn from results, so failed and pending trials make no difference. An inactive
    param uses up its coordinate. Like random search it can be stopped or extended at any time, but
    it covers each param far more evenly.

    Sobol, "On the distribution of points in a cube" (1967); Owen, "Scrambling Sobol' and
    Niederreiter-Xing points" (1998).

    Raises:
        ArgumentError: The space has more params than the sequence has dimensions (21,201).

    Example:
        >>> from manyfit.space import Float
        >>> sampler = QuasiRandomSampler(Space({"x": Float(0, 1)}), seed=0)
        >>> sorted(int(4 * sampler.ask(number)["x"]) for number in range(4))
        [0, 1, 2, 3]
    """

    def __init__(self, space: Space, seed: int) -> None:
        qmc: Any = load("scipy.stats.qmc")
        dimensions = len(space.params)
        if dimensions > qmc.Sobol.MAXDIM:
            raise ArgumentError(
                f"quasi-random search takes at most {qmc.Sobol.MAXDIM} params, but the space has "
                f"{dimensions}. Use sampler='random'"
            )
        self._space = space
        self._sequence = qmc.Sobol(max(dimensions, 1), seed=np.random.default_rng(seed))
        self._block = -1  # the last block drawn
        self._points = np.empty((0, dimensions))

    def tell(self, trial: Trial) -> None:
        pass

    def ask(self, number: int) -> Params | None:
        """Return the params at point `number` of the sequence; None from 2**30 on, its end."""
        if number >= _MOST_POINTS:
            return None
        block, place = divmod(number, _BLOCK)
        if block != self._block:
            self._draw(block)
        return self._space.decode(self._points[place, : len(self._space.params)])

    def _draw(self, block: int) -> None:
        if block <= self._block:
            self._sequence.reset()
            self._block = -1
        if block > self._block + 1:
            self._sequence.fast_forward((block - self._block - 1) * _BLOCK)
        self._points = self._sequence.random(_BLOCK)
        self._block = block
