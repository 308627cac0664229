"""Search near the best, for a few dozen trials that take milliseconds each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit.metric import Metric
from manyfit.samplers.cube import Array, Cube, Rows
from manyfit.samplers.small_model import improvement
from manyfit.space import Space
from manyfit.trial import Params, State, Trial

# Chosen on half of the tasks of benchmarks/nearby.py.
# The number of first trials, which fill the space; one more for every second param.
_DESIGN = 4
# The offset of their sequence. Of all multiples of 0.1 it gives the first points the lowest
# discrepancy, averaged over 1 to 9 params.
_START = 0.9
# The scale of a move, as a share of the range, shrinks from the first to the second: the sooner,
# the fewer params there are.
WIDEST, _NARROWEST = 0.25, 0.05
# The model makes this many proposals first, and later one in this many: once it has found the
# region, random changes of the best trial refine it as well, and take little time.
_GUIDED, _EVERY = 6, 3
# The number of candidates.
_CANDIDATES = 24
# The scales of moves in successive candidates, as multiples.
_SCALES = np.resize([1.0, 0.4, 1.6], (_CANDIDATES, 1))
# Of these candidates, a third each changes one param, a few, or all.
_FEW, _SHARES = np.resize([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (_CANDIDATES, 2)).T[:, :, None]
# The trials with the lowest losses that the model sees: the time that it takes grows with these.
_MOST = 64
# Separates these random numbers from those of others that also draw from (seed, number).
_STREAM = 0x0EA4


class NearbySampler:
    """Fills the space evenly at first, then looks near the best trial, ever closer.

    It is meant for the small study of one group: a proposal takes a few tenths of a millisecond,
    where the search of `"gp"` takes many milliseconds. It never looks near failed or pruned trials;
    while no trial has completed, it keeps filling the space.

    The first points are the same for every seed, so that many studies of one space share them. They
    are an additive recurrence whose steps are powers of the generalised golden ratio (Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018). After these, candidates are drawn
    as an evolution strategy draws them, by random changes of the best trial whose size falls
    (Rechenberg, "Evolutionsstrategie", 1973), and a small Gaussian process chooses the one of which
    it expects the largest improvement (`small_model`), later for one trial in three only.

    Example:
        >>> from manyfit.space import Float
        >>> sampler = NearbySampler(Space({"x": Float(0, 1)}), Metric("loss"), seed=0)
        >>> [round(sampler.ask(number)["x"], 2) for number in range(4)]
        [0.52, 0.14, 0.75, 0.37]
    """

    def __init__(self, space: Space, metric: Metric, seed: int) -> None:
        self._space = space
        self._metric = metric
        self._seed = seed
        self._best: tuple[float, int] | None = None  # loss and number
        self._parent: Params = {}
        self._parent_row: Rows = np.empty(0)
        self._tried: set[tuple[Any, ...]] = set()
        self._cube = Cube(space)
        self._rows: list[Rows] = []
        self._losses: list[float] = []  # NaN for a trial that has none
        count = len(space.params)
        self._steps = golden_steps(count)
        self._design = _DESIGN + count // 2
        self._shrinking = 1.0 - 0.5 / (count + 2)
        self._half_steps = np.array([0.5 / (d.size or math.inf) for d in space.params.values()])

    def tell(self, trial: Trial) -> None:
        """Record a trial; only completed trials become the centre of the search."""
        self._tried.add(tuple(trial.params.items()))
        if trial.state not in (State.COMPLETE, State.PRUNED, State.FAIL):
            return
        value = trial.value
        self._rows.append(self._cube.row(trial.params))
        self._losses.append(math.nan if value is None else self._metric.loss(value))
        if value is None:
            return
        found = self._losses[-1], trial.number
        if self._best is None or found < self._best:
            self._best, self._parent, self._parent_row = found, trial.params, self._rows[-1]

    def ask(self, number: int) -> Params:
        """Propose a point of the initial design, or the most promising of some candidates."""
        late = number - self._design
        if late < 0 or self._best is None or not self._steps:
            return self._space.decode(even_point(self._steps, number))
        scale = max(_NARROWEST, WIDEST * self._shrinking**late)
        rng = np.random.default_rng((self._seed, number, _STREAM))
        rows = self._candidates(number, scale, rng)
        order: Sequence[int] = range(_CANDIDATES)
        if late < _GUIDED or late % _EVERY == 0:
            scores = improvement(*self._known(), rows, self._cube.choices)
            order = np.argsort(-scores, kind="stable").tolist()
        for place in order:
            params = self._cube.params(rows[place])
            if tuple(params.items()) not in self._tried:
                break
        return params

    def _known(self) -> tuple[Rows, Array]:
        """Return the rows and losses of the best trials; of those without a loss, the worst one."""
        losses = np.array(self._losses)
        losses[np.isnan(losses)] = np.nanmax(losses)
        best = np.sort(np.argsort(losses, kind="stable")[:_MOST])
        return np.array(self._rows)[best], losses[best]

    def _candidates(self, number: int, scale: float, rng: np.random.Generator) -> Rows:
        choices, count = self._cube.choices, len(self._steps)
        drawn, base = self._cube.from_units(rng.random((_CANDIDATES, count))), self._parent_row
        if len(self._parent) < count:  # what a change of branch brings to life is drawn
            inactive = [name not in self._parent for name in self._space.params]
            base = np.where(inactive, drawn, base)
        moves = rng.standard_normal((_CANDIDATES, count)) * (scale * _SCALES)
        moves += np.copysign(self._half_steps, moves)
        # Clipped, not reflected: an optimum is often at the edge.
        moved = np.clip(base + moves, 0.0, 1.0)
        moved[:, choices] = drawn[:, choices]
        changed = self._changed(np.arange(_CANDIDATES) + number, scale, rng)
        return self._cube.settle(np.where(changed, moved, base))

    def _changed(
        self, turns: NDArray[np.intp], scale: float, rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Return which params change: one in each third candidate, a few, or all; choices less."""
        count = len(self._steps)
        shares = _SHARES + np.minimum(_FEW * (2.0 / count), 1.0)
        chances = rng.random((len(turns), count))
        chances[:, self._cube.choices] /= min(scale / WIDEST, 1.0)
        changed: NDArray[np.bool_] = chances < shares
        changed[np.arange(len(turns)), turns % count] = True
        return changed


def golden_steps(dimensions: int) -> tuple[float, ...]:
    """Return the additive recurrence's steps: powers of 1 / g, where g**(d + 1) = g + 1."""
    golden = 2.0
    for _ in range(40):
        golden = (1.0 + golden) ** (1.0 / (dimensions + 1))
    return tuple((1.0 / golden) ** (place + 1) % 1.0 for place in range(dimensions))


def even_point(steps: Sequence[float], number: int) -> list[float]:
    """Return point `number`, from 0, of the sequence in the unit cube that has these steps."""
    return [(_START + (number + 1) * step) % 1.0 for step in steps]
