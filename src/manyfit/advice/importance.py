"""How much each param matters, and each pair of params, with intervals.

The measures are Sobol's indices of the loss over the whole space, where params are drawn as by
`Space.sample` (Sobol, "Global sensitivity indices for nonlinear mathematical models", 2001). They
are computed for functions drawn from the sampler's Gaussian process, so an interval shows what the
trials leave open (Le Gratiet et al., "A Bayesian approach for global sensitivity analysis of
(multifidelity) computer codes", 2014). The functions are evaluated evenly all over the space, so it
doesn't matter where a sampler has tried most. Nor does it matter which sampler that was.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import qmc

from manyfit.advice.functions import Functions
from manyfit.advice.record import Record
from manyfit.samplers.cube import Array

# Fewer completed trials determine nothing.
FEWEST = 10
# The number of configurations at which functions are evaluated; of these, the number to change.
_EVALUATED, _FEWEST_CHANGED = 4096, 64
# Pairs are compared among at most this many params, those that matter most.
_MOST_PAIRED = 8
# The ends of the intervals, in percent.
_ENDS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the variance of the loss over the space, with its 95 % interval.

    Attributes:
        params: One param, or the two of a pair.
        share: The median over the functions that the trials allow.
        low: The lower end of the interval.
        high: The upper end.
    """

    params: tuple[str, ...]
    share: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.share:.0%}, 95 % interval {self.low:.0%} to {self.high:.0%}"


@dataclass(frozen=True, slots=True)
class Importances:
    """What the loss depends on; without shares if fewer than ten trials have completed.

    Attributes:
        params: For each param, the share of the variance that remains if all others are fixed, on
            average (Sobol's total index); the largest first. If params interact, these shares add
            up to more than 1.
        pairs: For each pair of the eight params that matter most, the share that is due to an
            interaction of both, alone or with others (the total interaction index of Fruth et al.,
            "Total interaction index", 2014); the largest first.

    Example:
        >>> from manyfit.metric import Metric
        >>> from manyfit.space import Float, Space
        >>> from manyfit.testing.samplers import finished
        >>> space = Space({"x": Float(0, 1), "y": Float(0, 1), "z": Float(0, 1)})
        >>> points = map(space.sample, [np.random.default_rng(0)] * 30)
        >>> trials = [finished(n, p, p["x"] + 0.5 * p["y"]) for n, p in enumerate(points)]
        >>> found = importances(Functions(Record.of(space, Metric("loss"), trials)))
        >>> [(each.params, round(each.share, 1)) for each in found.params]
        [(('x',), 0.8), (('y',), 0.2), (('z',), 0.0)]
    """

    params: tuple[Share, ...] = ()
    pairs: tuple[Share, ...] = ()


def importances(functions: Functions, seed: int = 0) -> Importances:
    """Return what the loss depends on, according to functions drawn for a study.

    It takes less than a second.

    Args:
        functions: The functions.
        seed: The source of the configurations at which they are evaluated.
    """
    return _Indices(functions, seed).importances()


def determines_shares(record: Record) -> bool:
    """Return whether there are params, and enough completed trials with different losses."""
    enough = len(record.completed) >= FEWEST and bool(record.space.params)
    return enough and bool(np.ptp(record.losses) > 0.0)


class _Indices:
    """Estimates indices by changing one param, or two, of each of many configurations.

    With configurations x, others z, and f_u the value of f where the params in u are taken from z,
    the estimators are those of Jansen ("Analysis of variance designs for model output", 1999) and
    of Fruth et al. (equation 7)::

        total(i) = ½ E(f - f_i)²,    total(i, j) = ¼ E(f - f_i - f_j + f_ij)²
    """

    def __init__(self, functions: Functions, seed: int) -> None:
        self._functions = functions
        self._cube = functions.record.cube
        self._names = list(functions.record.space.params)
        dimensions = len(self._names)
        paired = min(dimensions, _MOST_PAIRED)
        sets = 1 + dimensions + paired * (paired - 1) // 2
        count = 2 ** int(np.log2(max(_EVALUATED // sets, _FEWEST_CHANGED)))
        units = qmc.Sobol(2 * dimensions, seed=seed).random(count)
        self._units, self._others = np.hsplit(units, 2)

    def importances(self) -> Importances:
        count = len(self._names)
        plain, changed = self._values(), [self._values(column) for column in range(count)]
        variance = np.concatenate([plain, *changed]).var(axis=0)
        totals = [((plain - each) ** 2).mean(axis=0) / (2.0 * variance) for each in changed]
        largest = sorted(range(count), key=lambda column: -np.median(totals[column]))
        pairs = [
            (self._share(both, mixed / (4.0 * variance)))
            for both in combinations(sorted(largest[:_MOST_PAIRED]), 2)
            for first, second in [(changed[both[0]], changed[both[1]])]
            for mixed in [((plain - first - second + self._values(*both)) ** 2).mean(axis=0)]
        ]
        params = (self._share((column,), total) for column, total in enumerate(totals))
        return Importances(_ranked(params), _ranked(pairs))

    def _values(self, *columns: int) -> Array:
        """Return the values of all functions if some params are taken from the others."""
        units = self._units.copy()
        units[:, columns] = self._others[:, columns]
        return self._functions.values(self._cube.from_units(units))

    def _share(self, columns: Iterable[int], shares: Array) -> Share:
        low, high = np.percentile(shares, _ENDS)
        names = tuple(self._names[column] for column in columns)
        # An estimate may exceed the whole by its own error.
        median, low, high = (min(float(end), 1.0) for end in (np.median(shares), low, high))
        return Share(names, median, low, high)


def _ranked(shares: Iterable[Share]) -> tuple[Share, ...]:
    return tuple(sorted(shares, key=lambda each: -each.share))
