"""Transfer between groups: what to try first, and how the losses of configurations correlate.

Each group that was tuned in full has some points of a loss surface, which a Gaussian process
completes. All surfaces are evaluated at the same configurations, the pool, in comparable units.
Each is considered a draw from a Gaussian, whose mean and covariance are learned. In a new group,
whose level and scale are unknown, the Gaussian is conditioned on the trials so far, and the next
trial is where the largest improvement is expected.
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
from manyfit.choice import Choice
from manyfit.metric import Metric
from manyfit.samplers.acquisition import log_expected_improvement
from manyfit.samplers.cube import Cube
from manyfit.samplers.nearby import WIDEST, even_point, golden_steps
from manyfit.samplers.threads import one_thread
from manyfit.space import Space
from manyfit.trial import Params, State, Trial

Reals = NDArray[np.float64]

# Chosen with benchmarks/portfolio.py.
_PORTFOLIO = 3  # configurations that are always tried
_KNOWN = 0.8  # the share of groups that must have tried a configuration for it to be common
_FEWEST = 3  # losses that a group needs to be used
_POOL = 200  # configurations at which surfaces are evaluated
_BESTS = 2  # best configurations of each group in the pool
_CAP = 1.5  # losses more than this many spreads above a group's middle are equally bad
_SHRINKAGE = 0.3  # of the covariance towards that of a stationary process
_LEAST_NOISE = 0.001  # of a single loss, as a share of the mean variance
_SHARED = 10  # configurations of single groups that are tried on all of the first groups
_NEAR = 0.06  # the distance from the best, as a share of the range
_NEAR_FROM, _NEAR_EVERY = 8, 3  # from the first trial on, one in the second is near the best
# A loss beyond this has diverged; squares of smaller ones don't overflow.
_LARGEST = 1e100
# Scales of a new group to consider, in deviations from the mean of known groups.
_SCALES = np.linspace(-2.5, 2.5, 41)
_WIDEST = 5.0  # the upper limit of that deviation


@dataclass(frozen=True, slots=True)
class Tuned:
    """A group that was tuned in full: its losses and stored params, by `Space.key`."""

    space: Space = field(repr=False)
    losses: Mapping[str, float]
    params: Mapping[str, Params] = field(repr=False)

    @classmethod
    def of(cls, histories: Sequence[str], space: Space, metric: Metric) -> "Tuned":
        """Return the trials in the `history` of a group's rows.

        Trials that failed, diverged or lie outside the space are left out; of several with the same
        params, the first counts.
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
    """What was learned from groups, small enough to be sent with each task.

    Attributes:
        pool: Stored params, by `Space.key`.
        order: Indices into the pool: the configurations to try first, in order.
        mean: The mean of the groups' surfaces at the pool.
        covariance: The covariance of the groups' surfaces at the pool.
        noise: The variance of a single loss around its surface.
        scale: Mean and standard deviation, over groups, of the logarithm of the loss (or the
            logarithm of a loss) that a unit of their surfaces stands for.
        is_ratio: Whether surfaces are of the logarithms of losses.
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
    """Tries the portfolio, then the most promising of the pool, and sometimes near the best.

    Args:
        settings: What was learned from other groups.
        space: The space to search.
        metric: The metric to tune.
        seed: The group's seed.
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
        self._seen: dict[int, float] = {}  # index in the pool → loss, or its logarithm
        self._left = np.ones(len(self._pool), dtype=bool)
        self._best = math.inf
        self._lowest = math.inf  # of what `_seen` has, and of the same of other trials
        self._parent: Params | None = None

    def tell(self, trial: Trial) -> None:
        """Record a trial; one that failed or was pruned is just not tried again."""
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
        return _neighbour(self._space, self._parent, _NEAR, rng, turn=number)

    def _promising(self) -> int:
        """Return the index of the most promising configuration of the pool that is untried."""
        mean, deviation, best = _conditioned(self._settings, self._seen, self._lowest)
        left = np.flatnonzero(self._left)
        gains = log_expected_improvement(mean[left], deviation[left], best)
        return int(left[np.argmax(gains)])


def _neighbour(
    space: Space, parent: Params, scale: float, rng: random.Random, turn: int
) -> dict[str, Any]:
    """Return a point that differs from `parent` in one param, in some, or in all.

    Args:
        space: The space of both points.
        parent: The point to start from.
        scale: The standard deviation of a number's move, as a share of its range. Choices change
            less often the smaller it is.
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
            changes = place == leading or rng.random() < scale / WIDEST
            params[name] = domain.decode(rng.random()) if changes else parent[name]
        else:
            if domain.size is not None:
                move += math.copysign(0.5 / domain.size, move)
            # Clipped, not reflected: an optimum is often at the edge.
            params[name] = domain.decode(min(max(domain.encode(parent[name]) + move, 0.0), 1.0))
    return params


def _conditioned(
    settings: PortfolioSettings, seen: Mapping[int, float], lowest: float
) -> tuple[Reals, Reals, float]:
    """Return mean and standard deviation over the pool, and the best, given a group's losses.

    A loss is y = a + s z, where z is a draw of the Gaussian. The level a is unrestricted, which is
    universal kriging (Rasmussen and Williams, "Gaussian processes for machine learning", 2006,
    section 2.7); the scale s is the most likely of several. The results are in units of z.
    """
    places, y = np.array(list(seen)), np.array(list(seen.values()))
    mu = settings.mean
    across = settings.covariance[places].astype(np.float64)
    inverse = np.linalg.inv(across[:, places] + settings.noise * np.eye(len(places)))
    ones = inverse.sum(axis=1)
    total = ones.sum()
    free = inverse - np.outer(ones, ones) / total  # the part that no level explains
    y = y - y[0]  # only differences matter, which are exact even for large numbers
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
    """Return configurations that were best for single groups and may be good for others.

    They are tried on all of the groups, so that these have more in common. The larger the gain of
    a configuration over those common to all groups, the more likely it is to be useful.
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
    """Learn from groups of one space; None if they have too little in common.

    This takes about 50 ms per group.
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
    """Return the configurations that nearly all groups have tried, in the first group's order."""
    counts: dict[str, int] = {}
    for each in tuned:
        for key in each.losses:
            counts[key] = counts.get(key, 0) + 1
    return [key for key, count in counts.items() if count >= _KNOWN * len(tuned)]


def _pool(
    tuned: Sequence[Tuned], common: Sequence[str], params: Mapping[str, Params]
) -> dict[str, Params]:
    """Return the common configurations, the best of each group, and points all over the space."""
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
    """A group's losses by key, relative to its middle, in units of its spread."""

    losses: Mapping[str, float]
    spread: float


def _relative(tuned: Tuned, common: Sequence[str], *, is_ratio: bool) -> _Relative:
    """Convert losses to comparable units, in which the best of each group is -1."""
    losses = {k: math.log(loss) if is_ratio else loss for k, loss in tuned.losses.items()}
    middle = float(
        np.median([losses[key] for key in common if key in losses] or [*losses.values()])
    )
    spread = middle - min(losses.values())
    spread = spread if spread > 0 else max(losses.values()) - middle or 1.0
    spread = max(spread, 1 / _LARGEST)
    relative = {key: min((loss - middle) / spread, _CAP) for key, loss in losses.items()}
    # A common configuration without a loss has failed in this group.
    return _Relative({**dict.fromkeys(common, _CAP), **relative}, spread)


@dataclass(frozen=True, slots=True)
class _Surface:
    """The predictions of a group's Gaussian process at the pool, and its hyperparameters."""

    values: Reals
    theta: Any
    noise: float

    @classmethod
    def through(
        cls, losses: Mapping[str, float], params: Mapping[str, Params], cube: Cube, pool: Any
    ) -> "_Surface":
        # Loaded here, because workers, which don't learn, needn't import it.
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
    """Return the covariance over groups, shrunk towards the kernel of a typical group.

    Since there are fewer groups than points, the empirical covariance alone would be too certain.
    This follows Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices" (2004), whose target is a multiple of the identity.
    """
    surrogate = load("manyfit.samplers.surrogate")
    typical = surrogate.Theta(np.median([theta.logs for theta in thetas], axis=0))
    stationary = surrogate.kernel(typical, points, points)
    empirical = np.cov(surfaces, rowvar=False)
    stationary *= np.trace(empirical) / np.trace(stationary)
    return np.asarray((1 - _SHRINKAGE) * empirical + _SHRINKAGE * stationary)


def _greedy(surfaces: Reals) -> tuple[int, ...]:
    """Choose indices one by one, each lowering the mean of the groups' best losses the most.

    For such a submodular gain, the greedy choice achieves at least 63 % of the optimum (Nemhauser,
    Wolsey and Fisher, "An analysis of approximations for maximizing submodular set functions",
    1978). Ties go to the first.
    """
    chosen: list[int] = []
    best = np.full(len(surfaces), np.inf)
    for _ in range(min(_PORTFOLIO, surfaces.shape[1])):
        means = np.minimum(best[:, None], surfaces).mean(axis=0)
        means[chosen] = np.inf
        chosen.append(int(np.argmin(means)))
        best = np.minimum(best, surfaces[:, chosen[-1]])
    return tuple(chosen)
