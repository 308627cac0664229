"""One script of Hyperopt on Spark, as it is and with only the import changed.

    python benchmarks/hyperopt_spark.py [--seeds 5] [--seconds 0.1 2]

It tunes 30 trials, four at a time, on a standalone cluster with two workers, which it starts. Each
trial sleeps and then returns Hartmann's function of six hyperparameters, whose minimum is -3.32.
The two packages take turns. MLflow is told to write into a temporary folder.
The peer: pip install hyperopt==0.3.0
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
from pathlib import Path

from manyfit.demo.cluster import session, standalone

SCRIPT = """
import math, time
import numpy as np
from {package} import SparkTrials, STATUS_OK, fmin, hp, tpe

A = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14],
              [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]])
P = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])

def objective(params):
    time.sleep(seconds)
    x = np.array([params[f"x{{i}}"] for i in range(6)])
    loss = -float(np.array([1, 1.2, 3, 3.2]) @ np.exp(-(A * (x - P) ** 2).sum(axis=1)))
    return {{"loss": loss, "status": STATUS_OK}}

trials = SparkTrials(parallelism=4, spark_session=spark)
space = {{f"x{{i}}": hp.uniform(f"x{{i}}", 0, 1) for i in range(6)}}
fmin(objective, space, algo=tpe.suggest, max_evals=30, trials=trials,
     rstate=np.random.default_rng(seed), show_progressbar=False)
"""
PACKAGES = ("manyfit.hyperopt", "hyperopt")


def run(package, spark, seed, seconds):
    """Run the script; returns its duration, its best loss and the number of its trials."""
    names = {"spark": spark, "seed": seed, "seconds": seconds, "__name__": "__main__"}
    began = time.perf_counter()
    exec(SCRIPT.format(package=package), names)
    losses = names["trials"].losses()
    return time.perf_counter() - began, min(losses), len(losses)


def compare(spark, seeds, seconds):
    """Print durations and best losses of both packages, in turns."""
    found = {package: [] for package in PACKAGES}
    for seed in range(seeds):
        for package in PACKAGES if seed % 2 else reversed(PACKAGES):
            found[package].append(run(package, spark, seed, seconds))
            print(f"  {package:18} seed {seed}: {found[package][-1]}", flush=True)
    print(
        f"\n30 trials of {seconds} s, {seeds} seeds   median s (range)     mean best loss (worst)"
    )
    for package, runs in found.items():
        times, best = [each[0] for each in runs], [each[1] for each in runs]
        print(
            f"  {package:26}{statistics.median(times):6.1f} ({min(times):.1f} to {max(times):.1f})"
            f"{statistics.mean(best):14.3f} ({max(best):.3f})"
        )
    ratios = [theirs[0] / ours[0] for ours, theirs in zip(*found.values(), strict=True)]
    print(f"  Hyperopt takes {statistics.median(ratios):.1f} times as long\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, nargs="*", default=[0.1, 2])
    arguments = parser.parse_args()
    for name in ("hyperopt-spark", "hyperopt", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="hyperopt-") as temporary:
        folder = Path(temporary)
        os.chdir(folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        with (
            standalone(workers=2, cores=2) as cluster,
            session(cluster.url, folder / "driver.log") as spark,
        ):
            for package in PACKAGES:  # imports and executors are warm
                run(package, spark, 99, 0)
            for seconds in arguments.seconds:
                compare(spark, arguments.seeds, seconds)
        os.chdir("/")


if __name__ == "__main__":
    main()
