"""Numbers as people give them, and the parts of the unit interval that stand for values."""

import math
import numbers
from typing import Any, SupportsFloat, TypeGuard

import numpy as np
from numpy.typing import NDArray

from manyfit.errors import SpaceError


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


def middles(units: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Round each number to the middle of its part, of `count` equal parts of the unit interval."""
    return (np.clip(np.floor(units * count), 0, count - 1) + 0.5) / count


def put(frozen: Any, **fields: Any) -> None:
    """Set fields of a frozen value that is being made."""
    for name, value in fields.items():
        object.__setattr__(frozen, name, value)


def real(field: str, value: object) -> float:
    """Return a finite number that a Float was given."""
    number = as_number(value)
    if not math.isfinite(number):
        raise SpaceError(f"Float needs a finite number for {field}, but got {value!r:.200}")
    return number + 0.0  # turns -0.0 into 0.0


def whole(field: str, value: object) -> int:
    """Return a whole number that an Int was given."""
    number = as_number(value)
    if number.is_integer():
        return int(number)
    raise SpaceError(f"Int needs a whole number for {field}, but got {value!r:.200}")


def flag(kind: str, value: object) -> bool:
    """Return what a domain was given for `log`."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise SpaceError(f"{kind} needs True or False for log, but got {value!r:.200}")


def deviation(value: object) -> float:
    """Return a standard deviation that a Float was given."""
    number = real("sd", value)
    if number <= 0.0:
        raise SpaceError(f"Float needs a positive number for sd, but got {value!r:.200}")
    return number


def check_bounds(domain: Any) -> None:
    """Check that a Float or an Int has values, and has them on its scale."""
    low, high = domain.low, domain.high
    if not low < high:
        raise SpaceError(f"{domain!r} needs low < high. Write a fixed value as a plain constant")
    if domain.log and domain.prior is not None:
        raise SpaceError(
            f"{domain!r}: log and prior exclude each other. Leave out log, and choose a prior on a "
            "logarithmic scale, such as scipy.stats.loguniform(1e-4, 1)"
        )
    if domain.log and low <= 0:
        raise SpaceError(
            f"{domain!r} needs low > 0, because log=True spreads values over orders of magnitude. "
            "Bounds are the values themselves, not their logarithms"
        )


def origin(low: float) -> float:
    """Return a value of a grid with this lower bound: multiples of the step, if there is none."""
    return low if math.isfinite(low) else 0.0


def between(low: float, high: float) -> str:
    """Say which numbers are between two bounds, which may be infinite."""
    if math.isfinite(low):
        return f"from {low} to {high}" if math.isfinite(high) else f"of at least {low}"
    return f"of at most {high}" if math.isfinite(high) else "that is finite"


def given(domain: Any, low: float, high: float) -> dict[str, Any]:
    """Return the arguments that make an equal domain, without defaults and the prior's bounds."""
    known = (math.nan, math.nan)
    if domain.prior is not None:
        known = domain.prior.bounds(-math.inf, math.inf, domain.step)
    ends = {"low": low, "high": high}
    found = {
        name: end for (name, end), usual in zip(ends.items(), known, strict=True) if end != usual
    }
    found |= {"log": True} if domain.log else {}
    fields = type(domain).__dataclass_fields__
    rest = {name: getattr(domain, name) for name in ("step", "prior")}
    return found | {name: each for name, each in rest.items() if each != fields[name].default}


def shown(domain: Any) -> str:
    """Return a domain as its author would write it."""
    fields = domain.given
    is_range = {"low", "high"} <= fields.keys()
    ends = [repr(fields.pop(end)) for end in ("low", "high") if is_range]
    named = (f"{name}={value!r}" for name, value in fields.items())
    return f"{type(domain).__name__}({', '.join([*ends, *named])})"
