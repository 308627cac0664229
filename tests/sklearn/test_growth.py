"""Models that grow are fitted in stages, exactly, and hopeless ones end within their first fold."""

import joblib
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from manyfit import Choice, FoldPruner, MedianPruner
from manyfit.sklearn import SearchCV
from manyfit.sklearn.growth import fit_in_stages, why_not_grown

X, Y = make_classification(200, 6, n_informative=4, random_state=0)
WEIGHTS = np.linspace(0.5, 2.0, len(Y))
# Good settings first: they show what a hopeless one is behind.
RATES = [0.3, 0.2, 0.25, 0.15, 1e-5]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(n_estimators=20, random_state=0),
        GradientBoostingClassifier(n_estimators=33, subsample=0.5, max_features=2, random_state=0),
        GradientBoostingRegressor(n_estimators=20, loss="huber", random_state=0),
        HistGradientBoostingClassifier(max_iter=17, max_depth=2, max_features=0.5, random_state=0),
        HistGradientBoostingRegressor(
            max_iter=17, max_depth=2, loss="absolute_error", random_state=0
        ),
        RandomForestClassifier(n_estimators=19, max_samples=0.5, random_state=0),
        ExtraTreesClassifier(n_estimators=19, random_state=0),
        BaggingRegressor(n_estimators=17, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_stages_change_nothing(model, weights):
    """What is fitted in stages equals what is fitted at once, in all that it has learned."""
    plain, staged = (type(model)(**model.get_params()) for _ in range(2))
    params = {} if weights is None else {"sample_weight": weights}
    seen = []

    with threadpool_limits(1):  # more threads than cores wait for one another
        plain.fit(X, Y, **params)
        fit_in_stages(staged, X, Y, params, stages=4, look=seen.append)

    assert why_not_grown(model, len(X)) == ""
    assert seen == [0, 1, 2, 3]
    np.testing.assert_array_equal(staged.predict(X), plain.predict(X))
    learned = [name for name in vars(plain) if name != "_seeds"]
    assert [name for name in learned if not same(plain, staged, name)] == []


def same(one, other, name):
    return joblib.hash(getattr(one, name)) == joblib.hash(getattr(other, name))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (SGDClassifier(), "SGDClassifier can't be fitted in stages"),
        (MLPClassifier(), "MLPClassifier can't be fitted in stages"),
        (GradientBoostingClassifier(n_iter_no_change=3), "stops early by itself"),
        (HistGradientBoostingClassifier(early_stopping=True), "stops early by itself"),
        (HistGradientBoostingClassifier(warm_start=True), "has warm_start=True already"),
        (RandomForestClassifier(random_state=np.random.RandomState(0)), "draws other trees"),
        (BaggingRegressor(oob_score=True, n_estimators=20), "draws other trees"),
        (BaggingRegressor(), "n_estimators=10, not 16 or more"),
        (make_pipeline(PCA(), RandomForestClassifier(), memory="x"), "has a memory of its own"),
        (make_pipeline(PCA(), SGDClassifier()), "SGDClassifier can't be fitted in stages"),
    ],
)
def test_what_is_fitted_at_once(model, words):
    """Stages that would change what is fitted aren't made, and there is a reason."""
    assert words in why_not_grown(model, 200)


def test_many_rows_make_a_model_stop_early_by_default():
    """It is then fitted at once, unless that is turned off."""
    model = HistGradientBoostingClassifier()

    assert why_not_grown(model, 10_000) == ""
    assert "stops early" in why_not_grown(model, 10_001)
    assert why_not_grown(model.set_params(early_stopping=False), 10_001) == ""


def searching(model, space, **options):
    settled = {"n_trials": None, "sampler": "grid", "executor": "inline", "cv": 3}
    return SearchCV(model, space, **{**settled, **options})


def boosted():
    return GradientBoostingClassifier(n_estimators=16, max_depth=1, random_state=0)


def test_a_hopeless_candidate_ends_within_its_first_fold():
    """Its row says where, and has no score of any fold; the others have those of plain fits."""
    search = searching(boosted(), {"learning_rate": RATES}).fit(X, Y)

    results = search.cv_results_
    assert list(results["state"]) == ["COMPLETE"] * 4 + ["PRUNED"]
    assert "after 1/8 of fold 0" in results["reason"][4]
    assert np.isnan([results[f"split{fold}_test_score"][4] for fold in range(3)]).all()
    assert results["mean_fit_time"][4] > 0
    assert results["rank_test_score"][4] == 5
    plain = GridSearchCV(boosted(), {"learning_rate": RATES[:4]}, cv=3).fit(X, Y).cv_results_
    for fold in range(3):
        key = f"split{fold}_test_score"
        np.testing.assert_array_equal(results[key][:4], plain[key])


def test_the_last_step_of_a_pipeline_grows():
    """The steps before it are fitted once, shared or not; its scores are those of plain fits."""
    pipeline = make_pipeline(StandardScaler(), PCA(4, random_state=0), boosted())
    space = {"gradientboostingclassifier__learning_rate": RATES}
    plain = GridSearchCV(pipeline, space, cv=3).fit(X, Y).cv_results_

    for cache in (True, False):
        search = searching(pipeline, space, cache=cache).fit(X, Y)
        found = search.cv_results_
        assert "of fold 0" in found["reason"][4]
        np.testing.assert_array_equal(found["mean_test_score"][:4], plain["mean_test_score"][:4])


def test_kinds_of_models_are_compared():
    """A model that doesn't grow is judged by its folds only, against those that do."""
    model = Choice(
        {
            "boosted": {"model": boosted(), "model__learning_rate": Choice(RATES[:4])},
            "linear": {"model": LogisticRegression(), "model__C": Choice([1e-9, 1e-8])},
        }
    )
    pipeline = Pipeline([("model", boosted())])

    results = searching(pipeline, {"model": model}).fit(X, Y).cv_results_

    assert list(results["state"]) == ["COMPLETE"] * 4 + ["PRUNED"] * 2
    assert "of fold 0" not in results["reason"][4]


def test_one_split_is_enough():
    """Stages are judged even if there is only one fold."""
    cv = [(np.arange(0, 150), np.arange(150, 200))]

    results = searching(boosted(), {"learning_rate": RATES}, cv=cv).fit(X, Y).cv_results_

    assert "of fold 0" in results["reason"][4]


def test_a_pruner_of_ones_own_judges_stages_that_are_asked_for():
    """It sees the stages before the folds."""
    options = {"pruner": MedianPruner(n_startup=2), "stages": 2}

    results = searching(boosted(), {"learning_rate": RATES}, **options).fit(X, Y).cv_results_

    assert "up to step 1" in results["reason"][4]
    assert np.isnan(results["split0_test_score"][4])


def test_a_search_that_prunes_nothing_has_no_stages():
    """Neither without a pruner nor with repeatable trials at once."""
    search = searching(boosted(), {"learning_rate": RATES}, pruner=None).fit(X, Y)

    assert list(search.cv_results_["state"]) == ["COMPLETE"] * 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stages": -1}, "stages must be a whole number, at least 0, at most 10, or 'auto'"),
        ({"stages": "all"}, "stages must be a whole number"),
        ({"stages": 5}, "n_estimators=16, not 32 or more"),
        ({"stages": 3, "pruner": FoldPruner(3)}, "must be the number that the pruner expects"),
    ],
)
def test_wrong_stages_are_refused(options, words):
    """It is told before any fit."""
    with pytest.raises(ValueError, match=words):
        searching(boosted(), {"learning_rate": RATES}, **options).fit(X, Y)
