"""Tasks from tables: real trainings of every configuration of a grid, looked up instead of run.

The folder is `$MANYFIT_BENCH/hpo-tables`, by default `../shared/bench`. Ordered values are offered
to the samplers as numbers, and the nearest value of the grid is looked up.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.search.tasks import Scale, Task, median_of

from manyfit import Choice, Float, Int, Space
from manyfit.trial import Params

# From here on a grid of numbers is taken for a geometric one.
_WIDE = 8.0


@dataclass(frozen=True)
class Table:
    """Losses of all configurations of a grid.

    Args:
        grid: The values of each hyperparameter.
        losses: The loss of the mean of repeated trainings: an axis for each hyperparameter.
        repeats: The loss of each training, likewise, with an axis more; NaN if there are fewer.
    """

    grid: Mapping[str, list[Any]]
    losses: np.ndarray
    repeats: np.ndarray

    @cached_property
    def space(self) -> Space:
        """What the samplers search."""
        return Space({name: _domain(values) for name, values in self.grid.items()})

    def place(self, params: Params) -> tuple[int, ...]:
        """Return the place of the configuration that is nearest to params."""
        domains = self.space.params
        return tuple(_place(domains[name], self.grid[name], params[name]) for name in self.grid)

    def loss(self, params: Params) -> float:
        """Return the mean loss of params."""
        return float(self.losses[self.place(params)])


def paths() -> dict[str, Path]:
    """Return the file of each table, by name; empty if the folder is missing."""
    root = Path(os.environ.get("MANYFIT_BENCH", Path(__file__).parents[3] / "shared" / "bench"))
    return {path.stem: path for path in sorted((root / "hpo-tables").glob("*.npz"))}


def makers() -> dict[str, Callable[[], Task]]:
    """Return what makes each table's task, by name."""
    return {name: partial(_task, name) for name in paths()}


@cache
def table(name: str) -> Table:
    """Return the table of a name."""
    with np.load(paths()[name]) as stored:
        grid = json.loads(str(stored["space"]))
        values, largest = stored["values"], str(stored["direction"]) == "max"
    losses = partial(_losses, name, largest)
    return Table(grid, losses(np.nanmean(values, axis=-1)), losses(values))


def _task(name: str) -> Task:
    found = table(name)
    return Task(name, found.space, found.loss, lambda: scale(found.space, found.loss, found.losses))


def scale(space: Space, loss: Callable[[Params], float], losses: np.ndarray) -> Scale:
    """Return what the losses of a table are measured by."""
    return Scale(float(np.nanmin(losses)), median_of(space, loss))


def _losses(name: str, largest: bool, values: np.ndarray) -> np.ndarray:
    if name.startswith("hpolib"):
        return np.log10(values)  # squared errors over nine orders of magnitude
    return -values if largest else values


def _domain(values: list[Any]) -> Float | Int | Choice:
    if isinstance(values[0], str):
        return Choice(values)
    low, high = values[0], values[-1]
    log = low > 0 and high / low >= _WIDE
    return (Int if all(isinstance(v, int) for v in values) else Float)(low, high, log=log)


def _place(domain: Any, values: list[Any], value: Any) -> int:
    if isinstance(domain, Choice):
        return values.index(value)
    scale = math.log if domain.log else float
    return int(np.argmin([abs(scale(each) - scale(value)) for each in values]))
