"""Fitted transformers are shared, and the scores of a search are those of plain fits."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeClassifier

from manyfit import Choice, Float
from manyfit.sklearn import SearchCV
from manyfit.spark.executor import SparkExecutor
from manyfit.testing.remote import LocalSpark


class Slow(TransformerMixin, BaseEstimator):
    """A transformer that takes long enough to be worth keeping, and counts its fits in a file."""

    def __init__(self, counts, power=1):
        self.counts = counts
        self.power = power

    def fit(self, X, y=None, sample_weight=None):
        time.sleep(0.03)
        with self.counts.open("a", encoding="utf-8") as file:
            file.write(f"{self.power}\n")
        self.names_ = np.array(getattr(X, "columns", range(X.shape[1])), dtype=object)
        self.offset_ = np.average(X, axis=0, weights=sample_weight)
        return self

    def transform(self, X):
        return (X - self.offset_) ** self.power

    def get_feature_names_out(self, names=None):
        return self.names_


@pytest.fixture(autouse=True)
def by_value():
    """No function travels by value here: only steps of a module's classes are shared."""


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture
def counts(tmp_path):
    file = tmp_path / "counts"
    file.touch()
    return file


def pair(estimator, grid, data, **options):
    """The results of GridSearchCV, and a search of ours over the same grid."""
    fit = options.pop("fit", {})
    known = GridSearchCV(estimator, grid, cv=3, return_train_score=True).fit(*data, **fit)
    search = SearchCV(
        estimator,
        grid,
        n_trials=None,
        sampler="grid",
        cv=3,
        pruner=None,
        return_train_score=True,
        **{"executor": "inline", **options},
    )
    return known, search.fit(*data, **fit)


def assert_equal_scores(known, found):
    for key, values in known.cv_results_.items():
        if not key.endswith("_time"):
            np.testing.assert_array_equal(found.cv_results_[key], values)


def fits(counts):
    return len(counts.read_text().split())


@pytest.mark.parametrize(
    "executor", ["inline", "threads", pytest.param("processes", marks=pytest.mark.integration)]
)
def test_a_front_is_fitted_once_per_fold(iris, counts, executor):
    """Trials share what their pipelines begin with, and score the same to the last digit."""
    pipeline = make_pipeline(Slow(counts), StandardScaler(), DecisionTreeClassifier(random_state=0))
    grid = {"decisiontreeclassifier__max_depth": [1, 2, 3], "slow__power": [1, 3]}
    parallelism = 1 if executor == "inline" else 2
    known, found = pair(pipeline, grid, iris, executor=executor, parallelism=parallelism)

    assert_equal_scores(known, found)
    assert fits(counts) == (6 * 3 + 1) + (2 * 3 + 1)
    assert (found.savings_.made, found.savings_.hits) == (6, 12)
    assert found.savings_.seconds > 12 * 0.03
    assert 0 < found.savings_.most_bytes < found.savings_.budget


def test_workers_on_a_machine_of_a_cluster_share_fronts(iris, counts, tmp_path):
    """The tasks of a job, each a process of its own, keep fronts in one folder of the machine."""
    pipeline = make_pipeline(Slow(counts), DecisionTreeClassifier(random_state=0))
    grid = {"decisiontreeclassifier__max_depth": [1, 2, 3, 4]}
    executor = SparkExecutor(LocalSpark(tmp_path / "machine"), parallelism=2)

    known, found = pair(pipeline, grid, iris, executor=executor)

    assert_equal_scores(known, found)
    assert fits(counts) == (4 * 3 + 1) + (3 + 1)
    assert (found.savings_.made, found.savings_.hits) == (3, 9)
    assert not list((tmp_path / "machine").rglob("*front*"))


def test_without_cache_each_trial_fits_its_own(iris, counts):
    """cache=False fits plainly."""
    pipeline = make_pipeline(Slow(counts), DecisionTreeClassifier(random_state=0))
    _, found = pair(pipeline, {"decisiontreeclassifier__max_depth": [1, 2]}, iris, cache=False)

    assert fits(counts) == 2 * (2 * 3 + 1)
    assert found.savings_.hits == 0


def mixed():
    """Rows with numbers and text, and a binary target."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"n": rng.normal(size=60), "c": rng.choice(list("abc"), 60)})
    return frame, (frame["n"] + (frame["c"] == "a") > 0.3).to_numpy()


def slow_columns(counts, **options):
    one_hot = OneHotEncoder(**options)
    return ColumnTransformer([("n", Slow(counts), ["n"]), ("c", one_hot, ["c"])])


@pytest.mark.parametrize("case", ["columns", "frames", "target", "inplace", "union", "passthrough"])
def test_scores_are_those_of_plain_fits(counts, case, iris):
    """Whatever the steps return or change in place, each score is equal to the last digit."""
    tree = ("tree", DecisionTreeClassifier(random_state=0))
    slow = ("slow", Slow(counts))
    data = mixed() if case in ("columns", "frames", "target") else iris
    frames = slow_columns(counts, sparse_output=False).set_output(transform="pandas")
    steps = {
        "columns": [("columns", slow_columns(counts))],
        "frames": [("columns", frames)],
        # What fitting returns differs from what transforming the same rows returns.
        "target": [("enc", TargetEncoder(cv=KFold(3, shuffle=True, random_state=0))), slow],
        "inplace": [slow, ("norm", Normalizer(copy=False))],
        "union": [("union", FeatureUnion([slow, ("log", FunctionTransformer(np.log1p))]))],
        "passthrough": [("none", None), slow, ("scale", "passthrough")],
    }[case]
    if case == "target":
        data = data[0][["c"]], data[1]
    sparse_threshold = {"columns__sparse_threshold": [0, 1]} if case == "columns" else {}
    grid = {"tree__max_depth": [1, 2, None], **sparse_threshold}
    grid |= {"scale": [StandardScaler(), None]} if case == "passthrough" else {}

    known, found = pair(Pipeline([*steps, tree]), grid, data)

    assert_equal_scores(known, found)
    assert found.savings_.hits > 0


def test_weights_reach_the_steps_they_are_for(iris, counts):
    """With metadata routing, sample_weight goes to the front and to the last step."""
    weight = np.linspace(0.1, 2, len(iris[1]))
    with config_context(enable_metadata_routing=True):
        slow = Slow(counts).set_fit_request(sample_weight=True)
        tree = DecisionTreeClassifier(random_state=0)
        tree.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        known, found = pair(
            make_pipeline(slow, tree),
            {"decisiontreeclassifier__max_depth": [1, 2]},
            iris,
            fit={"sample_weight": weight},
        )

    assert_equal_scores(known, found)
    assert found.savings_.hits == 3


def test_a_scorer_of_ones_own_sees_a_pipeline(iris, counts):
    """It may look at steps, and predict other rows than those of the fold."""

    def score(estimator, rows, target):
        assert len(estimator.named_steps["slow"].offset_) == rows.shape[1]
        return np.mean(estimator.predict(rows[:10].copy()) == estimator.predict(rows)[:10])

    pipeline = Pipeline([("slow", Slow(counts)), ("tree", DecisionTreeClassifier(random_state=0))])
    search = SearchCV(pipeline, {"tree__max_depth": [1, 2]}, n_trials=2, cv=3, scoring=score)
    search.set_params(executor="inline", pruner=None, refit=False).fit(*iris)

    assert search.best_score_ == 1.0
    assert search.savings_.hits == 3


def test_what_fails_fails_as_in_a_plain_fit(counts):
    """A front that can't transform the test rows fails in scoring, with the user's own error."""
    frame, y = mixed()
    frame.loc[0, "c"] = "rare"
    pipeline = make_pipeline(slow_columns(counts), DecisionTreeClassifier(random_state=0))
    search = SearchCV(
        pipeline, {"decisiontreeclassifier__max_depth": [1, 2]}, n_trials=2, cv=3, pruner=None
    )

    with pytest.warns(UserWarning, match="(?s)unknown categories.*|non-finite"):
        search.set_params(executor="inline", refit=False).fit(frame, y)

    assert np.isnan(search.cv_results_["split0_test_score"]).all()
    assert np.isfinite(search.cv_results_["split1_test_score"]).all()


def test_a_sampler_shares_what_it_is_likely_to_propose_again(iris, counts):
    """Twelve trials share two fronts; at most the last trials make one again."""
    pipeline = make_pipeline(Slow(counts), DecisionTreeClassifier(random_state=0))
    space = {
        "slow__power": Choice([1, 3]),
        "decisiontreeclassifier__ccp_alpha": Float(0, 0.1),
    }
    search = SearchCV(pipeline, space, n_trials=12, sampler="random", random_state=0, cv=2)
    search.set_params(executor="inline", pruner=None, refit=False).fit(*iris)

    assert fits(counts) <= 3 * 2
    assert search.savings_.hits == 12 * 2 - fits(counts)


def unseeded(iris, grid, **options):
    """The warnings of a search whose second step is random without a seed."""
    pipeline = make_pipeline(StandardScaler(), PCA(2), DecisionTreeClassifier(random_state=0))
    search = SearchCV(pipeline, grid, n_trials=None, executor="inline", pruner=None, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(*iris)
    return [str(each.message) for each in caught]


def test_a_missing_seed_that_costs_fits_is_said_once(iris):
    """The warning names the step, what it needs, and how to do without."""
    (message,) = unseeded(iris, {"decisiontreeclassifier__max_depth": [1, 2, 3]})

    assert message == (
        "each trial fits anew what several could share: PCA is random: set its random_state, or "
        "say cache=False to share nothing"
    )


@pytest.mark.parametrize(
    ("grid", "options"),
    [
        ({"pca__n_components": [1, 2, 3]}, {}),
        ({"pca__random_state": [1], "decisiontreeclassifier__max_depth": [1, 2]}, {}),
        ({"decisiontreeclassifier__max_depth": [1, 2, 3]}, {"cache": False}),
    ],
)
def test_a_missing_seed_that_costs_nothing_is_not_said(iris, grid, options):
    """There is no warning if no two trials have that step in common, or if nothing is shared."""
    assert unseeded(iris, grid, **options) == []


def test_a_pipeline_with_a_memory_keeps_it(iris, counts, tmp_path):
    """The user's own memory is used, and nothing else."""
    pipeline = make_pipeline(
        Slow(counts), DecisionTreeClassifier(random_state=0), memory=str(tmp_path / "memory")
    )
    search = SearchCV(pipeline, {"decisiontreeclassifier__max_depth": [1, 2]}, n_trials=2, cv=3)
    search.set_params(executor="inline", pruner=None, refit=False).fit(*iris)

    assert fits(counts) == 3
    assert search.savings_.made == 0


def test_steps_that_change_rows_in_place_change_their_own(iris):
    """The last step is fitted on rows that a step with copy=False has changed once, not twice."""
    X, y = iris
    steps = [MinMaxScaler((1, 2), copy=False), Normalizer(copy=False), GaussianNB()]
    grid = {"gaussiannb__var_smoothing": [1e-9, 1e-3, 1e-1]}
    known = GridSearchCV(make_pipeline(*steps), grid, cv=3, refit=False).fit(X, y)

    search = SearchCV(
        make_pipeline(*steps),
        grid,
        n_trials=None,
        sampler="grid",
        cv=3,
        pruner=None,
        return_train_score=True,
        refit=False,
        executor="inline",
    )
    found = search.fit(X, y)

    for key in ("split0_test_score", "split1_test_score", "split2_test_score"):
        np.testing.assert_array_equal(found.cv_results_[key], known.cv_results_[key])


class Stateless(TransformerMixin, BaseEstimator):
    """A transformer that learns nothing, and so has no attribute that ends in _."""

    def fit(self, X, y=None):
        time.sleep(0.03)
        return self

    def transform(self, X):
        return X**2


def test_a_step_without_state_is_shared(iris):
    """A front may end with a step in which nothing shows that it is fitted."""
    grid = {"gaussiannb__var_smoothing": [1e-9, 1e-3]}

    known, found = pair(make_pipeline(Stateless(), GaussianNB()), grid, iris)

    assert_equal_scores(known, found)
    assert found.savings_.hits == 3
