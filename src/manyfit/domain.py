"""Domains of numeric hyperparameters: `Float` and `Int`.

Each maps its values to and from the unit interval so that equal lengths are equally likely. To
sample is to decode a uniform number; quasi-random points decode the same way. A value in stored
form is a plain float or int.
"""

import math
import numbers
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, SupportsFloat, TypeGuard

import numpy as np
from numpy.typing import NDArray

from manyfit.errors import SpaceError

# JSON readers and pandas may hold an int as a float, which would change a larger one.
_LARGEST_INT = 2**53 - 1
# Tolerance for a user's point: 0.1 + 0.2 is accepted as 0.3, and 10**-4 as 1e-4.
_DUST = 1e-9


@dataclass(frozen=True, repr=False)
class Float:
    """A real number from `low` to `high`, both included.

    With a `step` it is one of `low, low + step, low + 2 * step, ...`, without accumulated rounding
    errors; `high` is included if it falls on that grid.

    Args:
        low: The smallest value.
        high: The largest value.
        log: Whether values are spread evenly over orders of magnitude, as suits a learning rate.
            `low` must be positive.
        step: The distance between neighbouring values; can't be combined with `log`.

    Raises:
        SpaceError: The bounds are not finite or not `low < high`, `log` isn't a bool, or another
            rule above is broken.

    Example:
        >>> Float(1e-4, 0.1, log=True)
        Float(0.0001, 0.1, log=True)
        >>> list(Float(0.1, 0.5, step=0.2).values())
        [0.1, 0.3, 0.5]
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _set(self, low=_real("low", self.low), high=_real("high", self.high))
        _set(self, log=_flag("Float", self.log))
        if self.step is not None:
            _set(self, step=_real("step", self.step))
        _check_bounds(self)
        if math.isinf(self.high - self.low):
            raise SpaceError(f"{self!r}: high - low overflows a float; bring low and high closer")
        if self.step is not None:
            self._check_step(self.step)

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
        _set(self, high=max(self.high, self._at(self._count - 1)))
        if self._at(1) == self.low or self._at(self._count - 1) == self._at(self._count - 2):
            raise SpaceError(f"{self!r}: the step is too small to tell neighbouring floats apart")

    @cached_property
    def _grid(self) -> tuple[int, int, int]:
        """Whole numbers (a, b, d) with low = a / d and step = b / d."""
        # repr gives the shortest decimal for a float, which is what its author wrote; from here on
        # the arithmetic is exact.
        low, step = Fraction(repr(self.low)), Fraction(repr(self.step))
        d = math.lcm(low.denominator, step.denominator)
        return int(low * d), int(step * d), d

    @cached_property
    def _count(self) -> int:
        a, b, d = self._grid
        # 1 - 0.9 is slightly less than 0.1; without the tolerance, `high` would be lost.
        return int((Fraction(repr(self.high)) * d - a) / b + Fraction(_DUST)) + 1

    def _at(self, index: int) -> float:
        a, b, d = self._grid
        return (a + index * b) / d  # Python rounds the quotient of two ints correctly

    @property
    def size(self) -> int | None:
        """The number of values; None without a step."""
        return None if self.step is None else self._count

    @property
    def rule(self) -> str:
        """The rule that a value must keep, as the end of a sentence."""
        steps = "" if self.step is None else f" in steps of {self.step}"
        return f"a number from {self.low} to {self.high}{steps}"

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
        return min(max(index, 0), self._count - 1)

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
        if self.step is not None:
            return (self.place(value) + 0.5) / self._count
        low, high = self._scaled
        place = (math.log(value) if self.log else value) - low
        return min(max(place / (high - low), 0.0), 1.0) if high > low else 0.5

    def decode(self, unit: float) -> float:
        """Return the stored value at a place of the unit interval."""
        if self.step is not None:
            return self._at(cell(unit, self._count))
        low, high = self._scaled
        value = low + unit * (high - low)
        return min(max(math.exp(value) if self.log else value, self.low), self.high) + 0.0

    def settle(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the places of the values that places of the unit interval decode to."""
        return units if self.step is None else _middles(units, self._count)

    @cached_property
    def _scaled(self) -> tuple[float, float]:
        if self.log:
            return math.log(self.low), math.log(self.high)
        return self.low, self.high

    def __repr__(self) -> str:
        step = "" if self.step is None else f", step={self.step!r}"
        return f"Float({self.low!r}, {self.high!r}{', log=True' if self.log else ''}{step})"


@dataclass(frozen=True, repr=False)
class Int:
    """A whole number from `low` to `high`, both included.

    With a `step`, it is one of `low, low + step, ...` up to `high`.

    Args:
        low: The smallest value.
        high: The largest value.
        log: Whether values are spread evenly over orders of magnitude, as suits a batch size. `low`
            must be positive.
        step: The distance between neighbouring values; must be 1 with `log`.

    Raises:
        SpaceError: The bounds are not whole numbers with `low < high` and below 2**53, or another
            rule above is broken.

    Example:
        >>> list(Int(16, 64, step=16).values())
        [16, 32, 48, 64]
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        _set(
            self,
            low=_whole("low", self.low),
            high=_whole("high", self.high),
            step=_whole("step", self.step),
            log=_flag("Int", self.log),
        )
        _check_bounds(self)
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

    @property
    def size(self) -> int:
        """The number of values."""
        return (self.high - self.low) // self.step + 1

    @property
    def rule(self) -> str:
        """The rule that a value must keep, as the end of a sentence."""
        steps = "" if self.step == 1 else f" in steps of {self.step}"
        return f"a whole number from {self.low} to {self.high}{steps}"

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
            and (value - self.low) % self.step == 0
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
        index = round((value - self.low) / self.step)
        return self.at(min(max(index, 0), self.size - 1))

    def encode(self, value: int) -> float:
        """Return the position of a stored value in the unit interval: the middle of its share."""
        if not self.log:
            return ((value - self.low) // self.step + 0.5) / self.size
        low, high = self._scaled
        return (math.log(value) - low) / (high - low)

    def decode(self, unit: float) -> int:
        """Return the stored value at a place of the unit interval."""
        if not self.log:
            return self.at(cell(unit, self.size))
        low, high = self._scaled
        value = math.floor(math.exp(low + unit * (high - low)) + 0.5)
        return min(max(value, self.low), self.high)

    def settle(self, units: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the places of the values that places of the unit interval decode to."""
        if not self.log:
            return _middles(units, self.size)
        low, high = self._scaled
        values = np.floor(np.exp(low + units * (high - low)) + 0.5)
        settled = (np.log(np.clip(values, self.low, self.high)) - low) / (high - low)
        return np.asarray(settled, dtype=np.float64)

    @cached_property
    def _scaled(self) -> tuple[float, float]:
        # Half a unit beyond each bound; otherwise the bounds would be drawn half as often.
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    def __repr__(self) -> str:
        step = "" if self.step == 1 else f", step={self.step}"
        return f"Int({self.low}, {self.high}{', log=True' if self.log else ''}{step})"


def is_real(value: object) -> TypeGuard[SupportsFloat]:
    """Return whether a value is a Python or NumPy number; a bool isn't."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_number(value: object) -> float:
    """Return a Python or NumPy number as a float; NaN for anything else."""
    try:
        return float(value) if is_real(value) else math.nan
    except OverflowError:  # an int of hundreds of digits
        return math.inf


def broken(name: str, rule: str, value: object) -> SpaceError:
    """Return the error for a value that breaks its param's rule."""
    return SpaceError(f"{name} must be {rule}, but got {value!r:.200} ({type(value).__name__})")


def cell(unit: float, count: int) -> int:
    """Return the index of the one of `count` equal parts of the unit interval that holds `unit`."""
    return min(max(int(unit * count), 0), count - 1)


def _middles(units: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Round each number to the middle of its part, of `count` equal parts of the unit interval."""
    return (np.clip(np.floor(units * count), 0, count - 1) + 0.5) / count


def _set(frozen: Any, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(frozen, name, value)


def _real(field: str, value: object) -> float:
    number = as_number(value)
    if not math.isfinite(number):
        raise SpaceError(f"Float needs a finite number for {field}, but got {value!r:.200}")
    return number + 0.0  # turns -0.0 into 0.0


def _whole(field: str, value: object) -> int:
    number = as_number(value)
    if number.is_integer():
        return int(number)
    raise SpaceError(f"Int needs a whole number for {field}, but got {value!r:.200}")


def _flag(kind: str, value: object) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise SpaceError(f"{kind} needs True or False for log, but got {value!r:.200}")


def _check_bounds(domain: Float | Int) -> None:
    low, high = domain.low, domain.high
    if not low < high:
        raise SpaceError(f"{domain!r} needs low < high. Write a fixed value as a plain constant")
    if domain.log and low <= 0:
        raise SpaceError(
            f"{domain!r} needs low > 0, because log=True spreads values over orders of magnitude. "
            "Bounds are the values themselves, not their logarithms"
        )
