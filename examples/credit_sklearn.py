"""A scikit-learn pipeline over numbers and words, tuned with `SearchCV` on real loans.

    python examples/credit_sklearn.py [--trials 30] [--name credit]

The preparation of the columns is tuned together with the model: how missing numbers are filled in,
and how rare a word may be. Trials that prepare the columns alike share the prepared rows.
"""

import argparse

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from tables import credit

from manyfit import Float, Int
from manyfit.sklearn import SearchCV

SPACE = {
    "columns__numbers__strategy": ["mean", "median"],
    "columns__words__min_frequency": [1, 20, 100],
    "model__learning_rate": Float(0.01, 0.5, log=True),
    "model__max_leaf_nodes": Int(3, 31),
    "model__l2_regularization": Float(1e-3, 100, log=True),
}


def pipeline(table):
    """Return the pipeline for a table."""
    words = OneHotEncoder(handle_unknown="infrequent_if_exist", sparse_output=False)
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(add_indicator=True), table.numbers),
            ("words", words, table.texts),
        ]
    )
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
    return Pipeline([("columns", columns), ("model", model)])


def tune(table, n_trials, **options):
    """Return the fitted search, which predicts as the best pipeline does."""
    search = SearchCV(pipeline(table), SPACE, n_trials=n_trials, scoring="roc_auc", **options)
    return search.fit(table.rest.drop(columns="label"), table.rest["label"])


def main():
    """Tune, and evaluate once on the test rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--name", help="of the search; the same name continues it")
    options = parser.parse_args()
    table = credit()
    search = tune(table, options.trials, name=options.name)
    print(f"Best of {len(search.cv_results_['params'])} trials: {search.best_params_}")
    print(f"Validation AUC {search.best_score_:.4f}")
    found = search.predict_proba(table.test.drop(columns="label"))[:, 1]
    auc = roc_auc_score(table.test["label"], found)
    print(f"On {len(table.test)} test rows, which played no part in any decision: AUC {auc:.4f}")


if __name__ == "__main__":
    main()
