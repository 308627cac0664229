"""Expressions over hyperparameters: what a space of Hyperopt is made of.

A space is any nesting of dicts, lists and tuples with `hp.*` inside. `as_expression` turns it into
a tree of these nodes, and `evaluate` computes what the objective receives. ::

    {"C": hp.lognormal("C", 0, 1), "kernel": hp.choice("kernel", ["rbf", "linear"])}
                       └ Param                  └ Switch(Param, Literal, Literal)
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from manyfit.errors import SpaceError
from manyfit.hyperopt.laws import Law


class Expression:
    """A value that is computed when a trial's hyperparameters are known.

    Arithmetic, comparison, indexing and calls with an expression give another expression.
    """

    def inputs(self) -> "Sequence[Expression]":
        """Return the expressions from which it is computed."""
        return ()

    def __add__(self, other: Any) -> "Expression":
        return apply(operator.add, self, other)

    def __radd__(self, other: Any) -> "Expression":
        return apply(operator.add, other, self)

    def __sub__(self, other: Any) -> "Expression":
        return apply(operator.sub, self, other)

    def __rsub__(self, other: Any) -> "Expression":
        return apply(operator.sub, other, self)

    def __mul__(self, other: Any) -> "Expression":
        return apply(operator.mul, self, other)

    def __rmul__(self, other: Any) -> "Expression":
        return apply(operator.mul, other, self)

    def __truediv__(self, other: Any) -> "Expression":
        return apply(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> "Expression":
        return apply(operator.truediv, other, self)

    def __floordiv__(self, other: Any) -> "Expression":
        return apply(operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> "Expression":
        return apply(operator.floordiv, other, self)

    def __pow__(self, other: Any) -> "Expression":
        return apply(operator.pow, self, other)

    def __rpow__(self, other: Any) -> "Expression":
        return apply(operator.pow, other, self)

    def __neg__(self) -> "Expression":
        return apply(operator.neg, self)

    def __gt__(self, other: Any) -> "Expression":
        return apply(operator.gt, self, other)

    def __ge__(self, other: Any) -> "Expression":
        return apply(operator.ge, self, other)

    def __lt__(self, other: Any) -> "Expression":
        return apply(operator.lt, self, other)

    def __le__(self, other: Any) -> "Expression":
        return apply(operator.le, self, other)

    def __getitem__(self, key: Any) -> "Expression":
        return apply(operator.getitem, self, key)

    def __call__(self, *args: Any, **named: Any) -> "Expression":
        return apply(_called, self, *args, **named)

    def __iter__(self) -> Iterator[Any]:
        # Python would otherwise iterate by index, for ever.
        raise TypeError(f"{self!r} has no items before a trial runs: index it, or wrap it in scope")

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} has no truth value before a trial runs: use hp.choice instead")


class Literal(Expression):
    """A fixed value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


class Param(Expression):
    """A hyperparameter: its label and the law by which it is drawn."""

    def __init__(self, label: str, law: Law) -> None:
        self.label = label
        self.law = law

    def __repr__(self) -> str:
        return f"hp.{self.law.name}({self.label!r}, {self.law})"


class Call(Expression):
    """A function of expressions."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Expression],
        named: Mapping[str, Expression],
    ) -> None:
        self.function = function
        self.args = args
        self.named = named

    def inputs(self) -> Sequence[Expression]:
        return (*self.args, *self.named.values())

    def __repr__(self) -> str:
        named = [f"{name}={each!r}" for name, each in self.named.items()]
        function = getattr(self.function, "__name__", repr(self.function))
        return f"{function}({', '.join([*map(repr, self.args), *named])})"


class Items(Expression):
    """A tuple, which also stands for a list, or a dict, whose values are expressions."""

    def __init__(self, values: Sequence[Expression], keys: Sequence[Any] | None = None) -> None:
        self.values = values
        self.keys = keys

    def inputs(self) -> Sequence[Expression]:
        return self.values

    def __repr__(self) -> str:
        if self.keys is None:
            return repr(tuple(self.values))
        return repr(dict(zip(self.keys, self.values, strict=True)))


class Switch(Expression):
    """One of several options, of which only the chosen one is computed."""

    def __init__(self, index: Param, options: Sequence[Expression]) -> None:
        self.index = index
        self.options = options

    def inputs(self) -> Sequence[Expression]:
        return (self.index, *self.options)

    def __repr__(self) -> str:
        return f"hp.{self.index.law.name}({self.index.label!r}, {list(self.options)!r})"


def apply(function: Callable[..., Any], *args: Any, **named: Any) -> Expression:
    """Return the expression of a call."""
    return Call(
        function,
        [as_expression(each) for each in args],
        {name: as_expression(each) for name, each in named.items()},
    )


def as_expression(value: Any) -> Expression:
    """Return a space as an expression; lists become tuples, as in Hyperopt.

    Raises:
        SpaceError: It has a node of Hyperopt's own, or a domain of Manyfit.
    """
    if isinstance(value, Expression):
        return value
    if isinstance(value, tuple | list):
        return Items([as_expression(each) for each in value])
    if isinstance(value, dict):
        return Items([as_expression(each) for each in value.values()], list(value))
    package = type(value).__module__
    if package.startswith("hyperopt."):
        raise SpaceError(
            f"the space has {type(value).__name__} of {package}: import hp and scope from "
            "manyfit.hyperopt, as fmin"
        )
    if package in ("manyfit.domain", "manyfit.choice"):
        raise SpaceError(f"the space has {value!r}: here it needs hp.*, and manyfit.tune takes it")
    return Literal(value)


def evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    """Return the value of an expression, given those of its hyperparameters by label.

    Only the chosen option of a choice is computed, so only its hyperparameters are needed.

    Raises:
        SpaceError: A value that is needed is missing, or isn't the index of an option.
    """
    known: dict[int, Any] = {}

    def value_of(node: Expression) -> Any:
        if id(node) not in known:
            known[id(node)] = compute(node)
        return known[id(node)]

    def compute(node: Expression) -> Any:
        match node:
            case Literal():
                return node.value
            case Param():
                return _given(node, values)
            case Switch():
                return value_of(node.options[_place(node, values)])
            case Items(keys=None):
                return tuple(map(value_of, node.values))
            case Items():
                return dict(zip(node.keys or (), map(value_of, node.values), strict=True))
            case Call():
                named = {name: value_of(each) for name, each in node.named.items()}
                return node.function(*map(value_of, node.args), **named)
        raise AssertionError(f"unknown expression {node!r}")

    return value_of(expression)


def active(expression: Expression, values: Mapping[str, Any]) -> set[str]:
    """Return the labels of the hyperparameters that an evaluation needs."""
    labels: set[str] = set()
    nodes, seen = [expression], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Param):
            labels.add(node.label)
        if isinstance(node, Switch):
            nodes += [node.index, node.options[_place(node, values)]]
        else:
            nodes += node.inputs()
    return labels


def params_of(expression: Expression) -> dict[str, Param]:
    """Return the hyperparameters of a space by label, in the order in which they appear.

    Raises:
        DuplicateLabel: Two of them have the same label.
    """
    found: dict[str, Param] = {}
    nodes, seen = [expression], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Param) and found.setdefault(node.label, node) is not node:
            raise DuplicateLabel(
                f"two hyperparameters have the label {node.label!r}: {found[node.label]!r} and "
                f"{node!r}. Give them different labels; to use one in several places, assign it to "
                "a variable"
            )
        nodes += reversed(node.inputs())
    return found


class DuplicateLabel(SpaceError):  # noqa: N818 - Hyperopt's name
    """Two hyperparameters of a space have the same label."""


def _given(param: Param, values: Mapping[str, Any]) -> Any:
    if param.label not in values:
        raise SpaceError(
            f"{param.label} is missing: it must be {param.law.rule}. Given: "
            f"{', '.join(map(str, values)) or 'nothing'}"
        )
    return values[param.label]


def _place(switch: Switch, values: Mapping[str, Any]) -> int:
    """Return the index of the chosen option."""
    given = _given(switch.index, values)
    is_whole = isinstance(given, int | np.integer) or (isinstance(given, float) and given % 1 == 0)
    if not is_whole or not 0 <= given < len(switch.options):
        raise SpaceError(
            f"{switch.index.label} must be the index of an option, from 0 to "
            f"{len(switch.options) - 1}, but got {given!r:.200}"
        )
    return int(given)


def _called(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    return function(*args, **named)
