"""What is quoted of a log when its worker died."""

import subprocess
import sys

import pytest

from manyfit.worker.last_words import last_words


@pytest.fixture
def log(tmp_path):
    """The path of a log."""
    return tmp_path / "log"


def test_what_was_said_last(log):
    """The last lines that say anything, on one line and not too long; nothing of no log."""
    assert last_words(log) == ""
    log.write_bytes(b"first\n" * 10_000 + b"a\r50%\r100%\n\n  b  \n\xff\n\n")
    assert last_words(log) == "100% | b | \ufffd"
    log.write_text("x" * 10_000)
    assert len(last_words(log)) == 300


CRASH = """epoch 2
epoch 3
Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "/env/lib/python3.11/site-packages/net/_core.py", line 7 in forward
  File "/env/lib/python3.11/site-packages/net/__init__.py", line 9 in fit
  File "/home/ann/train.py", line 12 in <lambda>
  File "/home/ann/run.py", line 40 in main

Thread 0x00007e (most recent call first):
  File "/home/ann/other.py", line 1 in other

Extension modules: """


@pytest.mark.parametrize(
    "modules", ["numpy (total: 1)", "scipy.a.b, " * 3000], ids=["few modules", "many modules"]
)
def test_where_a_crash_was(log, modules):
    """The function that it happened in and the user's own that called it, and what was before."""
    log.write_text(CRASH + modules + "\n")
    assert last_words(log) == (
        "epoch 2 | epoch 3 | Fatal Python error: Segmentation fault in forward (_core.py:7), "
        "called from <lambda> (train.py:12)"
    )


def test_a_crash_without_frames(log):
    """In a thread of C alone there is no place to name."""
    log.write_text(
        "Fatal Python error: Aborted\n\nCurrent thread 0x7f (most recent call first):\n"
        "  <no Python frame>\n"
    )
    assert last_words(log) == "Fatal Python error: Aborted"


def test_a_crash_of_this_python(log):
    """The report is read as this version of Python writes it."""
    code = "import ctypes, faulthandler; faulthandler.enable(all_threads=False)\n"
    code += "def train(): ctypes.string_at(0)\ntrain()"
    with log.open("wb") as file:
        subprocess.run([sys.executable, "-c", code], stderr=file, check=False)
    said = last_words(log)
    assert said.startswith("Fatal Python error: Segmentation fault in string_at (ctypes/__init__")
    assert said.endswith(", called from train (<string>:2)")
