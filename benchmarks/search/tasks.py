"""What the samplers are compared on: a space, a loss to be made small, and what is known of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from manyfit import Space
from manyfit.trial import Params

# Draws whose median stands for what a single random trial gives.
DRAWS = 1000


@dataclass(frozen=True)
class Scale:
    """What a loss is measured by.

    Args:
        best: The lowest loss there is, or the lowest known.
        median: The median loss of random params.
    """

    best: float
    median: float

    def regret(self, loss: float) -> float:
        """Return how far a loss is from the best, as a share of the way to the median."""
        return max(0.0, (loss - self.best) / (self.median - self.best))


@dataclass(frozen=True)
class Task:
    """A thing to tune.

    Args:
        name: The word for it on the command line.
        space: Where params come from.
        loss: What a trial of some params returns, smaller is better; NaN for a trial that failed.
            It is deterministic, so that a run can be repeated.
        scale: Returns what losses are measured by; asked for by the report only, as it may take
            minutes.
        true: The loss without noise, by which a sampler is judged; None if there is no noise.
        noisy: What trial `number` of some params returns, if that is not always the loss, by which
            a sampler is judged.
    """

    name: str
    space: Space
    loss: Callable[[Params], float]
    scale: Callable[[], Scale]
    true: Callable[[Params], float] | None = None
    noisy: Callable[[Params, int], float] | None = None

    def measured(self, params: Params, number: int) -> float:
        """Return what a trial returns."""
        return self.loss(params) if self.noisy is None else self.noisy(params, number)

    def judged(self, params: Params) -> float:
        """Return the loss that counts."""
        return (self.true or self.loss)(params)


def draws(space: Space, count: int, seed: int = 0) -> Iterator[Params]:
    """Yield random params."""
    rng = np.random.default_rng((seed, 0x7A5C))
    return (space.sample(rng) for _ in range(count))


def median_of(space: Space, loss: Callable[[Params], float]) -> float:
    """Return the median loss of random params; a failed one counts as the worst."""
    losses = [loss(params) for params in draws(space, DRAWS)]
    return float(np.median(np.nan_to_num(losses, nan=np.inf)))
