"""Bayesian optimization: how fast it finds optima, and what it makes of all that can happen."""

import math
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from manyfit.metric import Metric
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.gp import GPSampler
from manyfit.samplers.quasirandom import QuasiRandomSampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import INFINITE, LOSS, SPACES, finished, some_end, trial
from manyfit.trial import Failed, Lost, Pruned, Trial

MIXED = Space(
    {
        "rate": Float(1e-5, 1, log=True),
        "units": Int(8, 512, log=True),
        "drop": Float(0, 0.5),
        "act": Choice(["relu", "tanh", "elu"]),
        "idle": Float(0, 1),
    }
)
NESTED = Space(
    {
        "scale": Choice([False, True]),
        "model": Choice(
            {
                "svm": {"C": Float(1e-3, 1e3, log=True), "gamma": Float(1e-4, 10, log=True)},
                "forest": {"depth": Int(1, 20), "share": Float(0.1, 1)},
                "mean": {},
            }
        ),
    }
)
LINE = Space({"x": Float(0, 1)})
PLANE = Space({"x": Float(0, 1), "y": Float(0, 1)})


def mixed_loss(p):
    rate = (math.log10(p["rate"]) + 2.5) ** 2 / 4
    units = (math.log2(p["units"]) - 7) ** 2 / 9
    act = {"relu": 0.0, "tanh": 0.3, "elu": 0.1}[p["act"]]
    return rate + units + (p["drop"] - 0.1) ** 2 + act


def nested_loss(p):
    if p["model"] == "mean":
        return 2.0
    if p["model"] == "forest":
        return 0.6 + (p["depth"] - 12) ** 2 / 100 + (p["share"] - 0.4) ** 2
    svm = (math.log10(p["C"]) - 1) ** 2 + (math.log10(p["gamma"]) + 2) ** 2
    return svm / 16 + 0.1 * (not p["scale"])


def study(sampler, loss, count, metric=LOSS):
    """Run trials one after another; return their params and values."""
    sign = 1 if metric.direction == "minimize" else -1
    points = []
    for number in range(count):
        params = sampler.ask(number)
        sampler.tell(Trial(number, params))
        sampler.tell(finished(number, params, sign * loss(params)))
        points.append(params)
    return points


def best(sampler, loss, count):
    return min(map(loss, study(sampler, loss, count)))


def told(sampler, points, loss):
    for number, params in enumerate(points):
        sampler.tell(finished(number, params, loss(params)))
    return sampler


def samples(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


class TestFinds:
    @pytest.mark.parametrize(
        ("space", "loss"),
        [(MIXED, mixed_loss), (NESTED, nested_loss)],
        ids=["mixed", "conditional"],
    )
    def test_in_a_third_of_the_trials(self, space, loss):
        """After 25 trials it is closer to the optimum than random search after 75."""
        found = [best(GPSampler(space, LOSS, seed), loss, 25) for seed in range(3)]
        drawn = [best(RandomSampler(space, seed), loss, 75) for seed in range(9)]

        assert np.median(found) < np.median(drawn) / 2

    def test_a_bowl(self):
        """A smooth function of one param is pinned down in a dozen trials."""
        assert best(GPSampler(LINE, LOSS, 0), lambda p: (p["x"] - 0.3137) ** 2, 12) < 1e-4

    def test_a_bound(self):
        """An optimum at a bound is found exactly enough."""
        points = study(GPSampler(PLANE, LOSS, 0), lambda p: p["x"] - p["y"], 15)

        assert max(p["y"] - p["x"] for p in points) > 0.97

    def test_an_option(self):
        """It finds the best of many options, and is there more often than anywhere else."""
        space = Space({"c": Choice([*"abcdefgh"]), "x": Float(0, 1)})
        points = study(
            GPSampler(space, LOSS, 0), lambda p: (p["c"] != "f") + (p["x"] - 0.5) ** 2, 40
        )
        options = Counter(p["c"] for p in points)

        assert options.most_common(1)[0][0] == "f"
        assert min(abs(p["x"] - 0.5) for p in points if p["c"] == "f") < 0.05

    def test_a_branch_that_looks_bad_at_first(self):
        """Small gains in one branch don't keep it from a better one that is mostly bad."""

        def trap(p):
            if p["model"] == "svm":
                return 4 * nested_loss(p) - 0.3 * (not p["scale"])
            return nested_loss(p)

        assert all(best(GPSampler(NESTED, LOSS, seed), trap, 50) < 0.1 for seed in range(2))

    def test_through_noise(self):
        """Noise as large as a fifth of the possible gain doesn't mislead it."""
        rng = np.random.default_rng(0)
        points = study(
            GPSampler(PLANE, LOSS, 0),
            lambda p: (p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2 + 0.1 * rng.standard_normal(),
            40,
        )
        late = points[25:]

        assert abs(np.median([p["x"] for p in late]) - 0.3) < 0.15
        assert abs(np.median([p["y"] for p in late]) - 0.6) < 0.15

    def test_beyond_a_local_optimum(self):
        """A wide valley that isn't the lowest doesn't hold it for ever."""

        def loss(p):
            wide, deep = (p["x"] - 0.25) ** 2, math.exp(-(((p["x"] - 0.8) / 0.08) ** 2))
            return wide - deep

        assert best(GPSampler(LINE, LOSS, 0), loss, 25) < -0.68

    def test_maximize(self):
        """To maximize is to minimize the negative."""
        up = study(
            GPSampler(MIXED, Metric("loss", "maximize"), 3),
            mixed_loss,
            15,
            Metric("loss", "maximize"),
        )

        assert up == study(GPSampler(MIXED, LOSS, 3), mixed_loss, 15)


class TestFirst:
    def test_the_middle_comes_first(self):
        """The first trial is the middle of the space, the next ones spread over it."""
        points = study(GPSampler(PLANE, LOSS, 0), lambda p: p["x"], 6)

        assert points[0] == {"x": 0.5, "y": 0.5}
        assert {p["x"] < 0.5 for p in points[1:]} == {True, False}
        assert {p["y"] < 0.5 for p in points[1:]} == {True, False}

    def test_many_at_once_before_any_result(self):
        """Workers that all start at once are spread over the space evenly."""
        sampler = GPSampler(PLANE, LOSS, 0)
        points = []
        for number in range(64):
            points.append(sampler.ask(number))
            sampler.tell(Trial(number, points[-1]))

        counts = np.zeros((4, 4))
        for p in points:
            counts[int(4 * p["x"] - 1e-9), int(4 * p["y"] - 1e-9)] += 1
        assert counts.min() >= 3

    @pytest.mark.parametrize("end", [Failed("it raised"), Pruned("hopeless")])
    def test_for_ever_if_need_be(self, end):
        """While no trial completes, it goes on exploring."""
        sampler = GPSampler(PLANE, LOSS, 0)
        points = []
        for number in range(100):
            points.append(sampler.ask(number))
            sampler.tell(trial(number, points[-1], end))

        assert len({PLANE.key(p) for p in points}) == 100


class TestPending:
    def test_a_thousand_in_flight(self):
        """Most of very many proposals are quasi-random, and so quick; the others still learn."""
        sampler = GPSampler(PLANE, LOSS, 0)
        known = study(QuasiRandomSampler(PLANE, 1), lambda p: p["x"], 20)
        for number, params in enumerate(known, 1000):
            sampler.tell(finished(number, params, params["x"]))
        began = time.process_time()
        points = []
        for number in range(200):
            points.append(sampler.ask(number))
            sampler.tell(Trial(number, points[-1]))

        assert time.process_time() - began < 20
        assert len({PLANE.key(p) for p in points}) > 195

    @pytest.mark.parametrize("space", [MIXED, NESTED], ids=["mixed", "conditional"])
    def test_never_two_alike(self, space):
        """However many are out, no two are the same."""
        loss = mixed_loss if space is MIXED else nested_loss
        sampler = told(GPSampler(space, LOSS, 0), samples(space, 12), loss)
        keys = set()
        for number in range(12, 76):
            params = sampler.ask(number)
            sampler.tell(Trial(number, params))
            keys.add(space.key(params))

        assert len(keys) == 64

    def test_diverse(self):
        """They don't all crowd around the best: many go where less is known."""
        sampler = told(
            GPSampler(PLANE, LOSS, 0), samples(PLANE, 12), lambda p: (p["x"] - 0.3) ** 2 + p["y"]
        )
        points = []
        for number in range(12, 44):
            params = sampler.ask(number)
            sampler.tell(Trial(number, params))
            points.append((params["x"], params["y"]))
        places = np.array(points)
        gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
        nearest = (gaps + 9 * np.eye(32)).min(axis=1)

        assert np.mean(nearest > 0.02) > 0.25
        assert gaps.max() > 0.5

    def test_as_good_with_many_at_once(self):
        """With eight at once, 48 trials still find the optimum."""
        for seed in range(2):
            sampler = GPSampler(MIXED, LOSS, seed)
            running, losses = [], []
            for number in range(48):
                params = sampler.ask(number)
                sampler.tell(Trial(number, params))
                running.append((number, params))
                if len(running) == 8:
                    n, p = running.pop(0)
                    losses.append(mixed_loss(p))
                    sampler.tell(finished(n, p, losses[-1]))
            assert min(losses) < 0.05


class TestEnds:
    def test_failures_are_avoided(self):
        """Where trials fail, it stops looking, though good trials are near."""
        sampler = GPSampler(PLANE, LOSS, 0)
        failed = []
        for number in range(40):
            params = sampler.ask(number)
            failed.append(params["x"] > 0.6)
            value = 1 - params["x"] + (params["y"] - 0.5) ** 2
            sampler.tell(
                trial(number, params, Failed("out of memory"))
                if failed[-1]
                else finished(number, params, value)
            )

        assert sum(failed[20:]) < 10
        assert sum(failed[20:]) < sum(failed[:20]) + 3

    def test_pruned_trials_inform(self):
        """Trials that were pruned say where not to look, and where it is better than elsewhere."""

        def ended(sampler, is_told):
            for number, p in enumerate(samples(PLANE, 30)):
                value = abs(p["x"] - 0.8) + 0.2 * abs(p["y"] - 0.5)
                if number < 8:
                    done = finished(number, p, value)
                    attempt = trial(0, p, Pruned(""), 2 + value, 1 + value, value).attempts[0]
                    done = replace(done, attempts=(replace(attempt, end=done.attempts[0].end),))
                    sampler.tell(done)
                elif is_told:
                    sampler.tell(trial(number, p, Pruned("hopeless"), 2 + value, 1 + value))
            return sampler.ask(30)["x"]

        errors = {
            is_told: np.mean(
                [abs(ended(GPSampler(PLANE, LOSS, s), is_told) - 0.8) for s in range(4)]
            )
            for is_told in (True, False)
        }
        assert errors[True] < 0.1
        assert errors[True] < errors[False] + 0.02

    def test_one_that_diverged(self):
        """A few results of 1e300 change nothing of note."""
        points = samples(PLANE, 20)

        def loss(p):
            return 1e300 if p["x"] > 0.9 else (p["x"] - 0.3) ** 2 + (p["y"] - 0.3) ** 2

        params = told(GPSampler(PLANE, LOSS, 0), points, loss).ask(20)
        assert abs(params["x"] - 0.3) < 0.25
        assert abs(params["y"] - 0.3) < 0.25

    @pytest.mark.parametrize("value", [0.0, 1.0, -1e300, 1e300, 1.7e308, 5e-324])
    def test_always_the_same_value(self, value):
        """A metric that never changes leaves it exploring."""
        sampler = GPSampler(PLANE, LOSS, 0)
        points = study(sampler, lambda p: value, 20)

        assert len({PLANE.key(p) for p in points}) == 20
        assert np.std([p["x"] for p in points]) > 0.15

    @pytest.mark.parametrize("large", [1e300, 1.7e308])
    def test_huge_values(self, large):
        """Values at the ends of what a float can be don't overflow."""
        sampler = GPSampler(PLANE, LOSS, 0)
        points = study(sampler, lambda p: large * (2 * p["x"] - 1), 20)

        assert min(p["x"] for p in points) < 0.02

    def test_duplicates(self):
        """A point that was told many times over, with other results, isn't proposed again."""
        sampler = GPSampler(LINE, LOSS, 0)
        for number in range(20):
            sampler.tell(finished(number, {"x": [0.25, 0.75][number % 2]}, number / 20))

        assert sampler.ask(20)["x"] not in (0.25, 0.75)

    def test_a_trial_that_is_run_again(self):
        """A trial that was lost is pending again until it ends."""
        sampler = told(GPSampler(LINE, LOSS, 0), samples(LINE, 8), lambda p: p["x"])
        params = sampler.ask(8)
        sampler.tell(Trial(8, params))
        sampler.tell(trial(8, params, Lost("its machine died")))
        other = sampler.ask(9)
        sampler.tell(finished(8, params, params["x"]))

        assert other != params
        assert sampler.ask(9) != params


class TestSpaces:
    def test_two_configurations(self):
        """A space of two is gone through, and then still answered."""
        space = Space({"c": Choice(["a", "b"])})
        sampler = GPSampler(space, LOSS, 0)
        study(sampler, lambda p: p["c"] == "a", 10)

        assert sampler.ask(10)["c"] in "ab"

    def test_only_constants(self):
        """A space of constants has one configuration, however often one asks."""
        space = Space({"epochs": 3})
        sampler = GPSampler(space, LOSS, 0)
        points = study(sampler, lambda p: 1.0, 10)
        sampler.tell(Trial(10, {}))

        assert points == [{}] * 10
        assert sampler.ask(11) == {}

    def test_an_option_without_alternative(self):
        """A choice of one option is part of the params, and of nothing else."""
        space = Space({"c": Choice(["only"]), "x": Float(0, 1)})
        points = study(GPSampler(space, LOSS, 0), lambda p: (p["x"] - 0.3) ** 2, 12)

        assert {p["c"] for p in points} == {"only"}
        assert min(abs(p["x"] - 0.3) for p in points) < 0.02

    def test_a_small_space_to_its_end(self):
        """All of a small space is tried once, what is best early on."""
        space = Space({"n": Int(1, 6), "c": Choice({"a": {"x": Int(1, 5)}, "b": {}})})
        points = study(
            GPSampler(space, LOSS, 0),
            lambda p: abs(p["n"] - 5) + abs(p.get("x", 9) - 2),
            space.size,
        )

        assert len({space.key(p) for p in points}) == space.size
        assert points.index({"n": 5, "c": "a", "x": 2}) < 18

    def test_huge_whole_numbers(self):
        """Whole numbers up to 10**15 are searched by their order of magnitude."""
        space = Space({"n": Int(1, 10**15, log=True), "m": Int(-(2**52), 2**52)})
        sampler = GPSampler(space, LOSS, 0)
        points = study(sampler, lambda p: abs(math.log10(p["n"]) - 4) + abs(p["m"]) / 2**52, 30)

        assert all(space.contains(p) for p in points)
        assert min(abs(math.log10(p["n"]) - 4) for p in points) < 0.2

    def test_a_choice_of_many(self):
        """A hundred options are no obstacle."""
        space = Space({"c": Choice(list(range(100))), "x": Float(0, 1)})
        points = study(GPSampler(space, LOSS, 0), lambda p: p["x"] + (p["c"] % 10) / 10, 30)

        assert all(space.contains(p) for p in points)
        assert min(p["x"] for p in points) < 0.02

    @pytest.mark.parametrize("count", [30, 100])
    def test_many_params(self, count):
        """With up to 100 params of which two matter, it gets at these in 60 trials."""
        space = Space({f"x{i}": Float(0, 1) for i in range(count)})
        points = samples(space, 60)
        sampler = told(
            GPSampler(space, LOSS, 0), points, lambda p: (p["x3"] - 0.2) ** 2 + abs(p["x7"] - 0.8)
        )
        started = time.process_time()
        params = sampler.ask(60)

        assert time.process_time() - started < 20
        assert abs(params["x3"] - 0.2) < 0.25
        assert abs(params["x7"] - 0.8) < 0.25


class TestRepeatable:
    @pytest.mark.parametrize("space", [MIXED, NESTED, SPACES["branches"]])
    def test_resumed_at_any_time(self, space):
        """Told the same facts, one that starts late makes the proposal of one that was there."""
        facts = []
        sampler = GPSampler(space, LOSS, 5)
        running = []
        for number in range(40):
            params = sampler.ask(number)
            if number % 7 == 3 or number > 36:
                replayed = GPSampler(space, LOSS, 5)
                for fact in facts:
                    replayed.tell(fact)
                assert replayed.ask(number) == params
            running.append(Trial(number, params))
            facts.append(running[-1])
            if len(running) > 2:
                oldest = running.pop(0)
                facts.append(some_end(oldest.number, space, oldest.params))
                sampler.tell(facts[-2])
            sampler.tell(facts[-1])

    def test_threads(self):
        """How many threads linear algebra runs on makes no difference to a proposal."""
        points = samples(MIXED, 150)
        proposals = []
        for threads in (1, 2):
            with threadpool_limits(threads, user_api="blas"):
                sampler = told(GPSampler(MIXED, LOSS, 0), points, mixed_loss)
                proposals.append(sampler.ask(150))

        assert proposals[0] == proposals[1]

    def test_thousands_of_trials(self):
        """With thousands of trials it is as quick as with hundreds, and as good."""
        points = samples(PLANE, 3000)
        sampler = told(
            GPSampler(PLANE, LOSS, 0), points, lambda p: (p["x"] - 0.3) ** 2 + (p["y"] - 0.6) ** 2
        )
        started = time.process_time()
        params = sampler.ask(3000)

        assert time.process_time() - started < 10
        assert abs(params["x"] - 0.3) < 0.05
        assert abs(params["y"] - 0.6) < 0.05


# ── whatever comes ────────────────────────────────────────────────────────────────────────────


def numbers():
    ends = st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 10**6))
    return st.one_of(
        ends.map(lambda e: Float(e[0] / 7, e[0] / 7 + e[1] / 3)),
        ends.map(lambda e: Int(e[0], e[0] + e[1])),
        ends.map(lambda e: Float(e[1] * 1e-9, e[1], log=True)),
        ends.map(lambda e: Int(e[1], 10 * e[1] + 5, log=True)),
        st.integers(1, 40).map(lambda n: Float(0, n / 4, step=0.25)),
        st.integers(1, 9).map(lambda n: Int(n, 10 * n, step=n)),
    )


def options():
    return st.integers(1, 5).flatmap(
        lambda n: st.one_of(
            st.just(Choice(list(range(n)))),
            st.just(Choice([None, True, 1, 1.0, "1"][:n], weights=[1, 2, 3, 4, 5][:n])),
        )
    )


@st.composite
def spaces(draw, depth=2, prefix="p"):
    entries = {}
    for index in range(draw(st.integers(0 if depth < 2 else 1, 3))):
        name = f"{prefix}{index}"
        kind = draw(st.sampled_from(["number", "option", "constant"] + ["branches"] * (depth > 0)))
        if kind == "branches":
            names = "abc"[: draw(st.integers(1, 3))]
            entries[name] = Choice(
                {n: draw(spaces(depth=depth - 1, prefix=f"{name}{n}")) for n in names}
            )
        elif kind == "constant":
            entries[name] = (1, 2)
        else:
            entries[name] = draw(numbers() if kind == "number" else options())
    return Space(entries) if depth == 2 else entries


values = st.one_of(
    st.floats(-2, 2), st.sampled_from([0.0, 1e300, -1e300, 1.7e308]), st.integers(0, 2).map(float)
)
reports = st.lists(st.one_of(values, st.sampled_from([math.nan, math.inf])), max_size=3)


@st.composite
def fates(draw):
    """Return what makes an ended trial, or a pending one, of a number and params."""
    kind = draw(
        st.sampled_from(["complete", "complete", "complete", "pruned", "failed", "pending"])
    )
    value, seen = draw(values), draw(reports)

    def fate(number, params):
        match kind:
            case "complete":
                return finished(number, params, value)
            case "pruned":
                return trial(number, params, Pruned("hopeless"), *seen)
            case "failed":
                return trial(number, params, Failed("it raised"), *seen)
        return Trial(number, params)

    return fate


@settings(max_examples=settings.default.max_examples // 3, suppress_health_check=list(HealthCheck))
@given(
    space=spaces(),
    drawn=st.lists(fates(), min_size=10, max_size=24),
    seed=st.integers(0, 2**40),
    direction=st.sampled_from(["minimize", "maximize"]),
    own=st.booleans(),
)
def test_whatever_comes(space, drawn, seed, direction, own):
    """In any space, after any outcomes, it proposes a point in the space, without a warning."""
    sampler = GPSampler(space, Metric("loss", direction), seed)
    rng = np.random.default_rng(seed)
    for number, fate in enumerate(drawn):
        params = sampler.ask(number)
        space.check(params)
        params = params if own else space.sample(rng)
        sampler.tell(Trial(number, params))
        ended = fate(number, params)
        if ended.state.is_finished:
            sampler.tell(ended)


@settings(max_examples=settings.default.max_examples // 12)
@given(name=st.sampled_from(sorted(SPACES)), seed=st.integers(0, 99))
def test_no_repeats(name, seed):
    """While anything untried is left, it doesn't propose what has been tried."""
    space = {**SPACES, **INFINITE}[name]
    sampler, seen = GPSampler(space, LOSS, seed), set()
    for number in range(20):
        params = sampler.ask(number)
        if number >= 8:
            assert space.key(params) not in seen
        params = distinct_params(sampler, space, number, seen, seed)
        seen.add(space.key(params))
        sampler.tell(Trial(number, params))
        sampler.tell(some_end(number * 8, space, params))
