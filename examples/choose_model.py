"""Chooses among kinds of model, each with params of its own, for house prices in Ames.

    python examples/choose_model.py [--trials 40]

Each branch of the `Choice` is a whole step of the pipeline with the params that only it has.
"""

import argparse

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from tables import ames

from manyfit import Choice, Float, Int
from manyfit.sklearn import SearchCV

PIPELINE = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler()), ("model", Ridge())])
MODELS = {
    "ridge": {"model": Ridge(), "model__alpha": Float(0.01, 1e4, log=True)},
    "svm": {
        "model": SVR(epsilon=0.05),
        "model__C": Float(0.01, 100, log=True),
        "model__gamma": Float(1e-4, 1, log=True),
    },
    "boosting": {
        "model": HistGradientBoostingRegressor(max_iter=60, random_state=0),
        "model__learning_rate": Float(0.02, 0.5, log=True),
        "model__max_leaf_nodes": Int(3, 31),
    },
}


def tune(table, n_trials, **options):
    """Return the fitted search over the models."""
    options = {"scoring": "neg_root_mean_squared_error", **options}
    search = SearchCV(PIPELINE, {"model": Choice(MODELS)}, n_trials=n_trials, **options)
    return search.fit(table.rest[table.numbers], table.rest["label"])


def scores_of_each(search):
    """Return the class of each model -> the mean scores of its trials; NaN for a pruned trial."""
    scores = {}
    rows = zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True)
    for params, score in rows:
        scores.setdefault(type(params["model"]).__name__, []).append(score)
    return scores


def main():
    """Tune, compare the models, and evaluate the best once on the test rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args()
    table = ames()
    search = tune(table, options.trials)
    for kind, scores in scores_of_each(search).items():
        complete = [-score for score in scores if not np.isnan(score)]
        best = f"best validation RMSE {min(complete):.4f}" if complete else "no trial was complete"
        print(f"{kind:30} {len(scores):2} trials, {best}")
    found = search.predict(table.test[table.numbers])
    rmse = root_mean_squared_error(table.test["label"], found)
    print(f"On {len(table.test)} test rows, which played no part in any decision: RMSE {rmse:.4f}")


if __name__ == "__main__":
    main()
