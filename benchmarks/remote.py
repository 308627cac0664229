"""Trials and reports a second through remote workers: their processes, their connections, no Java.

    python benchmarks/remote.py [--rounds 5] [--against CHECKOUT]

With `--against`, another checkout of Manyfit runs in turns with this one, round by round, so that
both meet the same weather. The ratio is that of the medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import manyfit
from manyfit.testing.remote import LocalSpark

SLOTS, TRIALS, REPORTS = 2, 2_000, 10_000


def no_op(params):
    return {"val_loss": params["x"]}


def chatty(params):
    for step in range(REPORTS):
        manyfit.report(step, val_loss=1.0 / (step + 1), val_accuracy=0.5, train_loss=0.1)
    return {"val_loss": params["x"]}


def tuned(objective, n_trials, folder):
    """Return what came of a study, and the seconds from its first start to its last end."""
    result = manyfit.tune(
        objective,
        {"x": manyfit.Float(0.0, 1.0)},
        metric="val_loss",
        n_trials=n_trials,
        executor=manyfit.SparkExecutor(LocalSpark(Path(folder, "machine")), SLOTS),
        sampler="random",
        pruner=None,
        tracker=None,
        progress=None,
        folder=folder,
        seed=0,
    )
    started = min(trial.attempts[-1].started_at for trial in result)
    ended = max(trial.attempts[-1].ended_at for trial in result)
    return result, ended - started


def measure():
    """Return trials and reports a second."""
    with tempfile.TemporaryDirectory() as folder:
        result, seconds = tuned(no_op, TRIALS, folder)
        rates = {"trials/s": len(result) / seconds}
    with tempfile.TemporaryDirectory() as folder:
        result, seconds = tuned(chatty, SLOTS * 2, folder)
        rates["reports/s"] = sum(len(trial.measurements) for trial in result) / seconds
    return rates


def measured(checkout):
    env = {**os.environ, "PYTHONPATH": str(Path(checkout).resolve() / "src")}
    command = [sys.executable, __file__, "--once"]
    return json.loads(subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", help="another checkout of Manyfit")
    parser.add_argument("--once", action="store_true", help="print the rates as JSON")
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(measure()))
        return
    here = Path(__file__).parents[1]
    others = [arguments.against] if arguments.against else []
    rounds = [[measured(each) for each in (here, *others)] for _ in range(arguments.rounds)]
    for rate in rounds[0][0]:
        mine, *theirs = ([each[rate] for each in side] for side in zip(*rounds, strict=True))
        medians = [statistics.median(side) for side in (mine, *theirs)]
        print(f"{rate}: {medians[0]:,.0f} (of {min(mine):,.0f} to {max(mine):,.0f})", end="")
        for median, side in zip(medians[1:], theirs, strict=True):
            print(f"; against {median:,.0f} ({min(side):,.0f} to {max(side):,.0f})", end="")
            print(f": {medians[0] / median:.2f} times", end="")
        print()


if __name__ == "__main__":
    main()
