"""The space of hyperparameters: their names, their domains, and when each is active."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit._configspace import entries_of, is_configuration_space
from manyfit._labels import Label, constant_to_json, same
from manyfit._nested import PathName, folded, leaves
from manyfit._numbers import broken
from manyfit._own import own_values
from manyfit._refused import chosen, missing, refuse_options, refuse_others, refuse_twice
from manyfit._tree import Path, at, described, exclude_one_another, flatten, replaced, walk, when
from manyfit.choice import (
    Choice,
    Domain,
    Entry,
    from_records,
    size_of,
    to_entries,
    to_records,
)
from manyfit.domain import Float, Int
from manyfit.errors import SpaceError
from manyfit.trial import Params

__all__ = ["Choice", "Domain", "Float", "Int", "Label", "Space"]


class Space:
    """Named domains and constants, some of them active only in a branch of a Choice.

    A name is unique among the params that can be active together; two branches of one Choice may
    share a name for the same domain. A value that isn't a Float, Int or Choice is a constant: the
    objective receives it, and it is never tuned. A list or a range is refused, because it may be
    meant as options: pass a Choice of it, or a tuple.

    A dict or a list that has a Float, Int or Choice inside is searched, too. The objective receives
    it as it is written; everywhere else, a param in it is named by its path: `optimizer.betas.0`.

    Params have two forms. The stored form is plain JSON: labels for options, active params only, no
    constants. `materialize` turns it into what the objective receives: copies, but for values that
    can't be copied, such as a lock, and those of `manyfit.share`.

    A space of another library is translated; the guide (`docs/spaces.md`) says to what.

    Args:
        entries: Domains and constants by name, in the order in which they are shown.

    Raises:
        SpaceError: A name isn't a string, can be active twice, or has different domains in two
            branches; or a constant looks like options, as a list, a set or a one-dimensional array
            does.

    Example:
        >>> model = Choice({"neighbors": {"k": Int(1, 9)}, "bayes": {}})
        >>> space = Space({"scale": Choice([False, True]), "model": model})
        >>> list(space.params)
        ['scale', 'model', 'k']
        >>> space.active({"scale": True, "model": "bayes"})
        ('scale', 'model')
        >>> space.size
        20
    """

    params: Mapping[str, Domain]
    constants: Mapping[str, Any]

    def __init__(self, entries: Mapping[str, Any]) -> None:
        if is_configuration_space(entries):
            entries = entries_of(entries)
        if not isinstance(entries, Mapping):
            raise SpaceError(
                f"a space must be a dict of names and domains, but got {entries!r:.200} "
                f"({type(entries).__name__})"
            )
        self._fill(entries)
        for path, name, entry in flatten(self._entries, ()):
            if isinstance(entry, Space):
                raise SpaceError(f"{name} is a Space inside a space: write its dict there")
            refuse_options(name, entry, when(path))

    def _fill(self, entries: Mapping[str, Any]) -> None:
        self._entries = to_entries(entries, "the space")
        self._places: dict[str, list[Path]] = {}
        found: dict[str, Entry] = {}
        for path, name, entry in flatten(self._entries, ()):
            self._add_place(name, path, found.setdefault(name, entry), entry)
        self._nested = frozenset(n for n in found if isinstance(n, PathName))
        for name in self._nested:
            steps = name.split(".")
            for home in {".".join(steps[:count]) for count in range(1, len(steps))} & found.keys():
                raise SpaceError(f"{home} is in the space twice: as itself, and around {name}")
        self.params = {n: entry for n, entry in found.items() if isinstance(entry, Domain)}
        branchless = len(found) == len(self._entries)
        self._always_active = tuple(self.params.items()) if branchless else None
        self.constants = {n: entry for n, entry in found.items() if n not in self.params}

    def _add_place(self, name: str, path: Path, known: Entry, entry: Entry) -> None:
        for other in self._places.setdefault(name, []):
            if not exclude_one_another(path, other):
                raise SpaceError(
                    f"{name} is in the space twice: {when(other)} and {when(path)}. Both could "
                    "be active at once; give them different names"
                )
            if not _alike(known, entry):
                raise SpaceError(
                    f"{name} stands for {known!r} {when(other)}, but for {entry!r} {when(path)}. "
                    "Give them different names"
                )
        self._places[name].append(path)

    def paths(self, name: str) -> tuple[Path, ...]:
        """Return the choices that activate a param, one path for each branch; () at the top."""
        return tuple(self._places[name])

    @classmethod
    def of(cls, space: "Space | Mapping[str, Any]") -> "Space":
        """Return a space unchanged, or make one from a mapping."""
        return space if isinstance(space, Space) else cls(space)

    # ── points ────────────────────────────────────────────────────────────────────────────────

    def walk(self, params: Params) -> Iterator[tuple[str, Domain]]:
        """Return the active names and domains, each Choice before the params of its branch.

        `params` may grow during iteration: a Choice is looked up only after it was yielded, so a
        caller can draw each value as its name is yielded.
        """
        if self._always_active is not None:
            return iter(self._always_active)
        return ((n, entry) for n, entry in walk(self._entries, params) if isinstance(entry, Domain))

    def active(self, params: Params) -> tuple[str, ...]:
        """Return the names of the params that are active under the choices made in `params`."""
        return tuple(name for name, _ in self.walk(params))

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw params at random: uniformly, or by `log` and `weights` where given."""
        params: dict[str, Any] = {}
        for name, domain in self.walk(params):
            params[name] = domain.decode(rng.random())
        return params

    def check(self, params: Params) -> None:
        """Check that `params` are in this space, in stored form.

        Raises:
            SpaceError: A name is missing, unknown or inactive, or a value breaks its domain's rule.
        """
        if not isinstance(params, Mapping):
            raise SpaceError(f"params must be a dict, but got {params!r:.200}")
        active = set()
        for name, domain in self.walk(params):
            if name not in params:
                raise SpaceError(missing(name, domain.rule, params))
            if not domain.contains(params[name]):
                raise broken(name, domain.rule, params[name])
            active.add(name)
        refuse_others(params, active, self._places)

    def contains(self, params: Params) -> bool:
        """Return whether `params` are in this space, in stored form."""
        try:
            self.check(params)
        except SpaceError:
            return False
        return True

    def store(
        self, point: Mapping[str, Any], rng: np.random.Generator | None = None
    ) -> dict[str, Any]:
        """Return a point that a user wrote, in stored form.

        Options may be given themselves or by label, whole numbers as floats; constants may be left
        out. With `rng`, missing params are drawn; the branches are those of the params given.

        Raises:
            SpaceError: A name is missing, unknown or inactive, a value breaks its domain's rule, or
                a constant has another value.
        """
        if not isinstance(point, Mapping):
            raise SpaceError(f"a point must be a dict of params, but got {point!r:.200}")
        point = {name: _plain(value) for name, value in self.flat(point).items()}
        params: dict[str, Any] = {}
        constants: set[str] = set()
        for name, entry in walk(self._entries, params):
            if isinstance(entry, Domain):
                if name in point:
                    params[name] = entry.store(name, point[name])
                elif rng is None:
                    raise SpaceError(missing(name, entry.rule, point))
                else:
                    params[name] = self._drawn(name, entry, point, rng)
            elif name in point:
                constants.add(name)
                if not _alike(entry, point[name]):
                    raise SpaceError(
                        f"{name} is the constant {constant_to_json(name, entry)!r}, but got "
                        f"{constant_to_json(name, point[name])!r}. Leave it out"
                    )
        refuse_others(point, {*params, *constants}, self._places)
        return params

    def _drawn(
        self, name: str, domain: Domain, point: Mapping[str, Any], rng: np.random.Generator
    ) -> Any:
        """Draw a param that a point leaves out; if it is a Choice, a branch of the params given."""
        steps = (step for other in point for path in self._places.get(other, ()) for step in path)
        branches = {branch for choice, branch in steps if choice == name}
        if not branches:
            return domain.decode(rng.random())
        return sorted(branches, key=str)[int(rng.integers(len(branches)))]

    def materialize(self, params: Params) -> dict[str, Any]:
        """Return what the objective receives: options instead of labels, and active constants.

        Each value is a copy that the caller may change, unless it can't be copied.

        Raises:
            SpaceError: A param is missing.
        """
        return own_values(self.folded(self.look_up(self.flat(params) if self._nested else params)))

    def folded(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by name inside the dicts and lists that the space has them in."""
        return folded(values, self._nested) if self._nested else dict(values)

    def flat(self, params: Params) -> dict[str, Any]:
        """Return params of which those inside dicts and lists are named by their paths."""
        roots = {name.partition(".")[0] for name in self._nested} - self._places.keys()
        found: dict[str, Any] = {}
        for name, value in params.items():
            inner = dict(leaves(name, value, self._places) if name in roots else [(name, value)])
            refuse_twice(inner.keys() & found.keys())
            found |= inner
        return found

    def look_up(self, params: Params) -> dict[str, Any]:
        """Return the space's own objects by name, which `materialize` copies: don't change them."""
        return {n: chosen(n, entry, params) for n, entry in walk(self._entries, params)}

    def key(self, params: Params) -> str:
        """Return a string that is the same for equal params in any order."""
        return _in_order(params)

    # ── all points, in order ──────────────────────────────────────────────────────────────────

    @cached_property
    def size(self) -> int | None:
        """The number of distinct configurations; None if infinite."""
        return size_of(self._entries)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Return every configuration once; the last param changes fastest.

        Raises:
            SpaceError: As for `finite_size`.
        """
        return map(self.at, range(self.finite_size()))

    def at(self, index: int) -> dict[str, Any]:
        """Return the configuration at `index`, from 0, in the order of `grid`.

        Raises:
            SpaceError: As for `finite_size`.
            IndexError: `index` is not in `range(size)`.
        """
        if not 0 <= index < self.finite_size():
            raise IndexError(f"a space of {self.size} configurations has none at index {index}")
        params = at(self._entries, index)
        return {name: params[name] for name in self.active(params)}

    def finite_size(self) -> int:
        """Return the number of configurations.

        Raises:
            SpaceError: There are infinitely many; the message says how to change that.
        """
        if self.size is None:
            endless = [name for name, domain in self.params.items() if _is_endless(domain)]
            raise SpaceError(
                f"the space is infinite: {', '.join(endless)} may be any number. "
                "Give it a step and bounds, or list its values in a Choice"
            )
        return self.size

    # ── the unit cube ─────────────────────────────────────────────────────────────────────────

    def encode(self, params: Params) -> NDArray[np.float64]:
        """Return stored params as a point of the unit cube, one entry for each of `self.params`.

        An inactive param is NaN. Decoding returns the same params, except for rounding in the last
        digits of a Float, and of a log Int beyond about 10**12.
        """
        return np.array(
            [
                domain.encode(params[name]) if name in params else math.nan
                for name, domain in self.params.items()
            ],
            dtype=np.float64,
        )

    def decode(self, unit: Sequence[float] | NDArray[np.float64]) -> dict[str, Any]:
        """Return the stored params at a point of the unit cube; inactive entries are ignored.

        Raises:
            SpaceError: The length isn't that of `self.params`, or an active entry is NaN.
        """
        if len(unit) != len(self.params):
            raise SpaceError(f"a point needs {len(self.params)} entries, but got {len(unit)}")
        places = dict(zip(self.params, map(float, unit), strict=True))
        params: dict[str, Any] = {}
        for name, domain in self.walk(params):
            if math.isnan(places[name]):
                raise SpaceError(f"{name} is active, but its entry in the unit cube is NaN")
            params[name] = domain.decode(places[name])
        return params

    # ── records ───────────────────────────────────────────────────────────────────────────────

    def to_json(self) -> dict[str, Any]:
        """Return the space as plain JSON; options and constants that are not JSON become labels.

        A constant that looks like a credential is redacted.
        """
        return to_records(self._entries)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Space":
        """Return the space that `to_json` described, with labels for values that aren't JSON.

        Raises:
            SpaceError: `record` doesn't describe a space.
        """
        space = cls.__new__(cls)
        space._fill(from_records(record))
        return space

    def replaced(self, changes: Mapping[str, Any]) -> "Space":
        """Return a space with other domains or constants for some names, wherever they are."""
        space = Space.__new__(Space)
        space._fill(replaced(self._entries, changes))
        return space

    def difference(self, other: "Space") -> list[str]:
        """Return the changes from this space to `other`, a sentence for each name that differs."""
        old, new = described(self._entries), described(other._entries)
        return [
            *(
                f"{name}: {old[name]} became {new[name]}"
                for name in old
                if name in new and old[name] != new[name]
            ),
            *(f"- {name}: {old[name]}" for name in old if name not in new),
            *(f"+ {name}: {new[name]}" for name in new if name not in old),
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Space):
            return NotImplemented
        return json.dumps(self.to_json()) == json.dumps(other.to_json())

    def __hash__(self) -> int:
        return hash(tuple(self._places))

    def __repr__(self) -> str:
        shown = {
            name: entry if isinstance(entry, Domain) else constant_to_json(name, entry)
            for name, entry in self._entries.items()
        }
        return f"Space({shown!r})"


# Made once: with arguments, `json.dumps` makes an encoder for each call, which takes as long as
# encoding. See https://github.com/python/cpython/blob/3.11/Lib/json/__init__.py
_in_order = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _alike(one: Entry, other: Entry) -> bool:
    if isinstance(one, Domain) or isinstance(other, Domain):
        return bool(one == other)
    return one is other or same(one, other)


def _is_endless(domain: Domain) -> bool:
    return domain.size is None and not isinstance(domain, Choice)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
