"""A digest of the user's own code in estimators, spaces and scorers."""

import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any

from manyfit.choice import Choice
from manyfit.digest import PLAIN, digest
from manyfit.fingerprint import fingerprint, is_ours

_DEEPEST = 8


def own_code(*values: Any) -> str:
    """Return a text that differs when code of the user's own does; empty if there is none.

    The params of estimators, the functions of scorers, and what containers hold are followed.

    Example:
        >>> from sklearn.linear_model import Ridge
        >>> own_code(Ridge(), "r2")
        ''
    """
    found = [
        text
        for value in values
        for code in _code_in(value, 0)
        if is_ours(code)
        for pair in sorted(fingerprint(code).items())
        for text in pair
    ]
    return f", code {digest(*found)}" if found else ""


def _code_in(value: Any, depth: int) -> Iterator[Any]:
    if depth > _DEEPEST or isinstance(value, PLAIN):
        return
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        inner = value
    elif isinstance(value, Choice):
        inner = (value.options,)
    elif hasattr(value, "get_params") and not isinstance(value, type):
        yield type(value)
        inner = value.get_params(deep=False).values()
    elif isinstance(value, functools.partial):
        inner = (value.func, value.args, value.keywords)
    elif isinstance(value, type | types.FunctionType | types.MethodType):
        yield value
    else:
        yield type(value)
        if callable(value):  # a scorer, whose attributes may hold functions
            inner = list(getattr(value, "__dict__", {}).values())
    for each in inner:
        yield from _code_in(each, depth + 1)
