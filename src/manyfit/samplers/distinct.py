"""Replace a repeated configuration by an untried one, while one exists."""

from collections.abc import Set as AbstractSet

import numpy as np

from manyfit.errors import SpaceError
from manyfit.samplers.base import Sampler
from manyfit.space import Space
from manyfit.trial import Params

# Separates these random numbers from those of a sampler that also draws from (seed, number).
_STREAM = 0x0D157
# An infinite space that yields no untried point in this many draws has hardly any left.
_TRIES = 1000


def distinct_params(
    sampler: Sampler, space: Space, number: int, seen: AbstractSet[str], seed: int
) -> Params | None:
    """Return what the sampler proposes for trial `number`, or an untried point for a repeat.

    In a finite space every untried point is equally likely, and finding one takes time that doesn't
    grow with the size of the space. In an infinite space, and first of all in one with priors, the
    point is drawn as in random search.

    Args:
        sampler: The sampler, which is asked once.
        space: The space to search.
        number: The trial's number; with the seed it determines the random choice.
        seen: The keys (`Space.key`) of all configurations tried.
        seed: The study's seed.

    Returns:
        The params; None when everything has been tried, or the sampler has nothing more to propose.

    Raises:
        SpaceError: The sampler proposed something outside the space.
    """
    if space.size is not None and len(seen) >= space.size:
        return None
    proposed = sampler.ask(number)
    if proposed is None:
        return None
    try:
        space.check(proposed)
    except SpaceError as error:
        raise SpaceError(
            f"{type(sampler).__name__} proposed a point not in the space: {error}"
        ) from error
    if space.key(proposed) not in seen:
        return proposed
    rng = np.random.default_rng((seed, number, _STREAM))
    if space.size is None:
        return _drawn(space, seen, rng)
    if any(getattr(domain, "prior", None) is not None for domain in space.params.values()):
        return _drawn(space, seen, rng) or _untried(space, space.size, seen, rng)
    return _untried(space, space.size, seen, rng)


def _drawn(space: Space, seen: AbstractSet[str], rng: np.random.Generator) -> Params | None:
    points = (space.sample(rng) for _ in range(_TRIES))
    return next((params for params in points if space.key(params) not in seen), None)


def _untried(
    space: Space, size: int, seen: AbstractSet[str], rng: np.random.Generator
) -> Params | None:
    """Return one of the untried points, all of them equally likely.

    While at least half of the space is untried, it is sampled until an untried point comes up: at
    most two draws on average. After that, the space is walked through in random order, which takes
    (size + 1) / (untried + 1) steps on average.
    """
    if size > 2 * len(seen):
        points = (space.at(_below(size, rng)) for _ in range(_TRIES))
    else:
        points = (space.at(int(index)) for index in rng.permutation(size))
    return next((params for params in points if space.key(params) not in seen), None)


def _below(size: int, rng: np.random.Generator) -> int:
    """Return a whole number below `size`, which may exceed what NumPy's integers hold."""
    count = size.bit_length() // 8 + 9  # 64 spare bits make the bias of the remainder negligible
    return int.from_bytes(rng.bytes(count), "big") % size
