"""The domain of a hyperparameter that isn't a number: one of some options or branches."""

import bisect
import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np

from manyfit._foreign import Options, is_foreign, translated
from manyfit._labels import Label, constant_to_json, is_label, label
from manyfit._nested import PathName, unfolded
from manyfit._numbers import as_number, broken, is_real
from manyfit._own import own
from manyfit._quantiles import Prior
from manyfit.domain import Float, Int
from manyfit.errors import SpaceError

# The value of a name in a space or a branch: a domain or a constant.
Entry: TypeAlias = Any

_CALLED = {"Float": "Float(0.0, 1.0)", "Int": "Int(1, 9)", "Choice": 'Choice(["a", "b"])'}


@dataclass(frozen=True, repr=False, eq=False)
class Choice:
    """One of several options, which have no order.

    An option can be any value. Plain JSON values (None, a bool, a number, a string) are recorded
    as they are. Any other option is recorded by its label: the qualified name of a function or
    class, the `repr` of anything else. Two options with the same label are an error.

    A mapping from names to mappings holds branches: the params of a branch are active only when the
    branch is chosen. A branch may be empty, hold constants, and hold a Choice with branches again.
    Its name, which the objective receives, may also be None, a bool or a number.

    Args:
        options: The options in order, or the branches by name.
        weights: The relative frequency with which each option is drawn at random, in the same
            order. A sampler that models the results (TPE) learns its own instead.

    Raises:
        SpaceError: There are no options, two have the same label, the label of one differs from
            process to process, or weights are not one positive number for each option.

    Example:
        >>> Choice(["adam", "sgd"], weights=[3, 1])
        Choice(['adam', 'sgd'], weights=[3.0, 1.0])
        >>> Choice({"svm": {"C": Float(0.1, 10)}, "forest": {"depth": Int(2, 9)}}).labels
        ('svm', 'forest')
    """

    options: Any
    _: KW_ONLY
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        is_branches = isinstance(self.options, Mapping)
        options = _to_branches(self.options) if is_branches else _to_options(self.options)
        object.__setattr__(self, "options", options)
        if not options:
            raise SpaceError(f"{self!r} needs at least one option")
        twins = [label for i, label in enumerate(self.labels) if self.place(label) != i]
        if twins:
            raise SpaceError(
                f"{self!r} has options that can't be told apart: {twins[0]!r} is there twice"
            )
        if self.weights is not None:
            object.__setattr__(self, "weights", _to_weights(self.weights, len(options)))

    @functools.cached_property
    def labels(self) -> tuple[Label, ...]:
        """The labels of the options, by which the journal records them."""
        return tuple(self.options) if self.branches is not None else tuple(map(label, self.options))

    @property
    def branches(self) -> Mapping[Label, Mapping[str, Entry]] | None:
        """The branches by name; None if the options are plain."""
        return self.options if isinstance(self.options, Mapping) else None

    @functools.cached_property
    def _places(self) -> dict[tuple[type, Label], int]:
        places: dict[tuple[type, Label], int] = {}
        for place, name in enumerate(self.labels):
            places.setdefault((type(name), name), place)
        return places

    def place(self, name: object) -> int | None:
        """Return the index of the option with this label; None if there is none."""
        # The type is part of the key, because True == 1 == 1.0.
        return self._places.get((type(name), name)) if is_label(name) else None

    @property
    def size(self) -> int | None:
        """The number of options, or of configurations in all branches; None if that is infinite."""
        return self._ends[-1] if self._ends else None

    @functools.cached_property
    def _ends(self) -> tuple[int, ...]:
        """The end index of each option's configurations in the list of all; empty if infinite."""
        if self.branches is None:
            return tuple(range(1, len(self.options) + 1))
        sizes = [size_of(branch) for branch in self.branches.values()]
        return () if None in sizes else tuple(accumulate(sizes))  # type: ignore[arg-type]

    @property
    def rule(self) -> str:
        """The rule that a value must keep, as the end of a sentence."""
        return f"one of {', '.join(map(repr, self.labels))}"

    def at(self, index: int) -> tuple[Label, int]:
        """Return the option of configuration `index`, and the index within that option."""
        place = bisect.bisect_right(self._ends, index)
        return self.labels[place], index - (self._ends[place - 1] if place else 0)

    def branch(self, name: object) -> Mapping[str, Entry]:
        """Return the entries of the branch of this name; empty if there is no such branch."""
        if self.branches is None or self.place(name) is None:
            return {}
        return self.branches[name]  # type: ignore[index] # it has a place, so it is a label

    def option(self, name: Label) -> Any:
        """Return the option with a label, as the objective receives it."""
        if self.branches is not None:
            return name
        return self.options[self._places[type(name), name]]

    def contains(self, value: object) -> bool:
        """Return whether a value is in stored form: the label of an option."""
        return self.place(value) is not None

    def store(self, name: str, value: object) -> Label:
        """Return the label of an option, which may be given itself or by its label.

        Raises:
            SpaceError: There is no such option.
        """
        if isinstance(value, np.generic):
            value = value.item()
        for option, known in zip(self.options, self.labels, strict=True):
            if option is value:
                return known
        try:
            wanted = label(value)
        except SpaceError as error:
            raise broken(name, self.rule, value) from error
        if self.place(wanted) is not None:
            return wanted
        for place, known in enumerate(self.labels):
            if is_real(known) and is_real(value) and known == value:
                return self.labels[place]  # 32 for 32.0, which a table may have made of it
        raise broken(name, self.rule, value)

    @functools.cached_property
    def shares(self) -> tuple[float, ...]:
        """The end of each option's share of the unit interval."""
        weights: Any = [1.0] * len(self.labels) if self.weights is None else self.weights
        ends = list(accumulate(weights))
        return tuple(end / ends[-1] for end in ends)

    def encode(self, value: Label) -> float:
        """Return the position of a label in the unit interval: the middle of its share."""
        place = self._places[type(value), value]
        return (self.shares[place] + (self.shares[place - 1] if place else 0.0)) / 2

    def decode(self, unit: float) -> Label:
        """Return the label at a position in the unit interval."""
        return self.labels[min(bisect.bisect_right(self.shares, unit), len(self.labels) - 1)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Choice):
            return NotImplemented
        # Compared as text, because True == 1 == 1.0.
        return json.dumps(to_json("", self)) == json.dumps(to_json("", other))

    def __hash__(self) -> int:
        return hash(self.labels)

    def __repr__(self) -> str:
        weights = "" if self.weights is None else f", weights={list(self.weights)!r}"
        options = self.options if isinstance(self.options, Mapping) else list(self.options)
        return f"Choice({options!r}{weights})"


Domain: TypeAlias = Float | Int | Choice


def to_entries(items: Mapping[Any, Any], where: str) -> dict[str, Entry]:
    """Check the entries of a space or a branch, and turn NumPy scalars into Python's.

    Those inside dicts and lists are named by their paths.

    Raises:
        SpaceError: A name isn't a string or is there twice, or a value is of another library and
            has no counterpart.
    """
    if is_foreign(items):
        translated(where, items)
    entries: dict[str, Entry] = {}
    for name, given in _named(items, where):
        value = _own(translated(name, given)) if is_foreign(given) else given
        if name in entries:
            raise SpaceError(f"{name} is in {where} twice: give one of them another name")
        if _is_class(value):
            raise SpaceError(
                f"{name} in {where} is the class {value.__name__}, not an instance of it: "
                f"call it, as in {_CALLED[value.__name__]}"
            )
        entries[name] = value if isinstance(value, Domain) else _kept(value)
    return entries


def _named(items: Mapping[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
    for name, value in items.items():
        if not isinstance(name, str) or not name:
            raise SpaceError(f"a name in {where} must be a non-empty string, but got {name!r}")
        if not _is_nested(value):
            yield name, value
            continue
        for path, item in unfolded(name, value, _is_nested):
            yield path, _moved(item, path.rpartition(".")[0], path)


def _own(found: Any) -> Entry:
    return Choice(found.options, weights=found.weights) if isinstance(found, Options) else found


def _is_nested(value: object) -> bool:
    return (
        not isinstance(value, Domain) and not is_foreign(value) and holds_domain(value, is_foreign)
    )


def _moved(entry: Entry, home: str, path: str) -> Entry:
    """Return an entry of a dict whose path is `home`; the params of its branches are there, too."""
    if not isinstance(entry, Choice) or entry.branches is None:
        return entry
    if path.rpartition(".")[2].isdigit() and any(entry.branches.values()):
        raise SpaceError(
            f"{path} is a Choice of branches inside a list, where the params of its branches would "
            "have no place: put it into a dict"
        )
    options = {
        branch: {PathName(f"{home}.{n}"): _moved(e, home, n) for n, e in items.items()}
        for branch, items in entry.branches.items()
    }
    return Choice(options, weights=entry.weights)


def _kept(value: Any) -> Any:
    """Return a copy of an option or a constant, which the caller may go on to change."""
    return value.item() if isinstance(value, np.generic) else own(value)


def holds_domain(value: object, also: Callable[[Any], bool] = lambda _: False) -> bool:
    """Return whether a plain collection contains a domain, or a class of domains, at any depth.

    Args:
        value: The collection.
        also: What else counts as a domain.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(
            isinstance(item, Domain) or _is_class(item) or also(item) or holds_domain(item, also)
            for item in value
        )
    return False


def _is_class(value: object) -> bool:
    """Return whether it is the class `Float`, `Int` or `Choice`: the parentheses are missing."""
    return value in (Float, Int, Choice) if isinstance(value, type) else False


def size_of(entries: Mapping[str, Entry]) -> int | None:
    """Return the number of configurations of a space or a branch; None if infinite."""
    sizes = [entry.size for entry in entries.values() if isinstance(entry, Domain)]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def to_json(name: str, entry: Entry) -> dict[str, Any]:
    """Return an entry of a space as plain JSON, with labels for options and constants."""
    match entry:
        case Float() | Int():
            given = entry.given
            prior = {} if entry.prior is None else {"prior": entry.prior.to_json()}
            return {"type": type(entry).__name__.lower(), **given, **prior}
        case Choice():
            record: dict[str, Any] = {"type": "choice"}
            if entry.branches is None:
                record["options"] = list(entry.labels)
            else:
                record["branches"] = _branches_to_json(entry.branches)
            return record if entry.weights is None else {**record, "weights": list(entry.weights)}
    return {"type": "constant", "value": constant_to_json(name, entry)}


def _branches_to_json(branches: Mapping[Label, Mapping[str, Entry]]) -> Any:
    """Return branches as an object, or as pairs if the name of one isn't a string."""
    records = {branch: to_records(items) for branch, items in branches.items()}
    is_plain = all(isinstance(branch, str) for branch in records)
    return records if is_plain else [[branch, record] for branch, record in records.items()]


def to_records(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """Return the entries of a space or a branch as plain JSON."""
    nested = {"nested": True}
    return {
        name: to_json(name, entry) | (nested if isinstance(name, PathName) else {})
        for name, entry in entries.items()
    }


def from_records(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Entry]:
    """Return the entries that `to_records` described."""
    return {
        (PathName(name) if record.get("nested") else name): from_json(record)
        for name, record in records.items()
    }


def from_json(record: Mapping[str, Any]) -> Entry:
    """Return the entry that `to_json` described; options that aren't JSON come back as labels.

    Raises:
        SpaceError: `record` doesn't describe an entry.
    """
    fields = {name: value for name, value in record.items() if name != "nested"}
    match fields.pop("type", None):
        case "float" | "int" as kind:
            prior = {"prior": Prior.from_json(fields["prior"])} if "prior" in fields else {}
            return (Float if kind == "float" else Int)(**{**fields, **prior})
        case "choice":
            options = fields.get("options")
            if options is None:
                branches = fields["branches"]
                options = {
                    branch: from_records(items)
                    for branch, items in (branches.items() if type(branches) is dict else branches)
                }
            return Choice(options, weights=fields.get("weights"))
        case "constant":
            return fields["value"]
    raise SpaceError(f"not a record of a Float, Int, Choice or constant: {dict(record)!r}")


def _to_options(options: Any) -> tuple[Any, ...]:
    if isinstance(options, str | bytes | set | frozenset) or not isinstance(options, Iterable):
        raise SpaceError(
            f"Choice needs a list of options, or a mapping of branches, but got {options!r:.200}"
        )
    found = tuple(map(_kept, options))
    for option in found:
        if holds_domain([option], is_foreign):
            raise SpaceError(
                f"an option of a Choice can't hold a Float, Int or Choice, or one of another "
                f"library, but got {option!r:.200}"
                '. Give branches by name: Choice({"svm": {"C": Float(0.1, 10)}, "forest": {}})'
            )
    return found


def _to_branches(branches: Mapping[Any, Any]) -> dict[Label, dict[str, Entry]]:
    for name, items in branches.items():
        if not isinstance(items, Mapping):
            raise SpaceError(
                f"a mapping in a Choice names branches, each a mapping of params, but {name!r} is "
                f"{items!r:.200}. For plain options give a list: Choice({list(branches)!r:.200}); "
                'for branches: Choice({"svm": {"C": Float(0.1, 10)}, "forest": {}})'
            )
        if not is_label(name) or name == "":
            raise SpaceError(
                "a branch's name must be a non-empty string, a number, a bool or None, but got "
                f"{name!r}"
            )
    return {name: to_entries(items, f"branch {name!r}") for name, items in branches.items()}


def _to_weights(weights: Iterable[Any], count: int) -> tuple[float, ...]:
    if not isinstance(weights, Iterable):
        raise SpaceError(f"weights must be a list of numbers, but got {weights!r:.200}")
    given = list(weights)
    if len(given) != count:
        raise SpaceError(f"a Choice of {count} options needs {count} weights, but got {len(given)}")
    found = tuple(as_number(weight) for weight in given)
    # A smaller share would vanish in the rounding of a uniform number.
    if not all(math.isfinite(w) and w >= 1e-6 * sum(found) > 0 for w in found):
        raise SpaceError(
            f"weights must be positive numbers, each at least a millionth of their sum, but got "
            f"{given!r:.200}. Leave out an option that must never be drawn"
        )
    return found
