"""Distributions of SciPy from which a Float or an Int is drawn, and their values by quantile."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manyfit._numbers import as_number
from manyfit._optional import load
from manyfit.errors import SpaceError

Array: TypeAlias = NDArray[np.float64]

# Quantiles nearer to 0 or 1 are infinite for many distributions, and are never drawn: random
# numbers have 53 bits.
_NEAREST = 2.0**-53
_LARGEST = sys.float_info.max
# Between two bounds, a prior must have this share of its draws, or rounding errors decide.
_LEAST_SHARE = 1e-9


@dataclass(frozen=True, repr=False)
class Prior:
    """A distribution of `scipy.stats`, by its name and parameters, so that a record can hold it.

    Attributes:
        name: Its name in `scipy.stats`.
        params: Its shapes, `loc` and `scale`, as far as they are given.
    """

    name: str
    params: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, given: Any) -> "Prior":
        """Return a frozen distribution of SciPy as a prior; a prior unchanged.

        Raises:
            SpaceError: It isn't one, is not in `scipy.stats`, or its parameters are invalid.
        """
        if isinstance(given, Prior):
            return given
        if not hasattr(given, "dist") or not hasattr(given, "ppf"):
            raise SpaceError(
                "prior must be a distribution of scipy.stats with its parameters, such as "
                f"scipy.stats.norm(0, 1), but got {given!r:.200}"
            )
        family, name = given.dist, given.dist.name
        known: Any = getattr(load("scipy.stats"), name, None)
        if known is None or type(family) is not type(known):
            raise SpaceError(
                f"prior must be in scipy.stats, so that a record can name it, but {name} is of "
                f"{type(family).__module__}. To use its quantiles, tune Float(0, 1) and call ppf"
            )
        shapes = str(family.shapes).replace(",", " ").split() if family.shapes else []
        names = [*shapes, "loc", "scale"]
        values: dict[str, Any] = dict(zip(names, given.args, strict=False)) | given.kwds
        found = cls(name, tuple((key, as_number(values[key])) for key in names if key in values))
        found.check()
        return found

    def bounds(self, low: float, high: float, step: float | None) -> tuple[float, float]:
        """Return bounds, of which infinite ones become the support's, rounded to the grid."""
        first, last = self.support
        if math.isinf(low):
            low = first if step is None or math.isinf(first) else _nearest(first, step, 0.0)
        if math.isinf(high):
            origin = 0.0 if math.isinf(low) else low
            high = last if step is None or math.isinf(last) else _nearest(last, step, origin)
        return low, high

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Prior":
        """Return the prior that `to_json` described."""
        found = cls(record["name"], tuple(record["params"].items()))
        found.check()
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"name": self.name, "params": dict(self.params)}

    def check(self) -> None:
        """Raise SpaceError if SciPy has no such distribution, or not with these parameters."""
        if not hasattr(load("scipy.stats"), self.name):
            raise SpaceError(
                f"this version of scipy.stats has no {self.name}, the prior of a param"
            )
        if not all(math.isfinite(value) for _, value in self.params) or np.isnan(self.support[0]):
            raise SpaceError(f"prior {self!r} has invalid parameters: see scipy.stats.{self.name}")

    @cached_property
    def _law(self) -> Any:
        return getattr(load("scipy.stats"), self.name)(**dict(self.params))

    @property
    def is_discrete(self) -> bool:
        """Whether it has whole numbers only."""
        return hasattr(self._law, "pmf")

    @cached_property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value, which may be infinite."""
        low, high = self._law.support()
        return float(low), float(high)

    def below(self, values: Array) -> Array:
        """Return the share of draws below each value, or equal to it."""
        return np.asarray(self._law.cdf(values), dtype=np.float64)

    def quantiles(self, units: Array) -> Array:
        """Return the finite values below which these shares of draws are."""
        found = self._law.ppf(np.clip(units, _NEAREST, 1.0 - _NEAREST))
        return np.asarray(np.clip(found, -_LARGEST, _LARGEST), dtype=np.float64)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.params)})"


@dataclass(frozen=True)
class Quantiles:
    """Values of a prior between two bounds, by their place in the unit interval.

    With a step, each value of the grid stands for the draws that are nearest to it.

    Attributes:
        prior: The distribution.
        low: The smallest value, or -inf.
        high: The largest value, or inf.
        step: The distance of neighbouring values; None for all numbers.
        origin: A value of the grid.
    """

    prior: Prior
    low: float
    high: float
    step: float | None = None
    origin: float = 0.0

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """The shares of draws below the bounds."""
        half = (self.step or 0.0) / 2
        first, last = self.prior.below(np.array([self.low - half, self.high + half]))
        return float(first), float(last)

    def check(self, shown: str) -> None:
        """Raise SpaceError if hardly any draw is between the bounds."""
        if self.low < self.high and self._ends[1] - self._ends[0] >= _LEAST_SHARE:
            return
        low, high = self.prior.support
        if math.isinf(high - low):  # then no bounds, but those of nearly all draws
            low, high = self.prior.quantiles(np.array([0.001, 0.999]))
        raise SpaceError(
            f"{shown}: the prior has next to no values from {self.low:g} to {self.high:g}; it has "
            f"those from {low:g} to {high:g}. Move the bounds, or leave them out"
        )

    def at(self, units: Array) -> Array:
        """Return the draws at places of the unit interval, before they are rounded to the grid."""
        first, last = self._ends
        found = self.prior.quantiles(first + units * (last - first))
        return found if self.step is not None else np.clip(found, self.low, self.high)

    def places(self, values: Array) -> Array:
        """Return the places of values; with a step, the middle of what stands for each."""
        if self.step is None:
            return self._places(values)
        indices = np.rint((values - self.origin) / self.step)
        edges = [self.origin + (indices + side) * self.step for side in (-0.5, 0.5)]
        return np.asarray((self._places(edges[0]) + self._places(edges[1])) / 2)

    def _places(self, values: Array) -> Array:
        first, last = self._ends
        return np.clip((self.prior.below(values) - first) / (last - first), 0.0, 1.0)

    def settle(self, units: Array) -> Array:
        """Return the places of the values that places of the unit interval decode to."""
        if self.step is None or not units.size:
            return units
        indices = np.rint((self.at(units) - self.origin) / self.step)
        return self.places(np.clip(self.origin + indices * self.step, self.low, self.high))


def _nearest(value: float, step: float, origin: float) -> float:
    """Return the value of a grid that is nearest, without rounding errors."""
    exact, unit, start = (Fraction(repr(float(each))) for each in (value, step, origin))
    return float(start + round((exact - start) / unit) * unit)
