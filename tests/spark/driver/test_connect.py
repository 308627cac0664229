"""Trials on the driver whose Spark is at the other end of Spark Connect."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

import manyfit
from manyfit import Float, State
from manyfit.demo.cluster import connect_server
from manyfit.errors import ExecutorError
from manyfit.events import AttemptPruned
from manyfit.spark.driver.executor import DriverExecutor
from manyfit.testing.rig import Rig
from manyfit.trial import Lost
from manyfit.worker.context import current_trial

pytestmark = pytest.mark.integration

LONG = 120.0  # seconds that nobody waits for
# How long after its server's end a study may notice, which may take 10 seconds on a machine that is
# not busy; and how long a process may need to end thereafter.
NOTICED, ENDED = 30.0, 90.0


@pytest.fixture
def remote(connect_spark, monkeypatch):
    """A Connect session in a process that takes itself for one that has no other."""
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
    return connect_spark


@contextlib.contextmanager
def opened(executor, objective, folder):
    rig = Rig(executor, objective, folder)
    try:
        yield rig
    finally:
        rig.executor.close()


def job(spark, seconds, mark):
    """Run a job whose task sleeps, after it has left a mark for this process to find."""
    path = str(mark)

    def sleep(batches):
        import pathlib
        import time

        pathlib.Path(path).touch()
        time.sleep(seconds)
        yield from batches

    return float(len(spark.range(0, 1, 1, 1).mapInArrow(sleep, "id long").collect()))


def options(folder):
    return {
        "space": {"x": Float(0.0, 1.0)},
        "metric": "loss",
        "n_trials": 4,
        "name": "ends",
        "folder": folder,
        "sampler": "random",
        "pruner": None,
        "tracker": None,
        "progress": None,
        "max_attempts": 1,
        "seed": 0,
    }


def lost(folder):
    """Return how the attempts ended that were in flight when the study did."""
    trials = manyfit.load_study("ends", folder=folder)
    attempts = [trial.attempts for trial in trials if trial.state is State.WAITING]
    return [each[-1].end for each in attempts if each]  # who waits for slots has none


def test_others_go_on(remote, tmp_path):
    """Who is stopped is ended in its job; the other one's job comes to its end."""

    def objective(params):
        number = current_trial().number
        return job(remote, 2.0 if number else LONG, tmp_path / f"{number}")

    with opened(DriverExecutor(remote, 2), objective, tmp_path) as run:
        run.submit(0)
        run.submit(1)
        run.until(lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists())
        began = time.monotonic()
        run.executor.stop(0, 1, "hopeless")
        assert isinstance(run.end_of(0), AttemptPruned)
        assert run.end_of(1).metrics == {"loss": 1.0}
    assert time.monotonic() - began < LONG / 2


def test_nobody_tells_how_busy_it_is(remote, tmp_path, caplog):
    """`parallelism="auto"` stays where it begins, and that is said."""
    with opened(DriverExecutor(remote), lambda _: 0.0, tmp_path) as run:
        assert run.executor.parallelism == 2
        run.run()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "manyfit"]
    assert said == (
        "parallelism='auto' stays at 2, since Spark Connect doesn't tell how busy the cluster is. "
        "Set a number to change it."
    )


def test_slots(remote):
    """How many the cluster has is found out through Connect as well."""
    assert DriverExecutor(remote, 8, slots_per_trial=2).parallelism == 2


@pytest.mark.soak("contracts")
def test_spark_ml(remote, tmp_path):
    """Models of Spark ML are fitted in two trials at once."""
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql.functions import array, col

    rows = remote.range(100).select(
        (col("id") % 2).cast("double").alias("label"),
        array_to_vector(array((col("id") % 7).cast("double"))).alias("features"),
    )
    together = threading.Barrier(2)

    def objective(params):
        together.wait(60)
        model = LogisticRegression(maxIter=2, regParam=params["x"]).fit(rows)
        return float(model.numFeatures)

    with opened(DriverExecutor(remote, 2), objective, tmp_path) as run:
        run.submit(0)
        run.submit(1)
        for number in range(2):
            assert run.end_of(number).metrics == {"loss": 1.0}


@pytest.mark.soak("contracts")  # now and then, PySpark's client waits for ever in its stop()
def test_an_objective_stops_the_session(remote, connect_url, tmp_path):
    """`spark.stop()` in a trial ends the study in order; it can be resumed in another session."""
    from pyspark.sql import SparkSession

    own = SparkSession.builder.remote(connect_url).create()

    def objective(params):
        if current_trial().number == 1:
            own.stop()
        return job(own, 0.0, tmp_path / "mark")

    with pytest.raises(ExecutorError, match=r"the Spark session has ended: .*name='ends'"):
        manyfit.tune(objective, executor=DriverExecutor(own, 1), **options(tmp_path))
    (end,) = lost(tmp_path)
    assert isinstance(end, Lost)
    assert not end.counts

    result = manyfit.tune(
        lambda _: job(remote, 0.0, tmp_path / "mark"),
        executor=DriverExecutor(remote, 1),
        **options(tmp_path),
    )
    assert result.count(State.COMPLETE) == 4


STUDY = """
import json, sys
from pathlib import Path

from pyspark.sql import SparkSession

import manyfit
from manyfit.worker.timings import Timings

url, folder, need, options = sys.argv[1:]
spark = SparkSession.builder.remote(url).getOrCreate()
spark.range(1).collect()  # a server that has just started takes its time


def job(number, seconds):
    path = f"{folder}/running-{number}"

    def sleep(batches):
        import pathlib
        import time

        pathlib.Path(path).touch()
        time.sleep(seconds)
        yield from batches

    return float(len(spark.range(0, 1, 1, 1).mapInArrow(sleep, "id long").collect()))


def objective(params):
    number = manyfit.current_trial().number
    return job(number, 300.0 if number else 0.0)


needs = (lambda params: int(need)) if int(need) else None
try:
    manyfit.tune(
        objective,
        {"x": manyfit.Float(0.0, 1.0)},
        executor=manyfit.DriverExecutor(
            spark, 2, slots_per_trial=needs, timings=Timings(answer=8.0, probe=1.0)
        ),
        **json.loads(options),
    )
except manyfit.ExecutorError as error:
    print(error, flush=True)
spark.stop()
"""


@contextlib.contextmanager
def study(url, folder, need):
    """Run a study in a process of its own, whose trials need this many slots each."""
    folder.mkdir(exist_ok=True)
    chosen = {name: value for name, value in options(str(folder)).items() if name != "space"}
    given = [url, str(folder), str(need), json.dumps(chosen)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    program = [sys.executable, "-c", STUDY, *given]
    with subprocess.Popen(program, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.soak("kills")
def test_the_server_is_killed(classic, cluster, remote, tmp_path):
    """Studies notice before their jobs do, their processes end, and another server resumes them.

    In one of them two trials run; in the other, one runs and one waits for its slots.
    """
    classic.stop()  # there is room for a server of its own
    settings = {"spark.cores.max": "4", "spark.executor.cores": "2"}
    runs, waits = tmp_path / "runs", tmp_path / "waits"
    with contextlib.ExitStack() as studies:
        with connect_server(cluster, settings) as url:
            both = [studies.enter_context(study(url, runs, 0))]
            both += [studies.enter_context(study(url, waits, 3))]
            deadline = time.monotonic() + 120.0
            marks = [runs / "running-1", runs / "running-2", waits / "running-1"]
            while not all(mark.exists() for mark in marks) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert all(mark.exists() for mark in marks)
        killed = time.monotonic()
        for process in both:
            assert "the Spark session has ended: " in process.stdout.readline()
            assert time.monotonic() - killed < NOTICED
        for process in both:
            assert process.wait(ENDED) == 0
    assert [len(lost(folder)) for folder in (runs, waits)] == [2, 1]
    assert not any(end.counts for folder in (runs, waits) for end in lost(folder))

    for folder, need in ((runs, None), (waits, 3)):
        result = manyfit.tune(
            lambda _: job(remote, 0.0, tmp_path / "mark"),
            executor=DriverExecutor(remote, 2, slots_per_trial=need),
            **options(folder),
        )
        assert result.count(State.COMPLETE) == 4
