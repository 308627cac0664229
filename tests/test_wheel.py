"""What is published: the wheel, built and tried without any extra installed."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment that holds the wheel and what it requires, no more."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    constraints = ["--constraint", ROOT / "constraints.txt"]
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", *constraints, wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Could not find a version" in done.stderr or "NewConnectionError" in done.stderr:
        pytest.skip("no package index can be reached to install the wheel's requirements from")
    assert done.returncode == 0, done.stderr
    return python


def run(python, code, folder):
    """Run a script far from the checkout."""
    script = folder / "script.py"
    script.write_text(code)
    return subprocess.run([python, script], cwd=folder, capture_output=True, text=True, check=False)


def test_holds_the_package_and_its_type_marker_only(wheel):
    """Tests, demo and documents are not installed on anybody's machine."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}

    assert "manyfit/py.typed" in names
    assert "manyfit/worker/child.py" in names
    assert {top for top in tops if not top.endswith(".dist-info")} == {"manyfit"}


def test_tunes_without_any_extra(python, tmp_path):
    """Worker processes, TPE, the journal and the command line need nothing optional."""
    code = """
import manyfit

def train(params):
    return params["x"]

result = manyfit.tune(train, {"x": manyfit.Float(0, 1)}, metric="loss", n_trials=12, name="s")
print(result.count(manyfit.State.COMPLETE))
"""
    done = run(python, code, tmp_path)
    assert done.stdout.strip() == "12", done.stderr

    command = python.with_name("manyfit")
    shown = subprocess.run(
        [command, "show", "s"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "12 COMPLETE" in shown.stdout, shown.stderr


def test_an_optional_part_names_the_extra_that_brings_it(python, tmp_path):
    """A table without pandas, or a tracker without MLflow, says what to install."""
    code = """
import manyfit

space = {"x": manyfit.Float(0, 1)}
options = {"metric": "loss", "n_trials": 1, "executor": "inline", "progress": None}
result = manyfit.tune(lambda params: 1.0, space, **options)
try:
    result.table()
except manyfit.MissingExtraError as error:
    print(error)
"""
    done = run(python, code, tmp_path)

    assert "pip install 'manyfit[pandas]'" in done.stdout, done.stderr
