"""Scripts written for Hyperopt, with only the import changed."""

import re
from pathlib import Path

import pytest

SCRIPTS = {path.stem: path for path in (Path(__file__).parent / "scripts").glob("*.py")}
# These fit models, which takes seconds.
SLOW = ("boosting", "classifiers", "model_in_result")
# Hyperopt itself leaves the files of this one open, for which a later test would be blamed.
CLEAN = SCRIPTS.keys() - {"continued"}


def marked(names, slow):
    return [pytest.param(n, marks=slow if n in SLOW else ()) for n in sorted(names)]


def moved(source):
    """The source with only its imports changed."""
    source = re.sub(
        "^import hyperopt$", "import manyfit.hyperopt as hyperopt", source, flags=re.MULTILINE
    )
    return re.sub("^from hyperopt", "from manyfit.hyperopt", source, flags=re.MULTILINE)


def run(name, change=str):
    path = SCRIPTS[name]
    exec(compile(change(path.read_text(encoding="utf-8")), path, "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("name", marked(SCRIPTS, pytest.mark.integration))
def test_a_script_runs_with_only_its_import_changed(name, tmp_path, monkeypatch):
    """All that a script asserts of Hyperopt is true of Manyfit."""
    monkeypatch.chdir(tmp_path)

    run(name, moved)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", marked(CLEAN, pytest.mark.soak("contracts")))
def test_what_a_script_asserts_is_true_of_hyperopt(name, tmp_path, monkeypatch):
    """The scripts are right about Hyperopt itself."""
    pytest.importorskip("hyperopt")
    monkeypatch.chdir(tmp_path)

    run(name)
