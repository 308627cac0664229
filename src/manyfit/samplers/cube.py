"""Configurations as rows of numbers, which a Gaussian process learns from and searches.

A row has one entry for each param of the space: the position of a number in the unit interval, the
index of a choice's option. An inactive param has a neutral entry, the middle or -1. Two
configurations that both lack a param therefore agree in it, and trials of different branches share
what the branches have in common (the imputation of Lévesque et al., "Bayesian optimization for
conditional hyperparameter spaces", 2017).
"""

import copy
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from manyfit.space import Choice, Space
from manyfit.trial import Params

Array: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = Array
"""An array of shape (configurations, params)."""

_MIDDLE = 0.5
_NO_OPTION = -1.0
# The radius of a crowd of configurations, as a share of the range of each param.
_CROWD = 0.15


@dataclass(frozen=True, eq=False)
class Points:
    """Configurations as a kernel sees them.

    Attributes:
        numbers: Numbers scaled to the unit interval, shape (configurations, numbers).
        corners: Choices, one-hot encoded, shape (configurations, all options of all choices).
        owners: For each column of `corners`, the index of its choice.
        active: 1 where a param is active, 0 elsewhere: numbers, then choices; shape
            (configurations, dimensions).
        typical: The mean number of active params of a configuration, over the whole space; 1 in a
            space without params.
        trends: The predictions of earlier studies, shape (configurations, studies).
    """

    numbers: Rows
    corners: Rows
    owners: NDArray[np.intp]
    active: Rows
    typical: float
    trends: Rows

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def dimensions(self) -> int:
        """The number of params that can differ."""
        return int(self.numbers.shape[1]) + (int(self.owners[-1]) + 1 if len(self.owners) else 0)

    def votes(self) -> Rows:
        """Return a weight for each configuration, so that a crowd of them counts as one.

        A sampler tries many configurations where losses are low. With these weights, the mean and
        deviation of the losses still describe the whole space.
        """
        squares = squared_distances(*[np.hstack([self.numbers, self.corners / math.sqrt(2.0)])] * 2)
        width = 2.0 * _CROWD**2 * self.typical
        return np.asarray(1.0 / np.exp(-squares / width).sum(axis=1))

    def __add__(self, other: "Points") -> "Points":
        return Points(
            np.concatenate([self.numbers, other.numbers]),
            np.concatenate([self.corners, other.corners]),
            self.owners,
            np.concatenate([self.active, other.active]),
            self.typical,
            np.concatenate([self.trends, other.trends]),
        )

    def __getitem__(self, which: slice | NDArray[np.intp]) -> "Points":
        return replace(
            self,
            numbers=self.numbers[which],
            corners=self.corners[which],
            active=self.active[which],
            trends=self.trends[which],
        )


def squared_distances(one: Rows, other: Rows) -> Rows:
    """Return the squared Euclidean distances of all pairs."""
    squares = np.einsum("ij,ij->i", one, one)[:, None] + np.einsum("ij,ij->i", other, other)
    return np.asarray(np.maximum(squares - 2.0 * (one @ other.T), 0.0))


class Cube:
    """The rows of a space.

    Args:
        space: The space whose configurations become rows.

    Example:
        >>> from manyfit.space import Float
        >>> cube = Cube(Space({"x": Float(0, 4), "kind": Choice(["a", "b"])}))
        >>> row = cube.row({"x": 1.0, "kind": "b"})
        >>> row.tolist(), cube.params(row)
        ([0.25, 1.0], {'x': 1.0, 'kind': 'b'})
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._names = list(space.params)
        self._domains = list(space.params.values())
        self._column = {name: index for index, name in enumerate(self._names)}
        is_choice = [isinstance(domain, Choice) for domain in self._domains]
        self.choices = np.flatnonzero(is_choice)
        self.numbers = np.flatnonzero(np.logical_not(is_choice))
        self._conditional = [n for n in self._names if () not in space.paths(n)]
        self._corners, self._options = self._simplices()
        self._owners = np.unique(self._corners, return_inverse=True)[1]
        self._held: dict[int, float] = {}

    def _simplices(self) -> tuple[NDArray[np.intp], Rows]:
        """Return a param and an option for each corner; a choice of one option has no corner."""
        columns: list[int] = []
        options: list[int] = []
        for column, (name, domain) in enumerate(zip(self._names, self._domains, strict=True)):
            if isinstance(domain, Choice):
                first = -1 if name in self._conditional else 0
                places = range(first, len(domain.labels))
                if len(places) > 1:
                    columns += [column] * len(places)
                    options += places
        return np.array(columns, dtype=np.intp), np.array(options, dtype=np.float64)

    @property
    def dimensions(self) -> int:
        """The number of params, and of entries of a row."""
        return len(self._names)

    def holding(self, params: Params) -> "Cube":
        """Return a cube of the configurations that have these stored params, where active."""
        cube, row = copy.copy(self), self.row(params)
        columns = [self._column[name] for name in params]
        cube._held = {column: float(row[column]) for column in columns}
        return cube

    @property
    def is_held(self) -> bool:
        """Whether some params are given."""
        return bool(self._held)

    def held(self, rows: Rows) -> Rows:
        """Return the rows that have the held params."""
        same = self.settle(self._hold(rows.copy()))
        return np.asarray(rows[(rows == same).all(axis=1)])

    def _hold(self, rows: Rows) -> Rows:
        for column, entry in self._held.items():
            rows[:, column] = entry
        return rows

    # ── to and from params ────────────────────────────────────────────────────────────────────

    def row(self, params: Params) -> Rows:
        """Return the row of stored params."""
        row = np.empty(len(self._names))
        for column, (name, domain) in enumerate(zip(self._names, self._domains, strict=True)):
            if isinstance(domain, Choice):
                place = domain.place(params[name]) if name in params else None
                row[column] = _NO_OPTION if place is None else place
            else:
                row[column] = domain.encode(params[name]) if name in params else _MIDDLE
        return row

    def params(self, row: Rows) -> Params:
        """Return the stored params of a row."""
        params: dict[str, object] = {}
        for name, domain in self._space.walk(params):
            entry = float(row[self._column[name]])
            if isinstance(domain, Choice):
                params[name] = domain.labels[int(entry)]
            else:
                params[name] = domain.decode(entry)
        return params

    def from_units(self, units: Rows) -> Rows:
        """Return the rows at points of the unit cube, decoded as by `Space.decode`."""
        rows = np.array(units, dtype=np.float64)
        for column in self.choices:
            domain = self._domains[column]
            if isinstance(domain, Choice):
                places = np.searchsorted(domain.shares, rows[:, column], side="right")
                rows[:, column] = np.minimum(places, len(domain.labels) - 1)
        return self.settle(self._hold(rows))

    # ── what a row may be ─────────────────────────────────────────────────────────────────────

    def settle(self, rows: Rows) -> Rows:
        """Snap entries to their grids and make inactive ones neutral, in place."""
        for column, domain in enumerate(self._domains):
            if not isinstance(domain, Choice):
                rows[:, column] = domain.settle(rows[:, column])
        for name in self._conditional:
            column = self._column[name]
            neutral = _NO_OPTION if isinstance(self._domains[column], Choice) else _MIDDLE
            rows[~self._is_active(name, rows), column] = neutral
        return rows

    def _is_active(self, name: str, rows: Rows) -> NDArray[np.bool_]:
        active = np.zeros(len(rows), dtype=bool)
        for path in self._space.paths(name):
            holds = np.ones(len(rows), dtype=bool)
            for choice, branch in path:
                column = self._column[choice]
                domain = self._domains[column]
                place = domain.place(branch) if isinstance(domain, Choice) else None
                holds &= rows[:, column] == place
            active |= holds
        return active

    def points(self, rows: Rows) -> Points:
        """Return rows as a kernel sees them, without trends."""
        corners = (rows[:, self._corners] == self._options).astype(np.float64)
        none = np.empty((len(rows), 0))
        active = self._active(rows)
        return Points(rows[:, self.numbers], corners, self._owners, active, self._typical, none)

    def _active(self, rows: Rows) -> Rows:
        varying = [*self.numbers, *np.unique(self._corners)]
        active = np.ones((len(rows), len(varying)))
        for place, column in enumerate(varying):
            if (name := self._names[column]) in self._conditional:
                active[:, place] = self._is_active(name, rows)
        return active

    @cached_property
    def _typical(self) -> float:
        if not self._conditional:
            return float(max(self._active(np.empty((0, self.dimensions))).shape[1], 1))
        units = np.random.default_rng(0).random((1000, self.dimensions))
        return float(self._active(self.from_units(units)).sum(axis=1).mean())

    @property
    def grid(self) -> Rows:
        """The rows of all configurations of a finite space."""
        return self.held(self._whole)

    @cached_property
    def _whole(self) -> Rows:
        return np.array([self.row(params) for params in self._space.grid()])

    # ── neighbours ────────────────────────────────────────────────────────────────────────────

    def neighbours(self, rows: Rows, count: int, scale: float, rng: np.random.Generator) -> Rows:
        """Return neighbours of `rows`, each differing from one of them in one or more params.

        Args:
            rows: The configurations to stay near, shape (any, dimensions).
            count: The number of neighbours to return.
            scale: The standard deviation of a number's change, as a share of its range. A number
                on an even grid moves by at least one step, a choice to any option.
            rng: The source of randomness.
        """
        base = rows[rng.integers(len(rows), size=count)]
        found = base.copy()
        changed = self._changed(count, rng)
        for column, domain in enumerate(self._domains):
            which = np.flatnonzero(changed[:, column])
            if isinstance(domain, Choice):
                found[which, column] = rng.integers(len(domain.labels), size=len(which))
            else:
                moves = rng.standard_normal(len(which)) * scale
                if domain.size is not None:
                    moves += np.sign(moves) / (2 * domain.size)
                found[which, column] = _reflected(base[which, column] + moves)
        self._enliven(base, self._hold(found), rng)
        self._hold(found)
        return self.settle(found)

    def _changed(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Choose the params to change: all in a third of the rows, one or a few elsewhere."""
        dimensions = self.dimensions
        typical = rng.choice([1.0, 2.0, dimensions], size=(count, 1)) / dimensions
        changed = rng.random((count, dimensions)) < typical
        changed[np.arange(count), rng.integers(dimensions, size=count)] = True
        return np.asarray(changed)

    def _enliven(self, base: Rows, found: Rows, rng: np.random.Generator) -> None:
        """Draw the params that a change of branch has activated."""
        for name in self._conditional:
            column = self._column[name]
            domain = self._domains[column]
            new = self._is_active(name, found) & ~self._is_active(name, base)
            units = rng.random(int(new.sum()))
            found[new, column] = (
                np.floor(units * len(domain.labels)) if isinstance(domain, Choice) else units
            )


def _reflected(units: Rows) -> Rows:
    """Reflect points outside the unit interval at its ends."""
    return np.clip(1.0 - np.abs(1.0 - np.abs(units)), 0.0, 1.0)
