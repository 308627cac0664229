"""Tasks with the noise of real trainings: each trial gets one of a configuration's repeats.

A sampler sees the loss of one training and is judged by the mean of all of them, so it loses by
believing in luck.
"""

import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from benchmarks.search import tables
from benchmarks.search.tasks import Scale, Task

from manyfit.trial import Params


def makers() -> dict[str, Callable[[], Task]]:
    """Return what makes the noisy task of each table, by name."""
    return {f"noisy-{name}": partial(_task, name) for name in tables.paths()}


def _task(name: str) -> Task:
    table = tables.table(name)
    space = table.space

    def noisy(params: Params, number: int) -> float:
        place = table.place(params)
        repeats = table.repeats[place]
        known = repeats[~np.isnan(repeats)]
        rng = np.random.default_rng((zlib.crc32(repr(place).encode()), number))
        return float(rng.choice(known))

    def scale() -> Scale:
        return tables.scale(space, table.loss, table.losses)

    return Task(f"noisy-{name}", space, table.loss, scale, noisy=noisy)
