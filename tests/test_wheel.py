"""The package as its users get it: built, installed alone, and light to import."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

OBJECTIVE = """
import manyfit

def train(params):
    for step in range(3):
        manyfit.report(step, loss=params["x"] ** 2 + 3 - step)
    return {"loss": params["x"] ** 2}
"""
TUNE = """
import sys
import manyfit
from training import train

if __name__ == "__main__":
    result = manyfit.tune(
        train, {"x": manyfit.Float(-1.0, 1.0)}, metric="loss", n_trials=4, parallelism=2, seed=0,
        executor="processes", tracker=None, progress="plain", name="tiny",
    )
    assert len(result) == 4, result
    for missing in ("mlflow", "pandas", "keras", "sklearn"):
        assert missing not in sys.modules
    try:
        result.table()
    except manyfit.MissingExtraError as error:
        print(error)
"""
MLFLOW = """
import manyfit
try:
    from manyfit.trackers.mlflow import MlflowTracker
    manyfit.tune(abs, {}, metric="loss", n_trials=1, tracker=MlflowTracker())
except manyfit.MissingExtraError as error:
    print(error)
"""


def run(*command: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has the wheel and what it depends on, without any extra."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    pinned = ("--constraint", ROOT / "constraints.txt")
    reached = run(*pip, *pinned, "--retries", "1", "cloudpickle")
    if reached.returncode != 0:
        pytest.skip(f"no package index can be reached: {reached.stderr.strip()[-200:]}")
    done = run(*pip, *pinned, wheel)
    assert done.returncode == 0, done.stderr
    return python


@pytest.mark.integration
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Tests, demo and documents stay at home; the types and the licence travel."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"manyfit"}
    assert "manyfit/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.integration
def test_tunes_without_any_extra(python: Path, tmp_path: Path) -> None:
    """A study in worker processes; only what needs an extra is refused, and names it."""
    (tmp_path / "training.py").write_text(OBJECTIVE)
    (tmp_path / "tune.py").write_text(TUNE)
    done = run(python, "tune.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pip install 'manyfit[pandas]'" in done.stdout
    listed = run(python.with_name("manyfit"), "list", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "tiny" in listed.stdout


@pytest.mark.integration
def test_mlflow_is_an_extra(python: Path, tmp_path: Path) -> None:
    """Asked for by name where it isn't installed, it says how to install it."""
    done = run(python, "-c", MLFLOW, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "pip install 'manyfit[mlflow]'" in done.stdout


def test_import_is_quick() -> None:
    """Loading the package costs less than half a second even on a busy machine."""

    def seconds() -> float:
        done = run(sys.executable, "-X", "importtime", "-c", "import manyfit")
        (line,) = (line for line in done.stderr.splitlines() if line.endswith("| manyfit"))
        return int(line.split("|")[1]) / 1e6

    assert min(seconds() for _ in range(3)) < 0.5
