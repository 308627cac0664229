"""What a study of a pipeline survives: a lost machine, a killed driver, a session that ends."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import manyfit
from manyfit import Choice, ExecutorError, State
from manyfit.trial import Lost

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
SETTINGS, FOLDS = 4, 2


def make_rows(spark):
    """Return rows of two numbers and a label that depends on them, in two parts."""
    rows = spark.range(0, 300, 1, 2).selectExpr(
        "(id * 37 % 100) / 100 AS x", "(id * 53 % 97) / 97 AS z"
    )
    return rows.selectExpr("*", "double(x + 0.5 * z + 0.3 * sin(1000 * x) > 0.8) AS label")


def tune(pipeline, space, evaluator, rows, folder, name, parallelism=2):
    """Tune as any user would, all points of the space."""
    from manyfit.spark_ml import tune_pipeline

    return tune_pipeline(
        pipeline,
        space,
        evaluator,
        rows,
        sampler="grid",
        pruner=None,
        folds=FOLDS,
        parallelism=parallelism,
        train_metrics=False,
        name=name,
        folder=folder,
        tracker=None,
        progress=None,
        seed=0,
    )


def tune_toys(toys, rows, folder, name, parallelism=2):
    """Tune quick stages: a front that trials share, and a model."""
    from pyspark.ml import Pipeline

    first, last = toys.Shift("first"), toys.Constant()
    space = {first.by: Choice([0.0, 1.0]), last.value: Choice([0.0, 0.5])}
    pipeline = Pipeline(stages=[first, last])
    return tune(pipeline, space, toys.MeanError(), rows, folder, name, parallelism)


def same(result, other):
    """Whether each trial has the params and the metrics that it has in another study."""
    assert [trial.params for trial in result] == [trial.params for trial in other]
    for trial, its in zip(result, other, strict=True):
        assert trial.metrics == pytest.approx(its.metrics)
    return True


@pytest.mark.soak("kills")
class TestMachine:
    """A machine of the cluster goes in the middle of ordinary fits."""

    def test_its_share_of_cached_fronts_is_made_anew(self, classic, cluster, tmp_path):
        """Each trial completes at its first attempt, with the metrics that it would have had."""
        classic.stop()  # a new session has an executor on each worker
        spark = classic.on(cluster.url)
        from pyspark.ml import Pipeline
        from pyspark.ml.classification import LogisticRegression
        from pyspark.ml.evaluation import BinaryClassificationEvaluator
        from pyspark.ml.feature import StandardScaler, VectorAssembler

        calls = []

        class Fatal(BinaryClassificationEvaluator):
            def evaluate(self, dataset, params=None):
                calls.append(dataset)
                if len(calls) == 3:
                    cluster.kill_worker(next(iter(cluster.workers)))
                    cluster.add_workers()
                return super().evaluate(dataset, params)

        def found(evaluator, name):
            assembler = VectorAssembler(inputCols=["x", "z"], outputCol="raw")
            scaler = StandardScaler(inputCol="raw", outputCol="features")
            lr = LogisticRegression(maxIter=3)
            pipeline = Pipeline(stages=[assembler, scaler, lr])
            space = {lr.regParam: Choice([0.0, 0.1])}
            return tune(pipeline, space, evaluator, make_rows(spark), tmp_path, name)

        whole = found(BinaryClassificationEvaluator(), "whole")
        hit = found(Fatal(), "hit")

        assert len(calls) == 2 * FOLDS
        assert hit.count(State.COMPLETE) == 2
        assert [len(trial.attempts) for trial in hit] == [1, 1]
        assert same(hit, whole)
        assert hit.savings.hits == whole.savings.hits > 0


DRIVER = """
import sys
import time
from pathlib import Path

sys.path.insert(0, {here!r})
from manyfit.demo.cluster import session
from conftest import Toys
from test_failures import make_rows, tune_toys

folder = Path({folder!r})
with session("local[2]", folder / "driver.log") as spark:
    for name in sys.argv[1:]:
        (folder / name).mkdir(exist_ok=True)
        mark = str(folder / name / "{{}} {{}}")
        toys = Toys()
        toys.gate = lambda stage, _: Path(mark.format(stage, time.time_ns())).touch()
        tune_toys(toys, make_rows(spark), folder / "studies", name)
"""


@pytest.mark.soak("kills")
class TestDriver:
    """The process that tunes is killed."""

    def test_it_goes_on_where_it_was(self, tmp_path):
        """Run again, neither trials nor folds that were done are, and the end is the same."""
        program = textwrap.dedent(DRIVER).format(here=str(HERE), folder=str(tmp_path))
        driver = subprocess.Popen([sys.executable, "-c", program, "killed"], start_new_session=True)
        killed, whole = tmp_path / "killed", tmp_path / "whole"
        try:
            deadline = time.monotonic() + 300
            while fits(killed, "constant") < 5 and time.monotonic() < deadline:
                assert driver.poll() is None
                time.sleep(0.01)
        finally:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
        before = manyfit.load_study("killed", folder=tmp_path / "studies")
        subprocess.run([sys.executable, "-c", program, "killed", "whole"], check=True, timeout=300)
        after, other = (
            manyfit.load_study(name, folder=tmp_path / "studies") for name in ("killed", "whole")
        )

        assert 0 < before.count(State.COMPLETE) < SETTINGS
        assert after.count(State.COMPLETE) == SETTINGS
        assert same(after, other)
        for trial in before:
            if trial.state is State.COMPLETE:
                assert after[trial.number] == trial
        # What was being fitted at that moment, by two trials, is fitted again.
        assert fits(whole, "constant") == SETTINGS * FOLDS
        assert fits(killed, "constant") <= SETTINGS * FOLDS + 2


def fits(folder, stage):
    """Count how often a stage was fitted."""
    return sum(1 for _ in folder.glob(f"{stage} *"))


class TestSession:
    """Spark is stopped under a study."""

    def test_a_clear_end_and_a_record_to_go_on_from(self, spark, classic, toys, tmp_path):
        """It ends with what happened, and in another session it goes on at the fold it was at."""

        stopped = threading.Event()

        def gate(stage, _):
            if stage == "constant" and toys.count("constant") == 4:
                classic.stop()
                stopped.set()

        rows = make_rows(spark)
        toys.gate = gate
        began = time.monotonic()
        with pytest.raises(ExecutorError, match="the Spark session has ended"):
            tune_toys(toys, rows, tmp_path, "stopped", parallelism=1)
        assert time.monotonic() - began < 60
        assert stopped.wait(60)
        before = manyfit.load_study("stopped", folder=tmp_path)
        done = before.count(State.COMPLETE)
        ends = [trial.attempts[-1].end for trial in before if trial.attempts]
        lost = [end for end in ends if isinstance(end, Lost)]

        toys.gate = None
        rows = make_rows(classic.on("local[4]"))
        result = tune_toys(toys, rows, tmp_path, "stopped", parallelism=1)

        assert done == 1
        assert lost
        assert not any(end.counts for end in lost)
        assert result.count(State.COMPLETE) == SETTINGS
        assert toys.count("constant") == SETTINGS * FOLDS + 1
        assert same(result, tune_toys(toys, rows, tmp_path, "whole"))
