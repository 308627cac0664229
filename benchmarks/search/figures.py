"""From runs to numbers: regrets on the cells that contenders share, their means, and how sure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.search.catalogue import make
from benchmarks.search.race import Cell, Run
from benchmarks.search.tasks import Scale
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_RESAMPLES = 2000


@dataclass(frozen=True)
class Setting:
    """Runs that are comparable."""

    in_flight: int
    n_trials: int


@dataclass(frozen=True)
class Shared:
    """Regrets of contenders on the same tasks and seeds.

    Args:
        cells: The task and the seed of each row.
        regrets: By contender: a row for each of `cells`, a column for each finished trial.
        seconds: By contender: CPU seconds for asking and telling, likewise.
        failed: By contender: the share of the trials that failed, by row.
    """

    cells: Sequence[tuple[str, int]]
    regrets: Mapping[str, Floats]
    seconds: Mapping[str, Floats]
    failed: Mapping[str, Floats]

    def by_task(self, contender: str) -> dict[str, Floats]:
        """Return the mean curve of each task."""
        names = np.array([task for task, _ in self.cells])
        curves = self.regrets[contender]
        return {name: curves[names == name].mean(axis=0) for name in dict.fromkeys(names.tolist())}


class Runs:
    """All that was run on some tasks, with regrets for losses."""

    def __init__(self, runs: Mapping[Cell, Run], names: Iterable[str]) -> None:
        there = {cell.task for cell in runs}
        self._runs = runs
        self._scales = {name: self._scale_of(name) for name in names if name in there}

    def _scale_of(self, name: str) -> Scale:
        """Return the task's own scale, unless something found a lower loss than its best."""
        scale = make(name).scale()
        found = (run.curve[-1] for cell, run in self._runs.items() if cell.task == name)
        return replace(scale, best=min(scale.best, *found))

    def contenders(self, setting: Setting, asked: Iterable[str]) -> list[str]:
        """Return those of the contenders asked for that were run at all."""
        there = {
            cell.contender
            for cell in self._runs
            if (cell.in_flight, cell.n_trials) == (setting.in_flight, setting.n_trials)
        }
        return [name for name in asked if name in there]

    def shared(self, setting: Setting, contenders: Sequence[str]) -> Shared:
        """Return what these contenders have in common."""
        k, n = setting.in_flight, setting.n_trials
        seeds = sorted({cell.seed for cell in self._runs})
        cells = [
            (task, seed)
            for task in self._scales
            for seed in seeds
            if all(Cell(task, each, k, n, seed) in self._runs for each in contenders)
        ]
        rows = {
            name: [self._runs[Cell(task, name, k, n, seed)] for task, seed in cells]
            for name in contenders
        }
        return Shared(
            cells,
            {
                name: np.array(
                    [
                        [self._scales[task].regret(loss) for loss in run.curve]
                        for run, (task, _) in zip(found, cells, strict=True)
                    ]
                )
                for name, found in rows.items()
            },
            {name: np.array([run.seconds for run in found]) for name, found in rows.items()},
            {name: np.array([run.failed / n for run in found]) for name, found in rows.items()},
        )


def interval(values: Floats) -> tuple[Floats, Floats]:
    """Return 95 % bootstrap bounds of the mean over rows, for each column."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(values), size=(_RESAMPLES, len(values)))
    weights = np.stack([np.bincount(each, minlength=len(values)) for each in rows]) / len(values)
    low, high = np.quantile(weights @ values, [0.025, 0.975], axis=0)
    return low, high


def reaches(curve: Floats, target: float) -> int | None:
    """Return after how many trials a curve is at or below a value; None if it never is."""
    (places,) = np.nonzero(curve <= target)
    return int(places[0]) + 1 if len(places) else None
