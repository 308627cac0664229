import json

import pytest

from manyfit.cli import main


@pytest.fixture
def script(folder):
    """A file with the objective of the study, a little changed."""
    path = folder / "changed.py"
    code = 'def train(params):\n    return {"loss": params["x"] + 1, "accuracy": 1 - params["x"]}\n'
    path.write_text(f"{code}if __name__ == '__main__':\n    pass\n")
    return path


def test_it_compares(folder, script, capsys):
    """What differs is in a table, what has changed in sentences, and the status is 1."""
    command = ["replay", "fashion", "--trial", "0", "--folder", str(folder)]
    assert main([*command, "--objective", f"{script}:train"]) == 1
    output = capsys.readouterr().out
    assert main([*command, "--objective", f"{script}:train", "--json"]) == 1
    replay = json.loads(capsys.readouterr().out)

    assert output.startswith("Trial 0 of fashion, run again for ")
    assert "changed  folder.<locals>.train is gone" in output
    assert "│ loss " in output
    assert "│ accuracy " not in output
    assert replay["again"]["loss"] == replay["recorded"]["loss"] + 1


def test_an_objective_of_a_function(folder, capsys):
    """It can't be imported; the message says how to go on, with status 2."""
    assert main(["replay", "fashion", "--trial", "0", "--folder", str(folder)]) == 2
    assert "manyfit.replay_trial('fashion', N, objective=...)" in capsys.readouterr().err
