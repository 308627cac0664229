"""Random search: every trial is drawn independently."""

import numpy as np

from manyfit.space import Space
from manyfit.trial import Params, Trial


class RandomSampler:
    """Draws each trial independently: uniformly, or by the `log` and `weights` of the space.

    It doesn't learn from results, so failed and pending trials make no difference.

    Example:
        >>> from manyfit.space import Int
        >>> sampler = RandomSampler(Space({"depth": Int(1, 9)}), seed=0)
        >>> sampler.ask(3) == sampler.ask(3)
        True
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed

    def tell(self, trial: Trial) -> None:
        pass

    def ask(self, number: int) -> Params:
        return self._space.sample(np.random.default_rng((self._seed, number)))
