"""MLflow on a cluster: what objectives log on other machines is found where the driver's is."""

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import mlflow
import psutil
import pytest
from mlflow.entities import Run

from manyfit.domain import Float
from manyfit.metric import Metric
from manyfit.result import StudyResult
from manyfit.space import Space
from manyfit.spark.executor import SparkExecutor
from manyfit.testing.remote import LocalSpark
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow import MlflowTracker
from manyfit.trackers.mlflow_relay import Relay
from manyfit.tuning import tune

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about what it imports
]


@pytest.fixture(autouse=True)
def driver_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, patient_mlflow: None
) -> Iterator[Path]:
    """Nothing is configured, and the driver works in a folder of its own."""
    for name in ("TRACKING_URI", "EXPERIMENT_ID", "EXPERIMENT_NAME", "RUN_ID"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    folder = tmp_path / "driver"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    mlflow.set_tracking_uri(None)


def objective_in(folder: Path) -> Callable[[dict[str, Any]], float]:
    """Return an objective that works in an empty folder, and says what is in there at its end."""

    # In here, so that it travels by value: workers don't have this module.
    def objective(params: dict[str, Any]) -> float:
        import os
        import tempfile
        from pathlib import Path

        import mlflow

        os.chdir(tempfile.mkdtemp(dir=folder))
        mlflow.log_metric("own", params["x"], step=3)
        mlflow.log_params({"mine": "yes"})
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_text("", "empty.txt")
        print(mlflow.get_artifact_uri())
        print([path.name for path in Path().iterdir()])
        return float(params["x"])

    return objective


def study(
    spark: Any, objective: Callable[..., float], slots: int = 1, **options: Any
) -> StudyResult:
    result = tune(
        objective,
        {"x": Float(0.0, 1.0)},
        metric="loss",
        n_trials=3,
        executor=SparkExecutor(spark, parallelism=slots, host="127.0.0.1"),
        sampler="random",
        pruner=None,
        progress=None,
        name="far",
        **{"tracker": MlflowTracker(), **options},
    )
    assert [trial.traceback for trial in result] == [""] * 3
    return result


def runs_of(uri: str, experiment: str = "Default") -> dict[int, Run]:
    """Return the trials' runs, each exactly once."""
    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id])
    below = [run for run in runs if "manyfit.trial" in run.data.tags]
    assert len(runs) == 1 + len(below)
    numbered = {int(run.data.tags["manyfit.trial"]): run for run in below}
    assert len(numbered) == len(below)
    return numbered


def assert_all_is_there(result: StudyResult, uri: str, experiment: str = "Default") -> None:
    runs = runs_of(uri, experiment)
    assert sorted(runs) == [0, 1, 2]
    for trial in result:
        run = runs[trial.number]
        assert run.info.status == "FINISHED"
        assert run.data.metrics == {"own": trial.params["x"], "loss": trial.params["x"]}
        assert run.data.params["mine"] == "yes"
        load = mlflow.artifacts.load_text
        mlflow.set_tracking_uri(uri)
        assert load(f"runs:/{run.info.run_id}/notes/a.txt") == "hello"
        assert load(f"runs:/{run.info.run_id}/empty.txt") == ""


def said(result: StudyResult) -> list[str]:
    """The last lines of the trials' output, without repeats."""
    texts = (result.log_of(trial).read_text() for trial in result)
    return sorted({line for text in texts for line in text.splitlines()[-2:]})


def test_a_database_of_the_driver(driver_folder: Path, tmp_path: Path) -> None:
    """With nothing configured, all is in `mlflow.db` and `mlruns` here, and nothing elsewhere."""
    result = study(LocalSpark(tmp_path / "workers"), objective_in(tmp_path / "workers"), slots=2)
    assert_all_is_there(result, f"sqlite:///{driver_folder}/mlflow.db")
    inside, *artifacts = said(result)
    assert inside == "[]"
    assert all(uri.startswith("mlflow-artifacts:/0/") for uri in artifacts)
    assert not list((tmp_path / "workers").rglob("*.db"))
    assert not list((tmp_path / "workers").rglob("mlruns"))
    run = runs_of(f"sqlite:///{driver_folder}/mlflow.db")[0]
    assert run.info.artifact_uri == f"{driver_folder}/mlruns/0/{run.info.run_id}/artifacts"


@pytest.mark.soak("contracts")
def test_a_folder_of_the_driver(
    driver_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store of files works as well, where its user insists on one."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    tracker = MlflowTracker("./runs here", experiment="files")
    result = study(
        LocalSpark(tmp_path / "workers"), objective_in(tmp_path / "workers"), tracker=tracker
    )
    assert_all_is_there(result, (driver_folder / "runs here").as_uri(), "files")
    assert said(result)[0] == "[]"


@pytest.mark.soak("contracts")
def test_a_server_without_a_tracker(
    mlflow_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's environment variables hold for workers, whichever tracker mirrors the study."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_process.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "alone")
    mlflow.MlflowClient(mlflow_process.uri).create_experiment("alone")
    study(LocalSpark(tmp_path / "workers"), objective_in(tmp_path / "workers"), tracker=None)
    client = mlflow.MlflowClient(mlflow_process.uri)
    runs = client.search_runs([client.get_experiment_by_name("alone").experiment_id])
    assert [run.data.params for run in runs] == [{"mine": "yes"}] * 3


def test_a_server_of_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_process: Any
) -> None:
    """One on loopback is reached by way of the driver, with a user's token, which isn't written.

    There, `start_run` returns the trial's run.
    """
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "canary-of-the-user")
    folder = tmp_path / "workers"
    work = objective_in(folder)

    def objective(params: dict[str, Any]) -> float:
        import os

        import mlflow

        assert os.environ["MLFLOW_TRACKING_TOKEN"].startswith("canary")
        print(os.environ["MLFLOW_TRACKING_TOKEN"])
        with mlflow.start_run():  # the trial's
            return work(params)

    tracker = MlflowTracker(mlflow_process.uri, experiment="token")
    result = study(LocalSpark(folder), objective, tracker=tracker)
    assert_all_is_there(result, mlflow_process.uri, "token")
    assert not (result.folder / "mlflow-server.log").exists()
    written = b"".join(path.read_bytes() for path in result.folder.rglob("*") if path.is_file())
    assert b"canary" not in written


@pytest.mark.soak("contracts")
def test_autologging(driver_folder: Path, tmp_path: Path) -> None:
    """`autolog` finds the trial's run active, on a worker too."""
    folder = tmp_path / "workers"

    def objective(params: dict[str, Any]) -> float:
        import os
        import tempfile

        import mlflow
        from sklearn.linear_model import Ridge

        os.chdir(tempfile.mkdtemp(dir=folder))
        mlflow.sklearn.autolog(log_models=False)
        with mlflow.start_run():
            Ridge(alpha=params["x"]).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
        return float(params["x"])

    pytest.importorskip("sklearn")
    result = study(LocalSpark(folder), objective)
    runs = runs_of(f"sqlite:///{driver_folder}/mlflow.db")
    assert {n: run.data.params["alpha"] for n, run in runs.items()} == {
        trial.number: str(trial.params["x"]) for trial in result
    }


@pytest.mark.soak("contracts")
def test_a_real_cluster(
    standalone_spark: "SparkSession", driver_folder: Path, tmp_path: Path
) -> None:
    """On Spark, what is logged with MLflow lands in the trials' runs here, and nothing there."""
    (tmp_path / "workers").mkdir()
    result = study(standalone_spark, objective_in(tmp_path / "workers"), slots=2)
    assert_all_is_there(result, f"sqlite:///{driver_folder}/mlflow.db")
    assert said(result)[0] == "[]"


# ── the server itself ─────────────────────────────────────────────────────────────────────────


def info(folder: Path, *, remote: bool) -> StudyInfo:
    return StudyInfo("far", folder, Space({}), Metric("loss"), 0, 1, 1, remote=remote)


def socket_of(relay: Relay) -> Path:
    return Path(unquote(relay.uri.removeprefix("http+unix://")))


def wait_until(what: Callable[[], bool], within: float = 90.0) -> None:
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def processes_with(word: str) -> list[list[str]]:
    """Return the command lines of processes that have a word in them."""
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if word in " ".join(line)]


def test_it_is_there_only_for_remote_workers(database: str, tmp_path: Path) -> None:
    """A study on this machine starts no server."""
    tracker = MlflowTracker(database)
    tracker.open(info(tmp_path, remote=False), ())
    tracker.close("done", ())
    assert not (tmp_path / "mlflow-server.log").exists()


def test_nobody_else_can_reach_it(database: str, tmp_path: Path) -> None:
    """Its socket is in a folder that only this user may enter."""
    with closing(Relay(database, tmp_path)) as relay:
        assert socket_of(relay).parent.stat().st_mode & 0o077 == 0


def test_it_ends_with_the_study(database: str, tmp_path: Path) -> None:
    """Closed, there is neither process nor folder left, and closing again is fine."""
    relay = Relay(database, tmp_path)
    relay.start(str(tmp_path / "mlruns"))
    wait_until(socket_of(relay).exists)
    assert processes_with(str(socket_of(relay)))
    relay.close()
    relay.close()
    relay.start(str(tmp_path / "mlruns"))
    assert not socket_of(relay).parent.exists()
    wait_until(lambda: not processes_with(str(socket_of(relay))), 10)
    assert not relay.is_open


DRIVER = """
import sys, time
from pathlib import Path
from manyfit.trackers.mlflow_relay import Relay
relay = Relay(sys.argv[1], Path(sys.argv[2]))
relay.start(sys.argv[2])
print(relay.uri, flush=True)
time.sleep(600)
"""


def test_it_dies_with_the_driver(database: str, tmp_path: Path) -> None:
    """SIGKILL of the driver leaves neither process nor folder."""
    command = [sys.executable, "-c", DRIVER, database, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        path = Path(unquote(driver.stdout.readline().strip().removeprefix("http+unix://")))
        wait_until(path.exists)
        driver.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_with(str(path)), 10)
    wait_until(lambda: not path.parent.exists(), 10)


def test_it_can_not_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A warning says so, with its last words; a password is not among them."""
    relay = Relay("postgresql://ann:hunter22@127.0.0.1:1/no", tmp_path)
    with caplog.at_level(logging.WARNING):
        relay.start(str(tmp_path))
        wait_until(lambda: not relay.is_open and bool(caplog.text))
    assert "what objectives log with MLflow is lost from now on" in caplog.text
    assert "hunter22" not in caplog.text
    assert not socket_of(relay).parent.exists()
    relay.close()


def test_a_password_is_on_no_command_line(database: str, tmp_path: Path) -> None:
    """A list of processes doesn't show where the database is."""
    with closing(Relay(f"{database}?hunter22", tmp_path)) as relay:
        relay.start(str(tmp_path))
        while not processes_with(str(socket_of(relay))):
            time.sleep(0.02)  # it has no command line yet
        assert "hunter22" not in json.dumps(processes_with(str(socket_of(relay))))


def test_artifacts_that_stay_on_workers(
    mlflow_process: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server whose experiment names a folder: a warning says what becomes of artifacts."""
    client = mlflow.MlflowClient(mlflow_process.uri)
    client.create_experiment("folder", artifact_location=str(tmp_path / "artifacts"))
    tracker = MlflowTracker(mlflow_process.uri, experiment="folder")
    tracker.open(info(tmp_path, remote=True), ())
    tracker.close("done", ())
    assert "stays on their workers" in caplog.text
    assert list((tmp_path / "artifacts").iterdir())
