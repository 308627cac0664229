"""Spaces of ConfigSpace: its conditions become branches of a Choice."""

from collections.abc import Mapping
from typing import Any

from manyfit.choice import Choice, Entry
from manyfit.errors import SpaceError

_BRANCHING = ("EqualsCondition", "NotEqualsCondition", "InCondition")


def is_configuration_space(value: object) -> bool:
    """Return whether this is a space of ConfigSpace, which isn't imported for it."""
    return type(value).__module__.startswith("ConfigSpace.") and hasattr(value, "conditions")


def entries_of(space: Any) -> dict[str, Entry]:
    """Return the entries of a space of ConfigSpace.

    Raises:
        SpaceError: It has forbidden clauses, or a condition that no branch can stand for.
    """
    if space.forbidden_clauses:
        raise SpaceError(
            f"the space of ConfigSpace forbids {space.forbidden_clauses[0]}: a space has no such "
            "clauses. Leave it out, and raise manyfit.TrialStopped in the objective, or make "
            "branches of a Choice"
        )
    under: dict[str, dict[str, list[Any]]] = {}  # parent → child → the values that activate it
    conditional: set[str] = set()
    for condition in space.conditions:
        parent, child, values = _read(condition)
        if child in conditional:
            raise SpaceError(f"{child} has several conditions in ConfigSpace: {_ADVICE}")
        conditional.add(child)
        under.setdefault(parent, {})[child] = values
    return {name: _entry(space, name, under) for name in space if name not in conditional}


_ADVICE = (
    "only one condition, on the value of a categorical parent, can become a branch of a Choice"
)


def _read(condition: Any) -> tuple[str, str, list[Any]]:
    kind = type(condition).__name__
    if kind not in _BRANCHING or not hasattr(condition.parent, "choices"):
        raise SpaceError(f"the condition {condition} of ConfigSpace is refused: {_ADVICE}")
    options = list(condition.parent.choices)
    given = list(condition.values) if kind == "InCondition" else [condition.value]
    values = [each for each in options if (each in given) != (kind == "NotEqualsCondition")]
    return condition.parent.name, condition.child.name, values


def _entry(space: Any, name: str, under: Mapping[str, Mapping[str, list[Any]]]) -> Entry:
    found = space[name]
    if name not in under:
        return found
    branches = {
        option: {
            child: _entry(space, child, under)
            for child, values in under[name].items()
            if option in values
        }
        for option in found.choices
    }
    return Choice(branches, weights=found.weights)
