"""Seconds a trial that MLflow adds: Manyfit's mirror, against fluent logging from the objective.

    python benchmarks/mlflow_overhead.py [--trials 60] [--slots 2]

The same objective (10 reports of 3 metrics) three times: without MLflow, with the mirror, and with
the usual `mlflow.start_run`, `log_params` and `log_metrics` in it. Into a sqlite file, and to a
server on loopback. Starting up (imports, creating the database) is left out: the clock runs from
a study's 11th end of a trial to its last, and for the mirror until all is written.
"""

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import manyfit

SPACE = {"x": manyfit.Float(0.0, 1.0), "structure": manyfit.Choice(["small", "medium", "large"])}
WARM = 10


def plain(params):
    for step in range(10):
        manyfit.report(step, loss=params["x"] + 1 / (step + 1), accuracy=0.5, train_loss=0.1)
    return {"loss": params["x"], "accuracy": 0.5, "train_loss": 0.1}


def fluent(params):
    import mlflow

    mlflow.set_tracking_uri(params["uri"])
    with mlflow.start_run(run_name="trial"):
        mlflow.log_params({"x": params["x"], "structure": params["structure"]})
        for step in range(10):
            metrics = {"loss": params["x"] + 1 / (step + 1), "accuracy": 0.5, "train_loss": 0.1}
            mlflow.log_metrics(metrics, step=step)
            manyfit.report(step, **metrics)
        metrics = {"loss": params["x"], "accuracy": 0.5, "train_loss": 0.1}
        mlflow.log_metrics(metrics)
    return metrics


def seconds_a_trial(objective, tracker, options, **constants):
    with tempfile.TemporaryDirectory() as folder:
        result = manyfit.tune(
            objective,
            {**SPACE, **constants},
            metric="loss",
            sampler="random",
            pruner=None,
            progress=None,
            tracker=tracker,
            folder=folder,
            seed=0,
            n_trials=options.trials,
            parallelism=options.slots,
        )
        written = time.time()
    ends = sorted(trial.attempts[-1].ended_at for trial in result)
    until = written if tracker is not None else ends[-1]
    return (until - ends[WARM]) / (len(ends) - WARM - 1)


@contextlib.contextmanager
def server(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(240):
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(f"{uri}/health")
                break
            time.sleep(0.5)
        yield uri
    finally:
        process.terminate()
        process.wait()


def compare(name, uri, options):
    bare = seconds_a_trial(plain, None, options)
    mirror = seconds_a_trial(plain, manyfit.MlflowTracker(uri), options) - bare
    by_hand = seconds_a_trial(fluent, None, options, uri=uri) - bare
    print(f"{name:10} without {bare:.4f} s a trial; the mirror adds {mirror:.3f}, ", end="")
    print(f"fluent logging {by_hand:.3f}: {by_hand / mirror:.1f} times as much")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{Path(folder).resolve()}/mlflow.db"
        subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", uri], check=True, capture_output=True
        )
        compare("sqlite", uri, options)
        with server(folder) as uri:
            compare("server", uri, options)


if __name__ == "__main__":
    main()
