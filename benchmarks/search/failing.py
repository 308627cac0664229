"""Tasks in which a region of the space fails, as trainings run out of memory or diverge.

Each table comes with each of these regions:

- `option`: an option with the upper half of the values of a number.
- `corner`: two numbers that are both large, in a triangle.
- `third`: 30 % of all configurations, on one side of a plane through the space.
- `border`: a quarter to 40 % of them, on one side of a plane, with the best of all right before it.
"""

import zlib
from collections.abc import Callable
from functools import partial, reduce

import numpy as np
from benchmarks.search import tables
from benchmarks.search.tables import Table
from benchmarks.search.tasks import Scale, Task

from manyfit import Choice
from manyfit.trial import Params

# By the beginning of a table's name, the params of its regions `option` and `corner`.
_OPTIONS = {
    "hpobench": ("depth", "width"),
    "hpolib": ("activation_fn_1", "n_units_1"),
    "nasbench201": ("Op5", "Op3"),
}
_CORNERS = {
    "hpobench": ("learning_rate_init", "width"),
    "hpolib": ("init_lr", "n_units_1"),
    "nasbench201": ("Op0", "Op5"),
}


def makers() -> dict[str, Callable[[], Task]]:
    """Return what makes each table's task with each region, by name."""
    return {
        f"{kind}-{name}": partial(_task, kind, name) for name in tables.paths() for kind in _KINDS
    }


def _task(kind: str, name: str) -> Task:
    table = tables.table(name)
    losses = np.where(_KINDS[kind](name, table), np.nan, table.losses)

    def loss(params: Params) -> float:
        return float(losses[table.place(params)])

    def scale() -> Scale:
        return tables.scale(table.space, loss, losses)

    return Task(f"{kind}-{name}", table.space, loss, scale)


# ── regions: where each table fails ───────────────────────────────────────────────────────────────


def _option(name: str, table: Table) -> np.ndarray:
    last, upper = _units(table, _OPTIONS[name.partition("-")[0]])
    return np.asarray((last == 1.0) & (upper > 0.5))


def _corner(name: str, table: Table) -> np.ndarray:
    first, second = _units(table, _CORNERS[name.partition("-")[0]])
    return np.asarray(first + second > 1.4)


def _third(name: str, table: Table) -> np.ndarray:
    slope = _slope(table, np.random.default_rng(zlib.crc32(name.encode())))
    return np.asarray(slope > np.quantile(slope, 0.7))


def _border(name: str, table: Table) -> np.ndarray:
    best = np.nanargmin(table.losses)
    for seed in range(1000):
        slope = _slope(table, np.random.default_rng((zlib.crc32(name.encode()), seed)))
        beyond = slope > slope.flat[best]
        if 0.25 <= beyond.mean() <= 0.4:
            return np.asarray(beyond)
    raise LookupError(f"no plane through the best of {name} leaves a third of its configurations")


_KINDS: dict[str, Callable[[str, Table], np.ndarray]] = {
    "option": _option,
    "corner": _corner,
    "third": _third,
    "border": _border,
}


def _units(table: Table, names: tuple[str, str]) -> list[np.ndarray]:
    """Return the place of each configuration on the axes of two params, from 0 to 1."""
    axes = [np.linspace(0, 1, len(values)) for values in table.grid.values()]
    units = dict(zip(table.grid, np.meshgrid(*axes, indexing="ij"), strict=True))
    return [units[name] for name in names]


def _slope(table: Table, rng: np.random.Generator) -> np.ndarray:
    """Return a height for each configuration: linear in numbers, any value for each label."""
    parts = [
        rng.normal(size=len(values))
        if isinstance(table.space.params[name], Choice)
        else rng.normal() * np.linspace(0, 1, len(values))
        for name, values in table.grid.items()
    ]
    return np.asarray(reduce(np.add.outer, parts))
