"""Names, steps and numbers of reports."""

import math
import sys

import numpy as np
import pytest

from manyfit import callbacks
from manyfit.callbacks.rounds import Rounds, legal_name


def reporting(*rounds):
    """An objective that reports these rounds, each a list of pairs."""

    def objective():
        reports = Rounds("ThisCallback", "compute it", 0)
        for number, metrics in enumerate(rounds):
            reports.report(number, metrics)
        return 0.0

    return objective


@pytest.mark.parametrize(
    ("given", "legal"),
    [
        ("val_auc", "val_auc"),
        ("valid_0-auc", "valid_0_auc"),
        ("test-ndcg@3-mean", "test_ndcg_3_mean"),
        ("val/loss", "val_loss"),
        ("AUC:type=Mu;use_weights=false", "AUC_type_Mu_use_weights_false"),
    ],
)
def test_a_name_is_made_legal_by_one_rule(given, legal):
    """Each character other than a letter, a digit or _ becomes _."""
    assert legal_name(given) == legal


def test_two_metrics_of_one_name_are_refused(run_trial):
    """None is dropped silently."""
    trial = run_trial(reporting([("auc@1", 0.5), ("auc-1", 0.6)]), "auc_1")

    assert trial.how == "AttemptFailed"
    assert trial.ending.reason.startswith("ThisCallback: two metrics are called auc_1")


def test_what_is_no_number_is_left_out_with_a_warning(run_trial):
    """Once: a metric per class, say. Numbers of NumPy, and NaN, are numbers."""
    vector = np.array([0.1, 0.2])
    round_ = [("loss", np.float32(0.5)), ("f1", vector), ("odd", math.nan)]
    with pytest.warns(UserWarning, match="ThisCallback leaves out a metric: f1 must be") as caught:
        trial = run_trial(reporting(round_, round_), "loss")

    assert len(caught) == 1
    assert trial.how == "AttemptFinished"
    assert [list(metrics) for _, metrics in trial.reports] == [["loss", "odd"]] * 2


def test_the_tuned_metric_must_be_a_number(run_trial):
    """Otherwise it would be missing from what is judged."""
    trial = run_trial(reporting([("loss", np.array([0.1, 0.2]))]), "loss")

    assert trial.how == "AttemptFailed"
    assert trial.ending.reason.startswith("loss must be a number")


def test_a_training_without_metrics_is_refused(run_trial):
    """It says so."""
    trial = run_trial(reporting([]), "loss")

    assert "The training has none" in trial.ending.reason
    assert trial.ending.reason.endswith("or compute it")


def test_a_training_that_begins_after_a_stop_ends_before_its_first_report(run_trial):
    """Even one that begins anew, as those of later folds do."""
    began = []

    def objective():
        try:
            reporting([("loss", 1.0)], [("loss", 1.0)])()
        finally:
            began.append(1)
            reporting([("loss", 1.0)])()
            began.append(2)

    trial = run_trial(objective, "loss", stop_after=1)

    assert (trial.how, trial.steps, began) == ("AttemptPruned", [0], [1])


def test_every_callback_is_listed_once():
    """`dir` and `__all__` have the names in order, and a typo is an AttributeError."""
    assert dir(callbacks) == callbacks.__all__ == sorted(callbacks.__all__)
    with pytest.raises(AttributeError, match="no attribute 'KerasCalback'"):
        callbacks.KerasCalback  # noqa: B018


def test_no_library_is_imported_for_the_callback_of_another(run_trial):
    """A callback is imported without the libraries of the others."""
    assert "lightning" not in sys.modules
    assert callbacks.LightGBMCallback.__module__ == "manyfit.callbacks.lightgbm"
    assert "lightning" not in sys.modules
