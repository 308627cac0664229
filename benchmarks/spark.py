"""Trials on a Spark cluster: Manyfit against its peers, on a standalone cluster with two workers.

    python benchmarks/spark.py trials [--trials 2000]     no-op trials a second, 2 and 8 in flight
    python benchmarks/spark.py reports                    round trip of a report, reports a second
    python benchmarks/spark.py data                       200 MB of shared arrays, three ways

It starts the cluster itself. The peers: pip install hyperopt==0.3.0 joblibspark==0.6.0
"""

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import manyfit
from manyfit.demo.cluster import Cluster, free_port, listens, session, standalone

SPACE = {"x": manyfit.Float(-5.0, 5.0)}
QUIET = {"tracker": None, "progress": None, "sampler": "random", "seed": 0, "metric": "loss"}


def noop(params):
    return params["x"]


# ── trials ────────────────────────────────────────────────────────────────────────────────────────


def manyfit_rate(spark, folder, n_trials, k):
    """Trials a second from first start to last end, and the median time between two in a slot."""
    began = time.perf_counter()
    executor = manyfit.SparkExecutor(spark, k)
    result = manyfit.tune(noop, SPACE, n_trials=n_trials, executor=executor, folder=folder, **QUIET)
    whole = n_trials / (time.perf_counter() - began)
    slots: dict[str, list[float]] = {}
    for trial in result:
        slots.setdefault(trial.attempts[-1].worker, []).append(trial.attempts[-1].ended_at)
    gaps = [b - a for ends in slots.values() for a, b in zip(ends, sorted(ends)[1:], strict=False)]
    ends = sorted(trial.attempts[-1].ended_at for trial in result)[5 * k :]
    return (len(ends) - 1) / (ends[-1] - ends[0]), statistics.median(gaps), whole


def jobs_rate(spark, n_trials, k):
    """A Spark job for each trial, k at a time: what a plain thread pool does."""
    from concurrent.futures import ThreadPoolExecutor

    def job(number):
        began = time.perf_counter()

        def run(batches):
            import pyarrow

            yield pyarrow.RecordBatch.from_pydict({"value": [float(number)]})

        spark.range(0, 1, 1, 1).mapInArrow(run, "value double").collect()
        return time.perf_counter() - began

    with ThreadPoolExecutor(k) as pool:
        list(pool.map(job, range(2 * k)))  # workers are up
        began = time.perf_counter()
        latencies = list(pool.map(job, range(n_trials)))
    rate = n_trials / (time.perf_counter() - began)
    return rate, statistics.median(latencies), rate


def hyperopt_rate(spark, n_trials, k):
    """SparkTrials with random search."""
    from hyperopt import SparkTrials, fmin, hp, rand

    logging.getLogger("hyperopt-spark").setLevel(logging.ERROR)
    trials = SparkTrials(parallelism=k, spark_session=spark)
    began = time.perf_counter()
    fmin(
        lambda x: x,
        hp.uniform("x", -5, 5),
        rand.suggest,
        max_evals=n_trials,
        trials=trials,
        show_progressbar=False,
        verbose=False,
    )
    rate = n_trials / (time.perf_counter() - began)
    return rate, k / rate, rate


def joblib_rate(spark, n_trials, k):
    """joblib's Spark backend: no search, only calls."""
    import joblib
    from joblibspark import register_spark

    register_spark()
    with joblib.parallel_config("spark", n_jobs=k):
        joblib.Parallel(batch_size=1)(joblib.delayed(abs)(i) for i in range(2 * k))
        began = time.perf_counter()
        joblib.Parallel(batch_size=1)(joblib.delayed(abs)(i) for i in range(n_trials))
    rate = n_trials / (time.perf_counter() - began)
    return rate, k / rate, rate


def mlflow_rate(spark, folder, n_trials, k):
    """MLflow's Spark study with random search, on a server of its own with SQLite."""
    import optuna
    from mlflow import MlflowClient
    from mlflow.optuna.storage import MlflowStorage
    from mlflow.pyspark.optuna.study import MlflowSparkStudy

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not listens(port):
            time.sleep(0.1)
        uri = f"http://127.0.0.1:{port}"
        experiment = MlflowClient(uri).create_experiment(f"study-{k}")
        os.environ["MLFLOW_TRACKING_URI"] = uri
        import mlflow

        mlflow.set_tracking_uri(uri)
        study = MlflowSparkStudy(
            f"study-{k}",
            MlflowStorage(experiment_id=experiment),
            sampler=optuna.samplers.RandomSampler(seed=0),
            mlflow_tracking_uri=uri,
        )
        began = time.perf_counter()
        study.optimize(lambda trial: trial.suggest_float("x", -5, 5), n_trials=n_trials, n_jobs=k)
        rate = n_trials / (time.perf_counter() - began)
    finally:
        server.terminate()
        server.wait()
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    return rate, k / rate, rate


def trials(cluster: Cluster, folder: Path, arguments: argparse.Namespace) -> None:
    """Compare no-op trials a second."""
    with session(cluster.url, folder / "driver.log") as spark:
        for k in (2, 8):
            ours = manyfit_rate(spark, folder, arguments.trials, k)
            print(f"\n{k} in flight{'':24}trials/s   median ms a trial   Manyfit is", flush=True)
            show("Manyfit, journal with fsync", ours, ours)
            peers = {
                "a Spark job for each trial": lambda k=k: jobs_rate(spark, 100, k),
                "joblib-spark": lambda k=k: joblib_rate(spark, 100, k),
                "Hyperopt, SparkTrials": lambda k=k: hyperopt_rate(spark, 30, k),
                "MLflow, Spark study": lambda k=k: mlflow_rate(spark, folder, 30, k),
            }
            for name, measure in peers.items():
                try:
                    show(name, measure(), ours)
                except ImportError as error:
                    print(f"  {name:32}{error}")


def show(name, figures, ours):
    rate, median, whole = figures
    better = f"{ours[2] / whole:6.0f} times faster" if figures is not ours else ""
    print(f"  {name:32}{rate:9.1f}{1e3 * median:17.1f}   {better}", flush=True)
    if figures is ours:
        print(f"  {'  with its start and end':32}{whole:9.1f}", flush=True)


# ── reports ───────────────────────────────────────────────────────────────────────────────────────


def chatty(params):
    """Report as fast as it goes."""
    for step in range(params["n"]):
        manyfit.report(step, loss=1.0, accuracy=0.5, seconds=0.1)
    return 0.0


def prompt(params):
    """Measure from a report that is judged hopeless to when the objective is told."""
    began = 0.0
    step = 0
    manyfit.report(0, loss=0.0)
    time.sleep(0.2)
    try:
        began = time.perf_counter()
        manyfit.report(1, loss=1.0)
        while time.perf_counter() - began < 5.0:
            step += 1
            time.sleep(0.0005)
            manyfit.report(1 + step, accuracy=0.5)
    except BaseException:
        took = time.perf_counter() - began
        print(json.dumps({"seconds": took, "reports": step}))
        raise
    return 0.0


class HopelessPruner:
    """Ends a trial at its report with a loss of 1."""

    def bind(self, metric):
        return self

    def report(self, trial, step, value):
        return "hopeless" if value >= 1.0 else None

    def end(self, trial):
        pass


def reports(cluster: Cluster, folder: Path, arguments: argparse.Namespace) -> None:
    """Measure the way of a report and back, and how many go through."""
    with session(cluster.url, folder / "driver.log") as spark:
        n = arguments.reports
        result = manyfit.tune(
            chatty,
            {"n": n, "x": manyfit.Float(0.0, 1.0)},
            n_trials=8,
            executor=manyfit.SparkExecutor(spark, 2),
            pruner="median",
            folder=folder,
            **QUIET,
        )
        began = min(trial.attempts[-1].started_at for trial in result)
        took = max(trial.attempts[-1].ended_at for trial in result) - began
        print(
            f"{8 * n / took:,.0f} reports/s of 3 metrics from 2 workers ({8 * n:,} in {took:.1f} s)"
        )
        result = manyfit.tune(
            prompt,
            {"x": manyfit.Float(0.0, 1.0)},
            n_trials=40,
            executor=manyfit.SparkExecutor(spark, 2),
            pruner=HopelessPruner(),
            folder=folder,
            **QUIET,
        )
        said = [json.loads(result.log_of(trial).read_text(encoding="utf-8")) for trial in result]
        times = sorted(1e3 * each["seconds"] for each in said)
        print(
            f"from a hopeless report to its trial being told, journal with fsync between: median "
            f"{statistics.median(times):.2f} ms, 90 % within {times[len(times) * 9 // 10]:.2f} ms"
        )


# ── data ──────────────────────────────────────────────────────────────────────────────────────────


def data(cluster: Cluster, folder: Path, arguments: argparse.Namespace) -> None:
    """Bring 200 MB to 4 slots on two workers: shared, captured, broadcast."""
    import numpy as np

    settings = {"spark.driver.memory": "3g", "spark.executor.memory": "2g"}
    with session(cluster.url, folder / "driver.log", settings) as spark:
        x = np.random.default_rng(0).random(25_000_000)
        executor = manyfit.SparkExecutor(spark, 4)
        manyfit.tune(noop, SPACE, n_trials=8, executor=executor, folder=folder, **QUIET)  # warm
        jobs_rate(spark, 8, 4)
        ways = {
            "manyfit.share": lambda: shared_way(spark, folder, x),
            "captured, a job a trial": lambda: spark_way(spark, x, lambda held: held),
            "broadcast, a job a trial": lambda: spark_way(
                spark, spark.sparkContext.broadcast(x), lambda held: held.value
            ),
        }
        print(f"{'':26}first result   12 results   MB of its own in a slot")
        for name, measure in ways.items():
            first, last, memory = measure()
            print(f"{name:26}{first:10.1f} s{last:11.1f} s{memory:14.0f}", flush=True)


def private_mb():
    import psutil

    return psutil.Process().memory_full_info().uss / 1e6


def shared_way(spark, folder, x):
    """Seconds to the first and the last of 12 results, and the most memory of a slot's process."""
    began, clock = time.time(), time.perf_counter()
    held = manyfit.share(x=x)

    def objective(params):
        return {"loss": params["x"], "sum": float(held["x"].sum()), "mb": private_mb()}

    executor = manyfit.SparkExecutor(spark, 4)
    result = manyfit.tune(objective, SPACE, n_trials=12, executor=executor, folder=folder, **QUIET)
    first = min(trial.attempts[-1].ended_at for trial in result) - began
    return first, time.perf_counter() - clock, max(trial.metrics["mb"] for trial in result)


def spark_way(spark, held, read):
    """The same by 12 jobs, 4 at a time, whose function holds the array or a broadcast of it."""
    from concurrent.futures import ThreadPoolExecutor

    began = time.perf_counter()
    ends = []

    def job(number):
        def run(batches):
            import psutil
            import pyarrow

            total = float(read(held).sum())
            mb = psutil.Process().memory_full_info().uss / 1e6
            yield pyarrow.RecordBatch.from_pydict({"sum": [total], "mb": [mb]})

        row = spark.range(0, 1, 1, 1).mapInArrow(run, "sum double, mb double").collect()[0]
        ends.append(time.perf_counter() - began)
        return row["mb"]

    with ThreadPoolExecutor(4) as pool:
        memory = max(pool.map(job, range(12)))
    return min(ends), max(ends), memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["trials", "reports", "data"])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--reports", type=int, default=5000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory() as name,
        standalone(workers=2, cores=4, memory="3g") as cluster,
    ):
        {"trials": trials, "reports": reports, "data": data}[arguments.what](
            cluster, Path(name), arguments
        )


if __name__ == "__main__":
    main()
