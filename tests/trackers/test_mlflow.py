"""A study in a real MLflow: on a database, on a server, on one that dies and one that is mute."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run

from manyfit.testing.trackers import Story
from manyfit.trackers import mlflow_patience
from manyfit.trackers.mlflow import MlflowTracker

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about what it imports
]


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("TRACKING_URI", "EXPERIMENT_ID", "EXPERIMENT_NAME", "RUN_ID"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    yield
    mlflow.set_tracking_uri(None)


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine has the time it needs to write all, but where a server is mute on purpose."""
    if "black_hole" not in request.fixturenames:
        monkeypatch.setattr(mlflow_patience, "CLOSE_QUIET", 60.0)
        monkeypatch.setattr(mlflow_patience, "CLOSE_TOTAL", 300.0)


def runs_of(uri: str, experiment: str) -> tuple[Run, dict[int, Run]]:
    """Return a study's parent run, and its trials' runs by number: each exactly once."""
    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], max_results=1000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(runs) == 1 + len(below)
    numbers = Counter(int(run.data.tags["manyfit.trial"]) for run in below)
    assert set(numbers.values()) <= {1}, "a trial has two runs"
    return parent, {int(run.data.tags["manyfit.trial"]): run for run in below}


def curve(uri: str, run: Run, key: str) -> list[tuple[int, float]]:
    history = mlflow.MlflowClient(uri).get_metric_history(run.info.run_id, key)
    return [(metric.step, metric.value) for metric in history]


def files(uri: str, run: Run) -> dict[str, str]:
    names = [item.path for item in mlflow.MlflowClient(uri).list_artifacts(run.info.run_id)]
    load = mlflow.artifacts.load_text
    mlflow.set_tracking_uri(uri)
    return {name: load(f"runs:/{run.info.run_id}/{name}") for name in names}


def a_bit_of_everything(uri: str, folder: Path, experiment: str) -> Story:
    """Tell of trials that end in every way."""
    (folder / "logs").mkdir()
    (folder / "logs" / "00000-1.log").write_text("hello\n")
    story = Story(MlflowTracker(uri, experiment=experiment), folder=folder)
    for _ in range(5):
        story.start(story.ask())
    story.report(0, 0, loss=1.0, accuracy=0.5)
    story.report(0, 1, loss=0.5, accuracy=math.nan)
    story.finish(0, loss=0.25, test_accuracy=0.75)
    story.report(1, 0, loss=2.0)
    story.prune(1)
    story.fail(2, "ValueError: no", "Traceback: no")
    story.lose(3)
    story.start(3)
    story.finish(3, loss=0.125)
    story.lose(4)
    story.end()
    return story


def test_a_study_as_one_finds_it(database: str, tmp_path: Path) -> None:
    """One parent, one child a trial: named, timed, with params, curves, state, artifacts."""
    story = a_bit_of_everything(database, tmp_path, "everything")
    parent, runs = runs_of(database, "everything")
    states = {
        number: (run.info.status, run.data.tags["manyfit.state"]) for number, run in runs.items()
    }
    assert states == {
        0: ("FINISHED", "COMPLETE"),
        1: ("FINISHED", "PRUNED"),
        2: ("FAILED", "FAIL"),
        3: ("FINISHED", "COMPLETE"),
        4: ("KILLED", "WAITING"),
    }
    assert runs[0].info.run_name == "00000-tale"
    assert runs[0].info.end_time == round(story.trials[0].attempts[0].ended_at * 1000)
    assert runs[0].data.params == {"lr": "0.1", "size": "S"}
    assert runs[0].data.metrics["loss"] == 0.25
    assert runs[0].data.metrics["test_accuracy"] == 0.75
    assert math.isnan(runs[0].data.metrics["accuracy"])
    assert curve(database, runs[0], "loss") == [(0, 1.0), (1, 0.5), (1, 0.25)]
    assert runs[1].data.tags["manyfit.reason"] == "worse than the median"
    assert files(database, runs[0]) == {"output.log": "hello\n"}
    assert files(database, runs[2]) == {"traceback.txt": "Traceback: no"}
    assert runs[3].data.tags["manyfit.attempt"] == "2"
    assert (parent.info.run_name, parent.info.status) == ("tale", "FINISHED")
    assert parent.data.tags["manyfit.best.trial"] == "3"
    assert parent.data.metrics == {
        "best_loss": 0.125,
        "trials_complete": 2.0,
        "trials_pruned": 1.0,
        "trials_fail": 1.0,
        "trial_seconds": 4.0,
    }
    assert json.loads(parent.data.tags["manyfit.space"]).keys() == {"lr", "size"}
    assert_tidy(database)


def assert_tidy(database: str) -> None:
    """One row a trial, and a column for each param and metric of the objective."""
    mlflow.set_tracking_uri(database)
    trials = "tags.manyfit.study = 'tale' AND tags.manyfit.trial LIKE '%'"
    frame = mlflow.search_runs(experiment_names=["everything"], filter_string=trials)
    columns = {name for name in frame.columns if name.startswith(("params.", "metrics."))}

    assert sorted(frame["tags.manyfit.trial"], key=int) == ["0", "1", "2", "3", "4"]
    assert columns == {
        *("params.lr", "params.size", "metrics.loss"),
        *("metrics.accuracy", "metrics.test_accuracy"),
    }


def test_nothing_is_printed(
    database: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither MLflow nor what makes its database speaks to the terminal."""
    uri = f"sqlite:///{tmp_path}/new.db"
    a_bit_of_everything(uri, tmp_path, "quiet")
    assert capfd.readouterr() == ("", "")


def test_nothing_global_is_changed(database: str, tmp_path: Path) -> None:
    """Tracking URI and active run stay the user's; the environment is, in the end, as it was."""
    before = dict(os.environ), mlflow.get_tracking_uri()
    story = Story(MlflowTracker(database, experiment="global"), folder=tmp_path)
    story.run(1)
    assert mlflow.get_tracking_uri() == before[1]
    assert mlflow.active_run() is None
    story.end()
    assert (dict(os.environ), mlflow.get_tracking_uri()) == before


def test_the_users_server_and_experiment(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the environment are used, and a worker is told of both."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "from the environment")
    story = Story(MlflowTracker(), folder=tmp_path)
    env = story.start(story.ask())
    story.finish(0, loss=1.0)
    story.end()
    _, runs = runs_of(database, "from the environment")
    assert env["MANYFIT_MLFLOW_KEY"] == runs[0].data.tags["manyfit.key"]
    assert env["MLFLOW_EXPERIMENT_ID"] == runs[0].info.experiment_id
    assert env["MLFLOW_EXPERIMENT_NAME"] == "from the environment"


def test_an_active_run_is_the_studys_parent(database: str, tmp_path: Path) -> None:
    """`tune` inside `with mlflow.start_run():` goes below that run, in its experiment."""
    mlflow.set_tracking_uri(database)
    outer = mlflow.start_run(experiment_id=mlflow.MlflowClient().create_experiment("outer"))
    try:
        story = Story(MlflowTracker(), folder=tmp_path)
        story.run(1)
        story.end()
    finally:
        mlflow.end_run()
    found = mlflow.MlflowClient().search_runs([outer.info.experiment_id])
    parents = {run.info.run_name: run.data.tags.get("mlflow.parentRunId") for run in found}
    assert parents["tale"] == outer.info.run_id
    assert len(found) == 3


def test_a_database_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing configured it is `mlflow.db` here, wherever the worker is."""
    monkeypatch.chdir(tmp_path)
    story = Story(MlflowTracker(), folder=tmp_path)
    env = story.start(story.ask())
    story.finish(0, loss=1.0)
    story.end()
    assert env["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    _, runs = runs_of(env["MLFLOW_TRACKING_URI"], "Default")
    assert list(runs) == [0]


def test_a_report_that_cannot_be_made(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs the report alone: the mirror is complete, and the user is told once."""
    tracker = MlflowTracker(database, experiment="broken")
    tracker.open(replace(Story(folder=tmp_path).study, files=lambda: {"a": str(1 / 0)}), ())
    assert tracker.finish("all trials are done", ()) is not None
    assert runs_of(database, "broken")[0].info.status == "FINISHED"
    assert "MLflow gets no report and no tables (ZeroDivisionError" in caplog.text


def test_credentials_of_a_server_are_not_handed_on(
    mlflow_process: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that doesn't have them already gets nothing of a server with a password, or a token.

    Without the server its experiment and runs are unknown to it: an objective's own calls would
    fail. That they go elsewhere is said. Nor does the ledger know who wrote.
    """
    for user in ("ann:hunter22", "s3cr3ttoken"):
        uri = mlflow_process.uri.replace("//", f"//{user}@")
        story = Story(MlflowTracker(uri, experiment="secret"), folder=tmp_path)
        env = story.start(story.ask())
        story.end()
        assert user not in json.dumps(env) + (tmp_path / "mlflow.jsonl").read_text()
        assert not env.keys() & {
            *("MLFLOW_RUN_ID", "MANYFIT_MLFLOW_KEY", "MLFLOW_RUN_CONTEXT"),
            *("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"),
        }
        assert "MLFLOW_TRACKING_PASSWORD" in caplog.text


def test_a_trial_costs_four_writes_and_no_read(counting: Any, tmp_path: Path) -> None:
    """Counted on the wire: create, reports, all else, status; artifacts come on top."""
    (tmp_path / "logs").mkdir()
    story = Story(MlflowTracker(counting.uri, experiment="counted"), folder=tmp_path)
    story.run(1)
    wait_until(lambda: counting.count("PATCH", "runs/update") == 1)
    counting.requests.clear()
    for _ in range(10):
        number = story.ask()
        (tmp_path / "logs" / f"{number:05d}-1.log").write_text("hello")
        story.start(number)
        time.sleep(1.2 if number == 1 else 0)
        for step in range(50):
            story.report(number, step, loss=1.0, accuracy=0.5, f1=0.5)
        story.finish(number, loss=1.0, test=0.5)
    wait_until(lambda: counting.count("runs/update") == 10)
    wait_until(lambda: counting.count("mlflow-artifacts") == 10)
    assert counting.requests["POST mlflow/runs/create"] == 10
    assert counting.requests["POST mlflow/runs/log-batch"] <= 2 * 10
    assert counting.count("GET", "search") == 0
    assert sum(counting.requests.values()) - counting.count("mlflow-artifacts") <= 4 * 10
    story.end()
    assert counting.count("GET", "search") <= 1  # a server that took its time may have two of a run


def test_a_server_that_dies_in_the_middle(mlflow_process: Any, tmp_path: Path) -> None:
    """SIGKILL, a second of nothing, a new one: nothing is lost and nothing is there twice."""
    story = Story(MlflowTracker(mlflow_process.uri, experiment="killed"), folder=tmp_path)
    story.run(2, steps=3)
    mlflow_process.kill()
    begun = time.monotonic()
    story.run(20, steps=3)
    assert time.monotonic() - begun < 10  # not a second for each
    time.sleep(1)
    mlflow_process.start()
    story.run(2, steps=3)
    story.end()
    parent, runs = runs_of(mlflow_process.uri, "killed")
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert sorted(runs) == list(range(24))
    assert parent.info.status == "FINISHED"
    for number in (0, 1, 2, 17, 23):
        steps = [step for step, _ in curve(mlflow_process.uri, runs[number], "accuracy")]
        assert steps == [0, 1, 2, 2]
        assert runs[number].data.metrics["loss"] == 1.0 / (number + 1)


def test_a_mute_server_holds_up_no_trial(
    black_hole: str, short_http: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It accepts and never answers: of 200 trials one waits, and the end some seconds."""
    others = set(threading.enumerate())
    story = Story(MlflowTracker(black_hole), folder=tmp_path, n_trials=200)
    begun = time.monotonic()
    story.run(200)
    assert time.monotonic() - begun < 10  # not a second for each
    begun = time.monotonic()
    story.end()
    assert time.monotonic() - begun < 15
    assert "200 of 200 trials are not written in full" in caplog.text
    mine = [each for each in {*threading.enumerate()} - others if each.name == "manyfit-mlflow"]
    wait_until(lambda: not any(each.is_alive() for each in mine))


STUDY = """
import os, signal, sys
import manyfit

def train(params):
    n = manyfit.current_trial().number
    for step in range(3):
        manyfit.report(step, loss=params["x"])
    if n == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return params["x"]

manyfit.tune(
    train, {{"x": manyfit.Float(0.0, 1.0)}}, metric="loss", n_trials=8, executor="inline", seed=0,
    sampler="random", pruner=None, name="again", folder={folder!r}, progress=None,
    tracker=manyfit.MlflowTracker({uri!r}, experiment={experiment!r}),
)
"""


@pytest.mark.soak("kills")
def test_a_driver_that_is_killed(database: str, tmp_path: Path, round_: int) -> None:
    """SIGKILL of the driver in a trial, or two: resumed, it has each run once, all finished."""
    experiment = f"again {round_}"
    for kill_at in (*([round_ % 3] if round_ else []), 3 + round_ % 5, None):
        code = STUDY.format(
            kill_at=kill_at, folder=str(tmp_path), uri=database, experiment=experiment
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True)
        assert done.returncode == (0 if kill_at is None else -signal.SIGKILL), done.stderr.decode()
    parent, runs = runs_of(database, experiment)
    assert sorted(runs) == list(range(8))
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert parent.info.status == "FINISHED"
    for run in runs.values():
        assert [step for step, _ in curve(database, run, "loss")] == [0, 1, 2]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
