"""An objective of Optuna, unchanged, run by Manyfit, by Optuna, and by MLflow's Spark study.

    python benchmarks/optuna_objective.py            processes, threads and a journal storage
    python benchmarks/optuna_objective.py --busy     the same, computing in Python
    python benchmarks/optuna_objective.py --spark    a local Spark of two cores, too

The objective has conditional params, reports ten times, and waits in between.
All run two trials at once, with Optuna's TPE and no pruner, and with Manyfit's own sampler besides;
times include the start of workers, but not that of Spark or of MLflow's database. The wait alone
takes trials x seconds / 2.
"""

import argparse
import contextlib
import functools
import logging
import math
import tempfile
import time
import warnings
from pathlib import Path

import optuna

from manyfit import SparkExecutor
from manyfit.optuna import optimize

REPORTS = 10


def objective(trial, seconds, busy):
    model = trial.suggest_categorical("model", ["net", "trees"])
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    floor = abs(math.log10(rate) + 2)
    if model == "net":
        layers = trial.suggest_int("layers", 1, 3)
        floor += sum(
            abs(trial.suggest_int(f"units_{i}", 8, 256, log=True) / 64 - 1) for i in range(layers)
        )
    else:
        floor += 0.5 + abs(trial.suggest_int("depth", 2, 12) - 7) / 10
    for step in range(REPORTS):
        pause(seconds / REPORTS, busy=busy)
        trial.report(floor + 0.5**step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return floor


def pause(seconds, *, busy):
    """Wait, or compute in Python for about this many seconds of a processor."""
    if not busy:
        time.sleep(seconds)
        return
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(1000))


def by_manyfit(work, trials, folder, sampler="tpe", executor="processes"):
    quiet = {"tracker": None, "progress": None, "advice": False, "seed": 0}
    result = optimize(
        work, trials, sampler=sampler, pruner=None, executor=executor, parallelism=2,
        folder=folder / "studies", **quiet,
    )  # fmt: skip
    assert len(result) == trials
    return result.best.value


def by_optuna(work, trials, folder, *, journal=False):
    backend = optuna.storages.journal.JournalFileBackend(str(folder / f"{time.time()}.log"))
    storage = optuna.storages.JournalStorage(backend) if journal else None
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )
    study.optimize(work, trials, n_jobs=2)
    return study.best_value


def by_mlflow(work, trials, folder, experiment):
    from mlflow.optuna.storage import MlflowStorage
    from mlflow.pyspark.optuna.study import MlflowSparkStudy

    study = MlflowSparkStudy(
        f"study {time.time()}",
        MlflowStorage(experiment_id=experiment),
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )
    study.optimize(work, n_trials=trials, n_jobs=2)
    assert len(study.trials) == trials
    return study.best_value


@contextlib.contextmanager
def local_spark(folder):
    from manyfit.demo.cluster import session

    with session("local[2]", folder / "spark.log") as spark:
        spark.range(2).repartition(2).count()
        yield spark


def experiment_in(folder):
    """Return a new experiment of MLflow, in a new database."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    return mlflow.create_experiment("optuna", str(folder / "artifacts"))


def runs(arguments, folder, stack):
    """What to compare, by name."""
    here = {
        "manyfit, 2 processes, tpe": by_manyfit,
        "manyfit, 2 processes, auto": functools.partial(by_manyfit, sampler="auto"),
        "optuna, n_jobs=2, in memory": by_optuna,
        "optuna, n_jobs=2, journal": functools.partial(by_optuna, journal=True),
    }
    if not arguments.spark:
        return here
    spark = stack.enter_context(local_spark(folder))
    on_spark = {
        "manyfit, local Spark, tpe": lambda *given: by_manyfit(
            *given, executor=SparkExecutor(spark, parallelism=2)
        ),
        "MLflow's Spark study": functools.partial(by_mlflow, experiment=experiment_in(folder)),
    }
    return {**here, **on_spark}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each trial")
    parser.add_argument("--busy", action="store_true", help="compute in Python instead of waiting")
    parser.add_argument("--spark", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.disable(logging.WARNING)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="optuna-")))
        compared = runs(arguments, folder, stack)
        work = functools.partial(objective, seconds=arguments.seconds, busy=arguments.busy)
        first = None
        for name, run in compared.items():
            began = time.perf_counter()
            best = run(work, arguments.trials, folder)
            took = time.perf_counter() - began
            first = first or took
            print(f"{name:30} {took:6.1f} s   {took / first:5.2f} x   best {best:.3f}", flush=True)


if __name__ == "__main__":
    main()
