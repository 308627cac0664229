"""One check for each kind of thing a user gives: numbers, and objects with methods."""

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
) -> Any:
    """Return a finite number within bounds as a plain `int` or `float`, whatever it was before.

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
        >>> import numpy as np
        >>> check_number("port", np.int64(8080), least=0, whole=True)
        8080
        >>> check_number("port", "1h", least=0, whole=True)
        Traceback (most recent call last):
        manyfit.errors.ArgumentError: port must be a whole number, at least 0, but got '1h' (str)
    """
    fits = is_number(value, whole=whole) and (is_number(value, whole=True) or math.isfinite(value))
    if fits and least <= value <= most and value > above:
        return int(value) if is_number(value, whole=True) else float(value)
    rules = [
        ("a whole number" if whole else "a number") + (f" of {unit}" if unit else ""),
        *([f"at least {least}"] if math.isfinite(least) else []),
        *([f"more than {above}"] if math.isfinite(above) else []),
        *([f"at most {most}"] if math.isfinite(most) else []),
        *([f"or {also}"] if also else []),
    ]
    given = f"{value!r:.200} ({type(value).__name__})"
    raise ArgumentError(f"{name} must be {', '.join(rules)}, but got {given}")


def check_optional(name: str, value: Any, **rules: Any) -> Any:
    """Return a number as `check_number` does, or None.

    Raises:
        ArgumentError: It is neither None nor such a number.

    Example:
        >>> check_optional("lag", None, least=1, whole=True) is None
        True
    """
    return None if value is None else check_number(name, value, also="None", **rules)


def has_methods(value: object, *names: str) -> bool:
    """Whether an object can do all this; a class, which nobody has called yet, can't.

    Example:
        >>> has_methods([], "append", "pop"), has_methods(list, "append")
        (True, False)
    """
    return not isinstance(value, type) and all(
        callable(getattr(value, name, None)) for name in names
    )
