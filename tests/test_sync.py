"""A mirror that has missed something is finished without running anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from manyfit import Float, MlflowTracker, load_study, tune
from manyfit.cli import main
from manyfit.errors import ArgumentError, StudyLockedError
from manyfit.journal.file import FileJournal
from manyfit.sync import sync_study
from manyfit.trackers.mlflow_ledger import Place, last_place

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about what it imports
]


@pytest.fixture
def unmirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a study that MLflow knows nothing of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for name in ("EXPERIMENT_ID", "EXPERIMENT_NAME", "RUN_ID"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)

    def run(objective: Callable[[dict[str, Any]], float], tracker: Any = None) -> None:
        tune(
            objective,
            {"x": Float(0.0, 1.0)},
            metric="loss",
            n_trials=3,
            name="missed",
            seed=0,
            executor="inline",
            folder=tmp_path,
            tracker=tracker,
            progress=None,
        )

    return run


def runs(folder: Path) -> dict[str, Any]:
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return {run.info.run_name: run for run in client.search_runs(["0"])}


def test_all_is_written_once(
    unmirrored: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command line, with all on record and a report; the second time changes nothing."""
    unmirrored(lambda params: float(params["x"]))
    for _ in range(2):
        assert main(["sync", "missed", "--folder", str(tmp_path)]) == 0
        place = f"tracking URI  sqlite:///{tmp_path}/mlflow.db\n  experiment    Default\n"
        assert f"MLflow has all of missed.\n  {place}" in capsys.readouterr().out
        found = runs(tmp_path)
        assert len(found) == 4
        assert {run.info.status for run in found.values()} == {"FINISHED"}
        for trial in load_study("missed", folder=tmp_path):
            run = found[f"{trial.number:05d}-missed"]
            assert run.data.params == {"x": str(trial.params["x"])}
            assert run.data.metrics == {"loss": trial.value}
            assert run.info.start_time == round(trial.attempts[0].started_at * 1000)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    kept = {item.path for item in client.list_artifacts(found["missed"].info.run_id)}
    assert kept == {"report.html", "space.json"}


@pytest.mark.usefixtures("short_http")
def test_a_server_that_never_answered(unmirrored: Callable[..., None], tmp_path: Path) -> None:
    """What it missed is kept for it, in the experiment that was asked for, and goes to no other."""
    away = MlflowTracker("http://127.0.0.1:9", "fashion", wait=1)
    unmirrored(lambda params: float(params["x"]), away)
    assert last_place(tmp_path / "missed") == Place("http://127.0.0.1:9", "fashion", "0")
    assert sync_study("missed", folder=tmp_path, wait=0) is None
    assert not (tmp_path / "mlflow.db").exists()


def test_what_a_killed_driver_ran_runs_no_more(
    unmirrored: Callable[..., None], tmp_path: Path
) -> None:
    """Nobody holds the study, so its driver is dead; the record is left as it is."""
    unmirrored(lambda params: float(params["x"]))
    journal = tmp_path / "missed" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-2]))  # the end of the last trial, and that of the study
    before = journal.read_bytes()
    assert sync_study("missed", folder=tmp_path)
    statuses = {name: run.info.status for name, run in runs(tmp_path).items()}
    assert statuses == {"missed": "KILLED", "00000-missed": "FINISHED", "00001-missed": "FINISHED"}
    assert journal.read_bytes() == before


def test_a_running_study_is_left_to_its_driver(
    unmirrored: Callable[..., None], tmp_path: Path
) -> None:
    """Two that write at once would make two runs of a trial."""
    unmirrored(lambda params: float(params["x"]))
    with FileJournal(tmp_path / "missed"), pytest.raises(StudyLockedError):
        sync_study("missed", folder=tmp_path)


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    """Nothing is made on disk for a name that was mistyped."""
    with pytest.raises(ArgumentError, match="no study 'mised'"):
        sync_study("mised", folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
