"""Fingerprints of work: what counts as a change, and what doesn't."""

import functools
import subprocess
import sys

import numpy as np
import pytest

from manyfit.fingerprint import differences, fingerprint


def made(source, **variables):
    """A function `train`, as a script defines it, with what surrounds it."""
    names = {"__name__": "__main__", **variables}
    exec(source, names)
    return names["train"]


BASE = """
def scaled(x):
    return x * FACTOR

def train(params):
    return scaled(params["x"])
"""


@pytest.mark.parametrize(
    ("changed", "variables", "names"),
    [
        (BASE, {"FACTOR": 2}, []),
        (BASE, {"FACTOR": 3}, ["FACTOR"]),
        (BASE.replace("x * FACTOR", "x + FACTOR"), {"FACTOR": 2}, ["scaled"]),
        (BASE.replace('params["x"]', 'params["y"]'), {"FACTOR": 2}, ["train"]),
        ("\n\n# moved\n" + BASE, {"FACTOR": 2}, []),
        (BASE.replace("def train(params):\n", 'def train(params):\n    "Doc."\n'), None, []),
        (BASE, {"FACTOR": 2, "UNUSED": 9}, []),
    ],
)
def test_code_and_what_it_uses_count_and_nothing_else(changed, variables, names):
    """The objective, the functions and variables that it uses; not lines, comments, docstrings."""
    before = fingerprint(made(BASE, FACTOR=2))

    assert differences(before, fingerprint(made(changed, **(variables or {"FACTOR": 2})))) == names


def test_what_work_was_given_counts():
    """Closures, arguments of a partial and an object's attributes are part of the work."""

    def factory(rows):
        return lambda params: params["x"] * rows.sum()

    class Objective:
        def __init__(self, epochs):
            self.epochs = epochs

        def __call__(self, params):
            return params["x"] * self.epochs

    for make, name in (
        (lambda n: factory(np.arange(n)), "rows"),
        (lambda n: functools.partial(Objective.__call__, epochs=n), "epochs"),
        (Objective, "epochs"),
        (lambda n: Objective(n).__call__, "epochs"),
    ):
        assert differences(fingerprint(make(3)), fingerprint(make(3))) == []
        assert differences(fingerprint(make(3)), fingerprint(make(4))) == [name]


def test_a_counter_is_no_setting():
    """A variable that the code sets itself changes from call to call, and says nothing."""
    source = "def train(params):\n    global calls\n    calls += 1\n    return 1.0\n"

    assert differences(fingerprint(made(source, calls=0)), fingerprint(made(source, calls=5))) == []


def test_another_python_is_not_compared():
    """Versions of Python compile the same text differently, so nothing is said of it."""
    assert differences({"Python": "3.11", "train": "1"}, {"Python": "3.12", "train": "2"}) == []


def test_digests_are_the_same_in_every_process():
    """Hash randomisation and addresses have no say."""
    code = (
        "from manyfit.fingerprint import fingerprint\n"
        "WORDS = {'a', 'b', 'c'}\n"
        "def train(params): return params['x'] in WORDS or params['x'] in {'d', 'e', 'f'}\n"
        "print(sorted(fingerprint(train).items()))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(said) == 1
    assert "WORDS" in said.pop()
