"""What is particular to scikit-learn's callbacks and to the rounds of `partial_fit`."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, SGDRegressor
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from manyfit.callbacks import PartialFitRounds, SklearnCallback

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = (X[:, 0] + 0.5 * RNG.normal(size=90) > 0).astype(int)
ROWS = {"train": (X[:60], Y[:60]), "val": (X[60:], Y[60:])}


def watched():
    return LogisticRegression().set_callbacks(SklearnCallback(X[60:], Y[60:]))


@pytest.mark.parametrize(
    "whole",
    [
        lambda: make_pipeline(StandardScaler(), watched()),
        lambda: GridSearchCV(watched(), {"C": [1.0]}, cv=2),
    ],
)
def test_an_estimator_within_another_is_refused(run_trial, whole):
    """Its validation rows would lack what the pipeline does, and a search fits many times."""
    trial = run_trial(lambda: whole().fit(X, Y), "val_score")

    assert (trial.how, trial.reports) == ("AttemptFailed", [])
    assert "LogisticRegression is in" in trial.ending.reason  # whatever the search raises
    whole().fit(X, Y)  # outside of a trial, nothing happens


def test_an_estimator_without_iterations_is_refused(run_trial):
    """It would report nothing, silently."""
    scaler = StandardScaler().set_callbacks(SklearnCallback(X[60:], Y[60:]))
    trial = run_trial(lambda: scaler.fit(X, Y), "val_score")

    assert trial.how == "AttemptFailed"
    assert trial.ending.reason.startswith("SklearnCallback has nothing to report: StandardScaler")


@pytest.mark.parametrize(
    ("scoring", "names"),
    [
        (None, {"score"}),
        ("r2", {"r2"}),
        (["r2", "neg_mean_absolute_error"], {"r2", "neg_mean_absolute_error"}),
        (make_scorer(mean_absolute_error), {"score"}),
        ({"mae": make_scorer(mean_absolute_error)}, {"mae"}),
        (lambda model, x, y: {"bias": float((model.predict(x) - y).mean())}, {"bias"}),
    ],
)
def test_scores_have_the_names_of_their_rows_and_of_the_scoring(scoring, names):
    """All kinds of `scoring` that `cross_validate` takes; without a trial, too."""
    model = SGDRegressor()
    rounds = PartialFitRounds(model, 2, **ROWS, scoring=scoring)
    for _ in rounds:
        model.partial_fit(*ROWS["train"])

    assert set(rounds.scores) == {f"{part}_{name}" for part in ROWS for name in names}


@pytest.mark.parametrize("rounds", [0, 1.5, None])
def test_there_is_at_least_one_round(rounds):
    """Anything else is refused before anything is trained."""
    with pytest.raises(ValueError, match="rounds must be a whole number, at least 1"):
        PartialFitRounds(SGDRegressor(), rounds, **ROWS)
