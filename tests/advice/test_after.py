"""Advice on a study that has ended, and the next space."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from benchmarks.advice import planted
from benchmarks.advice.clean import plan_of
from benchmarks.advice.simulated import Plan, Training, run
from benchmarks.search.functions import makers

from manyfit.advice.after import Findings
from manyfit.advice.edges import widened
from manyfit.metric import Metric
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import trial
from manyfit.trial import Failed, Finished

CASES = {case.name: case for case in planted.cases()}
# The others are for the night, in the soak part "examples".
FEW = (
    "lowest learning rate too high",
    "an option that does nothing",
    "a product",
    "the accuracy disagrees",
    "the leaders overfit",
    "never pruned",
    "out of memory",
    "slow and no better",
)


TWO = Space({"x": Float(0, 1), "y": Float(0, 1)})


def at_random(returned, space=TWO, count=30):
    """Trials at random points of a space, and what they returned."""
    rng = np.random.default_rng(0)
    trials = []
    for number in range(count):
        params = space.sample(rng)
        metrics = returned(number, params)
        trials.append(trial(number, params, Finished(metrics["loss"], metrics)))
    return trials


@cache
def findings(case):
    return Findings(run(CASES[case].plan, 0))


@pytest.mark.parametrize(
    "name",
    [n if n in FEW else pytest.param(n, marks=pytest.mark.soak("examples")) for n in CASES],
)
def test_planted_mistakes_are_found(name):
    """Advice has the code and the params of the mistake, and figures in one line."""
    case = CASES[name]
    found = [each for each in findings(name).advice if each.code == case.code]

    assert case.params in [tuple(sorted(each.params, key=case.params.index)) for each in found]
    assert all(any(map(str.isdigit, each.message)) and "\n" not in each.message for each in found)


@pytest.mark.parametrize(
    ("name", "n_trials", "seed"),
    [
        pytest.param("mixed", 40, 0, marks=pytest.mark.soak("examples")),
        ("hartmann6", 64, 1),
    ],
)
def test_nothing_is_said_about_studies_without_a_mistake(name, n_trials, seed):
    """Nothing is wrong with these ranges, params and budgets; pairs may interact.

    In that of Hartmann's function, the trials say little about the loss far from the best, where
    each param matters: that one of them doesn't near the best is no advice.
    """
    plan = replace(plan_of(makers()[name]()), n_trials=n_trials)
    said = Findings(run(plan, seed)).advice

    assert {each.code for each in said} <= {"interaction", "ended-early"}


@pytest.mark.parametrize("count", [0, 1, 5, 14])
def test_few_trials_show_nothing(count):
    """With a handful of trials nothing is said, and the space stays."""
    plan = replace(CASES["lowest learning rate too high"].plan, n_trials=count)
    found = Findings(run(plan, 0))

    assert found.advice == ()
    assert found.next_space == plan.space


@pytest.mark.parametrize(
    "values",
    [
        [1e308, -1e308, 5e307, 1.0],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0],
        [0.0, 1e-320, 5e-324],
    ],
    ids=["huge", "nearly all equal", "tiny"],
)
def test_odd_values(values):
    """Values at the ends of floats, and equal ones, neither raise nor warn."""
    trials = at_random(lambda number, params: {"loss": values[number % len(values)]})
    found = Findings.of(TWO, Metric("loss"), trials)

    assert "edge" not in [each.code for each in found.advice]
    assert all(0.0 <= each.low <= each.high <= 1.0 for each in found.importances.params)


def test_leaders_overfit_by_nature():
    """If trials without a gap are worse, as shallow trees of a forest are, nothing is said."""

    def returned(number, params):
        gap = 1.0 if params["y"] > 0.7 else 5.0
        loss = 1.0 + params["x"] + 3.0 * (params["y"] > 0.7)
        return {"loss": loss, "val_mae": loss, "train_mae": loss / gap}

    found = Findings.of(TWO, Metric("loss"), at_random(returned))

    assert "overfitting" not in [each.code for each in found.advice]


@pytest.mark.parametrize(
    ("name", "domain", "wider"),
    [
        ("num_leaves", Int(4, 64, log=True), Int(2, 64, log=True)),
        ("dropout", Float(0.02, 0.4, log=True), Float(0.02, 1.0, log=True)),
    ],
)
def test_the_next_range_has_only_values_that_are_valid(name, domain, wider):
    """A tree has two leaves at least, and a share is at most 1."""
    space, sign = Space({name: domain}), 1 if name == "num_leaves" else -1
    rng = np.random.default_rng(0)
    points = [space.sample(rng) for _ in range(30)]
    trials = [
        trial(n, params, Finished(loss := sign * space.encode(params)[0], {"loss": loss}))
        for n, params in enumerate(points)
    ]

    assert Findings.of(space, Metric("loss"), trials).next_space.params[name] == wider


def test_only_failures():
    """A study without any completed trial has no advice on params that it can't know."""
    plan = Plan(planted.space(), lambda params, seed, number: Training(reason="a bug"), 20)

    assert Findings(run(plan, 0)).advice == ()


class TestNextSpace:
    def test_what_the_advice_says(self):
        """It has wider ranges, and leaves out what fails; the others stay."""
        wider = findings("lowest learning rate too high").next_space
        cut = findings("out of memory").next_space

        assert wider.params["rate"] == Float(0.01, 1.0, log=True)
        assert wider.params["units"] == planted.space().params["units"]
        assert cut.params["batch"].high <= 256
        assert cut.params["batch"].low == 16

    def test_params_that_do_nothing_become_constants(self):
        """They have the best trial's value, so that the objective still receives them."""
        found = findings("an option that does nothing")
        best = min(found.record.trials, key=lambda trial: trial.value)

        assert found.next_space.constants == {"shuffle": best.params["shuffle"]}
        assert "shuffle" not in found.next_space.params

    def test_a_param_that_decides_what_is_left_to_gain_stays(self):
        """A share of 1 % in all of the space may be all that differs near the best."""
        found = findings("slow and no better")

        assert found.next_space.constants == {}
        assert set(found.next_space.params) == set(planted.space().params)

    def test_an_option_that_fails_is_left_out(self):
        """The others stay, with their weights."""
        space = planted.space(optimizer=Choice(["adam", "sgd", "lbfgs"], weights=[1, 2, 3]))
        plan = replace(CASES["an option that fails"].plan, space=space, sampler="random")

        assert Findings(run(plan, 0)).next_space.params["optimizer"] == Choice(
            ["adam", "sgd"], weights=[1, 2]
        )

    def test_a_range_of_a_branch(self):
        """A domain is replaced inside its branch; weights and constants stay."""
        branches = {"net": {"rate": Float(1e-4, 1e-3, log=True), "fixed": 3}, "mean": {}}
        space = Space({"model": Choice(branches, weights=[1, 2])})
        model = space.replaced({"rate": Float(1e-4, 1e-2, log=True)}).params["model"]

        wider = {"net": {"rate": Float(1e-4, 1e-2, log=True), "fixed": 3}, "mean": {}}
        assert model == Choice(wider, weights=[1, 2])


class TestWidened:
    @pytest.mark.parametrize(
        ("domain", "lower", "upper"),
        [
            (Float(1e-4, 0.1, log=True), (1e-5, 0.1), (1e-4, 1.0)),
            (Float(0.0, 1.0), None, None),
            (Float(0.0, 0.5), None, (0.0, 0.75)),
            (Float(0.5, 0.9), (0.3, 0.9), (0.5, 0.95)),
            (Float(0.2, 0.9), (0.02, 0.9), (0.2, 0.95)),
            (Float(-2.0, 0.0), (-3.0, 0.0), None),
            (Float(-2.0, -1.0), (-2.5, -1.0), (-2.0, -0.5)),
            (Float(0.0, 8.0), None, (0.0, 12.0)),
            (Float(1e6, 1e6 + 0.1), (1e6 - 0.05, 1e6 + 0.1), (1e6, 1e6 + 0.15)),
            (Float(0.5, 2.5, step=0.5), (0.5 - 0.5, 2.5), (0.5, 3.5)),
            (Int(1, 8), None, (1, 12)),
            (Int(0, 8), None, (0, 12)),
            (Int(10, 20), (5, 20), (10, 25)),
            (Int(16, 64, step=16), None, (16, 96)),
            (Int(16, 64, log=True), (4, 64), (16, 256)),
            (Int(-5, 5), (-10, 5), (-5, 10)),
        ],
        ids=repr,
    )
    def test_each_kind_of_range(self, domain, lower, upper):
        """It reaches farther, except beyond a natural limit, and never changes its sign."""
        for is_upper, ends in ((False, lower), (True, upper)):
            wider = widened(domain, upper=is_upper)

            assert (wider and (wider.low, wider.high)) == (ends and pytest.approx(ends, rel=1e-9))
            assert wider is None or (wider.log, wider.step) == (domain.log, domain.step)


def test_bounds_that_begin_alike_are_told_apart():
    """The sentence has the digits in which they differ."""
    space = Space({"discount": Float(0.99, 0.99999)})
    trials = at_random(lambda number, params: {"loss": -params["discount"]}, space)

    said = Findings.of(space, Metric("loss"), trials).advice

    assert "upper edge 0.99999; search up to 0.999995 next" in said[0].message


@pytest.mark.parametrize("name", ["accuracy_std", "fold_0/val_accuracy", "split1_test_accuracy"])
def test_deviations_and_single_folds_are_no_metrics_to_tune(name):
    """A best trial that isn't the best by them is said of neither."""
    trials = at_random(lambda number, params: {"loss": params["x"], name: params["x"]})

    said = Findings.of(TWO, Metric("loss"), trials).advice

    assert "metrics-disagree" not in [each.code for each in said]


FOUR = Space({name: Float(0, 1) for name in "abcd"})


def test_one_trial_that_diverged_makes_no_pair():
    """Its params depend on each other only by chance; the others add up."""

    def returned(number, params):
        return {"loss": params["a"] + (params["b"] - 0.6) ** 2 + 1000.0 * (number == 7)}

    found = Findings.of(FOUR, Metric("loss"), at_random(returned, FOUR, 60))

    assert "interaction" not in [each.code for each in found.advice]
    assert found.importances.pairs[0].share < 0.15


def test_one_trial_that_is_far_better_makes_no_pair():
    """It may be luck, and all that the model knows of where it is."""

    def returned(number, params):
        return {"loss": params["a"] + (params["b"] - 0.6) ** 2 - 20.0 * (number == 7)}

    found = Findings.of(FOUR, Metric("loss"), at_random(returned, FOUR, 60))

    assert found.importances.pairs[0].low > 0.15
    assert "interaction" not in [each.code for each in found.advice]


@pytest.mark.parametrize("end", [Finished(1000.0, {"loss": 1000.0}), Failed("it raised", "E")])
def test_a_region_where_nothing_works_matters(end):
    """Two trials that ended badly are all that there is of it: their param may be the cause."""

    def returned(number, params):
        low = 0.9 if number in (7, 12) else 0.0
        params.update({name: low + params[name] * (0.1 if low else 0.8) for name in "abc"})
        return {"loss": params["a"] ** 2 + params["b"] ** 2}

    trials = at_random(returned, FOUR, 60)
    for number in (7, 12):
        trials[number] = trial(number, trials[number].params, end)
    idle = [each.params for each in Findings.of(FOUR, Metric("loss"), trials).advice]

    assert ("c",) not in idle
    assert ("d",) in idle


def test_metrics_that_are_missing_or_not_a_number():
    """A metric that not all trials have, or that is NaN, is not compared."""

    def returned(number, params):
        accuracy = params["x"] if number % 7 else math.nan
        return {"loss": params["x"], "test_accuracy": accuracy, f"odd_{number}": 1.0}

    said = Findings.of(TWO, Metric("loss"), at_random(returned)).advice
    assert "metrics-disagree" not in [each.code for each in said]
