import os
import subprocess
import sys

import pytest

import manyfit
from manyfit.cli import main


def test_version(capsys):
    """The version is the package's."""
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])

    assert exit_.value.code == 0
    assert capsys.readouterr().out.strip() == f"manyfit {manyfit.__version__}"


@pytest.mark.parametrize("module", ["manyfit", "manyfit.cli"])
def test_python_m(module, folder):
    """The command line is also there without its script."""
    command = [sys.executable, "-m", module, "list", "--folder", str(folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "fashion" in shown.stdout


def test_a_ctrl_c_is_one_line(folder, capsys, monkeypatch):
    """No traceback: what is on record stays, and the same command goes on."""

    def interrupted(name, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("manyfit.cli.sync.sync_study", interrupted)
    assert main(["sync", "fashion", "--folder", str(folder)]) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert "run the same command to go on" in line


def test_a_reader_that_closes_the_pipe_is_no_error(folder):
    """`manyfit list | head -1`, of a page that was still in a buffer."""
    command = [sys.executable, "-m", "manyfit", "list", "--folder", str(folder), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
