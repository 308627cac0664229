"""What differs between libraries of boosted trees, beside what all callbacks have in common."""

import catboost
import lightgbm as lgb
import numpy as np
import xgboost as xgb

from manyfit import Float, tune
from manyfit.callbacks import CatBoostCallback, LightGBMCallback, XGBoostCallback

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = (X[:, 0] + 0.5 * RNG.normal(size=90) > 0).astype(int)
LIGHT = {"objective": "binary", "metric": "auc", "verbosity": -1, "num_threads": 1}
XGB = {"objective": "binary:logistic", "eval_metric": "auc", "nthread": 1}
CAT = {"verbose": False, "allow_writing_files": False, "thread_count": 1}


def test_lightgbm_reports_the_mean_of_cross_validation(run_trial):
    """With the deviation, under the names of the dict that `cv` returns."""

    def objective():
        return lgb.cv(LIGHT, lgb.Dataset(X, Y), 3, callbacks=[LightGBMCallback()])["valid auc-mean"]

    trial = run_trial(lambda: objective()[-1], "valid_auc_mean")

    assert (trial.how, trial.steps) == ("AttemptFinished", [0, 1, 2])
    assert set(trial.reports[0][1]) == {"valid_auc_mean", "valid_auc_stdv"}
    assert trial.reports[-1][1]["valid_auc_mean"] == trial.ending.metrics["valid_auc_mean"]


def test_results_of_lightgbm_before_4_7_are_known(run_trial):
    """They are tuples, those of `cv` with another order of names."""

    class Environment:
        iteration = 0
        evaluation_result_list = (
            ("valid_0", "auc", 0.5, True),
            ("cv_agg", "valid auc", 0.6, True, 0.1),
        )

    trial = run_trial(lambda: LightGBMCallback()(Environment) or 0.0, "valid_0_auc")

    assert trial.reports == [
        (0, {"valid_0_auc": 0.5, "valid_auc_mean": 0.6, "valid_auc_stdv": 0.1})
    ]


def test_a_training_of_lightgbm_that_continues_another_counts_on(run_trial):
    """`init_model` needs no `first_step`."""

    def train(model=None):
        return lgb.train(
            LIGHT,
            lgb.Dataset(X[:60], Y[:60], free_raw_data=False),
            2,
            valid_sets=[lgb.Dataset(X[60:], Y[60:], free_raw_data=False)],
            valid_names=["late"],
            init_model=model,
            callbacks=[LightGBMCallback()],
        )

    def objective():
        return train(train()).best_score["late"]["auc"]

    trial = run_trial(objective, "late_auc")

    assert (trial.how, trial.steps) == ("AttemptFinished", [0, 1, 2, 3])


def test_xgboost_reports_the_mean_of_cross_validation(run_trial):
    """With the deviation, under the names of the columns that `cv` returns."""

    def objective():
        table = xgb.cv(XGB, xgb.DMatrix(X, Y), 3, callbacks=[XGBoostCallback()], as_pandas=False)
        return table["test-auc-mean"][-1]

    trial = run_trial(objective, "test_auc_mean")

    assert (trial.how, trial.steps) == ("AttemptFinished", [0, 1, 2])
    names = {f"{part}_auc_{kind}" for part in ("train", "test") for kind in ("mean", "std")}
    assert set(trial.reports[0][1]) == names


def test_a_pruned_cross_validation_of_xgboost_ends(run_trial):
    """`xgb.cv` ends at once, as a fit of an estimator does."""
    trial = run_trial(
        lambda: xgb.cv(XGB, xgb.DMatrix(X, Y), 3, callbacks=[XGBoostCallback()]),
        "test_auc_mean",
        stop_after=1,
    )

    assert (trial.how, trial.steps) == ("AttemptPruned", [0])


def test_catboost_is_reported_when_it_computes_metrics(run_trial):
    """With `metric_period`, not in each round; and a callback may be used again."""
    callback = CatBoostCallback()

    def objective():
        model = catboost.CatBoostClassifier(iterations=7, metric_period=3, **CAT)
        model.fit(X[:60], Y[:60], eval_set=(X[60:], Y[60:]), callbacks=[callback])
        return model.best_score_["validation"]["Logloss"]

    for _ in range(2):
        trial = run_trial(objective, "validation_Logloss")
        assert (trial.how, trial.steps) == ("AttemptFinished", [0, 3, 6]), trial.ending


def test_trainings_of_catboost_in_threads_may_share_a_callback(tmp_path):
    """It counts for each what has been reported."""
    callback = CatBoostCallback()

    def train(params):
        model = catboost.CatBoostClassifier(iterations=20, random_seed=int(params["x"]), **CAT)
        model.fit(X, Y, callbacks=[callback])
        return {"learn_Logloss": model.best_score_["learn"]["Logloss"]}

    result = tune(
        train,
        {"x": Float(0, 9)},
        metric="learn_Logloss",
        n_trials=4,
        executor="threads",
        parallelism=2,
        pruner=None,
        tracker=None,
        progress=None,
        advice=False,
        folder=tmp_path,
    )

    assert [len(trial.measurements) for trial in result.trials] == [20] * 4


def test_a_refused_trial_of_catboost_fails_by_our_error_whatever_follows(run_trial):
    """The objective goes on, and may fail in another way, as its model hasn't been trained."""
    came_back = []

    def objective():
        model = catboost.CatBoostClassifier(iterations=5, **CAT)
        model.fit(X, Y, callbacks=[CatBoostCallback()])
        came_back.append(model.tree_count_)
        return model.best_score_["validation"]["AUC"]

    trial = run_trial(objective, "validation_AUC")

    assert came_back == [1]
    assert (trial.how, trial.ending.error) == ("AttemptFailed", "MetricError")
    assert "The training has learn_Logloss" in trial.ending.reason


def test_later_trainings_of_a_pruned_trial_of_catboost_end_in_their_first_round(run_trial):
    """CatBoost's callbacks can't raise, so that the objective comes to its other folds."""
    trees = []

    def objective():
        for _ in range(3):
            model = catboost.CatBoostClassifier(iterations=5, **CAT)
            model.fit(X, Y, callbacks=[CatBoostCallback()])
            trees.append(model.tree_count_)

    trial = run_trial(objective, "learn_Logloss", stop_after=2)

    assert (trial.how, trees) == ("AttemptPruned", [2, 1, 1])
