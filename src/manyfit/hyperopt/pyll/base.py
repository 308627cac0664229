"""`scope`: functions that may be called with hyperparameters as arguments."""

import builtins
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from manyfit.errors import SpaceError
from manyfit.hyperopt import hp
from manyfit.hyperopt.expression import Expression, Items, apply, evaluate
from manyfit.hyperopt.expression import as_expression as as_apply

__all__ = ["as_apply", "rec_eval", "scope"]

_BUILTINS = ("int", "float", "len", "list", "dict", "range", "map", "max", "min", "getattr")
_OPERATORS = ("getitem", "add", "sub", "mul", "truediv", "floordiv", "neg", "eq", "lt", "le", "gt")
_NUMPY = ("exp", "log", "sin", "cos", "tan", "sqrt", "sum", "minimum", "maximum", "asarray")
_DRAWN = frozenset({*dir(hp), "categorical", "one_of", "switch"})


def _joined(separator: str, texts: Any) -> str:
    return separator.join(texts)


def _itself(value: Any) -> Any:
    return value


class Scope:
    """Functions for spaces: `scope.int(hp.quniform("depth", 2, 9, 1))` is an int in each trial.

    It has those of Hyperopt, and any function of yours after `scope.define`. A function that draws
    at random isn't one: give it a label, with `hp`.

    Example:
        >>> from manyfit.hyperopt import hp, space_eval
        >>> @scope.define
        ... def double(x):
        ...     return 2 * x
        >>> space_eval(scope.double(scope.int(hp.quniform("x", 0, 9, 1))), {"x": 4.0})
        8
    """

    def __init__(self) -> None:
        self._functions: dict[str, Callable[..., Any]] = {
            **{name: getattr(builtins, name) for name in _BUILTINS},
            **{name: getattr(operator, name) for name in (*_OPERATORS, "ge")},
            **{name: getattr(np, name) for name in _NUMPY},
            "pow": operator.pow,
            "str_join": _joined,
            "identity": _itself,
        }

    def __getattr__(self, name: str) -> Callable[..., Expression]:
        function = self.__dict__.get("_functions", {}).get(name)
        if function is None and name in _DRAWN:
            raise SpaceError(f"scope.{name} draws or chooses without a label: use hp instead")
        if function is None:
            raise AttributeError(f"scope has no function {name!r}: define it with @scope.define")
        return lambda *args, **named: apply(function, *args, **named)

    def pos_args(self, *args: Any) -> Expression:
        """Return a tuple."""
        return Items([as_apply(each) for each in args])

    def define(self, function: Callable[..., Any], **_: Any) -> Callable[..., Any]:
        """Make a function callable as `scope.<name>`; returns the function, as a decorator must.

        Raises:
            ValueError: There is another function of that name.
        """
        name = function.__name__
        if self._functions.get(name, function) is not function or name in _DRAWN:
            raise ValueError(f"scope already has a function {name!r}: give yours another name")
        self._functions[name] = function
        return function

    define_pure = define

    def undefine(self, function: Callable[..., Any] | str) -> None:
        """Remove a function, given itself or by name."""
        del self._functions[function if isinstance(function, str) else function.__name__]


scope = Scope()


def rec_eval(expr: Any, memo: Mapping[Any, Any] | None = None) -> Any:
    """Return the value of a space without hyperparameters; `space_eval` takes their values.

    Raises:
        SpaceError: It has hyperparameters, or a memo is given.
    """
    if memo:
        raise SpaceError("rec_eval takes no memo here: use space_eval(space, {label: value})")
    return evaluate(as_apply(expr), {})
