"""What some groups teach about others: what to try first, and how losses go together.

Groups that were tuned in full have each shown some points of a surface, which a Gaussian process
completes. All surfaces are read off at the same configurations, the pool, in units in which groups
compare: each is one draw of a Gaussian whose mean and covariance are learned. In a new group, whose
level and scale are unknown, what has been tried conditions it, and the next trial is where it
expects to improve most.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit._optional import load
from manyfit.metric import Metric
from manyfit.samplers.acquisition import log_expected_improvement
from manyfit.samplers.cube import Cube
from manyfit.samplers.nearby import even_point, golden_steps, neighbour
from manyfit.samplers.threads import one_thread
from manyfit.space import Space
from manyfit.trial import Params, State, Trial

Reals = NDArray[np.float64]

# Chosen with benchmarks/portfolio.py.
_PORTFOLIO = 3  # configurations that are tried in any case
_KNOWN = 0.8  # of the groups must have tried a configuration for it to count as common
_FEWEST = 3  # losses that a group must have to teach anything
_POOL = 200  # configurations that surfaces are read off at
_BESTS = 2  # of each group go into the pool
_CAP = 1.5  # from so many spreads above a group's middle on, losses are equally bad
_SHRINKAGE = 0.3  # of the covariance towards that of a stationary process
_LEAST_NOISE = 0.001  # of a single loss, as a share of the mean variance
_SHARED = 10  # configurations of single groups that are tried on all of the first
_NEAR = 0.06  # how near the best, as a share of the range
_NEAR_FROM, _NEAR_EVERY = 8, 3  # from so many trials on, one in so many is near the best
# A loss beyond this has diverged; squares of smaller ones don't overflow.
_LARGEST = 1e100
# Scales that a new group may have, in deviations from the mean of those known.
_SCALES = np.linspace(-2.5, 2.5, 41)
_WIDEST = 5.0  # that deviation at most


@dataclass(frozen=True, slots=True)
class Tuned:
    """A group that was tuned in full: its losses and stored params, by `Space.key`."""

    space: Space = field(repr=False)
    losses: Mapping[str, float]
    params: Mapping[str, Params] = field(repr=False)

    @classmethod
    def of(cls, histories: Sequence[str], space: Space, metric: Metric) -> "Tuned":
        """Return what rows of a group tell by their `history`.

        Trials that failed, diverged or lie outside the space are left out; of several with the same
        params the first counts.
        """
        losses: dict[str, float] = {}
        params: dict[str, Params] = {}
        for history in histories:
            for point, value, _ in json.loads(history):
                if value is not None and abs(value) < _LARGEST and space.contains(point):
                    key = space.key(point)
                    losses.setdefault(key, metric.loss(value))
                    params.setdefault(key, point)
        return cls(space, losses, params)


@dataclass(frozen=True, slots=True)
class PortfolioSettings:
    """What was learned, small enough to travel with each task.

    Attributes:
        pool: Stored params by `Space.key`.
        order: Places in the pool: what is tried first, in this order.
        mean: The mean over groups of their surfaces at the pool.
        covariance: Theirs over groups.
        noise: The variance of a single loss around its surface.
        scale: Mean and standard deviation over groups of the logarithm of what a unit of their
            surfaces is as a loss, or as the logarithm of one.
        is_ratio: Whether surfaces are those of the logarithms of losses.
    """

    pool: Mapping[str, Params] = field(repr=False)
    order: tuple[int, ...]
    mean: Reals = field(repr=False)
    covariance: NDArray[np.float32] = field(repr=False)
    noise: float
    scale: tuple[float, float]
    is_ratio: bool

    def bind(self, space: Space, metric: Metric, seed: int) -> "PortfolioSampler":
        """Return the sampler of a group."""
        return PortfolioSampler(self, space, metric, seed)


class PortfolioSampler:
    """Tries the portfolio, then where the pool promises most, and at times near the best.

    Args:
        settings: What was learned.
        space: Where params come from.
        metric: What is tuned.
        seed: Of the group.
    """

    def __init__(
        self, settings: PortfolioSettings, space: Space, metric: Metric, seed: int
    ) -> None:
        self._settings = settings
        self._space = space
        self._metric = metric
        self._seed = seed
        self._pool = list(settings.pool.values())
        self._places = dict(zip(settings.pool, range(len(settings.pool)), strict=True))
        self._seen: dict[int, float] = {}  # place in the pool → loss, or its logarithm
        self._left = np.ones(len(self._pool), dtype=bool)
        self._best = math.inf
        self._lowest = math.inf  # of what `_seen` has, and of the same of other trials
        self._parent: Params | None = None

    def tell(self, trial: Trial) -> None:
        """Take in a trial; one that failed or was pruned is only not tried again."""
        place = self._places.get(self._space.key(trial.params))
        if place is not None:
            self._left[place] = False
        if trial.state is not State.COMPLETE or trial.value is None:
            return
        loss = self._metric.loss(trial.value)
        if self._parent is None or loss < self._best:
            self._best, self._parent = loss, trial.params
        if _is_usable(loss, is_ratio=self._settings.is_ratio):
            y = math.log(loss) if self._settings.is_ratio else loss
            self._lowest = min(self._lowest, y)
            if place is not None:
                self._seen[place] = y

    def ask(self, number: int) -> Params | None:
        """Propose params."""
        for place in self._settings.order:
            if self._left[place]:
                return dict(self._pool[place])
        late = number - _NEAR_FROM
        is_near = late >= 0 and late % _NEAR_EVERY == 0
        if self._seen and self._left.any() and not is_near:
            return dict(self._pool[self._promising()])
        if self._parent is None:
            return self._space.sample(np.random.default_rng((self._seed, number)))
        rng = random.Random(self._seed * 1_000_003 + number)  # noqa: S311
        return neighbour(self._space, self._parent, _NEAR, rng, turn=number)

    def _promising(self) -> int:
        """Return the place of the pool, among those not tried, that promises most."""
        mean, deviation, best = _conditioned(self._settings, self._seen, self._lowest)
        left = np.flatnonzero(self._left)
        gains = log_expected_improvement(mean[left], deviation[left], best)
        return int(left[np.argmax(gains)])


def _conditioned(
    settings: PortfolioSettings, seen: Mapping[int, float], lowest: float
) -> tuple[Reals, Reals, float]:
    """Return mean and standard deviation over the pool, and the best, given a group's losses.

    A loss is y = a + s z, where z is a draw of the Gaussian: the level a may be anything, which is
    universal kriging (Rasmussen and Williams, "Gaussian processes for machine learning", 2006,
    section 2.7), and the scale s is the likeliest of some. What is returned is of z.
    """
    places, y = np.array(list(seen)), np.array(list(seen.values()))
    mu = settings.mean
    across = settings.covariance[places].astype(np.float64)
    inverse = np.linalg.inv(across[:, places] + settings.noise * np.eye(len(places)))
    ones = inverse.sum(axis=1)
    total = ones.sum()
    free = inverse - np.outer(ones, ones) / total  # what no level explains
    y = y - y[0]  # of large numbers only the differences matter
    s = np.exp(settings.scale[0] + settings.scale[1] * _SCALES)
    surprise = (len(y) - 1) * np.log(s) + 0.5 * _SCALES**2
    surprise += 0.5 * (y @ free @ y) / s**2 - (y @ free @ mu[places]) / s
    scale = s[np.argmin(surprise)]
    rest = y / scale - mu[places]
    level = ones @ rest / total
    mean = mu + (inverse @ (rest - level)) @ across
    explained = np.einsum("ij,ij->j", inverse @ across, across)
    unknown = (1.0 - ones @ across) ** 2 / total
    variance = np.diagonal(settings.covariance) - explained + unknown
    best = (lowest - next(iter(seen.values()))) / scale - level
    return mean, np.sqrt(np.maximum(variance, 1e-12)), float(best)


# ── learning ──────────────────────────────────────────────────────────────────────────────────


def worth_sharing(tuned: Sequence[Tuned]) -> list[Params]:
    """Return what was best for single groups, and promises something for others.

    It is to be tried on all of the groups, so that they have more in common. Where it gained most
    over what the group had in common with the others, it is the more likely to be of use.
    """
    common = set(_common(tuned))
    gains: dict[str, tuple[float, Params]] = {}
    for each in tuned:
        best = min(each.losses, key=each.losses.__getitem__, default=None)
        shared = [loss for key, loss in each.losses.items() if key in common]
        if best is None or best in common or not shared:
            continue
        spread = max(shared) - min(shared)
        gain = (min(shared) - each.losses[best]) / spread if spread else 0.0
        gains[best] = gain, each.params[best]
    ranked = sorted(gains.items(), key=lambda item: (-item[1][0], item[0]))
    return [params for _, (gain, params) in ranked[:_SHARED] if gain > 0]


def learn(tuned: Sequence[Tuned]) -> PortfolioSettings | None:
    """Return what groups of one space teach; None if they have too little in common.

    Takes some 50 ms a group.
    """
    usable = [each for each in tuned if len(each.losses) >= _FEWEST]
    common = _common(usable)
    if len(common) < 2 or len(usable) < 2:
        return None
    is_ratio = all(
        _is_usable(loss, is_ratio=True) for each in usable for loss in each.losses.values()
    )
    params = {key: point for each in reversed(usable) for key, point in each.params.items()}
    pool = _pool(usable, common, params)
    cube = Cube(usable[0].space)
    points = cube.points(np.array([cube.row(point) for point in pool.values()]))
    rows = [_relative(each, common, is_ratio=is_ratio) for each in usable]
    with one_thread():
        surfaces = [_Surface.through(row.losses, params, cube, points) for row in rows]
    values = np.array([surface.values for surface in surfaces])
    covariance = _covariance(values, points, [surface.theta for surface in surfaces])
    least = _LEAST_NOISE * float(np.mean(np.diagonal(covariance))) + 1e-9
    scales = np.log([row.spread for row in rows])
    return PortfolioSettings(
        pool,
        _greedy(values),
        values.mean(axis=0),
        covariance.astype(np.float32),
        max(least, float(np.median([surface.noise for surface in surfaces]))),
        (float(np.median(scales)), min(float(scales.std()) + 0.1, _WIDEST)),
        is_ratio,
    )


def _is_usable(loss: float, *, is_ratio: bool) -> bool:
    return abs(loss) < _LARGEST and (loss > 0 or not is_ratio)


def _common(tuned: Sequence[Tuned]) -> list[str]:
    """Return the configurations that nearly all groups have tried, in the order of the first."""
    counts: dict[str, int] = {}
    for each in tuned:
        for key in each.losses:
            counts[key] = counts.get(key, 0) + 1
    return [key for key, count in counts.items() if count >= _KNOWN * len(tuned)]


def _pool(
    tuned: Sequence[Tuned], common: Sequence[str], params: Mapping[str, Params]
) -> dict[str, Params]:
    """Return what groups have in common, their bests, and points all over the space."""
    keys = dict.fromkeys(common)
    for place in range(_BESTS):
        for each in tuned:
            ranked = sorted(each.losses, key=lambda key: (each.losses[key], key))
            keys.update(dict.fromkeys(ranked[place : place + 1]))
    pool = {key: params[key] for key in list(keys)[:_POOL]}
    space = tuned[0].space
    steps = golden_steps(len(space.params))
    for number in range(2 * _POOL):
        if len(pool) < _POOL:
            point = space.decode(even_point(steps, number))
            pool.setdefault(space.key(point), point)
    return pool


@dataclass(frozen=True, slots=True)
class _Relative:
    """A group's losses by key, in units of its spread over its middle."""

    losses: Mapping[str, float]
    spread: float


def _relative(tuned: Tuned, common: Sequence[str], *, is_ratio: bool) -> _Relative:
    """Bring losses into units in which groups compare: the best of each group is at -1."""
    losses = {k: math.log(loss) if is_ratio else loss for k, loss in tuned.losses.items()}
    middle = float(
        np.median([losses[key] for key in common if key in losses] or [*losses.values()])
    )
    spread = middle - min(losses.values())
    spread = spread if spread > 0 else max(losses.values()) - middle or 1.0
    spread = max(spread, 1 / _LARGEST)
    relative = {key: min((loss - middle) / spread, _CAP) for key, loss in losses.items()}
    # What nearly all others could do has failed in this one.
    return _Relative({**dict.fromkeys(common, _CAP), **relative}, spread)


@dataclass(frozen=True, slots=True)
class _Surface:
    """What a Gaussian process expects of a group at the pool, and what that has learned."""

    values: Reals
    theta: Any
    noise: float

    @classmethod
    def through(
        cls, losses: Mapping[str, float], params: Mapping[str, Params], cube: Cube, pool: Any
    ) -> "_Surface":
        # Workers, which learn nothing, need not load what it imports.
        surrogate = load("manyfit.samplers.surrogate")
        points = cube.points(np.array([cube.row(params[key]) for key in losses]))
        known = np.array(list(losses.values()))
        middle, spread = known.mean(), known.std() or 1.0
        standardised = (known - middle) / spread
        theta = surrogate.fit(points, standardised)
        posterior = surrogate.Posterior(theta, points, standardised, points[:0])
        mean, _ = posterior.predict(pool)
        return cls(mean * spread + middle, theta, float(theta.variances[2] * spread**2))


def _covariance(surfaces: Reals, points: Any, thetas: Sequence[Any]) -> Reals:
    """Return the covariance over groups, shrunk towards what neighbours typically have.

    There are fewer groups than points: alone, the empirical one would be sure of what it has never
    seen. The target is the kernel of a typical group (Ledoit and Wolf, "A well-conditioned
    estimator for large-dimensional covariance matrices", 2004, have a multiple of the identity).
    """
    surrogate = load("manyfit.samplers.surrogate")
    typical = surrogate.Theta(np.median([theta.logs for theta in thetas], axis=0))
    stationary = surrogate.kernel(typical, points, points)
    empirical = np.cov(surfaces, rowvar=False)
    stationary *= np.trace(empirical) / np.trace(stationary)
    return np.asarray((1 - _SHRINKAGE) * empirical + _SHRINKAGE * stationary)


def _greedy(surfaces: Reals) -> tuple[int, ...]:
    """Pick places one by one, each the one that lowers the mean over groups of their best most.

    For such a submodular gain the greedy choice is within 63 % of the best one (Nemhauser, Wolsey
    and Fisher, "An analysis of approximations for maximizing submodular set functions", 1978). Of
    equal ones it is the first.
    """
    chosen: list[int] = []
    best = np.full(len(surfaces), np.inf)
    for _ in range(min(_PORTFOLIO, surfaces.shape[1])):
        means = np.minimum(best[:, None], surfaces).mean(axis=0)
        means[chosen] = np.inf
        chosen.append(int(np.argmin(means)))
        best = np.minimum(best, surfaces[:, chosen[-1]])
    return tuple(chosen)
