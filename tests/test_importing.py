import subprocess
import sys

import pytest

from manyfit import ArgumentError
from manyfit.importing import objective_at

SCRIPT = "def train(params):\n    return 1.0\n"


@pytest.fixture(autouse=True)
def modules_as_before(monkeypatch):
    """What a test imports is forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]
    sys.modules.update(before)


def test_a_script(tmp_path):
    """It is imported, not run, which needs the usual guard."""
    script = tmp_path / "train it.py"
    script.write_text(f"{SCRIPT}if __name__ == '__main__':\n    raise AssertionError\n")
    assert objective_at(f"{script}:train")({}) == 1.0

    script.write_text(SCRIPT)
    with pytest.raises(ArgumentError, match="has no 'if __name__"):
        objective_at(f"{script}:train")


def test_a_script_that_imports_multiprocessing_keeps_its_file(tmp_path):
    """That import names the main program `__mp_main__`, too, whose commit isn't the script's."""
    script = tmp_path / "train.py"
    script.write_text(f"import multiprocessing\n{SCRIPT}if __name__ == '__main__':\n    pass\n")
    program = (
        "from manyfit.importing import objective_at; from manyfit.origin import code_of\n"
        f"print(code_of(objective_at({f'{script}:train'!r}))['file'])"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert ended.stdout.strip() == str(script)


def test_a_module_in_its_folder(tmp_path):
    """A module is found in the folder that it was in, whatever the working folder is."""
    package = tmp_path / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(SCRIPT)
    found = objective_at("package_of_mine.models:train", str(package / "models.py"))
    assert found({}) == 1.0


@pytest.mark.parametrize(
    "place", ["no_such_module:train", "os:no_such_name", "train", "no.py:f", "os:sep"]
)
def test_what_is_not_there(place):
    """The message names the place and says what to do."""
    with pytest.raises(ArgumentError, match=f"the objective '{place}' "):
        objective_at(place)
