"""One kind of check for every number a user gives: NaN, text, a truth value, a fraction, a sign."""

import math
from numbers import Integral, Real
from typing import Any

from manyfit.errors import ArgumentError


def is_number(value: object, *, whole: bool = False) -> bool:
    """Whether a value is a number, of Python or NumPy; `True` is none.

    Example:
        >>> is_number(1.5), is_number(1.5, whole=True), is_number(True)
        (True, False, False)
    """
    return isinstance(value, Integral if whole else Real) and not isinstance(value, bool)


def check_number(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    whole: bool = False,
    unit: str = "",
    also: str = "",
) -> None:
    """Return if a value is a finite number within bounds.

    Args:
        name: What the value is called.
        value: What was given.
        least: The least it may be.
        above: What it must be more than.
        most: The most it may be.
        whole: Whether it must be a whole number.
        unit: What it counts or measures.
        also: What else may be given, for the message: the caller has looked for that.

    Raises:
        ArgumentError: It is anything else; says what it must be, and what it is.

    Example:
        >>> check_number("port", "1h", least=0, whole=True)
        Traceback (most recent call last):
        manyfit.errors.ArgumentError: port must be a whole number, at least 0, but got '1h' (str)
    """
    fits = is_number(value, whole=whole) and math.isfinite(value)
    if fits and least <= value <= most and value > above:
        return
    rules = [
        ("a whole number" if whole else "a number") + (f" of {unit}" if unit else ""),
        *([f"at least {least}"] if math.isfinite(least) else []),
        *([f"more than {above}"] if math.isfinite(above) else []),
        *([f"at most {most}"] if math.isfinite(most) else []),
        *([f"or {also}"] if also else []),
    ]
    given = f"{value!r:.200} ({type(value).__name__})"
    raise ArgumentError(f"{name} must be {', '.join(rules)}, but got {given}")
