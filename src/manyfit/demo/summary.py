"""The end of the demo: what was found, what pruning saved, where the record is."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from manyfit.result import StudyResult
from manyfit.trial import State, Trial

PARTS = {"": "training", "val_": "validation", "test_": "test"}


def summary(result: StudyResult) -> str:
    """Return a summary of the result, and what to do next."""
    complete = [trial for trial in result if trial.state is State.COMPLETE]
    pruned = [trial for trial in result if trial.state is State.PRUNED]
    lines = ["", *(best_lines(result.best) if complete else ["No trial has completed."])]
    if pruned:
        lines += ["", saved(pruned, complete)]
    for failure in result.failures():
        lines += ["", f"{len(failure.numbers)} failed: {failure.reason} (see {failure.log})"]
    return "\n".join([*lines, "", *record_lines(result)])


def best_lines(best: Trial) -> list[str]:
    """Show the best trial's params, and its metrics on each part of the images."""
    metrics = best.metrics
    return [
        f"Best by val_loss: trial {best.number}",
        *(f"  {name:16}{rounded(value)}" for name, value in best.params.items()),
        "",
        f"  {'':13}{'loss':>9}{'accuracy':>10}",
        *(
            f"  {title:13}{metrics[f'{part}loss']:9.4f}{metrics[f'{part}accuracy']:10.4f}"
            for part, title in PARTS.items()
        ),
        "  The test images played no part in any decision.",
    ]


def saved(pruned: Sequence[Trial], complete: Sequence[Trial]) -> str:
    """Estimate the savings of pruning, assuming that pruned trials would have run like others."""
    usual = mean([len(trial.measurements) for trial in complete] or [0])
    epochs = [max(0.0, usual - len(trial.measurements)) for trial in pruned]
    seconds = sum(more * pace(trial) for more, trial in zip(epochs, pruned, strict=True))
    ran = sum(len(trial.measurements) for trial in [*pruned, *complete])
    n = len(pruned) + len(complete)
    return (
        f"Pruning ended {len(pruned)} of {n} trials early. Had each gone on for the usual "
        f"{usual:.0f} epochs,\nsome {sum(epochs):.0f} epochs would have come on top of the {ran} "
        f"that were trained:\n{seconds:.0f} seconds of work, by each trial's own pace."
    )


def pace(trial: Trial) -> float:
    """Return seconds per epoch, without the first one if there are more: that compiles."""
    if len(trial.measurements) == 1:
        return trial.seconds or 0.0
    first, *_, last = trial.measurements
    return (last.at - first.at) / (len(trial.measurements) - 1)


def record_lines(result: StudyResult) -> list[str]:
    """Return the locations of the results, and the commands that show them."""
    programs = Path(sys.executable).parent
    manyfit, mlflow = (shlex.quote(shown(programs / name)) for name in ("manyfit", "mlflow"))
    uri = shlex.quote(os.environ["MLFLOW_TRACKING_URI"])
    return [
        f"Record:  {shown(result.folder)} (journal and output of every trial)",
        f"Table:   {manyfit} show {result.name}",
        f"MLflow:  {mlflow} ui --backend-store-uri {uri}",
        "More:    run the same command with a larger --trials to continue from here",
    ]


def rounded(value: object) -> str:
    """Format a param with enough digits to use it again."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shown(path: Path) -> str:
    """Format a path relative to the working folder, if it is inside."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
