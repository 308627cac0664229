"""A space of Hyperopt as a space of Manyfit, and the way back.

Manyfit's space is flat: params by label, each active at the top or in branches of a Choice. The
structure of the user's space stays in its expression, which `evaluate` computes in the worker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from manyfit._labels import Label, is_label
from manyfit._tree import Path, exclude_one_another
from manyfit.errors import SpaceError
from manyfit.hyperopt.expression import (
    Expression,
    Items,
    Literal,
    Param,
    Switch,
    active,
    as_expression,
    evaluate,
    params_of,
)
from manyfit.space import Choice, Space

# An option is shown by its text up to this length, otherwise by its index.
_MOST_TEXT = 60


@dataclass(frozen=True)
class Layout:
    """A space of Hyperopt, and what is needed to translate points of it.

    Attributes:
        expression: The user's space.
        params: Its hyperparameters by label.
        space: The same space, as Manyfit searches it.
        labels: The labels of the options of each choice, in order.
    """

    expression: Expression
    params: Mapping[str, Param]
    space: Space
    labels: Mapping[str, Sequence[Label]]

    @classmethod
    def of(cls, space: Any) -> "Layout":
        """Return the layout of a space.

        Raises:
            DuplicateLabel: Two hyperparameters have the same label.
            SpaceError: It breaks another rule.
        """
        expression = as_expression(space)
        params = params_of(expression)
        switches = {node.index.label: node for node in _switches(expression)}
        labels = {label: _labels(node.options) for label, node in switches.items()}
        for label, param in params.items():
            if param.law.count and label not in switches:
                raise SpaceError(f"the options of hp.choice({label!r}) are missing in the space")
        places = _Places(expression)
        entries = _Entries(params, switches, labels, places).at(())
        return cls(expression, params, Space(entries), labels)

    @cached_property
    def fixed(self) -> dict[str, Any]:
        """The hyperparameters that have one value only, which are not searched."""
        laws = {label: param.law for label, param in self.params.items()}
        return {n: law.only for n, law in laws.items() if not law.count and law.domain is None}

    def values(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return the active hyperparameters of stored params as Hyperopt has them.

        Choices are indices, and rounded laws floats.
        """
        found = {label: self._read(label, value) for label, value in stored.items()}
        found |= self.fixed
        needed = active(self.expression, found)
        return {label: found[label] for label in self.params if label in needed}

    def _read(self, label: str, stored: Any) -> Any:
        if label not in self.labels:
            return self.params[label].law.read(stored)
        known = [(type(each), each) for each in self.labels[label]]
        return known.index((type(stored), stored))  # True == 1 == 1.0

    def stored(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a point of Hyperopt, by label, for `start_with` or `Space.store`.

        Raises:
            SpaceError: A label is unknown, or an index is out of range.
        """
        point: dict[str, Any] = {}
        for label, value in values.items():
            if label not in self.params:
                listed = ", ".join(self.params) or "none"
                raise SpaceError(f"{label!r} is not a label of the space, which has {listed}")
            if label not in self.fixed:
                point[label] = self._label(label, value) if label in self.labels else value
        return point

    def _label(self, label: str, value: Any) -> Label:
        known = self.labels[label]
        index = value.item() if isinstance(value, np.generic) else value
        if isinstance(index, bool | str) or index not in range(len(known)):
            raise SpaceError(
                f"{label} must be {self.params[label].law.rule}, but got {value!r:.200}"
            )
        return known[int(index)]

    def materialize(self, stored: Mapping[str, Any]) -> Any:
        """Return what the objective receives."""
        return evaluate(self.expression, self.values(stored))


class _Places:
    """Where each hyperparameter is active: paths of choices and options, from the top.

    One that is used in several places which exclude one another is in each of them. Otherwise it is
    in the branch that they share, and at times has a value that isn't used.
    """

    def __init__(self, expression: Expression) -> None:
        self._uses: dict[str, list[tuple[str, int] | None]] = {}
        self._found: dict[str, tuple[Path, ...]] = {}
        self._seen: set[tuple[int, tuple[str, int] | None]] = set()
        self._visit(expression, None)

    def _visit(self, node: Expression, where: tuple[str, int] | None) -> None:
        if (id(node), where) in self._seen:
            return
        self._seen.add((id(node), where))
        match node:
            case Param():
                self._uses.setdefault(node.label, []).append(where)
            case Switch():
                self._visit(node.index, where)
                for place, option in enumerate(node.options):
                    self._visit(option, (node.index.label, place))
            case _:
                for each in node.inputs():
                    self._visit(each, where)

    def of(self, label: str) -> tuple[Path, ...]:
        if label not in self._found:
            found: dict[Path, None] = {}
            for use in self._uses[label]:
                paths: Sequence[Path] = ((),)
                if use is not None:
                    choice, place = use
                    paths = [(*path, (choice, str(place))) for path in self.of(choice)]
                found.update(dict.fromkeys(paths))
            self._found[label] = _settled(tuple(found))
        return self._found[label]


def _settled(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    pairs = ((one, other) for i, one in enumerate(paths) for other in paths[:i])
    if all(exclude_one_another(one, other) for one, other in pairs):
        return paths
    shared: list[tuple[str, str]] = []
    for steps in zip(*paths, strict=False):
        if len(set(steps)) > 1:
            break
        shared.append(steps[0])
    return (tuple(shared),)


@dataclass(frozen=True)
class _Entries:
    """Builds the entries of Manyfit's space, branch by branch."""

    params: Mapping[str, Param]
    switches: Mapping[str, Switch]
    labels: Mapping[str, Sequence[Label]]
    places: _Places

    def at(self, path: Path) -> dict[str, Any]:
        """Return the entries of a branch."""
        return {
            label: self._entry(label, param, path)
            for label, param in self.params.items()
            if path in self.places.of(label) and (param.law.count or param.law.domain is not None)
        }

    def _entry(self, label: str, param: Param, path: Path) -> Any:
        if not param.law.count:
            return param.law.domain
        labels = self.labels[label]
        weights = param.law.weights or [1.0] * len(labels)
        drawn = [place for place in range(len(labels)) if weights[place] > 0]
        kept = None if param.law.weights is None else [weights[place] for place in drawn]
        branches = {str(labels[i]): self.at((*path, (label, str(i)))) for i in drawn}
        if any(branches.values()):
            return Choice(branches, weights=kept)
        return Choice([labels[i] for i in drawn], weights=kept)


def _switches(expression: Expression) -> list[Switch]:
    found: dict[int, Switch] = {}
    nodes, seen = [expression], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) not in seen:
            seen.add(id(node))
            nodes += node.inputs()
            if isinstance(node, Switch):
                found[id(node)] = node
    return list(found.values())


def _labels(options: Sequence[Expression]) -> Sequence[Label]:
    """Return short texts or values that tell options apart; otherwise their indices.

    The names of branches are strings: for a dict such as `{"type": "svm", "C": ...}` it is "svm".
    """
    has_params = any(params_of(option) for option in options)
    names = [_branch(option) if has_params else _value(option) for option in options]
    is_clear = ... not in names and "" not in names
    if is_clear and len(set(map(repr, names))) == len(names):
        return names
    return [str(i) if has_params else i for i in range(len(options))]


def _branch(option: Expression) -> Any:
    """Return a name for a branch: the first text in it, or its only value; `...` for none."""
    if isinstance(option, Items):
        fixed = [_plain(each.value) for each in option.values if isinstance(each, Literal)]
        texts = [value for value in fixed if isinstance(value, str)]
        return texts[0] if texts else ...
    value = _value(option)
    return value if value is ... else str(value)


def _value(option: Expression) -> Any:
    """Return a label for an option; `...` if it has none that is short and lasting."""
    if params_of(option):
        return ...
    value = _plain(evaluate(option, {}))
    if is_label(value):
        return value
    text = getattr(value, "__qualname__", repr(value))
    return text if len(text) <= _MOST_TEXT and "<" not in text else ...


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
