"""The joblib backend against its peers: loky on this machine, joblib-spark on a cluster.

    python benchmarks/joblib_backend.py local                2 processes each
    python benchmarks/joblib_backend.py spark [--slots 4]    standalone Spark with two workers

Two loads: 1,000 calls that take 1 ms, and 50 that take 1 s and are given an array of 100 MB. The
workers are warm by then; the time of the first call, which starts them, is shown beside. The peers
take turns.
The peer on Spark: pip install --no-deps joblibspark==0.6.0
"""

import argparse
import contextlib
import logging
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import joblib
import numpy as np

import manyfit
import manyfit.joblib
from manyfit.demo.cluster import session, standalone


def backends(arguments, stack):
    """Configurations to compare, by name."""
    if arguments.where == "local":
        slots = 2
        return slots, {
            "manyfit": {"backend": "manyfit", "parallelism": slots},
            "loky": {"backend": "loky"},
        }
    slots = arguments.slots
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="joblib-")))
    cluster = stack.enter_context(standalone(workers=2, cores=slots, memory="3g"))
    settings = {"spark.driver.memory": "4g", "spark.executor.memory": "2g"}
    spark = stack.enter_context(session(cluster.url, folder / "driver.log", settings))
    from joblibspark import register_spark

    register_spark()
    executor = manyfit.SparkExecutor(spark, slots)
    return slots, {
        "manyfit": {"backend": "manyfit", "executor": executor},
        "joblib-spark": {"backend": "spark"},
    }


def short(seconds):
    def call(i):
        time.sleep(seconds)
        return i

    return call


def long(seconds):
    def call(i, array):
        time.sleep(seconds)
        return float(array[i])

    return call


def timed(calls, slots):
    began = time.perf_counter()
    results = joblib.Parallel(n_jobs=slots)(calls)
    return time.perf_counter() - began, results


def measure(name, settings, slots, arguments, array):
    """Seconds of the first call, of the short ones and of the long ones."""
    with joblib.parallel_config(**settings):
        first, _ = timed([joblib.delayed(short(0.001))(i) for i in range(2 * slots)], slots)
        calls = [joblib.delayed(short(0.001))(i) for i in range(arguments.short)]
        fast, results = timed(calls, slots)
        assert results == list(range(arguments.short))
        calls = [joblib.delayed(long(1.0))(i, array) for i in range(arguments.long)]
        slow, results = timed(calls, slots)
        assert results == [float(i) for i in range(arguments.long)]
    print(f"{name:14}{first:10.2f}{fast:10.2f}{slow:10.2f}", flush=True)
    return fast, slow


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("where", choices=["local", "spark"])
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--short", type=int, default=1000)
    parser.add_argument("--long", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("manyfit").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # joblib-spark's
    array = np.arange(12_500_000.0)  # 100 MB
    with contextlib.ExitStack() as stack:
        slots, compared = backends(arguments, stack)
        print(f"{'seconds':14}{'first':>10}{'short':>10}{'long':>10}", flush=True)
        times = {name: [] for name in compared}
        for _ in range(arguments.rounds):
            for name, settings in compared.items():
                times[name].append(measure(name, settings, slots, arguments, array))
        ours, theirs = times.values()
        for which, load in enumerate(("short", "long")):
            mine, other = (statistics.median(each[which] for each in one) for one in (ours, theirs))
            print(f"{load}: {list(compared)[1]} takes {other / mine:.2f} times as long")


if __name__ == "__main__":
    main()
