"""A tuned pipeline in MLflow: a live run for each trial, a series over folds, and no models."""

import math
import time

import pytest

from manyfit import Choice, MlflowTracker, State

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("patient_mlflow"),
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about what it imports
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Where runs go."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")
    yield mlflow
    mlflow.set_tracking_uri(None)  # back to what the environment says


def children(mlflow, name):
    """Return the runs of an experiment's trials in their order, and how many others it has."""
    (experiment,) = mlflow.search_experiments(filter_string=f"name = '{name}'")
    client = mlflow.MlflowClient()
    runs = client.search_runs([experiment.experiment_id])
    found = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    return sorted(found, key=lambda run: run.info.start_time), len(runs) - len(found)


def test_runs_of_trials(rows, toys, tmp_path, server):
    """Each trial has a run with its own times, params, a series over folds and all means."""
    from manyfit.spark_ml import tune_pipeline

    server.create_experiment("means", artifact_location=str(tmp_path / "artifacts"))
    seen = []

    def gate(*_):
        trials = math.ceil(len(toys.fits) / 2)
        deadline = time.monotonic() + 60
        while len(children(server, "means")[0]) < trials and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        seen.append(len(children(server, "means")[0]))

    toys.gate = gate
    last = toys.Constant()
    result = tune_pipeline(
        last,
        {last.value: Choice([0.0, 0.5])},
        toys.MeanError(),
        rows,
        sampler="grid",
        folds=2,
        parallelism=1,
        tracker=MlflowTracker(experiment="means"),
        progress=None,
        folder=tmp_path,
    )

    assert result.count(State.COMPLETE) == 2
    (first, second), parents = children(server, "means")
    assert parents == 1
    assert seen == [1, 1, 2, 2], "a trial's run was not there while it ran"
    assert first.info.end_time - first.info.start_time >= 400
    assert second.info.start_time >= first.info.start_time + 400
    assert first.data.params["constant.value"] == "0.0"
    series = server.MlflowClient().get_metric_history(first.info.run_id, "val_MeanError")
    folds = [result[0].metrics[f"fold_{fold}/val_MeanError"] for fold in range(2)]
    assert [point.value for point in series if point.step == 0] == folds[:1]
    assert folds[1] in [point.value for point in series if point.step == 1]
    assert first.data.metrics["val_MeanError"] == pytest.approx(result[0].value)
    assert first.data.metrics["fold_1/train_MeanError"] > 0
    assert server.MlflowClient().list_artifacts(first.info.run_id, "model") == []


@pytest.mark.soak("contracts")
def test_autologging_is_off_meanwhile(spark, rows, tmp_path, server):
    """MLflow's own logging of Spark ML writes nothing into trials, and goes on afterwards."""
    from pyspark.ml import Pipeline
    from pyspark.ml.evaluation import RegressionEvaluator
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import LinearRegression

    from manyfit.spark_ml import tune_pipeline

    server.create_experiment("logged", artifact_location=str(tmp_path / "artifacts"))
    server.pyspark.ml.autolog(log_models=False, silent=True)
    try:
        model = LinearRegression(maxIter=1)
        pipeline = Pipeline(stages=[VectorAssembler(inputCols=["x"], outputCol="features"), model])
        result = tune_pipeline(
            pipeline,
            {model.regParam: Choice([0.0, 0.5])},
            RegressionEvaluator(),
            rows,
            sampler="grid",
            validation=0.5,
            parallelism=2,
            train_metrics=False,
            tracker=MlflowTracker(experiment="logged"),
            progress=None,
            folder=tmp_path,
        )
        runs, parents = children(server, "logged")
        assert result.count(State.COMPLETE) == 2
        assert (len(runs), parents) == (2, 1)
        assert set(runs[0].data.params) == {"linearRegression.regParam"}
        assert "estimator_class" not in runs[0].data.tags

        # Not by `set_experiment`, which nobody can take back: the tests that follow would have it.
        (experiment,) = server.search_experiments(filter_string="name = 'logged'")
        with server.start_run(experiment_id=experiment.experiment_id) as mine:
            pipeline.fit(rows)
        logged = server.get_run(mine.info.run_id)
        assert logged.data.tags["estimator_name"] == "Pipeline"
    finally:
        server.pyspark.ml.autolog(disable=True)
