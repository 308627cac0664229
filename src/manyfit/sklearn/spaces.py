"""Spaces of scikit-learn's kind as spaces of Manyfit, and params of a trial back as settings.

::

    {"C": loguniform(1e-3, 10), "clf": [SVC(), Ridge()]}    settings: what `set_params` receives
                    │                                                  ▲
                    ▼                                                  │
    Space({"C": Float(.., log=True), "clf": Choice(["SVC()", ..])}) ─► params: plain JSON

The space has labels for options, so estimators, arrays and None are values like any other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from manyfit._foreign import of_scipy
from manyfit._labels import Label, label
from manyfit._tree import Path, exclude_one_another
from manyfit.choice import Choice, Domain
from manyfit.domain import Float, Int
from manyfit.errors import SpaceError
from manyfit.space import Space
from manyfit.trial import Params

_MOST_LABEL = 100
# The choice among several grids, and what stands before their numbers.
_GRID = "grid"
_LARGEST_SEED = 2**31 - 1


class Reading(Protocol):
    """Turns what a trial has stored into the value of a param of the estimator."""

    def value(self, stored: Any) -> Any:
        """Return the value of the param."""


@dataclass(frozen=True)
class _Same:
    def value(self, stored: Any) -> Any:
        return stored


@dataclass(frozen=True)
class _Constant:
    given: Any

    def value(self, stored: Any) -> Any:  # noqa: ARG002 - it is the same in all trials
        return self.given


@dataclass(frozen=True)
class _Option:
    options: Mapping[tuple[type, Label], Any]

    def value(self, stored: Label) -> Any:
        return self.options[type(stored), stored]


@dataclass(frozen=True)
class _Draw:
    distribution: Any

    def value(self, stored: int) -> Any:
        found = self.distribution.rvs(random_state=stored)
        return found.item() if isinstance(found, np.generic) else found


@dataclass(frozen=True)
class Entry:
    """What a space has under one name.

    Attributes:
        name: The name in the space of Manyfit; unused by a constant.
        param: The param of the estimator; None if the entry only chooses a branch.
        domain: The domain; None for a constant.
        reading: Turns stored values into values of the param.
        branches: The entries of each branch.
    """

    name: str
    param: str | None
    domain: Domain | None
    reading: Reading
    branches: Mapping[Label, Sequence["Entry"]] = field(default_factory=dict)


class SettingsSpace:
    """A space of settings for an estimator's `set_params`.

    Args:
        given: A mapping from params to lists, distributions of SciPy (or anything with `rvs`),
            `Float`, `Int` or `Choice`; or a list of such mappings, one of which each trial chooses.
            A branch of a Choice may also have constants. If it names the Choice's own param, as in
            `"clf": Choice({"svm": {"clf": SVC(), "clf__C": Float(0.1, 10)}, ...})`, the param gets
            that value; otherwise it gets the branch's name, unless there is no such param.
        known: Whether the estimator has a param of a name.

    Attributes:
        space: The space of Manyfit. Two options that are equal are two options.

    Raises:
        TypeError: Something is neither options nor a distribution.
        ValueError: There are no options, or a param can be set twice at once.
    """

    def __init__(self, given: Any, known: Mapping[str, Any]) -> None:
        self._known = known
        self._named: dict[str, list[tuple[Path, Domain]]] = {}
        self._set: dict[str, list[Path]] = {}
        self._entries = self._top(given)
        self.space = Space(dict(_as_domains(self._entries)))

    def marked(self, marks: Mapping[str, str]) -> Space:
        """Return the space with constants that say what it is searched for."""
        return Space({**dict(_as_domains(self._entries)), **marks})

    def settings(self, params: Params) -> dict[str, Any]:
        """Return the settings of a trial, by name; the values are the user's own objects."""
        return dict(sorted(_read(self._entries, params)))

    def examples(self) -> Iterator[dict[str, Any]]:
        """Yield settings in which each param, each branch and each estimator occurs."""
        rng = np.random.default_rng(0)
        yield self.settings(self.space.sample(rng))
        for name, domain in self.space.params.items():
            for chosen in domain.labels if isinstance(domain, Choice) else (domain.decode(0.5),):
                yield self.settings(self.space.store({name: chosen}, rng))

    # ── what the user wrote ───────────────────────────────────────────────────────────────────

    def _top(self, given: Any) -> list[Entry]:
        if isinstance(given, Space):
            raise TypeError(
                "space must be a dict or a list of dicts, but got a Space: pass its dict"
            )
        if isinstance(given, Mapping):
            return self._entries_of(given, (), strict=True)
        if not isinstance(given, Iterable) or isinstance(given, str):
            raise TypeError(
                f"Parameter grid should be a dict or a list, got: {given!r} of type "
                f"{type(given).__name__}"
            )
        grids = list(given)
        for grid in grids:
            if not isinstance(grid, Mapping):
                raise TypeError(f"Parameter grid is not a dict ({grid!r})")
        if len(grids) < 2:
            return self._entries_of(grids[0] if grids else {}, (), strict=True)
        names = [str(number) for number in range(len(grids))]
        branches: dict[Label, list[Entry]] = {
            name: self._entries_of(grid, ((_GRID, name),), strict=True)
            for name, grid in zip(names, grids, strict=True)
        }
        return [Entry(_GRID, None, _choice_of(branches), _Same(), branches)]

    def _entries_of(self, given: Mapping[Any, Any], path: Path, *, strict: bool) -> list[Entry]:
        for name in given:
            if not isinstance(name, str):
                raise TypeError(f"names of params must be strings, but got {name!r:.200}")
        return [self._entry(name, given[name], path, strict=strict) for name in sorted(given)]

    def _entry(self, param: str, value: Any, path: Path, *, strict: bool) -> Entry:
        if isinstance(value, Choice) and value.branches is not None:
            return self._branching(param, value, path)
        self._note(param, path)
        domain, reading = _domain_of(param, value)
        if domain is None:
            if strict:
                raise TypeError(
                    f"Parameter grid for parameter {param!r} needs to be a list or a numpy array, "
                    f"but got {value!r} (of type {type(value).__name__}) instead. Single values "
                    "need to be wrapped in a list with one element. It may also be a distribution "
                    "of scipy.stats, a Float, an Int or a Choice."
                )
            return Entry(param, param, None, reading)
        name = f"{param}.seed" if isinstance(reading, _Draw) else param
        return Entry(self._name(name, domain, path), param, domain, reading)

    def _branching(self, param: str, value: Choice, path: Path) -> Entry:
        branches: Mapping[Label, Mapping[str, Any]] = value.branches or {}
        names_itself = any(param in branch for branch in branches.values())
        is_param = param in self._known and not names_itself
        if is_param and hasattr(self._known[param], "get_params"):
            raise SpaceError(
                f"each branch of {param} must say which estimator it stands for, as in "
                f"{param!r}: Choice({{'svm': {{{param!r}: SVC(), ...}}, ...}})"
            )
        if is_param:
            self._note(param, path)
        name = self._free(param)
        self._named[name] = [(path, value)]
        found = {
            branch: self._entries_of(items, (*path, (name, branch)), strict=False)
            for branch, items in branches.items()
        }
        domain = _choice_of(found, value.weights)
        return Entry(name, param if is_param else None, domain, _Same(), found)

    # ── names ─────────────────────────────────────────────────────────────────────────────────

    def _note(self, param: str, path: Path) -> None:
        """Note that a param is set under some choices, and refuse to set it twice."""
        for other in self._set.setdefault(param, []):
            if not exclude_one_another(path, other):
                raise SpaceError(f"{param} is in the space twice, and both may be active at once")
        self._set[param].append(path)

    def _name(self, wanted: str, domain: Domain, path: Path) -> str:
        """Return a name for a domain: one that is free, or has the same domain in other branches.

        Grids of a list may have the same param with other values; a Space gives them two names.
        """
        for name, places in self._named.items():
            if name.partition(":")[0] == wanted and all(
                other == domain and exclude_one_another(path, there) for there, other in places
            ):
                places.append((path, domain))
                return name
        name = self._free(wanted)
        self._named[name] = [(path, domain)]
        return name

    def _free(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._named:
            number += 1
            name = f"{wanted}:{number}"
        return name


def _as_domains(entries: Iterable[Entry]) -> Iterator[tuple[str, Domain]]:
    return ((entry.name, entry.domain) for entry in entries if entry.domain is not None)


def _choice_of(
    branches: Mapping[Label, Sequence[Entry]], weights: Sequence[float] | None = None
) -> Choice:
    options = {name: dict(_as_domains(entries)) for name, entries in branches.items()}
    return Choice(options, weights=weights)


def _read(entries: Iterable[Entry], params: Params) -> Iterator[tuple[str, Any]]:
    for entry in entries:
        stored = None if entry.domain is None else params[entry.name]
        if entry.param is not None:
            yield entry.param, entry.reading.value(stored)
        yield from _read(entry.branches.get(stored, ()), params)


def _domain_of(param: str, value: Any) -> tuple[Domain | None, Reading]:
    """Return a domain for what a user wrote, and how to read it; no domain for a constant."""
    if isinstance(value, Float | Int):
        return value, _Same()
    if isinstance(value, Choice):
        return _options(value.options, value.weights)
    if hasattr(value, "rvs"):
        _check_frozen(param, value)
        return _distribution(value)
    if hasattr(value, "icdf") and hasattr(value, "sample"):
        raise SpaceError(
            f"{param} is a {type(value).__name__} of the new distributions of scipy.stats, which "
            "aren't accepted: give one with rvs, such as scipy.stats.norm(0, 1)"
        )
    if isinstance(value, np.ndarray) and value.ndim > 1:
        raise ValueError(
            f"Parameter array for {param!r} should be one-dimensional, got: {value!r:.200} with "
            f"shape {value.shape}"
        )
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | np.ndarray):
        return None, _Constant(value)
    if len(value) == 0:
        raise ValueError(
            f"Parameter grid for parameter {param!r} need to be a non-empty sequence, got: "
            f"{value!r}"
        )
    return _options(value, None)


def _check_frozen(param: str, value: Any) -> None:
    """Refuse a distribution of SciPy without the params that it needs."""
    if getattr(value, "numargs", 0) and not hasattr(value, "dist"):
        raise SpaceError(
            f"{param} is a distribution without its params: write "
            f"scipy.stats.{value.name}({value.shapes}) with numbers for {value.shapes}"
        )


def _options(values: Iterable[Any], weights: Sequence[float] | None) -> tuple[Choice, _Option]:
    found: dict[tuple[type, Label], Any] = {}
    for value in values:
        plain = value.item() if isinstance(value, np.generic) else value
        name = _label_of(plain, found.keys())
        found[type(name), name] = plain
    return Choice([name for _, name in found], weights=weights), _Option(found)


def _label_of(value: Any, taken: Iterable[tuple[type, Label]]) -> Label:
    """Return a label for an option that no other has, and that is the same in every process."""
    try:
        wanted = label(value)
    except SpaceError:  # its repr has an address
        wanted = type(value).__name__
    if isinstance(wanted, str):
        wanted = " ".join(wanted.split()) if len(wanted.split()) > 1 else wanted
        wanted = wanted if len(wanted) <= _MOST_LABEL else f"{wanted[:_MOST_LABEL]}..."
    found, number = wanted, 1
    while (type(found), found) in taken:
        number += 1
        found = f"{wanted} ({number})"
    return found


def _distribution(value: Any) -> tuple[Domain, Reading]:
    """Return a domain for a distribution of SciPy, or for anything else with `rvs`.

    What isn't a range or a prior to Manyfit is drawn with a seed that is tuned.
    """
    try:
        domain = of_scipy(value)
    except SpaceError:
        return Int(0, _LARGEST_SEED), _Draw(value)
    return domain, _Same()
