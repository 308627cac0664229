"""Search near the best, for a few dozen trials that take milliseconds each."""

import math
import random
from typing import Any

from manyfit.choice import Choice
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import Params, State, Trial

# Chosen on half of the tasks of benchmarks/search; the figures there are of all.
# The first trials fill the space: so many, and one more for every second param.
_DESIGN = 6
# Trials near the best move by a share of the range that shrinks from the first to the second, by
# a factor at each trial.
_WIDEST, _NARROWEST, _SHRINKING = 0.3, 0.05, 0.9
_PARENTS = 2


class NearbySampler:
    """Fills the space evenly at first, then looks near the best trials, ever closer.

    It is meant for the small study of a group: proposing takes microseconds where a Gaussian
    process takes milliseconds. Trials that failed or were pruned are never neighbours; while no
    trial has completed, it goes on filling.

    The first points are the same whatever the seed, so that many studies of one space have them in
    common: an additive recurrence, whose steps are powers of the generalised golden ratio (Roberts,
    "The unreasonable effectiveness of quasirandom sequences", 2018). Then a (2 + 1) evolution
    strategy with falling steps (Rechenberg, "Evolutionsstrategie", 1973).

    Example:
        >>> from manyfit.space import Float
        >>> sampler = NearbySampler(Space({"x": Float(0, 1)}), Metric("loss"), seed=0)
        >>> [round(sampler.ask(number)["x"], 2) for number in range(4)]
        [0.12, 0.74, 0.35, 0.97]
    """

    def __init__(self, space: Space, metric: Metric, seed: int) -> None:
        self._space = space
        self._metric = metric
        self._seed = seed
        self._best: list[tuple[float, int, Params]] = []
        self._steps = _steps(len(space.params))
        self._design = _DESIGN + len(space.params) // 2

    def tell(self, trial: Trial) -> None:
        """Take in a completed trial; others say nothing of where to look."""
        if trial.state is State.COMPLETE and trial.value is not None:
            self._best.append((self._metric.loss(trial.value), trial.number, trial.params))
            self._best.sort(key=lambda each: each[:2])
            del self._best[_PARENTS:]

    def ask(self, number: int) -> Params:
        """Propose a point of the design, or a neighbour of one of the best."""
        late = number - self._design
        if late < 0 or not self._best:
            return self._filling(number)
        rng = random.Random(self._seed * 1_000_003 + number)  # noqa: S311
        scale = max(_NARROWEST, _WIDEST * _SHRINKING**late)
        # The best has three children in four.
        place = min(rng.randrange(len(self._best)), rng.randrange(len(self._best)))
        return neighbour(self._space, self._best[place][2], scale, rng)

    def _filling(self, number: int) -> Params:
        point = [(0.5 + (number + 1) * step) % 1.0 for step in self._steps]
        return self._space.decode(point)


def neighbour(space: Space, parent: Params, scale: float, rng: random.Random) -> Params:
    """Return a point that differs from another in one param, in some, or in all.

    Args:
        space: Where both are.
        parent: The other one.
        scale: The standard deviation of a number's move, as a share of its range; a choice changes
            the less often the smaller it is.
        rng: Where randomness comes from.
    """
    count = len(space.params)
    share = rng.choice((1.0 / count, 2.0 / count, 1.0))
    params: dict[str, Any] = {}
    for name, domain in space.walk(params):
        if name not in parent:
            params[name] = domain.decode(rng.random())
        elif count > 1 and rng.random() > share:
            params[name] = parent[name]
        elif isinstance(domain, Choice):
            change = rng.random() < scale / _WIDEST * 0.5
            params[name] = domain.decode(rng.random()) if change else parent[name]
        else:
            move = rng.gauss(0.0, scale)
            if domain.size is not None:
                move += math.copysign(0.5 / domain.size, move)
            # Clipped, not reflected: many an optimum is at the edge.
            params[name] = domain.decode(min(max(domain.encode(parent[name]) + move, 0.0), 1.0))
    return params


def _steps(dimensions: int) -> tuple[float, ...]:
    """Return the steps of the additive recurrence: with g**(d + 1) = g + 1, the powers of 1 / g."""
    golden = 2.0
    for _ in range(40):
        golden = (1.0 + golden) ** (1.0 / (dimensions + 1))
    return tuple((1.0 / golden) ** (place + 1) % 1.0 for place in range(dimensions))
