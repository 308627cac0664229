"""The main job: tune a classifier of clothes, several trials at a time.

`python demo/fashion.py --help` lists the options. The training function is in `classifier.py`.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from data import find, load

import manyfit
from manyfit import Choice, Float, Int, State, StudyResult, Trial

SPACE = {
    "batch_size": Int(16, 512, log=True),
    "learning_rate": Float(1e-4, 1e-1, log=True),
    "structure": Choice(["small", "medium", "large"]),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Tune, and say what came of it."""
    options = parse(arguments)
    # Workers inherit these. Keras looks for its backend when it is imported.
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")

    try:
        folder = find(options.data_dir)
    except (OSError, ValueError) as error:
        return f"--data-dir (or MANYFIT_DATA) needs the four files of Fashion-MNIST. {error}"
    if folder is None:
        print("Fashion-MNIST can't be downloaded: the same job on scikit-learn's digits instead.")
    n_train = None if options.full else 10_000

    def objective(params: dict[str, Any]) -> dict[str, float]:
        from classifier import train  # in the workers alone, since Keras takes seconds to import

        return train(params, load(folder, n_train))

    result = manyfit.tune(
        objective,
        SPACE,
        metric="val_loss",
        direction="minimize",
        n_trials=options.trials,
        parallelism=options.parallelism,
        executor=options.executor,
        name=options.name or study_name(folder, options),
        seed=0,
    )
    print(summary(result))
    return 0 if result.count(State.COMPLETE) else 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Tune a classifier of clothes.")
    add = parser.add_argument
    add("--full", action="store_true", help="train on all 55,000 images instead of 10,000")
    add("--trials", type=int, default=40, help="how many in all (40)")
    add("--parallelism", type=int, help="how many at a time (one for each core)")
    add("--backend", choices=["jax", "tensorflow"], default="jax", help="what Keras runs on (jax)")
    add("--executor", choices=["processes", "threads", "inline"], default="processes")
    add("--name", help="the study's name; one that exists is resumed")
    add(
        "--data-dir",
        type=Path,
        default=os.environ.get("MANYFIT_DATA"),
        help="where the four files of Fashion-MNIST are (MANYFIT_DATA; else they are downloaded)",
    )
    return parser.parse_args(arguments)


def study_name(folder: Path | None, options: argparse.Namespace) -> str:
    """Name a study for what can't be compared: other images, more of them, another backend."""
    images = "digits" if folder is None else "fashion-full" if options.full else "fashion"
    return images if options.backend == "jax" else f"{images}-{options.backend}"


def summary(result: StudyResult) -> str:
    """Say what to do next, and what it rests on."""
    counts = ", ".join(f"{result.count(state)} {state.value}" for state in State)
    lines = ["", f"{result.name}: {result.reason} ({counts})"]
    if result.count(State.COMPLETE):
        lines += best_lines(result.best)
    if pruned := [trial for trial in result if trial.state is State.PRUNED]:
        lines += [saved_line(pruned, [t for t in result if t.state is State.COMPLETE])]
    for failure in result.failures():
        lines += [f"failed: {len(failure.numbers)} with {failure.reason}; see {failure.log}"]
    uri = os.environ["MLFLOW_TRACKING_URI"]
    mlflow = shlex.quote(os.path.relpath(Path(sys.executable).with_name("mlflow")))
    return "\n".join(
        [
            *lines,
            "",
            f"The record   {os.path.relpath(result.folder)}: journal.jsonl, and each trial's output",
            f"In MLflow    {mlflow} ui --backend-store-uri {shlex.quote(uri)}",
            f"Go on        the same command with more --trials continues from here",
        ]
    )


def best_lines(best: Trial) -> list[str]:
    """Show the best trial's params, and how its model did on each part of the images."""
    metrics = best.metrics
    return [
        "",
        f"The best params are those of trial {best.number}, by val_loss:",
        *(
            f"    {name:14}{value:.4g}" if isinstance(value, float) else f"    {name:14}{value}"
            for name, value in best.params.items()
        ),
        "",
        f"    {'':14}{'loss':>8}{'accuracy':>10}",
        *(
            f"    {title:14}{metrics[f'{part}_loss']:8.4f}{metrics[f'{part}_accuracy']:10.4f}"
            for part, title in [("train", "training"), ("val", "validation"), ("test", "test")]
        ),
        "    (The test images had no part in any decision.)",
        "",
    ]


def saved_line(pruned: Sequence[Trial], complete: Sequence[Trial]) -> str:
    """Estimate what pruning saved, as if the pruned trials had gone on for as long as the others."""
    usual = mean(len(trial.measurements) for trial in complete) if complete else 0
    epochs = [max(0, usual - len(trial.measurements)) for trial in pruned]
    seconds = sum(more * pace(trial) for more, trial in zip(epochs, pruned, strict=True))
    return (
        f"Pruning ended {len(pruned)} trials early and saved about {sum(epochs):.0f} epochs, "
        f"{seconds / 60:.1f} minutes of a worker's time"
    )


def pace(trial: Trial) -> float:
    """Return seconds per epoch, the first left out, which holds the compilation."""
    first, *_, last = [trial.measurements[0], *trial.measurements]
    return (last.at - first.at) / max(1, last.step - first.step)


if __name__ == "__main__":
    sys.exit(main())
