"""Distributed training on real data: Spark ML, XGBoost on Spark and TorchDistributor, tuned."""

import dataclasses
import itertools
import json
import shutil
import tempfile
import urllib.request
from pathlib import Path

import pytest

from manyfit import Choice, Float, State

pytestmark = pytest.mark.integration


@pytest.fixture
def remote(connect_spark, monkeypatch):
    """A Connect session in a process that takes itself for one that has no other."""
    monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
    return connect_spark


def reasons(result):
    return [trial.reason for trial in result]


class TestSparkML:
    """A pipeline over words and numbers, some of them missing."""

    def check(self, result):
        assert result.count(State.COMPLETE) == 2, reasons(result)
        assert result.best.value > 0.75
        for trial in result:
            for name in ("val_auc", "val_log_loss", "train_auc", "train_log_loss"):
                assert 0 < trial.metrics[name] < 1
            assert len(trial.measurements) == 2
        assert result.savings.hits > 0

    @pytest.mark.soak("contracts")
    def test_it_learns(self, spark, credit, quiet):
        """Trials complete on real rows, judged by each evaluator on both parts of each fold."""
        import spark_ml_credit

        few = dataclasses.replace(credit, rest=credit.rest[::3], test=credit.test[::3])
        result = spark_ml_credit.tune(spark, few, n_trials=2, folds=2, **quiet)
        self.check(result)

        auc = spark_ml_credit.evaluators()["auc"]
        test = spark_ml_credit.rows(spark, few.test)
        assert auc.evaluate(result.refit().transform(test)) > 0.75

    @pytest.mark.soak("contracts")
    def test_through_connect(self, remote, credit, quiet):
        """So they do through Spark Connect."""
        import spark_ml_credit

        result = spark_ml_credit.tune(remote, credit, n_trials=2, folds=2, parallelism=2, **quiet)
        self.check(result)


def jobs(spark):
    """Count the jobs that a session has started."""
    context = spark.sparkContext
    url = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/jobs"
    with urllib.request.urlopen(url, timeout=60) as answer:
        return len(json.load(answer))


def spans(result):
    """Return when each trial began and when it ended, the earliest first."""
    return sorted((t.attempts[-1].started_at, t.attempts[-1].ended_at) for t in result)


@pytest.fixture
def ames(ames):
    """Every fourth house."""
    return dataclasses.replace(ames, rest=ames.rest[::4])


@pytest.fixture
def xgboost(monkeypatch):
    """The example, with fits as short as they can be."""
    pytest.importorskip("xgboost.spark", reason="xgboost is not installed", exc_type=ImportError)
    import xgboost_on_spark

    monkeypatch.setattr(xgboost_on_spark, "ROUNDS", 1)
    monkeypatch.setattr(xgboost_on_spark, "TREES", 5)
    # So slow that five more trees improve any model, however Spark deals out the rows.
    monkeypatch.setitem(xgboost_on_spark.SPACE, "learning_rate", Float(0.1, 0.2))
    return xgboost_on_spark


class TestXGBoost:
    """Fits that need their slots all at once."""

    @pytest.mark.soak("contracts")
    def test_each_takes_all_slots(self, standalone_spark, ames, xgboost, quiet):
        """Two trials that need the whole cluster each run one after the other: no deadlock."""
        result = xgboost.tune(standalone_spark, ames, 4, parallelism=2, n_trials=2, **quiet)

        assert result.count(State.COMPLETE) == 2, reasons(result)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans(result)))

    @pytest.mark.soak("contracts")
    def test_two_at_once(self, standalone_spark, ames, xgboost, quiet):
        """Trials that add trees in rounds report each of them, and get better."""
        xgboost.ROUNDS = 2
        result = xgboost.tune(standalone_spark, ames, 2, n_trials=2, pruner=None, **quiet)

        assert result.count(State.COMPLETE) == 2, reasons(result)
        for trial in result:
            first, last = (step.metrics["val_rmse"] for step in trial.measurements)
            assert last < first < 12  # the second round went on from the first
        (_, end), (start, _) = spans(result)
        assert start < end

    def test_impossible(self, standalone_spark, ames, xgboost, quiet):
        """One that needs more slots than there are fails at once, with the numbers; no job ran."""
        before = jobs(standalone_spark)
        result = xgboost.tune(standalone_spark, ames, 8, n_trials=1, **quiet)

        assert result.count(State.FAIL) == 1
        assert "needs 8 slots at once, and the cluster has 4" in result[0].reason
        assert result[0].seconds == 0
        assert jobs(standalone_spark) == before

    @pytest.mark.soak("contracts")
    def test_workers_in_the_space(self, standalone_spark, ames, xgboost, quiet):
        """In a pipeline the number of workers is a param like any other."""
        from manyfit.spark_ml import tune_pipeline

        model = xgboost.estimator(ames, 1, n_estimators=5)
        rows = standalone_spark.createDataFrame(xgboost.coded(ames, ames.rest))
        result = tune_pipeline(
            model,
            {model.num_workers: Choice([1, 2])},
            xgboost.RegressionEvaluator(metricName="rmse"),
            rows,
            validation=0.5,
            sampler="grid",
            train_metrics=False,
            seed=0,
            **quiet,
        )

        assert result.count(State.COMPLETE) == 2, reasons(result)
        assert sorted(trial.params["sparkXGBRegressor.num_workers"] for trial in result) == [1, 2]

    @pytest.mark.soak("contracts")
    def test_through_connect(self, remote, connect_url, classic, ames, xgboost, quiet, monkeypatch):
        """XGBoost on Spark knows no Connect: a trial fails soon, and says what is lacking."""
        classic.stop()  # else it would be taken for the session
        monkeypatch.setenv("SPARK_REMOTE", connect_url)
        result = xgboost.tune(remote, ames, 2, n_trials=1, **quiet)

        assert result.count(State.FAIL) == 1
        assert result[0].seconds < 30
        assert "sparkContext" in result[0].reason
        assert "Spark Connect" in result[0].reason


@pytest.mark.soak("torch")
class TestTorch:
    """Processes that train one model together."""

    @pytest.fixture(autouse=True)
    def swept(self):
        """PyTorch never removes its `torchelastic_*` and `torchinductor_*` folders."""
        yield
        for folder in Path(tempfile.gettempdir()).glob("torch*"):
            shutil.rmtree(folder)

    def test_on_a_cluster(self, standalone_spark, credit, quiet):
        """Two trials of two processes each, at the same time."""
        pytest.importorskip("torch", reason="torch is not installed")
        import torch_distributor

        result = torch_distributor.tune(standalone_spark, credit, epochs=3, n_trials=2, **quiet)

        assert result.count(State.COMPLETE) == 2, reasons(result)
        assert result.best.value > 0.7
        (_, end), (start, _) = spans(result)
        assert start < end
