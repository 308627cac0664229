"""Reports a second from worker processes, each with 3 metrics, journal on.

python benchmarks/reports.py [--slots 2] [--reports 20000]
"""

import argparse
import tempfile

import manyfit


def chatty(params):
    for step in range(params["reports"]):
        manyfit.report(step, val_loss=1.0 / (step + 1), val_accuracy=0.5, train_loss=0.1)
    return {"val_loss": params["x"], "val_accuracy": 0.5, "train_loss": 0.1}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--reports", type=int, default=20_000, help="reports a trial")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = manyfit.tune(
            chatty,
            {"x": manyfit.Float(0.0, 1.0), "reports": arguments.reports},
            metric="val_loss",
            n_trials=arguments.slots * 2,
            parallelism=arguments.slots,
            sampler="random",
            pruner="median",
            tracker=None,
            progress=None,
            folder=folder,
            seed=0,
        )
        started = min(trial.attempts[-1].started_at for trial in result)
        ended = max(trial.attempts[-1].ended_at for trial in result)
        total = sum(len(trial.measurements) for trial in result)
        print(f"{total:,} reports of 3 metrics in {ended - started:.1f} s")
        print(f"{total / (ended - started):,.0f} reports/s, all in the journal")


if __name__ == "__main__":
    main()
