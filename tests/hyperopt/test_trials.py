"""Trials: documents, views and the best."""

import math
import pickle

import numpy as np
import pytest

from manyfit.errors import ArgumentError
from manyfit.hyperopt import (
    JOB_STATE_DONE,
    JOB_STATE_NEW,
    AllTrialsFailed,
    SparkTrials,
    Trials,
    no_progress_loss,
    trials_from_docs,
)
from manyfit.hyperopt.document import new_document
from manyfit.hyperopt.exceptions import InvalidTrial


def document(tid, result, **values):
    """A trial that is done."""
    vals = {label: [] if value is None else [value] for label, value in values.items()}
    misc = {"tid": tid, "cmd": None, "vals": vals}
    misc["idxs"] = {label: [tid] if each else [] for label, each in vals.items()}
    return new_document(tid, misc) | {"state": JOB_STATE_DONE, "result": result}


def losses(*values):
    return [
        document(i, {"loss": value, "status": "ok"}, x=float(i)) for i, value in enumerate(values)
    ]


def test_the_best_trial_has_the_lowest_loss_that_is_ok():
    """NaN and failed trials are never best; the first of equals is."""
    docs = losses(2.0, math.nan, 1.0, 1.0)
    docs.append(document(4, {"loss": 0.0, "status": "fail"}, x=4.0))
    trials = trials_from_docs(docs)

    assert trials.best_trial["tid"] == 2
    assert trials.argmin == {"x": 2.0}
    assert trials.average_best_error() == 1.0
    assert trials.statuses() == ["ok"] * 4 + ["fail"]


def test_without_a_loss_there_is_no_best_trial():
    """Neither among failed trials nor among none."""
    failed = trials_from_docs([document(0, {"status": "fail"}, x=1.0)])

    for trials in (failed, Trials()):
        with pytest.raises(AllTrialsFailed):
            _ = trials.argmin


def test_inactive_hyperparameters_are_empty_in_vals_and_missing_in_argmin():
    """As in Hyperopt, for each label the ids and values of the trials that used it."""
    docs = [
        document(0, {"loss": 1.0, "status": "ok"}, c=0, x=0.5, y=None),
        document(1, {"loss": 0.0, "status": "ok"}, c=1, x=None, y=7),
    ]
    trials = trials_from_docs(docs)

    assert trials.argmin == {"c": 1, "y": 7}
    assert trials.vals == {"c": [0, 1], "x": [0.5], "y": [7]}
    assert trials.idxs == {"c": [0, 1], "x": [0], "y": [1]}


def test_the_average_best_error_weighs_uncertain_losses():
    """With variances, each true loss counts by the probability that its loss is the lowest."""
    pair = [
        {"loss": 0.0, "loss_variance": 1.0, "true_loss": 10.0, "status": "ok"},
        {"loss": 0.0, "loss_variance": 1.0, "true_loss": 20.0, "status": "ok"},
    ]
    trials = trials_from_docs([document(i, result, x=0.0) for i, result in enumerate(pair)])

    assert 14 < trials.average_best_error() < 16


@pytest.mark.parametrize("part", ["tid", "misc", "state", "result"])
def test_a_document_that_lacks_a_part_is_refused(part):
    """The message names the part."""
    broken = losses(1.0)[0]
    del broken[part]

    with pytest.raises(InvalidTrial, match=part):
        trials_from_docs([broken])


def test_documents_of_hyperopt_are_taken(tmp_path):
    """trials_from_docs takes those of Hyperopt's own Trials."""
    hyperopt = pytest.importorskip("hyperopt")
    theirs = hyperopt.Trials()
    space = {"x": hyperopt.hp.uniform("x", -1, 1), "c": hyperopt.hp.choice("c", [1, 2])}
    hyperopt.fmin(
        lambda p: p["x"] ** 2, space, hyperopt.rand.suggest, 5, trials=theirs, verbose=False
    )

    ours = trials_from_docs(theirs.trials)

    assert ours.losses() == theirs.losses()
    assert ours.argmin == theirs.argmin
    assert ours.vals == theirs.vals


def test_states_are_counted():
    """One state or several can be counted; a refresh shows new documents."""
    trials = trials_from_docs(losses(1.0, 2.0))
    trials.insert_trial_doc(new_document(2, losses(1.0, 1.0, 1.0)[2]["misc"]))

    assert len(trials) == 2
    trials.refresh()
    assert len(trials) == len(list(trials)) == 3
    assert trials.count_by_state_synced(JOB_STATE_DONE) == 2
    assert trials.count_by_state_unsynced([JOB_STATE_NEW, JOB_STATE_DONE]) == 3
    with pytest.raises(TypeError, match="a state"):
        trials.count_by_state_synced("done")
    trials.delete_all()
    assert len(trials) == 0
    assert trials.new_trial_ids(2) == [0, 1]


def test_attachments_are_kept_by_trial():
    """A mapping for each trial, in one dict of all."""
    trials = trials_from_docs(losses(1.0, 2.0))
    first, second = map(trials.trial_attachments, trials.trials)

    first["model"] = b"bytes"

    assert first["model"] == b"bytes"
    assert ("model" in first, "model" in second) == (True, False)
    assert trials.attachments == {"ATTACH::0::model": b"bytes"}
    del first["model"]
    assert trials.attachments == {}


def test_a_view_shows_the_trials_of_one_key():
    """exp_key hides those of others."""
    docs = [each | {"exp_key": key} for each, key in zip(losses(1.0, 2.0), "ab", strict=True)]
    trials = trials_from_docs(docs, validate=False)

    assert trials.view("b").losses() == [2.0]
    assert len(trials.view()) == 2


def test_trials_travel():
    """They are pickled with all documents; those of Spark without the session."""
    trials = trials_from_docs(losses(1.0, 2.0))
    spark = SparkTrials(parallelism=2, timeout=5, spark_session=object())

    assert pickle.loads(pickle.dumps(trials)).losses() == [1.0, 2.0]
    assert pickle.loads(pickle.dumps(spark)).parallelism == 2


def test_there_is_no_study_before_fmin():
    """The message says what makes one."""
    with pytest.raises(ArgumentError, match="call fmin"):
        _ = Trials().result


@pytest.mark.parametrize(
    ("values", "options", "ends"),
    [
        ([1, 1, 1], (3,), 3),
        ([3, 2, 1, 1, 1, 1], (3,), 6),
        ([5, 4.9, 4.8, 4.7], (2, 10), 2),
        ([5, 4, 3, 2], (2, 10), None),
        ([1, None, None], (2,), 2),
        ([None, None, 1, 1, 1], (3,), 5),
    ],
)
def test_no_progress_ends_a_search_as_in_hyperopt(values, options, ends):
    """The first trial counts, too; one without a loss is one without progress."""
    stop, args, ended = no_progress_loss(*options), [], None
    docs = [
        document(i, {"loss": value, "status": "fail" if value is None else "ok"}, x=0.0)
        for i, value in enumerate(values)
    ]
    for count in range(1, len(docs) + 1):
        ends_now, args = stop(trials_from_docs(docs[:count]), *args)
        if ends_now and ended is None:
            ended = count

    assert ended == ends


def test_no_progress_is_that_of_hyperopt():
    """On random losses without failures, both end after the same trial."""
    theirs = pytest.importorskip("hyperopt.early_stop").no_progress_loss
    rng = np.random.default_rng(0)
    for _ in range(20):
        docs = losses(*np.round(rng.uniform(-1, 1, 30).cumsum(), 2))
        ends = []
        for make in (no_progress_loss, theirs):
            stop, args = make(4, 5.0), []
            for count in range(1, 31):
                over, args = stop(trials_from_docs(docs[:count]), *args)
                if over:
                    break
            ends.append(count)
        assert ends[0] == ends[1]
