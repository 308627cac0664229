"""Numbers a user gives: refused where they are given, and in words."""

import math
from dataclasses import fields

import numpy as np
import pytest

import manyfit
from manyfit import ArgumentError, AshaPruner, Float, MedianPruner, NoImprovement, Study, Target
from manyfit._checks import check_number
from manyfit.arguments import checked_choices, checked_limits
from manyfit.budget import Budget
from manyfit.executors.processes import ProcessExecutor
from manyfit.executors.threads import ThreadExecutor

WHOLE = {
    "NoImprovement": NoImprovement,
    "MedianPruner(min_steps)": lambda value: MedianPruner(min_steps=value),
    "MedianPruner(n_startup)": lambda value: MedianPruner(n_startup=value),
    "AshaPruner(min_steps)": lambda value: AshaPruner(min_steps=value),
    "AshaPruner(reduction)": lambda value: AshaPruner(reduction=value),
    "BaselinePruner(by_step)": lambda value: manyfit.BaselinePruner(0.5, by_step=value),
    "BaselinePruner(patience)": lambda v: manyfit.BaselinePruner(0.5, by_step=3, patience=v),
    "FoldPruner": lambda value: manyfit.FoldPruner(folds=value),
    "ThreadExecutor": ThreadExecutor,
    "ProcessExecutor": ProcessExecutor,
    **{
        name: lambda value, name=name: Study({"x": Float(0, 1)}, metric="m", **{name: value})
        for name in ("seed", "max_attempts", "lag", "n_trials", "max_failures")
    },
    **{
        name: lambda value, name=name: manyfit.tune(
            lambda p: 1.0, {"x": Float(0, 1)}, metric="m", **{"n_trials": 1, name: value}
        )
        for name in ("n_trials", "parallelism", "cpus_per_trial", "max_failures", "repeats")
    },
}
REAL = {
    "Target": Target,
    "BaselinePruner": lambda value: manyfit.BaselinePruner(value, by_step=3),
    **{
        name: lambda value, name=name: manyfit.tune(
            lambda p: 1.0, {"x": Float(0, 1)}, metric="m", n_trials=1, **{name: value}
        )
        for name in ("timeout", "trial_timeout", "trial_memory")
    },
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A study without a folder is made in the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, np.True_, "3", 2.5, -3, [1]], ids=repr)
@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_whole_numbers(make, value):
    """NaN, infinity, a truth value, text, a fraction, a negative number and a list are refused."""
    with pytest.raises(ArgumentError, match=r"must be a whole number, at least .*, but got"):
        make(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, np.True_, "1h", "2GB", [1]], ids=repr)
@pytest.mark.parametrize("make", REAL.values(), ids=REAL)
def test_real_numbers(make, value):
    """Whatever is not a finite number is refused."""
    with pytest.raises(ArgumentError, match=r"must be a number.*, but got"):
        make(value)


def test_the_unit_is_named():
    """The message names the unit, and what else is accepted."""
    message = "timeout must be a number of seconds, at least 0, or None, but got '1h' \\(str\\)"
    with pytest.raises(ArgumentError, match=message):
        check_number("timeout", "1h", least=0, unit="seconds", also="None")
    with pytest.raises(ArgumentError, match="port must be a whole number, at least 0, at most 9"):
        check_number("port", 10, least=0, most=9, whole=True)


def test_numbers_of_numpy_are_numbers():
    """As they come out of a table."""
    assert Target(np.float32(0.5)).value == 0.5
    assert MedianPruner(min_steps=np.int64(3)).min_steps == 3
    assert check_number("n", 10**400, whole=True) == 10**400


def test_numbers_are_kept_as_plain_ones():
    """What JSON, ctypes and the operating system are given later has no NumPy in it."""
    three, half = np.int64(3), np.float32(0.5)
    settings = [
        Target(half),
        NoImprovement(three),
        MedianPruner(min_steps=three, n_startup=three),
        AshaPruner(min_steps=three, reduction=three),
        manyfit.BaselinePruner(half, by_step=three, patience=three),
        manyfit.FoldPruner(folds=three),
        Budget(n_trials=three, timeout=half, max_failures=three, repeats=three),
    ]
    kept = [getattr(each, field.name) for each in settings for field in fields(each)]
    kept += [*checked_choices(three, "raise", three, three), *checked_limits(half, three, three)]
    kept += [ThreadExecutor(three).parallelism, ProcessExecutor(three).parallelism]
    assert {type(value) for value in kept if value != ()} == {int, float}


def test_a_study_runs_on_numbers_of_numpy(tmp_path):
    """Counts and limits that come out of a table reach the workers' pools and the journal."""
    three = np.int64(3)
    whole = dict.fromkeys(("n_trials", "parallelism", "cpus_per_trial", "seed", "lag"), three)
    result = manyfit.tune(
        lambda params: params["x"],
        {"x": Float(0, 1)},
        metric="m",
        executor="threads",
        trial_timeout=np.float64(60),
        tracker=None,
        progress=None,
        folder=tmp_path,
        **whole,
    )
    assert [trial.state.value for trial in result] == ["COMPLETE"] * 3


@pytest.mark.parametrize(
    "steps", [["1"], [None], [1.5], [math.nan], [True], [-1], [5, 4], [3, 3]], ids=repr
)
def test_steps_told_are_as_those_reported(steps, tmp_path_factory):
    """`Study.report` refuses what `manyfit.report` does, and nothing of it is on record."""
    folder = tmp_path_factory.mktemp("studies")
    options = {"metric": "m", "tracker": None, "folder": folder, "name": "s", "seed": 0}
    with Study({"x": Float(0, 1)}, pruner=None, **options) as study:
        trial = study.ask()
        *good, bad = steps
        for step in good:
            study.report(trial, step, m=1.0)
        with pytest.raises(manyfit.MetricError, match="step"):
            study.report(trial, bad, m=1.0)
        with pytest.raises(manyfit.MetricError, match="has no metrics"):
            study.report(trial, 9)
        study.report(trial, 10, m=1.0)
        study.tell(trial, 1.0)
    with Study({"x": Float(0, 1)}, pruner="median", **options) as study:
        assert [each.step for each in study.result()[0].measurements] == [*good, 10]
