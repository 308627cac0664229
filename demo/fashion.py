"""The main job: tune a classifier of clothes, several trials at a time.

`python demo/fashion.py --help` lists the options. The training function is in `classifier.py`.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import manyfit
from cluster import StartError, session, standalone
from data import find, load
from manyfit import Choice, Float, Int, State
from summary import summary

SPACE = {
    "batch_size": Int(16, 512, log=True),
    "learning_rate": Float(1e-4, 1e-1, log=True),
    "structure": Choice(["small", "medium", "large"]),
}


def main(arguments: Sequence[str] | None = None) -> int | str:
    """Tune, and print a summary."""
    options = parse(arguments)
    # Workers inherit these. Keras chooses its backend when it is imported.
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")

    try:
        folder = find(options.data_dir)
    except (OSError, ValueError) as error:
        return f"--data-dir (or MANYFIT_DATA) needs the four files of Fashion-MNIST. {error}"
    if folder is None:
        print("Fashion-MNIST can't be downloaded: using scikit-learn's digits instead.")
    # Loaded here, then once on each machine for all its trials, with any executor.
    data = manyfit.share(clothes=load(folder, None if options.full else 10_000))

    def objective(params: dict[str, Any]) -> dict[str, float]:
        from classifier import train  # imported in workers only, because Keras takes seconds

        return train(params, data["clothes"])

    try:
        with place(options) as executor:
            result = manyfit.tune(
                objective,
                SPACE,
                metric="val_loss",
                direction="minimize",
                n_trials=options.trials,
                parallelism=options.parallelism,
                executor=executor,
                name=options.name or study_name(folder, options),
                seed=0,
            )
    except StartError as error:
        return f"--executor {options.executor}: {error}"
    print(summary(result))
    return 0 if result.count(State.COMPLETE) else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Tune a classifier of clothes.")
    add = parser.add_argument
    add("--full", action="store_true", help="train on all 55,000 images instead of 10,000")
    add("--trials", type=int, default=24, help="how many in all (24)")
    add("--parallelism", type=int, help="how many at a time (one for each core, 2 on Spark)")
    add("--backend", choices=["jax", "tensorflow"], default="jax", help="what Keras runs on (jax)")
    executors = ["processes", "threads", "inline", "spark"]
    add("--executor", choices=executors, default="processes", help="where trials run (processes)")
    add("--name", help="the study's name; one that exists is resumed")
    add(
        "--data-dir",
        type=Path,
        default=os.environ.get("MANYFIT_DATA"),
        help="where the four files of Fashion-MNIST are (MANYFIT_DATA; else they are downloaded)",
    )
    return parser.parse_args(arguments)


@contextlib.contextmanager
def place(options: argparse.Namespace) -> Iterator[Any]:
    """Provide the executor asked for: its name, or one on a Spark cluster of this machine."""
    if options.executor != "spark":
        yield options.executor
        return
    n = options.parallelism or 2
    print(f"Starting a Spark cluster on this machine: a master, two workers, {n} trials at a time.")
    with (
        standalone(workers=2, cores=(n + 1) // 2) as cluster,
        session(cluster.url, cluster.folder / "driver.log") as spark,
    ):
        yield manyfit.SparkExecutor(spark, parallelism=n)


def study_name(folder: Path | None, options: argparse.Namespace) -> str:
    """Name a study after what can't be compared: the images, their number, the backend."""
    images = "digits" if folder is None else "fashion-full" if options.full else "fashion"
    return images if options.backend == "jax" else f"{images}-{options.backend}"


if __name__ == "__main__":
    sys.exit(main())
