"""Search near the best, for a few dozen trials that take milliseconds each."""

import math
import random
from collections.abc import Sequence
from typing import Any

from manyfit.choice import Choice
from manyfit.metric import Metric
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
_WIDEST, _NARROWEST = 0.25, 0.05
# A neighbour that was tried already is drawn again, up to this often, each time this much farther
# away.
_TRIES, _WIDENING = 4, 1.5


class NearbySampler:
    """Fills the space evenly at first, then looks near the best trial, ever closer.

    It is meant for the small study of one group: a proposal takes microseconds, where a Gaussian
    process takes milliseconds. It never looks near failed or pruned trials; while no trial has
    completed, it keeps filling the space.

    The first points are the same for every seed, so that many studies of one space share them. They
    are an additive recurrence whose steps are powers of the generalised golden ratio (Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018). A (1 + 1) evolution strategy with
    falling step sizes follows (Rechenberg, "Evolutionsstrategie", 1973). Its trials come in pairs:
    the second moves the opposite way, or further the same way if the first became the best
    (Brockhoff et al., "Mirrored sampling and sequential selection for evolution strategies", 2010).

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
        self._tried: set[tuple[Any, ...]] = set()
        count = len(space.params)
        self._steps = golden_steps(count)
        self._design = _DESIGN + count // 2
        self._shrinking = 1.0 - 0.5 / (count + 2)
        self._rng = random.Random()  # noqa: S311 - one for all proposals, each of which seeds it

    def tell(self, trial: Trial) -> None:
        """Record a trial; only completed trials become the centre of the search."""
        self._tried.add(tuple(trial.params.items()))
        value = trial.value
        if value is None or trial.state is not State.COMPLETE:
            return
        found = self._metric.loss(value), trial.number
        if self._best is None or found < self._best:
            self._best, self._parent = found, trial.params

    def ask(self, number: int) -> Params:
        """Propose a point of the initial design, or a neighbour of the best trial."""
        late = number - self._design
        if late < 0 or self._best is None:
            return self._filling(number)
        pair, is_second = divmod(late, 2)
        rng = self._rng
        rng.seed(self._seed * 1_000_003 + pair)
        scale = max(_NARROWEST, _WIDEST * self._shrinking**late)
        if is_second and self._best[1] != number - 1:
            scale = -scale
        for _ in range(_TRIES):
            params = neighbour(self._space, self._parent, scale, rng, turn=pair)
            if tuple(params.items()) not in self._tried:
                break
            scale *= _WIDENING
        return params

    def _filling(self, number: int) -> Params:
        return self._space.decode(even_point(self._steps, number))


def neighbour(
    space: Space, parent: Params, scale: float, rng: random.Random, turn: int
) -> dict[str, Any]:
    """Return a point that differs from `parent` in one param, in some, or in all.

    Args:
        space: The space of both points.
        parent: The point to start from.
        scale: The standard deviation of a number's move, as a share of its range. A negative scale
            gives the opposite moves for the same random numbers. Choices change less often the
            smaller it is.
        rng: The source of randomness.
        turn: The index, modulo the number of params, of the param that always changes.
    """
    count = len(parent)
    leading = turn % count if count else 0
    # One param alone, a second one with it, or all of them.
    share = (0.0, 2.0 / max(count, 1), 1.0)[int(3.0 * rng.random())]
    params: dict[str, Any] = {}
    for place, (name, domain) in enumerate(space.walk(params)):
        chance, move = rng.random(), rng.gauss(0.0, scale)
        if name not in parent:
            params[name] = domain.decode(rng.random())
        elif place != leading and chance > share:
            params[name] = parent[name]
        elif isinstance(domain, Choice):
            changes = place == leading or rng.random() < abs(scale) / _WIDEST
            params[name] = domain.decode(rng.random()) if changes else parent[name]
        else:
            if domain.size is not None:
                move += math.copysign(0.5 / domain.size, move)
            # Clipped, not reflected: an optimum is often at the edge.
            params[name] = domain.decode(min(max(domain.encode(parent[name]) + move, 0.0), 1.0))
    return params


def golden_steps(dimensions: int) -> tuple[float, ...]:
    """Return the additive recurrence's steps: powers of 1 / g, where g**(d + 1) = g + 1."""
    golden = 2.0
    for _ in range(40):
        golden = (1.0 + golden) ** (1.0 / (dimensions + 1))
    return tuple((1.0 / golden) ** (place + 1) % 1.0 for place in range(dimensions))


def even_point(steps: Sequence[float], number: int) -> list[float]:
    """Return point `number`, from 0, of the sequence in the unit cube that has these steps."""
    return [(_START + (number + 1) * step) % 1.0 for step in steps]
