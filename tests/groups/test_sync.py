"""The MLflow run of a call over groups is finished without running anything."""

from contextlib import closing

import mlflow
import pandas as pd
import pytest

from manyfit import Float, MlflowTracker, load_groups, tune_groups
from manyfit.cli import main
from manyfit.errors import StudyLockedError
from manyfit.groups.sync import sync_groups
from manyfit.journal.file import FileJournal

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),  # MLflow's own, about what it imports
]

ROWS = pd.DataFrame({"g": [g for g in "abc" for _ in range(3)], "y": [n / 9 for n in range(9)]})


def fit(group, params):
    if group["g"].iloc[0] == "b":
        raise ValueError("no data")
    return (params["x"] - group["y"].mean()) ** 2


@pytest.fixture
def tuned(tmp_path, here, monkeypatch):
    """Tunes three groups, one of which fails, with any tracker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for name in ("EXPERIMENT_ID", "EXPERIMENT_NAME", "RUN_ID"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)

    def run(tracker, **settings):
        return tune_groups(
            ROWS,
            by="g",
            objective=fit,
            space={"x": Float(0.0, 1.0)},
            metric="loss",
            n_trials=4,
            seed=0,
            name="missed",
            folder=tmp_path,
            tracker=tracker,
            progress=None,
            **settings,
        )

    return run


def runs(folder):
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    return {run.info.run_name: run for run in client.search_runs(["0"])}


@pytest.mark.usefixtures("short_http")
def test_all_of_a_call_is_written_once(tuned, tmp_path, capsys, caplog):
    """From the command line, for a call whose server was dead; the second time changes nothing."""
    result = tuned(MlflowTracker("http://127.0.0.1:9", wait=0), child_runs=True)
    assert "manyfit sync missed" in caplog.text
    place = f"sqlite:///{tmp_path}/mlflow.db"
    for _ in range(2):
        command = ["sync", "missed", "--folder", str(tmp_path), "--tracking-uri", place]
        assert main(command) == 0
        assert f"MLflow has all of missed.\n  tracking URI  {place}" in capsys.readouterr().out
        found = runs(tmp_path)
        assert set(found) == {"missed", "a", "b", "c"}
        parent = found["missed"]
        assert parent.info.status == "FINISHED"
        assert (parent.data.params["n_trials"], parent.data.params["sampler"]) == ("4", "auto")
        assert parent.data.metrics["groups_complete"] == 2
        assert parent.data.metrics["groups_done"] == 3
        assert parent.data.metrics["gain_p50"] == parent.data.metrics["median_gain"]
        assert found["b"].info.status == "FAILED"
        for key in "ac":
            row = result.table.set_index("g").loc[key]
            assert found[key].data.metrics["loss"] == row["value"]
            assert found[key].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert load_groups("missed", folder=tmp_path) == result


@pytest.mark.usefixtures("short_http")
def test_a_server_that_never_answered_a_call(tuned, tmp_path, caplog):
    """What it missed is kept for it, and goes to no other."""
    tuned(MlflowTracker("http://127.0.0.1:9", wait=1))
    caplog.clear()
    assert sync_groups("missed", folder=tmp_path, wait=0) is None
    assert "MLflow has not taken everything in time" in caplog.text
    assert not (tmp_path / "mlflow.db").exists()


def test_a_call_that_was_never_mirrored(tuned, tmp_path):
    """It has the params that its record knows, and no runs of groups."""
    tuned(None)
    assert sync_groups("missed", folder=tmp_path)
    (run,) = runs(tmp_path).values()
    assert run.data.params.keys() == {"by", "mode", "seed", "space"}
    assert run.info.status == "FINISHED"


def test_a_call_that_runs_is_left_alone(tuned, tmp_path):
    """Its own driver writes to MLflow."""
    tuned(None)
    with closing(FileJournal(tmp_path / "missed")), pytest.raises(StudyLockedError):
        sync_groups("missed", folder=tmp_path)
