"""The oldest Spark that is supported, 3.5, on a cluster of its own: in another process, for there
is one PySpark to a process. The whole suite runs on the newest.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPARK35 = ROOT / ".venv" / "spark35"

ON_WORKERS = """
import sys

import pyspark

import manyfit
from manyfit.demo.cluster import session, standalone


def train(params):
    for epoch in range(5):
        manyfit.report(epoch, loss=params["x"] ** 2 + data["offset"].sum() + 5 - epoch)
    return {{"loss": params["x"] ** 2, "version": float(pyspark.__version__[:3])}}


with standalone(workers=2) as cluster, session(cluster.url, cluster.folder / "log") as spark:
    data = manyfit.share(offset=__import__("numpy").zeros(1000))
    result = manyfit.tune(
        train, {{"x": manyfit.Float(-1.0, 1.0)}}, metric="loss", n_trials=12, seed=0, name="old",
        executor=manyfit.SparkExecutor(spark, parallelism=2), pruner=None, tracker=None,
        progress=None,
    )
print([trial.state.name for trial in result], {{t.metrics["version"] for t in result}})
"""


ON_THE_DRIVER = """
import sys

import pathlib

import manyfit
from manyfit.demo.cluster import session


def job(seconds):
    def sleep(batches):
        import time

        time.sleep(seconds)
        yield from batches

    return float(len(spark.range(0, 2, 1, 2).mapInArrow(sleep, "id long", barrier=True).collect()))


def train(params):
    number = manyfit.current_trial().number
    title = spark.sparkContext.getLocalProperty("spark.job.description")
    assert title == f"trial {{number}} of old"
    manyfit.report(0, loss=1.0)
    return job(60.0 if number == 1 else 0.0)


with session("local[3]", pathlib.Path("log"), {{"spark.scheduler.mode": "FAIR"}}) as spark:
    job(0.0)  # the first one takes some seconds
    result = manyfit.tune(
        train, {{"x": manyfit.Float(-1.0, 1.0)}}, metric="loss", n_trials=6, seed=0, name="old",
        executor=manyfit.DriverExecutor(spark, 2, slots_per_trial=lambda params: 2), pruner=None,
        trial_timeout=10.0, tracker=None, progress=None,
    )
print([trial.state.name for trial in result], len(result[1].measurements), result[1].reason)
"""

pytestmark = [
    pytest.mark.integration,
    pytest.mark.soak("spark35"),
    pytest.mark.skipif(
        not (ROOT / ".venv/.spark35").exists(),
        reason="PySpark 3.5 is not here: make .venv/.spark35",
    ),
    pytest.mark.skipif(sys.version_info >= (3, 12), reason="PySpark 3.5 knows Python up to 3.11"),
]


def said_by(script: str, folder: Path) -> str:
    """Run a script with PySpark 3.5; returns what it prints."""
    path = folder / "old.py"
    path.write_text(script.format())
    done = subprocess.run(
        [sys.executable, path],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SPARK35)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if "Spark needs Java" in done.stderr:
        pytest.skip("Spark 3.5 needs Java 17, which is not here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_study_on_spark_3_5(tmp_path: Path) -> None:
    """Trials run, report and find shared data on a standalone cluster of Spark 3.5."""
    assert said_by(ON_WORKERS, tmp_path) == f"{['COMPLETE'] * 12} {{3.5}}\n"


def test_trials_on_the_driver(tmp_path: Path) -> None:
    """Trials in threads mark, admit and cancel their jobs with Spark 3.5 as well, and report."""
    states = ["COMPLETE", "FAIL", *["COMPLETE"] * 4]
    assert said_by(ON_THE_DRIVER, tmp_path) == f"{states} 1 ran longer than trial_timeout=10s\n"


IN_GROUPS = """
import sys

import manyfit
from manyfit.demo.cluster import session, standalone

with standalone(workers=2) as cluster, session(cluster.url, cluster.folder / "log") as spark:
    rows = [(f"g{{n % 6}}", float(n)) for n in range(24)]
    result = manyfit.tune_groups(
        spark.createDataFrame(rows, "g string, y double"), by="g", metric="loss", n_trials=4,
        objective=lambda group, params: abs(params["x"] - group["y"].mean() / 24), seed=0,
        space={{"x": manyfit.Float(0, 1)}}, tracker=None, progress=None, name="old",
    )
print(result.count("COMPLETE"), len(result), result.table["g"].tolist())
"""


def test_groups_on_spark_3_5(tmp_path: Path) -> None:
    """Each group of a DataFrame of Spark 3.5 is tuned where its rows are."""
    assert said_by(IN_GROUPS, tmp_path) == f"6 6 {[f'g{n}' for n in range(6)]}\n"
