"""What some groups teach about others."""

import json
import math
import pickle
from functools import cache

import numpy as np
import pytest

from manyfit.groups.search.portfolio import Tuned, learn, worth_sharing
from manyfit.metric import Metric
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.nearby import NearbySampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import LOSS, SamplerContract, finished, loss_of, trial
from manyfit.trial import Failed, Pruned

SPACE = Space({"x": Float(0, 1), "y": Float(0, 1)})


def surface(group, level=1.0, base=1.0):
    """Return the loss of a group, whose best values lie on a line."""
    best = np.random.default_rng(group).random()

    def loss(params):
        bowl = (params["x"] - best) ** 2 + (params["y"] - 0.8 + 0.5 * best) ** 2
        return level * (base + 4 * bowl)

    return loss


def study(sampler, space, loss, trials, seed=0):
    """Return what a group was asked for, with losses."""
    found, seen = [], set()
    for number in range(trials):
        params = distinct_params(sampler, space, number, seen, seed)
        seen.add(space.key(params))
        found.append((params, loss(params)))
        sampler.tell(finished(number, *found[-1]))
    return found


def history(trials):
    """Return trials as rows have them."""
    return json.dumps([[params, loss, "COMPLETE"] for params, loss in trials])


def tuned(loss, seed, space=SPACE, trials=20):
    """Return a group tuned on its own."""
    found = study(NearbySampler(space, LOSS, seed), space, loss, trials, seed)
    return Tuned.of([history(found)], space, LOSS)


@cache
def settings_of(base=1.0):
    """Return what twelve groups of different levels teach."""
    return learn([tuned(surface(g, 10.0 ** (g % 5), base), g) for g in range(12)])


class TestContract(SamplerContract):
    """It keeps what samplers keep."""

    def make_sampler(self, space, metric, seed):
        """Return a new one."""
        return learned_of(space).bind(space, metric, seed)


@cache
def learned_of(space):
    """Return what three groups of a space teach."""
    return learn([tuned(lambda params: loss_of(space, params), n, space, 10) for n in range(3)])


# ── the groups that teach ─────────────────────────────────────────────────────────────────────────


def test_a_history():
    """Trials that failed, diverged or lie outside are left out; the first of two counts."""
    point, other = {"x": 0.5, "y": 0.5}, {"x": 0.25, "y": 0.5}
    first = [[point, 3.0, "COMPLETE"], [other, None, "FAIL"], [{"x": 7.0}, 1.0, "COMPLETE"]]
    second = [[point, 4.0, "COMPLETE"], [other, math.inf, "COMPLETE"], [other, math.nan, "FAIL"]]
    found = Tuned.of([json.dumps(first), json.dumps(second)], SPACE, Metric("auc", "maximize"))
    assert found.losses == {SPACE.key(point): -3.0}


@pytest.mark.parametrize(("groups", "trials"), [(0, 20), (1, 20), (5, 2)])
def test_too_little(groups, trials):
    """Nothing, one group, and groups of two trials teach nothing."""
    assert learn([tuned(surface(0), 0, trials=trials)] * groups) is None


def test_nothing_in_common():
    """Groups that have tried different things can't be compared."""
    rng = np.random.default_rng(0)
    points = [[[SPACE.sample(rng), 1.0 + n, "COMPLETE"] for n in range(9)] for _ in range(6)]
    assert learn([Tuned.of([json.dumps(each)], SPACE, LOSS) for each in points]) is None


def test_what_is_worth_sharing():
    """Bests of single groups, each once, at most ten, and nothing that all have tried."""
    groups = [tuned(surface(g), g) for g in range(30)]
    found = [SPACE.key(params) for params in worth_sharing(groups)]
    bests = {min(each.losses, key=each.losses.get) for each in groups}
    common = set.intersection(*(set(each.losses) for each in groups))
    assert len(found) == 10 == len(set(found))
    assert set(found) <= bests - common
    assert worth_sharing([]) == []


def test_learning_is_repeatable():
    """The same groups teach the same, whichever order their trials are in but for the first."""
    groups = [tuned(surface(g), g) for g in range(4)]
    one, other = learn(groups), learn(groups)
    assert one.order == other.order
    assert list(one.pool) == list(other.pool)
    assert np.array_equal(one.covariance, other.covariance)


def test_the_portfolio_serves_different_groups():
    """Where groups are of two kinds, the first two configurations suit one each."""
    groups = []
    for g in range(12):
        best = 0.1 + 0.8 * (g % 2)
        groups.append(tuned(lambda p, best=best: 1 + (p["x"] - best) ** 2, g))
    found = learn(groups)
    first = sorted(list(found.pool.values())[place]["x"] for place in found.order[:3])
    assert first[0] < 0.3
    assert first[-1] > 0.7


def test_it_travels():
    """It is small enough to go with each task."""
    assert len(pickle.dumps(settings_of())) < 300_000


def test_a_failure_of_one_group_teaches():
    """What nearly all groups could do and one could not was as bad as can be there."""
    groups = [tuned(lambda p: 1 + p["x"], g) for g in range(10)]
    whole = learn(groups)
    key = next(iter(groups[0].losses))
    losses = {k: loss for k, loss in groups[0].losses.items() if k != key}
    torn = learn([Tuned(SPACE, losses, groups[0].params), *groups[1:]])
    place = list(whole.pool).index(key)
    assert torn.mean[list(torn.pool).index(key)] > whole.mean[place]


def test_flat_groups():
    """A metric that is the same whatever is tried breaks nothing."""
    found = learn([tuned(lambda p: 2.0, g) for g in range(4)])
    trials = study(found.bind(SPACE, LOSS, 0), SPACE, lambda p: 2.0, 30)
    assert len({SPACE.key(params) for params, _ in trials}) == 30


def test_wild_losses():
    """A group whose losses span hundreds of orders of magnitude spoils nothing."""
    wild = tuned(lambda p: 10.0 ** (180 * p["x"] - 90) * (1 if p["y"] < 0.5 else -1), 0)
    found = learn([wild, *[tuned(surface(g), g) for g in range(1, 9)]])
    assert np.isfinite(found.covariance).all()
    assert np.isfinite(found.mean).all()
    trials = study(found.bind(SPACE, LOSS, 0), SPACE, surface(50), 10)
    assert min(loss for _, loss in trials) < 1.2


# ── the groups that learn ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("base", [1.0, -1.0])
def test_ten_trials_do(base):
    """Where groups are alike, ten trials come nearer to the best than ten of one's own.

    Losses that may be negative are compared by differences, others by ratios.
    """
    mine, ten = [], []
    for group in range(100, 150):
        loss = surface(group, 10.0 ** (group % 5), base)
        unit = 10.0 ** (group % 5)
        own = [
            (at / unit) - base
            for _, at in study(NearbySampler(SPACE, LOSS, group), SPACE, loss, 10)
        ]
        found = study(settings_of(base).bind(SPACE, LOSS, group), SPACE, loss, 10)
        mine.append(min(at / unit - base for _, at in found))
        ten.append(min(own))
    assert np.mean(mine) < np.mean(ten)


@pytest.mark.parametrize(("base", "shift", "factor"), [(1.0, 0.0, 1e6), (-1.0, 1e3, 1.0)])
def test_levels_don_t_matter(base, shift, factor):
    """A group on another level is asked for the same: another unit, or another zero."""
    loss = surface(77, 1.0, base)
    one, other = (settings_of(base).bind(SPACE, LOSS, 5) for _ in range(2))
    asked = study(one, SPACE, loss, 8)
    shifted = study(other, SPACE, lambda p: factor * loss(p) + shift, 8)
    assert [params for params, _ in asked] == [params for params, _ in shifted]


def test_what_was_tried_before_counts():
    """Where another trial came first, the portfolio follows, without what was tried."""
    sampler = settings_of().bind(SPACE, LOSS, 0)
    first = list(settings_of().pool.values())[settings_of().order[0]]
    assert sampler.ask(0) == first
    sampler.tell(finished(0, {"x": 0.123, "y": 0.456}, 2.0))
    assert sampler.ask(1) == first
    sampler.tell(finished(1, first, 2.0))
    assert sampler.ask(2) != first


def test_failures():
    """While all fail or are pruned it goes on with something else each time."""
    sampler = settings_of().bind(SPACE, LOSS, 0)
    asked = []
    for number in range(12):
        asked.append(sampler.ask(number))
        end = Failed("no", "ValueError") if number % 2 else Pruned("worse")
        sampler.tell(trial(number, asked[-1], end, 1.0))
    assert len({SPACE.key(params) for params in asked}) == 12


@pytest.mark.parametrize("loss", [0.0, -5.0, 1e300])
def test_a_loss_that_has_no_logarithm(loss):
    """A loss of 0, one below, and one that diverged don't stop the search."""
    sampler = settings_of().bind(SPACE, LOSS, 0)
    for number in range(12):
        params = sampler.ask(number)
        SPACE.check(params)
        sampler.tell(finished(number, params, loss if number % 3 == 0 else 1.0 + params["x"]))


def test_maximising():
    """Large values are good there."""
    metric = Metric("score", "maximize")
    groups = []
    for g in range(6):
        found = study(NearbySampler(SPACE, metric, g), SPACE, lambda p: 0.5 + p["x"] / 4, 15)
        groups.append(Tuned.of([history(found)], SPACE, metric))
    sampler = learn(groups).bind(SPACE, metric, 9)
    assert sampler.ask(0)["x"] > 0.9


def test_branches():
    """A space with branches, whole numbers and choices works as well."""
    tree = {"depth": Int(1, 9), "leaf": Int(1, 64, log=True)}
    space = Space(
        {"model": Choice({"linear": {"alpha": Float(1e-3, 1e3, log=True)}, "tree": tree})}
    )

    def loss(params):
        return 1.0 + (params["depth"] / 9 if params["model"] == "tree" else 1.0)

    found = learn([tuned(loss, g, space) for g in range(5)])
    trials = study(found.bind(space, LOSS, 7), space, loss, 10)
    assert min(at for _, at in trials) == 1.0 + 1 / 9
