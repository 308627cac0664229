"""The examples of scikit-learn's searches, on real rows."""

import dataclasses

import numpy as np
from sklearn.metrics import roc_auc_score

FAST = {"executor": "inline", "cv": 2, "random_state": 0}


def test_credit(credit):
    """The columns and the model are tuned together, and what is found works on other rows."""
    import credit_sklearn

    few = dataclasses.replace(credit, rest=credit.rest[::4])
    search = credit_sklearn.tune(few, 2, **FAST)

    assert set(search.best_params_) == set(credit_sklearn.SPACE)
    found = search.predict_proba(few.test.drop(columns="label"))[:, 1]
    assert roc_auc_score(few.test["label"], found) > 0.7


def test_choice_of_models(ames):
    """Kinds of model compete, each with its own params, and the best predicts prices."""
    import choose_model

    few = dataclasses.replace(ames, rest=ames.rest[::8])
    search = choose_model.tune(few, 8, pruner=None, **FAST)

    scores = choose_model.scores_of_each(search)
    assert len(scores) >= 2
    assert max(map(max, scores.values())) == search.best_score_
    error = search.predict(few.test[few.numbers]) - few.test["label"]
    assert np.sqrt(np.mean(error**2)) < 0.25
