"""The main job: tune a classifier of clothes, several trials at a time.

The training function is in `classifier.py`.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from manyfit._optional import expect
from manyfit.data.shared import share
from manyfit.demo.cluster import session, standalone
from manyfit.demo.data import find, load
from manyfit.demo.java import StartError
from manyfit.demo.summary import summary
from manyfit.errors import ArgumentError
from manyfit.space import Choice, Float, Int
from manyfit.spark.executor import SparkExecutor
from manyfit.trial import State
from manyfit.tuning import tune

BACKENDS = ("jax", "tensorflow")
EXECUTORS = ("processes", "threads", "inline", "spark")
SPACE = {
    "batch_size": Int(16, 512, log=True),
    "learning_rate": Float(1e-4, 1e-1, log=True),
    "structure": Choice(["small", "medium", "large"]),
}


def run(
    *,
    full: bool = False,
    trials: int = 24,
    parallelism: int | None = None,
    backend: str = "jax",
    executor: str = "processes",
    name: str | None = None,
    data_dir: Path | None = None,
) -> bool:
    """Tune, and print a summary; returns whether a trial has completed.

    Args:
        full: Whether to train on all 55,000 images instead of 10,000.
        trials: How many trials, in all runs of this name.
        parallelism: How many run at a time; by default one for each core, and 2 on Spark.
        backend: What Keras runs on, one of `BACKENDS`.
        executor: Where trials run, one of `EXECUTORS`.
        name: The study's name; one that exists is resumed.
        data_dir: The folder of the four files of Fashion-MNIST; by default they are downloaded.

    Raises:
        MissingExtraError: A package of the extra `demo` is not installed.
        ArgumentError: `data_dir` lacks a file, or has another one of its name.
        StartError: The Spark cluster didn't start.
    """
    for module in ("keras", backend, "sklearn", "mlflow", "pandas"):
        extra = "demo" if module != "tensorflow" else "demo,tensorflow"
        expect(module, extra=extra, purpose="the demo")
    # Workers inherit these. Keras chooses its backend when it is imported.
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    folder = images(data_dir)
    # Loaded here, then once on each machine for all its trials, with any executor.
    data = share(clothes=load(folder, None if full else 10_000))

    def objective(params: dict[str, Any]) -> dict[str, float]:
        from manyfit.demo.classifier import train  # in workers only, because Keras takes seconds

        return train(params, data["clothes"])

    with place(executor, parallelism) as where:
        result = tune(
            objective,
            SPACE,
            metric="val_loss",
            direction="minimize",
            n_trials=trials,
            parallelism=parallelism,
            executor=where,
            name=name or study_name(folder, full=full, backend=backend),
            seed=0,
        )
    print(summary(result))
    return result.count(State.COMPLETE) > 0


def images(data_dir: Path | None) -> Path | None:
    """Return the folder of the images; None, and say so, if they can't be downloaded.

    Raises:
        ArgumentError: `data_dir` lacks a file, or has another one of its name.
    """
    try:
        folder = find(data_dir)
    except (OSError, ValueError) as error:
        needed = "--data-dir (or MANYFIT_DATA) needs the four files of Fashion-MNIST"
        raise ArgumentError(f"{needed}. {error}") from error
    if folder is None:
        print("Fashion-MNIST can't be downloaded: using scikit-learn's digits instead.")
    return folder


@contextlib.contextmanager
def place(executor: str, parallelism: int | None) -> Iterator[Any]:
    """Provide the executor asked for: its name, or one on a Spark cluster of this machine.

    Raises:
        StartError: The cluster didn't start.
    """
    if executor != "spark":
        yield executor
        return
    n = parallelism or 2
    print(f"Starting a Spark cluster on this machine: a master, two workers, {n} trials at a time.")
    with contextlib.ExitStack() as stack:
        try:
            cluster = stack.enter_context(standalone(workers=2, cores=(n + 1) // 2))
            log = cluster.folder / "driver.log"
            spark = stack.enter_context(session(cluster.url, log))
        except StartError as error:
            raise StartError(f"--executor spark: {error}") from error
        yield SparkExecutor(spark, parallelism=n)


def study_name(folder: Path | None, *, full: bool, backend: str) -> str:
    """Name a study after what can't be compared: the images, their number, the backend."""
    name = "digits" if folder is None else "fashion-full" if full else "fashion"
    return name if backend == "jax" else f"{name}-{backend}"
