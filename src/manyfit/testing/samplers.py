"""The contract suite of samplers, and trials to test one with."""

import copy
import json
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from manyfit._quantiles import Prior
from manyfit.metric import Metric
from manyfit.samplers.base import Sampler
from manyfit.samplers.distinct import distinct_params
from manyfit.space import Choice, Float, Int, Space
from manyfit.trial import Attempt, End, Failed, Finished, Lost, Measurement, Params, Pruned, Trial

LOSS = Metric("loss")

# Finite, so that a grid supports them, too; large enough for every test here.
SPACES: Mapping[str, Space] = {
    "numbers": Space(
        {
            "rate": Float(0.1, 0.95, step=0.05),
            "offset": Int(-5, 7),
            "units": Int(8, 64, step=8),
            "batch": Int(1, 300, log=True),
        }
    ),
    "options": Space(
        {
            "any": Choice([None, True, 1, 1.0, "1", (64, 64), max], weights=[1, 2, 3, 4, 5, 6, 7]),
            "only": Choice(["alone"]),
            "rate": Float(-1, 1, step=0.25),
            "fixed": (1, 2, 3),
        }
    ),
    "branches": Space(
        {
            "batch": Int(1, 8),
            "model": Choice(
                {
                    "svm": {
                        "C": Float(0.5, 8, step=0.5),
                        "kernel": Choice({"rbf": {"gamma": Int(1, 20)}, "linear": {}}),
                    },
                    "forest": {"depth": Int(2, 12), "trees": 100},
                    "mean": {},
                }
            ),
        }
    ),
}
INFINITE: Mapping[str, Space] = {
    "reals": Space({"x": Float(-5, 5), "rate": Float(1e-6, 10, log=True), "n": Int(1, 10**9)}),
    "priors": Space(
        {
            "x": Float.normal(0, 2),
            "units": Float.lognormal(3, 1, step=8),
            "n": Int(prior=Prior("poisson", (("mu", 20.0),))),
        }
    ),
    "optional": Space({"on": Choice({"yes": {"x": Float(0, 1)}, "no": {}}), "y": Float(0, 1)}),
}


def trial(number: int, params: Params, end: End | None = None, *reports: float) -> Trial:
    """Return a trial: pending without an end, otherwise ended in its first attempt.

    Example:
        >>> trial(3, {"x": 1}, Pruned("hopeless"), 0.5, 0.75).state
        <State.PRUNED: 'PRUNED'>
    """
    if end is None:
        return Trial(number, params)
    measurements = tuple(
        Measurement(step, {LOSS.name: value}, at=0.0) for step, value in enumerate(reports)
    )
    attempt = Attempt(1, "worker", 0.0, measurements, end=end, ended_at=1.0, seconds=1.0)
    return Trial(number, params, attempts=(attempt,))


def finished(number: int, params: Params, value: float) -> Trial:
    """Return a trial that completed with a loss."""
    return trial(number, params, Finished(value, {LOSS.name: value}), value)


def loss_of(space: Space, params: Params) -> float:
    """Return an artificial loss: the distance of active params from a third of their ranges."""
    return float(sum(abs(u - 1 / 3) for u in space.encode(params) if not math.isnan(u)))


def some_end(number: int, space: Space, params: Params) -> Trial:
    """Return the trial, ended in a way that depends on its number."""
    value = loss_of(space, params)
    match number % 8:
        case 3:
            return trial(number, params, Pruned("worse than others"), value + 1, value)
        case 5:
            return trial(number, params, Failed("it raised", "ValueError"), value)
        case 6:
            return trial(number, params, Pruned("diverged"), value, math.nan)
        case 7:
            lost = trial(number, params, Lost("its machine died"))
            return replace(lost, abandoned="its worker died twice")
    return finished(number, params, value)


def rehearse(sampler: Sampler, space: Space, count: int, parallelism: int = 3) -> list[Trial]:
    """Ask and tell like a study that runs several trials at once; returns the trials told.

    Trials end in many ways (see `some_end`); the last ones are still pending.
    """
    told: list[Trial] = []
    running: deque[Trial] = deque()
    for number in range(count):
        params = sampler.ask(number)
        if params is None:
            break
        running.append(Trial(number, params))
        told.append(running[-1])
        sampler.tell(told[-1])
        if len(running) == parallelism:
            oldest = running.popleft()
            told.append(some_end(oldest.number, space, oldest.params))
            sampler.tell(told[-1])
    return told


def proposals(told: Iterable[Trial]) -> list[Params]:
    """Return the params of each trial once, in the order of numbers."""
    return list({t.number: t.params for t in told}.values())


class SamplerContract:
    """The contract of every sampler. Subclass it, and override `make_sampler`.

    Attributes:
        spaces: The spaces to test; override with `SPACES` if they must be finite.
        seeded: Whether another seed gives other points.
        resumes_exactly: Whether proposals depend only on what it was told, the seed and the number.
            A sampler that keeps a random state may continue with other random numbers.
    """

    spaces: ClassVar[Mapping[str, Space]] = {**SPACES, **INFINITE}
    seeded: ClassVar[bool] = True
    resumes_exactly: ClassVar[bool] = True

    def make_sampler(self, space: Space, metric: Metric, seed: int) -> Sampler:
        """Return a new sampler; override it."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test with a parameter `space` on all spaces."""
        if "space" in metafunc.fixturenames:
            metafunc.parametrize("space", self.spaces.values(), ids=self.spaces.keys())

    def test_proposals_lie_in_the_space(self, space: Space) -> None:
        """Params are in stored form: plain values within bounds, for active names only."""
        told = rehearse(self.make_sampler(space, LOSS, 0), space, 30)

        assert len(proposals(told)) == 30
        for params in proposals(told):
            space.check(params)
            assert json.loads(space.key(params)) == params

    def test_a_replayed_sampler_goes_on_alike(self, space: Space) -> None:
        """A sampler that is told the same trials in the same order makes the same proposal."""
        asked = self.make_sampler(space, LOSS, 0)
        told = rehearse(asked, space, 30)
        replayed = self.make_sampler(space, LOSS, 0)
        for each in told:
            replayed.tell(each)

        params = replayed.ask(30) or {}
        space.check(params)
        assert params == asked.ask(30) or not self.resumes_exactly

    def test_the_same_study_twice(self, space: Space) -> None:
        """The same seed gives the same study."""
        one, other = (rehearse(self.make_sampler(space, LOSS, 7), space, 20) for _ in range(2))

        assert one == other

    def test_another_seed(self, space: Space) -> None:
        """Another seed gives another study, if the sampler uses one."""
        one, other = (rehearse(self.make_sampler(space, LOSS, s), space, 12) for s in (0, 1))

        assert (one != other) is self.seeded

    def test_asking_again_changes_nothing(self, space: Space) -> None:
        """Asked again for the same number, with nothing new told, it proposes the same."""
        sampler = self.make_sampler(space, LOSS, 0)
        rehearse(sampler, space, 20)

        assert sampler.ask(20) == sampler.ask(20)

    def test_numbers_differ(self, space: Space) -> None:
        """Trials of different numbers mostly get different points."""
        told = rehearse(self.make_sampler(space, LOSS, 0), space, 30)

        assert len({space.key(params) for params in proposals(told)}) >= 10

    def test_leaves_trials_alone(self, space: Space) -> None:
        """It doesn't change the trials that it is told."""
        sampler = self.make_sampler(space, LOSS, 0)
        for number, params in enumerate(_points(space, 15)):
            for each in (Trial(number, params), some_end(number, space, params)):
                before = copy.deepcopy(each)
                sampler.tell(each)
                sampler.ask(number + 1)

                assert repr(each) == repr(before)

    def test_a_changed_proposal_is_the_callers(self, space: Space) -> None:
        """A caller's changes to a proposal don't affect the sampler."""
        sampler = self.make_sampler(space, LOSS, 0)
        params = dict(sampler.ask(0) or {})
        given = sampler.ask(0)
        assert isinstance(given, dict)
        given.clear()

        assert sampler.ask(0) == params

    def test_points_of_others(self, space: Space) -> None:
        """It handles points that it didn't propose, and proposals that were not used."""
        sampler = self.make_sampler(space, LOSS, 0)
        for number, params in enumerate(_points(space, 20)):
            sampler.ask(number)
            sampler.tell(Trial(number, params))
            sampler.tell(some_end(number, space, params))

        space.check(sampler.ask(20) or {})

    @pytest.mark.parametrize(
        "end",
        [Failed("it raised", "ValueError"), Pruned("hopeless"), Lost("its machine died"), None],
        ids=["failed", "pruned", "lost", "pending"],
    )
    def test_no_trial_ever_completes(self, space: Space, end: End | None) -> None:
        """It keeps proposing when all trials fail, are pruned before any report, or hang."""
        sampler = self.make_sampler(space, LOSS, 0)
        for number in range(25):
            params = sampler.ask(number)
            assert params is not None
            sampler.tell(Trial(number, params))
            if end is not None:
                ended = trial(number, params, end)
                abandoned = "given up" if isinstance(end, Lost) else None
                sampler.tell(replace(ended, abandoned=abandoned))

        space.check(sampler.ask(25) or {})

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_reports_that_are_no_number(self, space: Space, value: float) -> None:
        """It accepts pruned trials whose reports are NaN or infinite."""
        sampler = self.make_sampler(space, LOSS, 0)
        for number, params in enumerate(_points(space, 20)):
            sampler.tell(Trial(number, params))
            sampler.tell(trial(number, params, Pruned("diverged"), 0.5, value))

        space.check(sampler.ask(20) or {})

    def test_all_values_equal(self, space: Space) -> None:
        """A constant metric neither stops it nor raises."""
        sampler = self.make_sampler(space, Metric("loss", "maximize"), 0)
        for number, params in enumerate(_points(space, 20)):
            sampler.tell(Trial(number, params))
            sampler.tell(finished(number, params, 1.0))

        space.check(sampler.ask(20) or {})

    def test_told_only_how_it_ended(self, space: Space) -> None:
        """It accepts a trial that it is told only after it has ended."""
        sampler = self.make_sampler(space, LOSS, 0)
        for number, params in enumerate(_points(space, 20)):
            sampler.tell(some_end(number, space, params))

        space.check(sampler.ask(20) or {})

    def test_a_finite_space_to_its_end(self) -> None:
        """With `distinct_params` it tries every configuration of a finite space once."""
        space = Space({"n": Int(1, 4), "kind": Choice({"a": {"x": Int(1, 3)}, "b": {}})})
        sampler = self.make_sampler(space, LOSS, 0)
        seen: set[str] = set()
        while (params := distinct_params(sampler, space, len(seen), seen, 0)) is not None:
            number = len(seen)
            seen.add(space.key(params))
            assert len(seen) == number + 1
            sampler.tell(Trial(number, params))
            sampler.tell(finished(number, params, loss_of(space, params)))

        assert len(seen) == space.size


def _points(space: Space, count: int) -> list[Params]:
    rng = np.random.default_rng(12345)
    return [space.sample(rng) for _ in range(count)]
