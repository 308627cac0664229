"""The results of another study, translated to this study's space."""

from collections.abc import Sequence
from dataclasses import dataclass

from manyfit.trial import Params

# A study with fewer completed trials is ignored.
FEWEST = 5


@dataclass(frozen=True, slots=True)
class Earlier:
    """Completed trials of another study.

    Attributes:
        params: Stored params in this study's space. A param that the other study lacked is missing;
            one that this study lacks is dropped.
        losses: The losses, smaller is better, in the other study's units.
    """

    params: Sequence[Params]
    losses: Sequence[float]
