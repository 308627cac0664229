"""What some groups teach about others: what to try first, and how losses go together.

Groups that were tuned in full have many configurations in common, the pool. Each group's losses
over the pool, relative to that of its first point, are one draw of a Gaussian whose mean and
covariance are theirs. In a new group, what has been tried conditions it, and the next point is
where it expects to improve most.
"""

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from manyfit.metric import Metric
from manyfit.samplers.acquisition import log_expected_improvement
from manyfit.samplers.nearby import neighbour
from manyfit.space import Space
from manyfit.trial import Params, State, Trial

Reals = NDArray[np.float64]

_PORTFOLIO = 5  # configurations that are tried in any case
_KNOWN = 0.8  # of the groups must have tried a configuration of the pool
_SHRINKAGE = (
    0.2  # of the covariance towards its diagonal: there are not many more groups than points
)
_NOISE = 0.05  # of a group's own, as a share of the mean variance
_SHARED = 10  # configurations of single groups that are tried on all of the first
_NEAR = 0.08  # how near the best, as a share of the range


@dataclass(frozen=True, slots=True)
class Tuned:
    """A group that was tuned in full: its losses, by `Space.key`, the first point's foremost."""

    losses: Mapping[str, float]
    params: Mapping[str, Params] = field(repr=False)

    @classmethod
    def of(cls, histories: Sequence[str], space: Space, metric: Metric) -> "Tuned":
        """Return what rows of a group tell by their `history`; what failed is left out."""
        losses: dict[str, float] = {}
        params: dict[str, Params] = {}
        for history in histories:
            for point, value, _ in json.loads(history):
                key = space.key(point)
                if value is not None:
                    losses.setdefault(key, metric.loss(value))
                    params.setdefault(key, point)
        return cls(losses, params)


@dataclass(frozen=True, slots=True)
class PortfolioSettings:
    """What was learned, small enough to travel with each task.

    Attributes:
        pool: Stored params.
        order: Places in the pool: what is tried first, in this order.
        mean: The mean of relative losses over the pool.
        covariance: Theirs over groups.
        is_ratio: Whether losses are relative by their ratio, else by their difference.
    """

    pool: tuple[Params, ...]
    order: tuple[int, ...]
    mean: Reals = field(repr=False)
    covariance: Reals = field(repr=False)
    is_ratio: bool

    def bind(self, space: Space, metric: Metric, seed: int) -> "PortfolioSampler":
        """Return the sampler of a group."""
        return PortfolioSampler(self, space, metric, seed)


class PortfolioSampler:
    """Tries the portfolio, then where the pool promises most, and near the best in turn.

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
        self._places = {space.key(params): n for n, params in enumerate(settings.pool)}
        self._first: float | None = None  # the loss that others are relative to
        self._seen: dict[int, float] = {}  # place in the pool → relative loss
        self._tried: set[int] = set()
        self._best: tuple[float, Params] | None = None

    def tell(self, trial: Trial) -> None:
        """Take in a trial; one that failed is only not tried again."""
        place: int | None = self._places.get(self._space.key(trial.params))
        if place is not None:
            self._tried.add(place)
        if trial.state is not State.COMPLETE or trial.value is None:
            return
        loss = self._metric.loss(trial.value)
        if self._first is None and trial.number == 0:
            self._first = loss
        if self._best is None or loss < self._best[0]:
            self._best = loss, trial.params
        if place is not None and self._first is not None:
            relative = _relative(loss, self._first, is_ratio=self._settings.is_ratio)
            if math.isfinite(relative):
                self._seen[place] = relative

    def ask(self, number: int) -> Params | None:
        """Propose params."""
        for place in self._settings.order:
            if place not in self._tried:
                return self._settings.pool[place]
        promising = self._promising() if number % 2 == 0 else None
        if promising is not None:
            return self._settings.pool[promising]
        rng = random.Random(self._seed * 1_000_003 + number)  # noqa: S311
        if self._best is None:
            return self._space.sample(np.random.default_rng((self._seed, number)))
        return neighbour(self._space, self._best[1], _NEAR, rng)

    def _promising(self) -> int | None:
        """Return the place of the pool that promises most; None if nothing is known or left."""
        left = [n for n in range(len(self._settings.pool)) if n not in self._tried]
        if not self._seen or not left:
            return None
        mean, deviation = _conditioned(self._settings, self._seen)
        gains = log_expected_improvement(mean[left], deviation[left], min(self._seen.values()))
        return left[int(np.argmax(gains))]


def worth_sharing(tuned: Sequence[Tuned]) -> list[Params]:
    """Return what was best for single groups, and promises something for others.

    It is to be tried on all of the groups, so that the pool has it. Where it gained most over what
    the group had in common with the others, it is the more likely to be of use.
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
    """Return what the groups teach; None if they have nothing in common.

    Args:
        tuned: Groups, each with its first point foremost.
    """
    usable = [each for each in tuned if each.losses]
    pool = _common(usable)
    if len(pool) < 2 or len(usable) < 2:
        return None
    is_ratio = all(loss > 0 for each in usable for loss in each.losses.values())
    relative = np.array([_row(each, pool, is_ratio=is_ratio) for each in usable])
    params = {key: point for each in reversed(usable) for key, point in each.params.items()}
    covariance = np.cov(relative, rowvar=False)
    diagonal = np.diag(np.diag(covariance))
    return PortfolioSettings(
        tuple(params[key] for key in pool),
        _greedy(relative),
        relative.mean(axis=0),
        (1 - _SHRINKAGE) * covariance + _SHRINKAGE * diagonal,
        is_ratio,
    )


def _common(tuned: Sequence[Tuned]) -> list[str]:
    """Return the configurations that nearly all groups have tried, in the order of the first."""
    counts: dict[str, int] = {}
    for each in tuned:
        for key in each.losses:
            counts[key] = counts.get(key, 0) + 1
    return [key for key, count in counts.items() if count >= _KNOWN * len(tuned)]


def _row(tuned: Tuned, pool: Sequence[str], *, is_ratio: bool) -> list[float]:
    """Return a group's relative losses over the pool; the worst for what it lacks."""
    first = next(iter(tuned.losses.values()))
    known = {
        key: _relative(tuned.losses[key], first, is_ratio=is_ratio)
        for key in pool
        if key in tuned.losses
    }
    worst = max(known.values(), default=0.0)
    return [known.get(key, worst) for key in pool]


def _relative(loss: float, first: float, *, is_ratio: bool) -> float:
    if not is_ratio:
        return loss - first
    return math.log(loss / first) if loss > 0 and first > 0 else math.nan


def _greedy(relative: Reals) -> tuple[int, ...]:
    """Pick places one by one, each the one that lowers the mean over groups of their best most.

    For such a submodular gain the greedy choice is within 63 % of the best one (Nemhauser, Wolsey
    and Fisher, "An analysis of approximations for maximizing submodular set functions", 1978).
    """
    chosen: list[int] = []
    best = np.full(len(relative), np.inf)
    for _ in range(min(_PORTFOLIO, relative.shape[1])):
        means = np.minimum(best[:, None], relative).mean(axis=0)
        means[chosen] = np.inf
        chosen.append(int(np.argmin(means)))
        best = np.minimum(best, relative[:, chosen[-1]])
    return tuple(chosen)


def _conditioned(settings: PortfolioSettings, seen: Mapping[int, float]) -> tuple[Reals, Reals]:
    """Return mean and standard deviation over the pool, given what a group has shown."""
    places = list(seen)
    covariance = settings.covariance
    noise = _NOISE * float(np.mean(np.diag(covariance))) + 1e-12
    known = covariance[np.ix_(places, places)] + noise * np.eye(len(places))
    across = covariance[:, places]
    weights = np.linalg.solve(known, across.T)
    mean = settings.mean + (np.array([seen[n] for n in places]) - settings.mean[places]) @ weights
    variance = np.diag(covariance) - np.einsum("ij,ji->i", across, weights)
    return mean, np.sqrt(np.maximum(variance, 1e-18))
