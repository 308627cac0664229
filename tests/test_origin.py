import functools
import hashlib
import subprocess
import sys

import pytest

from manyfit.origin import code_of, machine, packages


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A module in a git repository of its own, and a function that runs git there."""

    def git(*command):
        who = ("-c", "user.name=me", "-c", "user.email=me@here")
        subprocess.run(["git", "-C", str(tmp_path), *who, *command], check=True)

    (tmp_path / "models_of_mine.py").write_text("def train(params):\n    return 1.0\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    git("remote", "add", "origin", "https://me:s3cr3t-s3cr3t@host/models.git")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield git
    sys.modules.pop("models_of_mine", None)


def test_code_in_a_repository(project, tmp_path):
    """Where it can be imported from, the hash of its file, the commit, and no credential."""
    from models_of_mine import train

    file = tmp_path / "models_of_mine.py"
    file.write_text(file.read_text() + "# changed\n")
    code = code_of(train)

    assert code["import"] == "models_of_mine:train"
    assert code["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(code["commit"]) == 40
    assert code["dirty"] == "yes"
    assert code["remote"] == "https://[redacted]@host/models.git"


def test_code_that_no_import_finds(tmp_path, monkeypatch):
    """Functions in functions, partials and objects have a name, and no import."""
    monkeypatch.setattr("manyfit.origin.Path.cwd", lambda: tmp_path)

    def inner(params):
        return 1.0

    for objective in (inner, functools.partial(inner, 1), lambda params: 1.0):
        code = code_of(objective)
        assert "import" not in code
        assert code["name"]


def test_the_rest():
    """Packages have versions; the machine has a name."""
    assert packages()["pytest"] == pytest.__version__
    assert machine()["host"]
