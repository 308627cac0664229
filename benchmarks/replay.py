"""Resuming a long study: 10,000 trials with 10 reports each, read back from the journal.

python benchmarks/replay.py [--trials 10000] [--reports 10]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import manyfit
from manyfit.events import AttemptFinished, AttemptStarted, Reported, TrialAsked
from manyfit.journal.file import FileJournal

SPACE = {"x": manyfit.Float(0.0, 1.0), "y": manyfit.Int(1, 1000), "z": manyfit.Choice(["a", "b"])}
OPTIONS = {"metric": "loss", "name": "long", "sampler": "random", "tracker": None}


def write(folder, n_trials, n_reports):
    with manyfit.Study(SPACE, folder=folder, seed=0, **OPTIONS):
        pass
    with FileJournal(Path(folder) / "long") as journal:
        for _ in journal.read():
            pass
        for number in range(n_trials):
            params = {"x": (number + 0.5) / n_trials, "y": number % 1000 + 1, "z": "a"}
            journal.append(TrialAsked(number, params, "sampler", 0.0))
            journal.append(AttemptStarted(number, 1, "worker", 0.0))
            for step in range(n_reports):
                metrics = {"loss": 1 / (step + 1), "accuracy": 0.5, "train_loss": 0.25}
                journal.append(Reported(number, 1, step, metrics, 0.0))
            journal.append(AttemptFinished(number, 1, {"loss": params["x"]}, 1.0, 0.0))


def resume(folder):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with manyfit.Study(SPACE, folder=folder, **OPTIONS) as study:
        seconds = time.perf_counter() - start
        n_trials = len(study.result())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    print(
        f"{n_trials:,} trials resumed in {seconds:.2f} s; "
        f"memory {after * unit / 1e6:.0f} MB, {(after - before) * unit / 1e6:.0f} MB of it for them"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--reports", type=int, default=10)
    parser.add_argument("--resume", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.resume:
        resume(arguments.resume)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(folder, arguments.trials, arguments.reports)
        # A fresh process, so that the memory is the resuming driver's own.
        subprocess.run([sys.executable, __file__, "--resume", folder], check=True)


if __name__ == "__main__":
    main()
