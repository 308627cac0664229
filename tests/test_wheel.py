"""The package as its users get it: built, alone, and light to import."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What each extra brings.
EXTRAS = {
    "arrow": "pyarrow",
    "connect": "grpc",
    "dask": "distributed",
    "delta": "deltalake",
    "demo": "keras",
    "joblib": "joblib",
    "mlflow": "mlflow",
    "pandas": "pandas",
    "plots": "plotly",
    "sklearn": "sklearn",
    "spark": "pyspark",
    "storage": "fsspec",
    "tensorflow": "tensorflow",
}
NEEDED = {"cloudpickle", "numpy", "optuna", "psutil", "rich", "scipy", "threadpoolctl"}
# Python runs it before anything else: what an extra brings is not to be found.
ALONE = f"""
import sys
sys.modules.update(dict.fromkeys({[*EXTRAS.values(), "jax"]!r}))
"""

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
        assert sys.modules.get(missing) is None
    try:
        result.table()
    except manyfit.MissingExtraError as error:
        print(error)
    print(manyfit.__file__)
"""
MLFLOW = """
import manyfit
try:
    from manyfit.trackers.mlflow import MlflowTracker
    manyfit.tune(abs, {}, metric="loss", n_trials=1, tracker=MlflowTracker())
except manyfit.MissingExtraError as error:
    print(error)
"""
LIST = "import sys; from manyfit.cli import main; sys.exit(main())"

pytestmark = pytest.mark.integration


def run(
    *command: object, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the wheel, in a folder that hides what extras bring."""
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(folder)
    (folder / "sitecustomize.py").write_text(ALONE)
    return folder


def fresh(folder: Path, what: str) -> Path:
    """Return a new Python that has a package and what that depends on."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    pinned = ("--constraint", ROOT / "constraints.txt")
    reached = run(*pip, *pinned, "--retries", "1", "cloudpickle")
    if reached.returncode != 0:
        pytest.skip(f"no package index can be reached: {reached.stderr.strip()[-200:]}")
    done = run(*pip, *pinned, what)
    assert done.returncode == 0, done.stderr
    return python


def check_alone(python: Path | str, folder: Path, env: dict[str, str]) -> str:
    """Tune in worker processes without any extra, list it, and ask for extras; say what from."""
    (folder / "training.py").write_text(OBJECTIVE)
    (folder / "tune.py").write_text(TUNE)
    done = run(python, "tune.py", cwd=folder, env=env)
    assert done.returncode == 0, done.stderr
    *_, refused, place = done.stdout.splitlines()
    assert "pip install 'manyfit[pandas]'" in refused
    listed = run(python, "-c", LIST, "list", cwd=folder, env=env)
    assert listed.returncode == 0, listed.stderr
    assert "tiny" in listed.stdout
    asked = run(python, "-c", MLFLOW, cwd=folder, env=env)
    assert asked.returncode == 0, asked.stderr
    assert "pip install 'manyfit[mlflow]'" in asked.stdout
    return place


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Tests and documents stay at home; the types and the licence travel."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"manyfit"}
    assert "manyfit/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_what_it_needs(unpacked: Path) -> None:
    """It asks for few packages; the others are extras; and it brings a command."""
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    found = message_from_bytes(metadata.read_bytes())
    wanted = [line for line in found.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^\w-]", line)[0] for line in wanted} == NEEDED
    assert set(found.get_all("Provides-Extra", [])) == EXTRAS.keys()
    commands = metadata.with_name("entry_points.txt").read_text()
    assert "[console_scripts]\nmanyfit = manyfit.cli:main\n" in commands


def test_it_is_enough_by_itself(unpacked: Path, tmp_path: Path) -> None:
    """A study in worker processes; only what needs an extra is refused, and names it."""
    env = {"PYTHONPATH": str(unpacked)}
    assert Path(check_alone(sys.executable, tmp_path, env)).is_relative_to(unpacked)


@pytest.mark.soak("wheels")
def test_installed_alone(wheel: Path, tmp_path: Path) -> None:
    """In a fresh Python it is installed with what it needs, tunes, and has its command."""
    python = fresh(tmp_path / "python", str(wheel))
    check_alone(python, tmp_path, {})
    listed = run(python.with_name("manyfit"), "list", cwd=tmp_path)
    assert "tiny" in listed.stdout


@pytest.mark.soak("wheels")
@pytest.mark.parametrize("extra", EXTRAS)
def test_installed_with_an_extra(wheel: Path, tmp_path: Path, extra: str) -> None:
    """Each extra can be installed with it, and brings what it is for."""
    if extra == "tensorflow" and sys.version_info >= (3, 14):
        pytest.skip("TensorFlow has no wheels for this Python yet")
    python = fresh(tmp_path / "python", f"{wheel}[{extra}]")
    env = {"KERAS_BACKEND": "jax"} if extra == "demo" else {}
    done = run(python, "-c", f"import manyfit, {EXTRAS[extra]}", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.soak("wheels")
def test_the_demo_runs_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """With its extra, `manyfit demo` tunes a classifier; without a network, of digits."""
    python = fresh(tmp_path / "python", f"{wheel}[demo]")
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    env = {**nowhere, "no_proxy": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = (python.with_name("manyfit"), "demo", "--trials", "2")
    done = run(*command, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Best by val_loss: trial " in done.stdout


def test_import_is_quick() -> None:
    """Loading the package costs less than half a second of a core."""

    def seconds() -> float:
        timed = "from time import process_time as t; a = t(); import manyfit; print(t() - a)"
        return float(run(sys.executable, "-c", timed).stdout)

    assert min(seconds() for _ in range(3)) < 0.5
