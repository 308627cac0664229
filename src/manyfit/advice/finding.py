"""What a rule finds in a study's trials: advice, and the change of the space that follows it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import comb
from typing import Any

from manyfit.advice.advice import Advice
from manyfit.space import Domain, Float

# A pattern counts if chance gives it with a smaller probability than this.
CHANCE = 0.01
# The most characters of a value in a sentence.
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """A piece of advice, with the change of the space that it suggests.

    Attributes:
        advice: The advice.
        change: New domains, or constants, by name; empty if the space may stay.
    """

    advice: Advice
    change: Mapping[str, Domain | Any] = field(default_factory=dict)


def hypergeometric(chosen: int, inside: int, total: int) -> float:
    """Return the probability that `chosen` of `total` trials, drawn at random, are all inside.

    Args:
        chosen: The number drawn.
        inside: The number of trials that are inside.
        total: The number of all trials.

    Example:
        >>> hypergeometric(2, 2, 4)
        0.16666666666666666
    """
    return comb(inside, chosen) / comb(total, chosen)


def shown(value: object, domain: Domain | None = None, digits: int = 4) -> str:
    """Return a value of a param for a sentence, with more digits if those of its range begin alike.

    Example:
        >>> shown(0.123456), shown("adam"), shown("a" * 100)[-3:]
        ('0.1235', "'adam'", 'aa…')
        >>> shown(0.999987, Float(0.9999, 0.99999))
        '0.999987'
    """
    text = f"{value:.{digits + alike(domain)}g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def alike(domain: Domain | None) -> int:
    """Return the number of leading digits that all values of a range share, beyond the first.

    Example:
        >>> alike(Float(0.0, 1.0)), alike(Float(100.1, 100.2))
        (0, 3)
    """
    if not isinstance(domain, Float) or domain.prior is not None:
        return 0
    ratio = max(abs(domain.low), abs(domain.high)) / (domain.high - domain.low)
    return max(0, math.ceil(math.log10(max(ratio, 1.0))) - 1)


def percent(share: float) -> str:
    """Return a share for a sentence.

    Example:
        >>> percent(0.034)
        '3 %'
    """
    return f"{100.0 * share:.0f} %"
