"""No-op trials a second: Manyfit's process slots against Optuna's storages, in one run.

    python benchmarks/trials.py [--trials 2000] [--slots 2] [--flat 10000]

Also what a trial costs the driver's processor early and late in a long study (it should be flat).
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import optuna

import manyfit
from manyfit.executors.inline import InlineExecutor

SPACE = {
    "learning_rate": manyfit.Float(1e-4, 1e-1, log=True),
    "batch_size": manyfit.Int(16, 512, log=True),
    "structure": manyfit.Choice(["small", "medium", "large"]),
}


def noop(params):
    return params["learning_rate"]


def optuna_noop(trial):
    value = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    trial.suggest_int("batch_size", 16, 512, log=True)
    trial.suggest_categorical("structure", ["small", "medium", "large"])
    return value


def manyfit_rate(folder, n_trials, slots):
    """Trials a second once the slots are up: the first trials wait for the interpreters."""
    options = {
        "metric": "loss",
        "executor": "processes",
        "parallelism": slots,
        "sampler": "random",
        "tracker": None,
        "progress": None,
        "folder": folder,
        "seed": 0,
    }
    result = manyfit.tune(noop, SPACE, n_trials=n_trials, name="noop", **options)
    ends = sorted(trial.attempts[-1].ended_at for trial in result)
    warm = ends[slots * 5 :]
    return (len(warm) - 1) / (warm[-1] - warm[0])


def optuna_rate(storage, n_trials, slots):
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    start = time.perf_counter()
    study.optimize(optuna_noop, n_trials=n_trials, n_jobs=slots)
    return n_trials / (time.perf_counter() - start)


class CountingExecutor(InlineExecutor):
    """Runs trials at once, and notes the driver's processor time at each."""

    def __init__(self):
        super().__init__()
        self.times = []

    def submit(self, task):
        self.times.append(time.process_time())
        super().submit(task)


def flatness(folder, n_trials):
    """Processor milliseconds of a trial around the 100th, and around the last."""
    executor = CountingExecutor()
    manyfit.tune(
        noop,
        SPACE,
        metric="loss",
        n_trials=n_trials,
        executor=executor,
        sampler="random",
        tracker=None,
        progress=None,
        folder=folder,
        name="flat",
        seed=0,
    )

    def around(number, half=50):
        times = executor.times[max(0, number - half) : number + half]
        return (times[-1] - times[0]) / (len(times) - 1) * 1e3

    return around(100), around(n_trials - 50)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--flat", type=int, default=10_000)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = manyfit_rate(folder, arguments.trials, arguments.slots)
        print(f"manyfit, {arguments.slots} processes, journal on   {ours:8.0f} trials/s")
        journal = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.log"))
        peers = {
            "optuna, threads, journal file": (optuna.storages.JournalStorage(journal), 500),
            "optuna, threads, sqlite": (f"sqlite:///{folder}/optuna.db", 100),
        }
        for peer, (storage, n_trials) in peers.items():
            rate = optuna_rate(storage, n_trials, arguments.slots)
            print(f"{peer:36}{rate:8.0f} trials/s   manyfit is {ours / rate:.1f} times faster")
        early, late = flatness(folder, arguments.flat)
        print(
            f"driver's processor time a trial: {early:.2f} ms around the 100th, "
            f"{late:.2f} ms around the {arguments.flat:,}th, ratio {late / early:.2f}"
        )


if __name__ == "__main__":
    main()
