"""Checks of arguments: numbers, text, and objects with methods."""

import math
import os
from numbers import Integral, Real
from typing import Any

from manyfit.errors import ArgumentError


def is_number(value: object, *, whole: bool = False) -> bool:
    """Return whether a value is a Python or NumPy number; `True` isn't.

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
    """Return a finite number within bounds as a plain `int` or `float`.

    Args:
        name: The argument's name.
        value: The argument.
        least: The inclusive lower bound.
        above: The exclusive lower bound.
        most: The inclusive upper bound.
        whole: Whether it must be a whole number.
        unit: What it counts or measures.
        also: What else the argument may be, for the message; the caller has checked for that.

    Raises:
        ArgumentError: It is anything else; the message says what it must be, and what was given.

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


def check_text(name: str, value: Any, meaning: str) -> str | None:
    """Return a text that isn't empty, or None; a path becomes text.

    Args:
        name: The argument's name.
        value: The argument.
        meaning: What it must be, for the message.

    Raises:
        ArgumentError: It is anything else, or blank.

    Example:
        >>> check_text("host", 8, "a name or an address")
        Traceback (most recent call last):
        manyfit.errors.ArgumentError: host must be a name or an address, or None, but got 8
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if text is None or (isinstance(text, str) and text.strip()):
        return text
    raise ArgumentError(f"{name} must be {meaning}, or None, but got {value!r:.200}")


def has_methods(value: object, *names: str) -> bool:
    """Return whether an object has all these methods; a class, which isn't an instance, doesn't.

    Example:
        >>> has_methods([], "append", "pop"), has_methods(list, "append")
        (True, False)
    """
    return not isinstance(value, type) and all(
        callable(getattr(value, name, None)) for name in names
    )
