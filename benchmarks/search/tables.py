"""Tasks from tables: real trainings of every configuration of a grid, looked up instead of run.

The folder is `$MANYFIT_BENCH/hpo-tables`, by default `../shared/bench`. Ordered values are offered
to the samplers as numbers, and the nearest value of the grid is looked up.
"""

import json
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.search.tasks import Scale, Task, median_of

from manyfit import Choice, Float, Int, Space
from manyfit.trial import Params

# From here on a grid of numbers is taken for a geometric one.
_WIDE = 8.0


def makers() -> dict[str, Callable[[], Task]]:
    """Return what makes each table's task, by name; empty where the folder is missing."""
    root = Path(os.environ.get("MANYFIT_BENCH", Path(__file__).parents[3] / "shared" / "bench"))
    paths = sorted((root / "hpo-tables").glob("*.npz"))
    return {path.stem: partial(_task, path) for path in paths}


def _task(path: Path) -> Task:
    with np.load(path) as stored:
        grid = json.loads(str(stored["space"]))
        losses = _losses(path.stem, stored["values"], str(stored["direction"]))
    space = Space({name: _domain(values) for name, values in grid.items()})

    def loss(params: Params) -> float:
        places = (_place(space.params[name], grid[name], params[name]) for name in grid)
        return float(losses[tuple(places)])

    def scale() -> Scale:
        return Scale(float(np.nanmin(losses)), median_of(space, loss))

    return Task(path.stem, space, loss, scale)


def _losses(name: str, values: np.ndarray, direction: str) -> np.ndarray:
    means = np.nanmean(values, axis=-1)  # over repeated trainings
    if name.startswith("hpolib"):
        return np.log10(means)  # squared errors over nine orders of magnitude
    return -means if direction == "max" else means


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
