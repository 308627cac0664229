"""Fits that run in barrier mode, all or nothing, when a part of the cluster dies under them."""

import threading
import time

import psutil
import pytest

import manyfit
from manyfit import DriverExecutor, Float, State
from manyfit.trial import Lost

pytestmark = pytest.mark.integration


def tune(spark, objective, quiet):
    """Run one trial that takes all four slots."""
    executor = DriverExecutor(spark, 1, slots_per_trial=4)
    space = {"x": Float(0.0, 1.0)}
    return manyfit.tune(
        objective, space, metric="loss", executor=executor, n_trials=1, pruner=None, **quiet
    )


def fit(spark, folder=None, seconds=0.0, error=None):
    """Run four tasks at once, as XGBoost on Spark does; each leaves its process id in a folder."""
    folder = folder and str(folder)

    def work(batches):
        import os
        import pathlib
        import time

        if folder:
            pathlib.Path(folder, str(os.getpid())).touch()
        if error is not None:
            raise error
        time.sleep(seconds)
        yield from batches

    spark.range(0, 4, 1, 4).mapInArrow(work, "id long", barrier=True).collect()


@pytest.fixture(params=["cluster", "connect_spark"])
def session_and_kill(request, monkeypatch):
    """A session and what kills a part of its cluster: a machine, or an executor through Connect."""
    if request.param == "connect_spark":
        monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
        return request.getfixturevalue("connect_spark"), kill_executor
    cluster, classic = (request.getfixturevalue(name) for name in ("cluster", "classic"))

    def kill_machine(_):
        cluster.kill_worker(next(iter(cluster.workers)))
        cluster.add_workers()

    classic.stop()  # a new session has an executor on each worker
    return classic.on(cluster.url), kill_machine


def kill_executor(task):
    """Kill the executor of a task."""
    parents = psutil.Process(task).parents()
    next(process for process in parents if process.name() == "java").kill()


@pytest.mark.soak("kills")
def test_it_is_made_again(session_and_kill, quiet, tmp_path):
    """Spark gives the fit up, and that is not the trial's fault: another attempt is made."""
    spark, kill = session_and_kill
    tasks = tmp_path / "tasks"
    tasks.mkdir()

    def killer():
        deadline = time.monotonic() + 120
        while len(found := [*tasks.iterdir()]) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        kill(int(found[0].name))

    def objective(params):
        first = manyfit.current_trial().attempt == 1
        fit(spark, tasks if first else None, seconds=120.0 if first else 0.0)
        return 0.0

    thread = threading.Thread(target=killer)
    thread.start()
    try:
        (trial,) = tune(spark, objective, quiet)
    finally:
        thread.join()

    assert trial.state is State.COMPLETE, trial.reason
    lost, _ = trial.attempts
    assert isinstance(lost.end, Lost)
    assert lost.end.counts
    assert "ExecutorLostFailure" in lost.end.reason


@pytest.mark.parametrize(
    "kind", ["spark", pytest.param("connect_spark", marks=pytest.mark.soak("contracts"))]
)
def test_what_it_raises_is_its_own(kind, request, monkeypatch, quiet):
    """A task that raises fails its trial at once, even with words as of a lost executor."""
    if kind == "connect_spark":
        monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
    session = request.getfixturevalue(kind)
    error = ValueError("ExecutorLostFailure (executor 1 exited) Reason: worker lost")

    (trial,) = tune(session, lambda params: fit(session, error=error), quiet)

    assert trial.state is State.FAIL
    assert len(trial.attempts) == 1
