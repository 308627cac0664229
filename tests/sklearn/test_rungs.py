"""Trials begin on few rows, and only the best go on to all of them."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris, make_classification
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - it makes the class importable
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from manyfit import Float, MedianPruner, StudyChangedError
from manyfit.sklearn import SearchCV
from manyfit.sklearn.inputs import Inputs
from manyfit.sklearn.rungs import Rungs
from manyfit.sklearn.scoring import Scoring

X, Y = make_classification(180, 5, random_state=0)


class Model(ClassifierMixin, BaseEstimator):
    """A classifier whose score is a param, and on few rows another one."""

    def __init__(self, quality=0.5, early=None):
        self.quality = quality
        self.early = early

    def fit(self, X, y):
        self.rows_ = len(X)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def score(self, X, y):
        is_early = self.early is not None and self.rows_ < 100
        return self.early if is_early else self.quality


def searching(model, space, **options):
    settled = {"n_trials": None, "sampler": "grid", "executor": "inline", "cv": 3}
    return SearchCV(model, space, halving="rows", **{**settled, **options})


def rungs_of(n_trials, **options):
    model = LogisticRegression()
    search = searching(model, {}, **options)
    inputs = Inputs.of(search, Scoring(model, None, True), X, Y, {})
    return Rungs.of(search, inputs, n_trials)


@pytest.mark.parametrize("min_resources", ["smallest", "exhaust", 20])
@pytest.mark.parametrize("factor", [2, 3])
def test_rows_are_those_of_halving_search(min_resources, factor):
    """Each rung but the last has as many rows as HalvingRandomSearchCV gives it."""
    options = {"min_resources": min_resources, "factor": factor, "cv": 3}
    known = HalvingRandomSearchCV(
        GaussianNB(),
        {"var_smoothing": np.geomspace(1e-9, 1e-3, 99)},
        n_candidates=15,
        random_state=0,
        refit=False,
        **options,
    ).fit(X, Y)

    rows = rungs_of(15, **options).rows

    expected = [each for each in known.n_resources_ if each <= len(X) / 2]
    assert list(rows[: len(expected)]) == expected
    assert rows[-1] == len(X)


def test_rungs_keep_the_proportions_of_classes():
    """Each fold of a rung is a part of the fold, with its classes; the last rung is the folds."""
    found = rungs_of(27)

    whole = found.folds[-3:]
    for number, fold in enumerate(found.folds[:-3]):
        for part, rows in (
            (fold.train, whole[number % 3].train),
            (fold.test, whole[number % 3].test),
        ):
            assert set(part) <= set(rows)
            assert Y[part].mean() == pytest.approx(Y[rows].mean(), abs=0.1)
    assert [fold.number for fold in found.folds] == list(range(len(found.folds)))


def test_the_best_go_on_to_all_rows():
    """A row says on how many rows its trial ended; only those on all rows have a mean."""
    quality = [0.9, 0.5, 0.4, 0.95, 0.3, 0.2]

    search = searching(Model(), {"quality": quality}, min_resources=20).fit(X, Y)

    results = search.cv_results_
    assert search.n_resources_ == [20, 60, 180]
    assert list(results["n_resources"]) == [180, 180, 20, 180, 20, 20]
    assert list(results["iter"]) == [2, 2, 0, 2, 0, 0]
    assert search.n_candidates_ == [6, 3, 3]
    assert results["split0_test_score"][2] == 0.4
    assert results["mean_test_score"][[0, 1, 3]] == pytest.approx([0.9, 0.5, 0.95])
    assert np.isnan(results["mean_test_score"][[2, 4, 5]]).all()
    assert "on 20 rows" in results["reason"][2]
    assert search.best_params_ == {"quality": 0.95}


def test_a_score_on_few_rows_never_wins():
    """A trial that shines on few rows is judged by all of them; one that ends there has no rank."""
    space = [{"quality": [0.8], "early": [0.5]}, {"quality": [0.1], "early": [1.0]}]

    search = searching(Model(), [*space, {"quality": [0.7]}], min_resources=20).fit(X, Y)

    assert search.best_params_ == {"quality": 0.8, "early": 0.5}
    assert search.best_score_ == pytest.approx(0.8)
    assert list(search.cv_results_["rank_test_score"]) == [1, 2, 3]


def test_scores_on_all_rows_are_those_of_grid_search():
    """What came to all rows has the scores of plain cross-validation, also of shared fits."""
    model = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]}
    known = GridSearchCV(model, grid, cv=3, return_train_score=True).fit(X, Y).cv_results_

    found = searching(model, grid, return_train_score=True).fit(X, Y).cv_results_

    is_final = found["n_resources"] == len(X)
    assert is_final.any()
    for key in ("mean_test_score", "split2_train_score", "std_test_score"):
        np.testing.assert_array_equal(found[key][is_final], known[key][is_final])


def test_trials_at_once_and_a_pruner_of_ones_own():
    """Trials climb by themselves; another pruner sees the rows as steps."""
    search = SearchCV(
        Ridge(),
        {"alpha": Float(1e-3, 1e6, log=True)},
        n_trials=8,
        halving="rows",
        pruner=MedianPruner(n_startup=2),
        executor="threads",
        parallelism=2,
        cv=3,
        random_state=0,
    ).fit(X, Y)

    assert len(search.cv_results_["params"]) == 8
    assert set(search.cv_results_["n_resources"]) <= set(search.n_resources_)
    assert search.cv_results_["n_resources"][search.best_index_] == len(X)


def test_other_rungs_are_another_search(tmp_path):
    """A search that is resumed keeps its rungs."""
    options = {"name": "x", "folder": tmp_path, "tracker": None, "refit": False}
    search = searching(Model(), {"quality": [0.5, 0.6]}, min_resources=20, **options).fit(X, Y)

    with pytest.raises(StudyChangedError, match="folds"):
        search.set_params(min_resources=30).fit(X, Y)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"halving": "trees"}, "halving must be 'rows' or None, but got 'trees'"),
        ({"factor": 1}, "factor must be a whole number, at least 2"),
        (
            {"min_resources": "all"},
            "min_resources must be a whole number, .* 'smallest', 'exhaust'",
        ),
        ({"min_resources": 1}, "min_resources must leave each fold some rows"),
        ({"min_resources": 999}, "at most 150"),
        ({"pruner": None}, "halving='rows' needs a pruner"),
        ({"stages": 4}, "halving='rows' and stages can't be combined"),
    ],
)
def test_wrong_arguments_are_refused(options, words):
    """It is told before any fit."""
    search = searching(Model(), {"quality": [0.5, 0.6]}).set_params(**options)

    with pytest.raises(ValueError, match=words):
        search.fit(*load_iris(return_X_y=True))


def test_lines_say_on_how_many_rows(capsys):
    """Asked for lines, the search says of each fit on how many rows it was."""
    searching(Model(), {"quality": [0.5]}, min_resources=60, verbose=2).fit(X, Y)

    shown = capsys.readouterr().out
    assert "each of 1 candidates on 60, 180 rows" in shown
    assert [shown.count(f"n_resources={rows};") for rows in (60, 180)] == [3, 3]


def test_too_few_rows_are_named_if_all_fits_fail():
    """If no fit succeeds on the rows of the first rung, the error says how many these are."""
    rare = (np.arange(180) < 6).astype(int)

    with pytest.raises(ValueError, match="trials begin on 20 of 180 rows"):
        searching(LogisticRegression(), {"C": [0.1, 1.0]}, min_resources=20).fit(X, rare)


@pytest.mark.parametrize("min_resources", ["smallest", "exhaust"])
def test_a_small_fold_keeps_some_rows(min_resources):
    """The first rung has as many rows as it takes to leave the smallest fold one."""
    folds = [(np.arange(150), np.arange(150, 156)), (np.arange(30, 180), np.arange(30))]

    rows = rungs_of(9, cv=folds, min_resources=min_resources).rows

    assert rows[0] > 180 / 6


def test_a_fold_without_rows_is_refused():
    """It is said before any fit."""
    folds = [(np.arange(150), np.arange(0))]

    with pytest.raises(ValueError, match="cv has a fold without rows"):
        searching(Model(), {"quality": [0.5, 0.6]}, cv=folds).fit(X, Y)


def test_a_search_that_cannot_halve_says_so():
    """With so few trials that the first rung has all rows, it says what would help."""
    with pytest.warns(UserWarning, match="nothing to halve: .* 180 of 180 rows.* n_trials=2"):
        rungs = rungs_of(2, min_resources="exhaust")

    assert rungs.rows == (180,)
