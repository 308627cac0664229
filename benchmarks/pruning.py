"""What pruning saves and what it costs, on stored learning curves of real trainings.

Each of eight tasks has 1,000 trainings of a text model with 51 evaluations (TaskSet). A study draws
trials at random and runs them in 4 slots, an epoch a tick, as `manyfit.tune` would; a trial's value
is its lowest validation loss. Run with: python benchmarks/pruning.py [seeds]

The folder with the curves is `$MANYFIT_BENCH/learning-curves`, by default `../shared/bench`.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.auto import AutoPruner, NoPruner, make_pruner
from manyfit.pruners.base import PrunerSettings
from manyfit.pruners.median import MedianPruner
from manyfit.trial import Attempt, End, Finished, Measurement, Pruned, Trial

METRIC = Metric("valid_loss")
SLOTS = 4
TRIALS = 64
PRUNERS: Mapping[str, PrunerSettings] = {
    "none": NoPruner(),
    "auto": AutoPruner(),
    "median": MedianPruner(),
    "median, min_steps=5": MedianPruner(min_steps=5),
    "asha": AshaPruner(),
    "asha, min_steps=5": AshaPruner(min_steps=5),
}


@dataclass(frozen=True)
class Outcome:
    """One study: epochs it ran, the lowest loss among completed trials, and how many those were."""

    epochs: int
    best: float
    completed: int


def run(curves: np.ndarray, pruner: PrunerSettings, *, epochs: int | None = None) -> Outcome:
    """Run a study over some curves, in their order, until they or the epochs are used up."""
    judge = make_pruner(pruner, METRIC)
    waiting = iter(range(len(curves)))
    running: dict[int, Trial] = {}
    values: list[float] = []
    used = 0
    while True:
        while len(running) < SLOTS and (number := next(waiting, None)) is not None:
            running[number] = Trial(number, {}, attempts=(Attempt(1, "slot", 0.0),))
        if not running:
            return Outcome(used, min(values, default=np.inf), len(values))
        for number in list(running):
            if used == epochs:
                return Outcome(used, min(values, default=np.inf), len(values))
            used += 1
            curve = curves[number]
            trial = running[number] = with_epoch(running[number], curve)
            step = len(trial.measurements) - 1
            reason = judge.report(trial, step, curve[step])
            # What is asked to stop at its last step has nothing left to stop.
            if step + 1 == len(curve):
                low = METRIC.best(curve)
                values.append(low)
                judge.end(with_end(running.pop(number), Finished(low, {METRIC.name: low})))
            elif reason is not None:
                judge.end(with_end(running.pop(number), Pruned(reason)))


def with_epoch(trial: Trial, curve: np.ndarray) -> Trial:
    """Return a trial that has reported once more."""
    (attempt,) = trial.attempts
    step = len(attempt.measurements)
    measurement = Measurement(step, {METRIC.name: float(curve[step])}, 0.0)
    measured = replace(attempt, measurements=(*attempt.measurements, measurement))
    return replace(trial, attempts=(measured,))


def with_end(trial: Trial, end: End) -> Trial:
    """Return a trial that has ended."""
    return replace(trial, attempts=(replace(trial.attempts[0], end=end),))


def tasks() -> Iterator[np.ndarray]:
    """Yield the validation curves of each task."""
    root = Path(os.environ.get("MANYFIT_BENCH", Path(__file__).parents[2] / "shared" / "bench"))
    for path in sorted((root / "learning-curves").glob("*.npz")):
        yield np.load(path)["valid"].astype(float)


def regret(loss: float, curves: np.ndarray) -> float:
    """Return how far a loss is from the best of the curves, as a share of the way to the median."""
    lows = np.nanmin(np.where(np.isfinite(curves), curves, np.nan), axis=1)
    best, median = np.nanmin(lows), np.nanmedian(lows)
    return float((min(loss, median) - best) / (median - best))


def measure(seeds: int, curves: list[np.ndarray], pruner: PrunerSettings) -> list[float]:
    """Return a row of the table: means over tasks and seeds."""
    rows = []
    for pool in curves:
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(pool))
            trials = pool[order[:TRIALS]]
            outcome = run(trials, pruner)
            lost = regret(outcome.best, trials)
            budget = run(pool[order], pruner, epochs=16 * pool.shape[1])
            share = outcome.epochs / trials.size
            rows.append([share, lost, lost == 0.0, outcome.completed, regret(budget.best, pool)])
    return list(np.mean(rows, axis=0))


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    curves = list(tasks())
    if not curves:
        print("No learning curves: set MANYFIT_BENCH to the folder that holds learning-curves/.")
        return
    print(f"{TRIALS} random trials in {SLOTS} slots; means of {len(curves)} tasks x {seeds} seeds.")
    print("Regret 0 is the best of the trials, 1 their median.\n")
    print("| pruner | epochs used | regret | best kept | completed | regret in 16 x 51 epochs |")
    print("|---|---|---|---|---|---|")
    for name, pruner in PRUNERS.items():
        share, lost, kept, completed, budget = measure(seeds, curves, pruner)
        print(
            f"| {name} | {share:.0%} | {lost:.3f} | {kept:.0%} | {completed:.1f} | {budget:.3f} |"
        )


if __name__ == "__main__":
    main()
