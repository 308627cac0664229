"""What another study found, in the terms of this one."""

from collections.abc import Sequence
from dataclasses import dataclass

from manyfit.trial import Params

# Fewer trials have nothing to say about a space.
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Earlier:
    """Completed trials of another study.

    Attributes:
        params: In stored form, and of this study's space; params that the other one didn't have are
            missing, those that this one hasn't are left out.
        losses: Smaller is better; in units of its own.
    """

    params: Sequence[Params]
    losses: Sequence[float]
