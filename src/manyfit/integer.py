"""The domain of a whole number: `Int`."""

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit._numbers import (
    as_number,
    between,
    broken,
    cell,
    check_bounds,
    flag,
    given,
    middles,
    origin,
    put,
    shown,
    whole,
)
from manyfit._quantiles import Prior, Quantiles
from manyfit.errors import SpaceError

# JSON readers and pandas may hold an int as a float, which would change a larger one.
_LARGEST_INT = 2**53 - 1


@dataclass(frozen=True, repr=False)
class Int:
    """A whole number from `low` to `high`, both included.

    With a `step`, it is one of `low, low + step, ...` up to `high`. With a `prior`, samplers draw
    it from that distribution, as for `Float`.

    Args:
        low: The smallest value.
        high: The largest value.
        log: Whether values are spread evenly over orders of magnitude, as suits a batch size. `low`
            must be positive.
        step: The distance between neighbouring values; must be 1 with `log`.
        prior: A distribution of `scipy.stats` with its parameters, continuous or discrete; can't be
            combined with `log`.

    Raises:
        SpaceError: The bounds are not whole numbers with `low < high` and below 2**53, the prior
            has no values between them, or another rule above is broken.

    Example:
        >>> list(Int(16, 64, step=16).values())
        [16, 32, 48, 64]
    """

    low: int = -_LARGEST_INT - 1
    high: int = _LARGEST_INT + 1
    _: KW_ONLY
    log: bool = False
    step: int = 1
    prior: Any = None

    def __post_init__(self) -> None:
        put(
            self,
            low=whole("low", self.low),
            high=whole("high", self.high),
            step=whole("step", self.step),
            log=flag("Int", self.log),
        )
        if self.prior is not None:
            self._use(Prior.of(self.prior))
        elif (self.low, self.high) == (-_LARGEST_INT - 1, _LARGEST_INT + 1):
            raise SpaceError("Int needs low and high, or a prior")
        check_bounds(self)
        if max(-self.low, self.high) > _LARGEST_INT:
            raise SpaceError(f"{self!r} needs bounds below 2**53. Use Float, or its logarithm")
        if not 0 < self.step <= self.high - self.low:
            raise SpaceError(
                f"{self!r} needs 0 < step <= high - low. Write a fixed value as a plain constant"
            )
        if self.log and self.step != 1:
            raise SpaceError(
                f"{self!r}: log and step exclude each other. "
                "Leave one out, or list the values in a Choice"
            )
        if self.prior is not None:
            self._quantiles.check(repr(self))

    def _use(self, prior: Prior) -> None:
        low, high = prior.bounds(*self._ends, self.step)
        put(
            self,
            prior=prior,
            low=int(max(low, -_LARGEST_INT)),
            high=int(min(high, _LARGEST_INT)),
        )

    @property
    def _ends(self) -> tuple[float, float]:
        """The bounds, which may be infinite with a prior."""
        if self.prior is None:
            return self.low, self.high
        low = -math.inf if self.low <= -_LARGEST_INT else self.low
        return low, math.inf if self.high >= _LARGEST_INT else self.high

    @cached_property
    def _quantiles(self) -> Quantiles:
        low, high = self._ends
        high = high if self.size is None else self.at(self._count - 1)
        return Quantiles(self.prior, low, high, self.step, origin(low))

    @property
    def _base(self) -> int:
        """A value of the grid."""
        return int(origin(self._ends[0]))

    @property
    def _count(self) -> int:
        return (self.high - self.low) // self.step + 1

    @property
    def size(self) -> int | None:
        """The number of values; None if a prior has no bound."""
        is_endless = self.prior is not None and not all(map(math.isfinite, self._ends))
        return None if is_endless else self._count

    @property
    def rule(self) -> str:
        """The rule that a value must keep, as the end of a sentence."""
        steps = "" if self.step == 1 else f" in steps of {self.step}"
        return f"a whole number {between(*self._ends)}{steps}"

    def at(self, index: int) -> int:
        """Return the value at an index of the grid."""
        return self.low + index * self.step

    def values(self) -> Iterable[int]:
        return range(self.low, self.high + 1, self.step)

    def contains(self, value: object) -> bool:
        """Return whether a value is in stored form: a plain int within the bounds, on the grid."""
        return (
            type(value) is int
            and self.low <= value <= self.high
            and (value - self._base) % self.step == 0
        )

    def store(self, name: str, value: object) -> int:
        """Return a whole number, which may be given as a float, in stored form.

        Raises:
            SpaceError: It isn't a whole number, is out of bounds, or is off the grid.
        """
        number = as_number(value)
        if not number.is_integer() or not self.contains(int(number)):
            raise broken(name, self.rule, value)
        return int(number)

    def snap(self, value: float) -> int:
        """Return the stored value nearest to a finite number."""
        nearest = self._base + round((value - self._base) / self.step) * self.step
        first = self.low + (self._base - self.low) % self.step
        return min(max(nearest, first), self.high - (self.high - self._base) % self.step)

    def encode(self, value: int) -> float:
        """Return the position of a stored value in the unit interval: the middle of its share."""
        if self.prior is not None:
            return float(self._quantiles.places(np.array([float(value)]))[0])
        if not self.log:
            return ((value - self.low) // self.step + 0.5) / self._count
        low, high = self._scaled
        return (math.log(value) - low) / (high - low)

    def decode(self, unit: float) -> int:
        """Return the stored value at a place of the unit interval."""
        if self.prior is not None:
            return self.snap(float(self._quantiles.at(np.array([unit]))[0]))
        if not self.log:
            return self.at(cell(unit, self._count))
        low, high = self._scaled
        value = math.floor(math.exp(low + unit * (high - low)) + 0.5)
        return min(max(value, self.low), self.high)

    def settle(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the places of the values that places of the unit interval decode to."""
        if self.prior is not None:
            return self._quantiles.settle(units)
        if not self.log:
            return middles(units, self._count)
        low, high = self._scaled
        values = np.floor(np.exp(low + units * (high - low)) + 0.5)
        settled = (np.log(np.clip(values, self.low, self.high)) - low) / (high - low)
        return np.asarray(settled, dtype=np.float64)

    @cached_property
    def _scaled(self) -> tuple[float, float]:
        # Half a unit beyond each bound; otherwise the bounds would be drawn half as often.
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    @property
    def given(self) -> dict[str, Any]:
        """The arguments that make an equal Int, without defaults."""
        return given(self, *self._ends)

    def __repr__(self) -> str:
        return shown(self)
