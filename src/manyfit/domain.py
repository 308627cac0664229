"""Domains of numeric hyperparameters: `Float`, and `Int` from `integer.py`.

Each maps its values to and from the unit interval so that equal lengths are equally likely. To
sample is to decode a uniform number; quasi-random points decode the same way. A value in stored
form is a plain float or int.
"""

import math
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
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
    deviation,
    flag,
    given,
    middles,
    origin,
    put,
    real,
    shown,
)
from manyfit._quantiles import Prior, Quantiles
from manyfit.errors import SpaceError
from manyfit.integer import Int

__all__ = ["Float", "Int"]

# Tolerance for a user's point: 0.1 + 0.2 is accepted as 0.3, and 10**-4 as 1e-4.
_DUST = 1e-9
_ENDLESS = (-math.inf, math.inf)


@dataclass(frozen=True, repr=False)
class Float:
    """A real number from `low` to `high`, both included.

    With a `step` it is one of `low, low + step, low + 2 * step, ...`, without accumulated rounding
    errors; `high` is included if it falls on that grid.

    With a `prior`, samplers draw it from that distribution, between the bounds and rounded to the
    step. Bounds may be left out; they are then the distribution's own, and without a lower one the
    values are multiples of the step. Samplers that learn begin with the prior, too.

    Args:
        low: The smallest value.
        high: The largest value.
        log: Whether values are spread evenly over orders of magnitude, as suits a learning rate.
            `low` must be positive.
        step: The distance between neighbouring values; can't be combined with `log`.
        prior: A continuous distribution of `scipy.stats` with its parameters; can't be combined
            with `log`.

    Raises:
        SpaceError: The bounds are not finite or not `low < high`, `log` isn't a bool, the prior has
            no values between the bounds, or another rule above is broken.

    Example:
        >>> Float(1e-4, 0.1, log=True)
        Float(0.0001, 0.1, log=True)
        >>> list(Float(0.1, 0.5, step=0.2).values())
        [0.1, 0.3, 0.5]
        >>> Float.normal(0, 2, step=0.5)
        Float(step=0.5, prior=norm(loc=0.0, scale=2.0))
    """

    low: float = -math.inf
    high: float = math.inf
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    prior: Any = None

    @classmethod
    def normal(cls, mean: float, sd: float, **settings: Any) -> "Float":
        """Return a Float with a normal prior; `settings` are `low`, `high` and `step`."""
        scale = (("loc", real("mean", mean)), ("scale", deviation(sd)))
        return cls(prior=Prior("norm", scale), **settings)

    @classmethod
    def lognormal(cls, mean: float, sd: float, **settings: Any) -> "Float":
        """Return a Float whose logarithm has a normal prior with this mean and deviation.

        `settings` are `low`, `high` and `step`.
        """
        shape = ("s", deviation(sd))
        try:
            scale = math.exp(real("mean", mean))
        except OverflowError as error:
            raise SpaceError(f"Float.lognormal needs a mean below 709, but got {mean!r}") from error
        return cls(prior=Prior("lognorm", (shape, ("scale", scale))), **settings)

    def __post_init__(self) -> None:
        put(self, log=flag("Float", self.log))
        if self.step is not None:
            put(self, step=real("step", self.step))
        if self.prior is None and (self.low, self.high) == _ENDLESS:
            raise SpaceError("Float needs low and high, or a prior")
        if self.prior is None:
            put(self, low=real("low", self.low), high=real("high", self.high))
        else:
            self._use(Prior.of(self.prior))
        check_bounds(self)
        if self.prior is None and math.isinf(self.high - self.low):
            raise SpaceError(f"{self!r}: high - low overflows a float; bring low and high closer")
        if self.step is not None:
            self._check_step(self.step)
        if self.prior is not None:
            self._quantiles.check(repr(self))

    def _use(self, prior: Prior) -> None:
        low, high = (
            end if end in _ENDLESS else real("a bound", end) for end in (self.low, self.high)
        )
        if prior.is_discrete:
            raise SpaceError(f"{prior!r} is a prior of whole numbers: use Int(prior=...)")
        low, high = prior.bounds(low, high, self.step)
        put(self, prior=prior, low=low + 0.0, high=high + 0.0)

    def _check_step(self, step: float) -> None:
        if self.log:
            raise SpaceError(
                f"{self!r}: log and step exclude each other. "
                "Leave one out, or list the values in a Choice"
            )
        if not 0 < step <= self.high - self.low + _DUST * step:
            raise SpaceError(
                f"{self!r} needs 0 < step <= high - low. Write a fixed value as a plain constant"
            )
        if math.isfinite(self.high):
            put(self, high=max(self.high, self._at(self._count - 1)))
        ends = [end for end in (self.low, self.high) if math.isfinite(end)]
        if any(self._at(self.place(end) + side) == end for end in ends for side in (-1, 1)):
            raise SpaceError(f"{self!r}: the step is too small to tell neighbouring floats apart")

    @cached_property
    def _grid(self) -> tuple[int, int, int]:
        """Whole numbers (a, b, d) with low (or 0, without one) = a / d and step = b / d."""
        # repr gives the shortest decimal for a float, which is what its author wrote; from here on
        # the arithmetic is exact.
        low, step = Fraction(repr(origin(self.low))), Fraction(repr(self.step))
        d = math.lcm(low.denominator, step.denominator)
        return int(low * d), int(step * d), d

    @cached_property
    def _count(self) -> int:
        a, b, d = self._grid
        # 1 - 0.9 is slightly less than 0.1; without the tolerance, `high` would be lost.
        return math.floor((Fraction(repr(self.high)) * d - a) / b + Fraction(_DUST)) + 1

    @cached_property
    def _quantiles(self) -> Quantiles:
        high = self.high if self.size is None else self._at(self._count - 1)
        return Quantiles(self.prior, self.low, high, self.step, origin(self.low))

    def _at(self, index: int) -> float:
        a, b, d = self._grid
        return (a + index * b) / d  # Python rounds the quotient of two ints correctly

    @property
    def size(self) -> int | None:
        """The number of values; None without a step or a bound."""
        is_endless = self.step is None or math.isinf(self.low) or math.isinf(self.high)
        return None if is_endless else self._count

    @property
    def rule(self) -> str:
        """The rule that a value must keep, as the end of a sentence."""
        steps = "" if self.step is None else f" in steps of {self.step}"
        return f"a number {between(self.low, self.high)}{steps}"

    def at(self, index: int) -> float:
        """Return the value at an index of the grid; requires a step."""
        return self._at(index)

    def values(self) -> Iterable[float]:
        """Return all values in order; requires a step."""
        return map(self._at, range(self._count))

    def contains(self, value: object) -> bool:
        """Return whether a value is in stored form: a float within the bounds, on the grid."""
        if type(value) is not float or not self.low <= value <= self.high:
            return False
        return self.step is None or self._at(self.place(value)) == value

    def place(self, value: float) -> int:
        """Return the grid index of the value nearest to a finite number; requires a step."""
        a, b, d = self._grid
        numerator, denominator = value.as_integer_ratio()
        index = round((numerator * d - a * denominator) / (b * denominator))
        if math.isfinite(self.high):
            index = min(index, self._count - 1)
        return max(index, 0) if math.isfinite(self.low) else index

    def store(self, name: str, value: object) -> float:
        """Return a number in stored form; rounding errors are corrected.

        Raises:
            SpaceError: It isn't a number, is out of bounds, or is off the grid.
        """
        stored = as_number(value)
        if not math.isfinite(stored):
            raise broken(name, self.rule, value)
        target = self.snap(stored)
        dust = _DUST * self.step if self.step is not None else 1e-12 * abs(target)
        if abs(target - stored) > dust:
            raise broken(name, self.rule, value)
        return target

    def snap(self, value: float) -> float:
        """Return the stored value nearest to a finite number."""
        if self.step is not None:
            return self._at(self.place(value))
        return min(max(value, self.low), self.high) + 0.0  # turns -0.0 into 0.0

    def encode(self, value: float) -> float:
        """Return the position of a stored value in the unit interval."""
        if self.prior is not None:
            return float(self._quantiles.places(np.array([value]))[0])
        if self.step is not None:
            return (self.place(value) + 0.5) / self._count
        low, high = self._scaled
        place = (math.log(value) if self.log else value) - low
        return min(max(place / (high - low), 0.0), 1.0) if high > low else 0.5

    def decode(self, unit: float) -> float:
        """Return the stored value at a place of the unit interval."""
        if self.prior is not None:
            return self.snap(float(self._quantiles.at(np.array([unit]))[0]))
        if self.step is not None:
            return self._at(cell(unit, self._count))
        low, high = self._scaled
        value = low + unit * (high - low)
        return min(max(math.exp(value) if self.log else value, self.low), self.high) + 0.0

    def settle(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the places of the values that places of the unit interval decode to."""
        if self.prior is not None:
            return self._quantiles.settle(units)
        return units if self.step is None else middles(units, self._count)

    @cached_property
    def _scaled(self) -> tuple[float, float]:
        if self.log:
            return math.log(self.low), math.log(self.high)
        return self.low, self.high

    @property
    def given(self) -> dict[str, Any]:
        """The arguments that make an equal Float, without defaults."""
        return given(self, self.low, self.high)

    def __repr__(self) -> str:
        return shown(self)
