"""What is said of studies before they run."""

import re
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from manyfit.advice.advice import Advice
from manyfit.advice.planned import Planned
from manyfit.advice.review import RULES, reviewed
from manyfit.metric import Metric
from manyfit.space import Choice, Float, Int, Space

ROOT = Path(__file__).parents[2]
GB = 2**30
RATE = Float(1e-4, 0.1, log=True)


def said(space, metric="val_loss", direction="minimize", **planned):
    """Return what is said of a study, as a dict from codes to params."""
    found = reviewed(Planned(Space(space), Metric(metric, direction), **planned))
    return {each.code: each.params for each in found}


def message(code, space, metric="val_loss", **planned):
    """Return the message of one piece of advice."""
    found = reviewed(Planned(Space(space), Metric(metric), **planned))
    (advice,) = (each for each in found if each.code == code)
    return advice.message


# Each is a mistake that people make: what, and the one piece of advice that it deserves.
MISTAKES = {
    "a linear learning rate": ({"learning_rate": Float(1e-5, 0.1)}, {}, "log-scale"),
    "a learning rate from 0": ({"lr": Float(0, 0.3)}, {}, "log-scale"),
    "a linear penalty": ({"svc__C": Float(0.01, 1000)}, {}, "log-scale"),
    "a linear size": ({"width": Int(1, 5000)}, {}, "log-scale"),
    "logarithms as bounds": ({"model.learning_rate": Float(-5, -1)}, {}, "unusual-range"),
    "a rate in percent": ({"learning_rate": Float(10, 100, log=True)}, {}, "unusual-range"),
    "values that hardly differ": ({"C": Float(1.0, 1.1)}, {}, "narrow-range"),
    "twelve decades": ({"gamma": Float(1e-9, 1e3, log=True)}, {"n_trials": 20}, "wide-range"),
    "absurdly deep": ({"max_depth": Int(2, 500)}, {"n_trials": 50}, "wide-range"),
    "epochs": ({"epochs": Int(5, 50), "lr": RATE}, {}, "early-stopping"),
    "rounds of boosting": ({"n_estimators": Int(50, 500), "eta": RATE}, {}, "early-stopping"),
    "rounds in a pipeline": (
        {"gb__max_iter": Int(50, 500), "gb__learning_rate": RATE},
        {},
        "early-stopping",
    ),
    "depth and leaves": ({"max_depth": Int(2, 9), "num_leaves": Int(8, 99)}, {}, "overlap"),
    "dropout and decay": (
        {"dropout": Float(0, 0.5), "weight_decay": Float(1e-6, 0.01, log=True)},
        {},
        "overlap",
    ),
    "cores": ({"C": Float(0.1, 10, log=True), "n_jobs": Int(1, 8)}, {}, "speed-only"),
    "verbosity": ({"xgb__verbosity": Int(0, 3)}, {}, "speed-only"),
    "a seed": ({"random_state": Int(0, 99)}, {}, "seed"),
    "a grid cut short": (
        {"a": Int(1, 7), "b": Int(1, 7), "c": Int(1, 7)},
        {"n_trials": 100, "sampler": "grid"},
        "grid",
    ),
    "all at once": (
        {"C": Float(0.1, 10, log=True)},
        {"n_trials": 32, "parallelism": 32},
        "parallelism",
    ),
    "a tiny budget": ({"C": Float(0.1, 10, log=True)}, {"n_trials": 5}, "few-trials"),
    "many params, few trials": (
        {f"x{i}": Float(0, 1) for i in range(12)},
        {"n_trials": 20},
        "few-trials",
    ),
    "accuracy minimised": ({"x": Float(0, 1)}, {"metric": "val_accuracy"}, "direction"),
    "the training's loss": ({"x": Float(0, 1)}, {"metric": "train_loss"}, "training-metric"),
    "too much memory": (
        {"x": Float(0, 1)},
        {"trial_memory": 16 * GB, "parallelism": 4, "machine_memory": 32 * GB},
        "memory",
    ),
    "numbers as options": ({"layers": Choice([1, 2, 3, 4, 5, 6])}, {}, "unordered"),
}
# What looks alike, and is right.
FINE = {
    "a logarithmic rate": {"learning_rate": Float(1e-6, 1, log=True)},
    "two decades": {"C": Float(0.01, 1)},
    "a share": {"subsample": Float(0.001, 1), "top_p": Float(0.001, 1), "l1_ratio": Float(0, 1)},
    "a momentum": {"momentum": Float(0.001, 0.999), "beta_2": Float(0.9, 0.9999)},
    "none or some": {"reg_alpha": Float(0, 10), "weight_decay": Float(0, 0.1)},
    "steps": {"units": Int(32, 4096, step=32)},
    "three decades of an unknown": {"temperature": Float(1, 1000)},
    "days": {"window": Int(1, 365)},
    "negative": {"bias": Float(-1000, 1000), "log10_lr": Float(-5, -1)},
    "a forest's size": {"n_estimators": Int(50, 500), "max_features": Float(0.1, 1)},
    "an effort": {"max_iter": Int(50, 500), "C": Float(0.1, 10, log=True)},
    "another's rate": {"gb__learning_rate": RATE, "lr__max_iter": Int(50, 500)},
    "branches": {"model": Choice({"a": {"max_depth": Int(2, 9)}, "b": {"num_leaves": Int(8, 99)}})},
    "two models": {"tree__max_depth": Int(2, 9), "forest__min_samples_leaf": Int(1, 9)},
    "a few options": {"batch_size": Choice([16, 32, 64, 128]), "act": Choice(["a", "b"])},
    "irregular options": {"size": Choice([1, 2, 3, 5, 8, 13, 21])},
    "switches": {"shuffle": Choice([True, False]), "solver": Choice(["adam", "sgd"])},
    "a word": {"seedling_size": Int(1, 9), "device_count": Int(1, 8)},
    "two neighbours": {"max_depth": Int(5, 6)},
    "counts where shares are usual": {"pca__n_components": Int(2, 60), "max_features": Int(1, 20)},
    "shares where counts are usual": {"min_samples_leaf": Float(0.001, 0.1, log=True)},
    "discounts and quantiles": {"gamma": Float(0.9, 0.9999), "alpha": Float(0.8, 0.99)},
    "constants": {"n_jobs": 1, "random_state": 0, "epochs": 10, "x": Float(0, 1)},
    "nothing": {},
}


@pytest.mark.parametrize(("space", "planned", "code"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(space, planned, code):
    """One piece of advice for each mistake, and nothing else."""
    assert list(said(space, **planned)) == [code]


@pytest.mark.parametrize("space", FINE.values(), ids=FINE)
def test_nothing_is_said_of_what_is_right(space):
    """A space that only resembles a mistake gives no advice."""
    assert said(space, n_trials=60, parallelism=4) == {}


class TestMessages:
    def test_say_what_to_write(self):
        """The better range stands in the message, ready to be copied."""
        text = message("log-scale", {"lr": Float(1e-5, 1.0), "n": Int(1, 9999)})

        assert "lr=Float(1e-05, 1.0, log=True) and n=Int(1, 9999, log=True)" in text
        assert "lr are above 0.1, of n are above 1e+03" in text

    def test_a_range_from_zero_gets_a_usual_lower_bound(self):
        """For a learning rate of 0, the catalogue knows where to begin."""
        text = message("log-scale", {"learning_rate": Float(0, 0.5)})

        assert "learning_rate=Float(1e-05, 0.5, log=True)" in text

    @pytest.mark.parametrize(
        ("options", "shown"),
        [
            ([1, 2, 3, 4, 5, 6], "Int(1, 6)"),
            ([10, 20, 30, 40, 50, 60], "Int(10, 60, step=10)"),
            ([0.0, 0.1, 0.2, 0.3, 0.4, 0.5], "Float(0.0, 0.5, step=0.1)"),
            ([8, 16, 32, 64, 128, 256], "Int(8, 256, log=True)"),
            ([1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0], "Float(1e-05, 1.0, log=True)"),
        ],
    )
    def test_options_become_a_range(self, options, shown):
        """Numbers at equal distances or ratios are shown as the range they stand for."""
        assert f"x={shown}" in message("unordered", {"x": Choice(options)})

    def test_a_grid_may_have_options(self):
        """Without a model of the results, the order of options doesn't matter."""
        space = {"x": Choice([1, 2, 3, 4, 5, 6])}

        assert said(space, sampler="grid") == said(space, sampler="random") == {}

    def test_figures(self):
        """A message has the numbers on which it is based."""
        text = message("memory", {}, trial_memory=3 * GB, parallelism=8, machine_memory=16 * GB)

        assert "8 trials at once of up to 3 GiB need 24 GiB" in text
        assert "16 GiB: parallelism=5 fits" in text

    @pytest.mark.parametrize("slots", [None, 1, 8])
    def test_one_trial_that_is_too_large(self, slots):
        """Fewer at once don't help."""
        text = message("memory", {}, trial_memory=32 * GB, parallelism=slots, machine_memory=GB)

        assert text.startswith("a trial of up to 32 GiB has no room on this machine, which has 1 G")
        assert "parallelism" not in text

    def test_each_range_has_its_own_figure(self):
        """90 % of two params are not 90 % of the trials."""
        text = message("log-scale", {"alpha": Float(1e-4, 1), "eta": Float(1e-4, 2)})

        assert "90 % of random values of alpha are above 0.1, of eta are above 0.2: to try" in text

    @pytest.mark.parametrize(
        ("slots", "shown"), [(20, "with 1 round,"), (30, "with 1 round,"), (10, "with 2 rounds,")]
    )
    def test_rounds(self, slots, shown):
        """There is at least one, and no more slots than trials are counted."""
        assert shown in message("parallelism", {"x": Float(0, 1)}, n_trials=20, parallelism=slots)

    @pytest.mark.parametrize("metric", ["train_seconds", "training_time", "trainable_loss"])
    def test_costs_of_training_are_no_training_metric(self, metric):
        """Training may be made faster; and a word must match as a whole."""
        assert said({"x": Float(0, 1)}, metric=metric) == {}


class TestBudget:
    def test_all_configurations_are_enough(self):
        """A space that is tried completely isn't a small budget."""
        assert said({"x": Choice([1, 2, 3])}, n_trials=4) == {}

    @pytest.mark.parametrize("trials", [1, 2])
    def test_a_test_of_the_objective(self, trials):
        """One or two trials are no search, and no advice is needed."""
        assert said({"x": Float(0, 1)}, n_trials=trials, parallelism=2) == {}

    @pytest.mark.parametrize(("trials", "is_said"), [(23, True), (24, False)])
    def test_three_rounds_are_enough(self, trials, is_said):
        """With 8 at a time, 24 trials are three rounds of proposals."""
        found = said({"x": Float(0, 1)}, n_trials=trials, parallelism=8)

        assert ("parallelism" in found) == is_said

    def test_random_search_may_run_at_once(self):
        """Samplers that don't learn lose nothing, and another's own is its user's business."""
        for sampler in ("random", "quasirandom", None):
            assert said({"x": Float(0, 1)}, n_trials=9, parallelism=9, sampler=sampler) == {}

    def test_each_branch_needs_trials(self):
        """The sampler's first trials grow with the branches, and with them the least budget."""
        wide = {"model": Choice({name: {} for name in "abcdef"}), "x": Float(0, 1)}

        assert said(wide, n_trials=14) == {"few-trials": ()}
        assert said({"x": Float(0, 1)}, n_trials=14) == {}


class TestGuide:
    def test_each_code_has_a_section(self):
        """A link leads to a heading of the guide that has the code's name."""
        text = (ROOT / "docs" / "advice.md").read_text()
        anchors = {
            re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        }
        codes = {code for *_, code in MISTAKES.values()}

        assert codes <= anchors
        assert Advice("seed", (), "").link == "docs/advice.md#seed"

    def test_each_rule_has_a_mistake(self):
        """No rule is untested: each one speaks up for some mistake."""
        planned = [
            Planned(
                Space(space), Metric(rest.get("metric", "val_loss")), **dict(_without_metric(rest))
            )
            for space, rest, _ in MISTAKES.values()
        ]

        silent = [rule.__name__ for rule in RULES if not any(map(rule, planned))]
        assert silent == []


def _without_metric(planned):
    return {name: value for name, value in planned.items() if name != "metric"}


def number(low, high, log, whole):
    """Return a valid domain from any two numbers."""
    low, high = sorted((low, high))
    kind = Int if whole else Float
    return kind(
        int(low) if whole else low, int(high) + 1 if whole else high + 1, log=log and low > 1
    )


DOMAINS = st.one_of(
    st.builds(number, st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.booleans(), st.booleans()),
    st.lists(st.integers(-9, 9) | st.text(max_size=3), min_size=1, max_size=7, unique_by=repr).map(
        Choice
    ),
)
NAMES = st.sampled_from(
    ["learning_rate", "a__C", "b.max_depth", "b.num_leaves", "epochs", "seed", "n_jobs", "gamma"]
) | st.text(min_size=1, max_size=5)


@given(
    st.dictionaries(NAMES, DOMAINS, max_size=4),
    st.none() | st.integers(0, 99),
    st.none() | st.integers(1, 99),
    st.sampled_from(["auto", "gp", "tpe", "random", "grid", None]),
)
def test_any_study_can_be_reviewed(space, trials, slots, sampler):
    """Whatever is valid gives advice of lines of text about its own params, or none."""
    whole = Space(space)
    found = reviewed(Planned(whole, Metric("loss"), trials, slots, sampler))

    for advice in found:
        assert set(advice.params) <= set(whole.params)
        assert "\n" not in advice.message
