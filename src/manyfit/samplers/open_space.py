"""Samplers for spaces that objectives define as they run."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from manyfit.layout import Layout, completed, is_whole
from manyfit.samplers.base import Sampler
from manyfit.space import Space
from manyfit.trial import Params, Trial

# Separates these random numbers from those of a sampler that also draws from (seed, number).
_STREAM = 0x09E4
# If this many draws yield nothing new, nearly all of the space has been tried.
_TRIES = 100


class OpenSampler:
    """Proposes values for all params that trials have asked for so far, and avoids repeats.

    A sampler for the space that they define (see `Layout`) makes the proposals. When that space
    changes, a new one is made and told everything again, in the order in which it happened; a
    resumed study therefore gets the same proposals. Before any trial has ended, nothing is known
    and the proposal is empty.

    An objective that is given what an earlier trial asked for asks for the same again: such a
    proposal would repeat that trial, and a random point takes its place.

    Args:
        make: Makes a sampler for a space.
        seed: The study's seed.

    Example:
        >>> from manyfit.samplers.random import RandomSampler
        >>> OpenSampler(lambda space: RandomSampler(space, seed=0), seed=0).ask(0)
        {}
    """

    def __init__(self, make: Callable[[Space], Sampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._layout = Layout()
        self._told: list[Trial] = []
        self._space = Space({})
        self._sampler: Sampler | None = None
        self._passed_on = 0  # the number of trials in `_told` that the sampler knows
        self._tried: dict[tuple[str, ...], set[str]] = {}  # the points asked for, by their names

    def tell(self, trial: Trial) -> None:
        """Record a pending or an ended trial; the sampler is told at the next proposal."""
        self._told.append(trial)
        if is_whole(trial):
            self._layout.take(trial.params, trial.domains)
            names = tuple(sorted(trial.domains))
            self._tried.setdefault(names, set()).add(self._space.key(trial.params))

    def ask(self, number: int) -> Params:
        """Propose params; a repeat if the space has nothing else, since it may still grow."""
        space = self._layout.space
        if not space.params:
            return {}
        sampler = self._sampler
        if sampler is None or (space is not self._space and space != self._space):
            sampler = self._sampler = self._make(space)
            self._passed_on = 0
        self._space = space
        for trial in self._told[self._passed_on :]:
            if trial.params:  # otherwise nothing is known of it, except perhaps that it failed
                sampler.tell(replace(trial, params=completed(space, trial.params)))
        self._passed_on = len(self._told)
        return self._distinct(sampler.ask(number) or {}, number)

    def _distinct(self, proposed: Params, number: int) -> Params:
        """Return a proposal, or a random one if it is a repeat and another can be found."""
        rng = np.random.default_rng((self._seed, number, _STREAM))
        others = (self._space.sample(rng) for _ in range(_TRIES))
        if not self._is_repeat(proposed):
            return proposed
        return next((each for each in others if not self._is_repeat(each)), proposed)

    def _is_repeat(self, params: Params) -> bool:
        return any(
            all(name in params for name in names)
            and self._space.key({name: params[name] for name in names}) in tried
            for names, tried in self._tried.items()
        )
