"""SparkTrials: trials in workers, on a stand-in for Spark and on real clusters."""

import logging
import time
from functools import partial

import pytest

from manyfit import SparkExecutor, State
from manyfit.errors import ArgumentError
from manyfit.hyperopt import (
    AllTrialsFailed,
    SparkTrials,
    fmin,
    hp,
    no_progress_loss,
    rand,
    scope,
    space_eval,
    tpe,
)
from manyfit.testing.remote import LocalSpark

MISC = {"tid": 0, "cmd": None, "idxs": {}, "vals": {}}
SPACE = {
    "x": hp.uniform("x", -1, 1),
    "depth": scope.int(hp.quniform("depth", 1, 5, 1)),
    "model": hp.choice("model", [{"kind": "svm", "C": hp.lognormal("C", 0, 1)}, {"kind": "tree"}]),
}


def objective(point):
    """It returns something of each kind, fails at times, and raises at others."""
    if point["x"] < -0.5:
        raise ValueError("too small")
    if point["x"] > 0.5:
        return {"status": "fail", "error": "too large", "at": point["x"]}
    return {
        "status": "ok",
        "loss": abs(point["x"]) + (point["model"]["kind"] == "tree"),
        "depth": point["depth"],
        "history": [1.0, {"kind": point["model"]["kind"]}],
    }


@pytest.fixture
def stand_in(tmp_path):
    """A session without Java; each task is a process."""
    return LocalSpark(tmp_path / "machine", slots=2)


@pytest.fixture
def search(tmp_path):
    """fmin, quiet, without MLflow, in a folder of the test's own."""
    folder = tmp_path / "studies"
    return partial(fmin, algo=rand.suggest, verbose=False, folder=folder, tracker=None, rstate=0)


@pytest.mark.integration
def test_results_come_back_and_failures_only_fail(search, stand_in):
    """Values keep their types; a trial that raises is counted, and not among trials."""
    trials = SparkTrials(parallelism=2, spark_session=stand_in)
    best = search(objective, SPACE, max_evals=16, trials=trials)

    assert trials.count_total_trials() == 16
    assert trials.count_failed_trials() == 16 - len(trials) > 0
    assert trials.count_successful_trials() == len(trials)
    assert trials.tids == sorted(trials.tids)
    failed = [result for result in trials.results if result["status"] == "fail"]
    assert failed
    assert all(result["error"] == "too large" and result["at"] > 0.5 for result in failed)
    found = trials.best_trial["result"]
    point = space_eval(SPACE, best)
    assert found["loss"] == objective(point)["loss"]
    assert type(found["depth"]) is int
    assert found == objective(point)
    raised = [doc for doc in trials.result if doc.state is State.FAIL and doc.traceback]
    assert "ValueError: too small" in raised[0].traceback


@pytest.mark.integration
def test_a_search_on_spark_goes_on_by_name(search, stand_in, caplog):
    """Its results are read from the record; what isn't JSON came as text, which was told."""
    first, again = (SparkTrials(parallelism=2, spark_session=stand_in) for _ in range(2))

    def with_model(point):
        return {"loss": point["x"], "status": "ok", "model": object(), "list": [point["depth"]]}

    with caplog.at_level(logging.WARNING, "manyfit"):
        search(with_model, SPACE, max_evals=3, trials=first, name="spark")
        search(with_model, SPACE, max_evals=5, trials=again, name="spark")

    assert again.losses()[:3] == first.losses()
    assert len(again) == len(again.result) == 5
    assert all(isinstance(result["list"][0], int) for result in again.results)
    assert again.results[0]["model"].startswith("<object")
    told = [message for message in caplog.messages if "came as short text" in message]
    assert len(told) == 2
    assert told[0].startswith("model of trial ")


@pytest.mark.integration
@pytest.mark.soak("contracts")
def test_limits_end_a_search_on_spark(search, stand_in):
    """early_stop_fn sees ended trials only; a timeout cuts off those that run."""
    trials = SparkTrials(parallelism=2, spark_session=stand_in)
    stop = no_progress_loss(6)
    search(lambda point: 1.0, SPACE, max_evals=50, trials=trials, early_stop_fn=stop)
    assert 6 <= len(trials) <= 8

    trials = SparkTrials(parallelism=2, timeout=0.5, spark_session=stand_in)
    slow = partial(search, lambda point: time.sleep(600), SPACE, max_evals=30, trials=trials)
    assert slow(return_argmin=False) is None
    assert "timeout" in trials.result.reason


@pytest.mark.integration
@pytest.mark.soak("contracts")
def test_a_bug_ends_a_search_on_spark_and_is_told(search, stand_in):
    """If trials all over the space fail alike, not all max_evals are spent."""
    trials = SparkTrials(parallelism=2, spark_session=stand_in)

    def broken(x):
        raise RuntimeError("no such column")

    with pytest.raises(AllTrialsFailed, match="no such column"):
        search(broken, hp.uniform("x", 0, 1), max_evals=100, trials=trials)

    assert trials.count_failed_trials() < 50


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parallelism": -1}, "parallelism must be"),
        ({"parallelism": 2.5}, "parallelism must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"loss_threshold": "low"}, "loss_threshold must be"),
        ({"resource_profile": "gpu"}, "resource_profile must be"),
    ],
)
def test_wrong_arguments_are_refused(options, said):
    """When the trials are made; nothing has run."""
    with pytest.raises(ArgumentError, match=said):
        SparkTrials(**options)


def test_an_executor_has_settings_of_its_own(stand_in):
    """It is used as it is, and excludes what it has itself."""
    executor = SparkExecutor(stand_in, 2, env={"A": "1"})

    assert SparkTrials(executor=executor).executor() is executor
    with pytest.raises(ArgumentError, match="of its own"):
        SparkTrials(3, executor=executor)


def test_a_resource_profile_says_what_a_trial_needs():
    """Cores and GPUs of a task; what a trial can't have is refused."""
    resource = pytest.importorskip("pyspark.resource")
    builder = resource.ResourceProfileBuilder
    requests = resource.TaskResourceRequests

    trials = SparkTrials(resource_profile=builder().require(requests().cpus(3)).build)
    assert trials.cpus_per_trial == 3
    assert SparkTrials().cpus_per_trial is None
    with pytest.raises(ArgumentError, match="fpga"):
        SparkTrials(resource_profile=builder().require(requests().resource("fpga", 1)).build)


def test_spark_trials_have_no_attachments():
    """As in Hyperopt."""
    with pytest.raises(NotImplementedError, match="return the path"):
        SparkTrials().trial_attachments({"tid": 0})


def test_spark_trials_that_forget_keep_their_settings():
    """delete_all forgets the trials, not where they run."""
    trials = SparkTrials(parallelism=3, timeout=5)
    trials.insert_trial_docs(trials.new_trial_docs([0], [None], [{"status": "new"}], [MISC]))
    trials.refresh()

    trials.delete_all()

    assert (len(trials), trials.parallelism, trials.timeout) == (0, 3, 5)


def move_of(session, search, **options):
    """A search as a script for Hyperopt writes it."""
    trials = SparkTrials(parallelism=2, spark_session=session)
    best = search(objective, SPACE, algo=tpe.suggest, max_evals=8, trials=trials, **options)
    return trials, best


@pytest.mark.integration
@pytest.mark.soak("contracts")
def test_trials_run_on_a_standalone_cluster(search, standalone_spark):
    """In its workers, with exact counts."""
    trials, best = move_of(standalone_spark, search)

    assert trials.count_total_trials() == 8
    assert trials.best_trial["result"]["loss"] == objective(space_eval(SPACE, best))["loss"]


@pytest.mark.integration
def test_trials_run_through_spark_connect(search, connect_spark):
    """Spark Connect has no SparkContext, which Hyperopt needs."""
    trials, _ = move_of(connect_spark, search)

    assert trials.count_total_trials() == 8
