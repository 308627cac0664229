"""SearchCV keeps the contracts of scikit-learn's searches."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from manyfit import Choice, Float
from manyfit.sklearn import SearchCV


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_a_grid_gives_what_grid_search_gives(iris):
    """Over lists, everything but times and states is equal to GridSearchCV's, in its order."""
    grid = [{"kernel": ["rbf"], "C": [0.1, 10]}, {"kernel": ["linear"], "C": [1]}]
    known = GridSearchCV(SVC(), grid, return_train_score=True).fit(*iris)

    found = SearchCV(
        SVC(),
        grid,
        n_trials=None,
        sampler="grid",
        executor="inline",
        pruner=None,
        return_train_score=True,
    ).fit(*iris)

    keys = [key for key in known.cv_results_ if not key.endswith("_time")]
    for key in keys:
        np.testing.assert_array_equal(found.cv_results_[key], known.cv_results_[key])
        if key != "params":
            assert found.cv_results_[key].dtype == known.cv_results_[key].dtype
    assert set(found.cv_results_) == set(known.cv_results_) | {"state", "reason"}
    assert found.best_params_ == known.best_params_
    assert found.score(*iris) == known.score(*iris)


def test_a_choice_replaces_whole_steps(iris):
    """Each branch names its estimator and that estimator's own params."""
    pipeline = make_pipeline(StandardScaler(), SVC())
    model = Choice(
        {
            "svm": {"svc": SVC(), "svc__gamma": Float(0.01, 1, log=True)},
            "linear": {"svc": LogisticRegression(), "svc__C": Float(0.01, 1, log=True)},
        }
    )

    search = SearchCV(pipeline, {"svc": model}, n_trials=4, sampler="random", executor="inline")
    search.set_params(random_state=0, pruner=None).fit(*iris)

    for params in search.cv_results_["params"]:
        is_svm = isinstance(params["svc"], SVC)
        assert set(params) == {"svc", "svc__gamma" if is_svm else "svc__C"}
