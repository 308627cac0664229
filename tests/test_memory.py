"""A long study in little memory."""

import tracemalloc

import pytest

import manyfit
from manyfit.testing.scripted import ScriptedExecutor, reports

SPACE = {
    "rate": manyfit.Float(1e-4, 1e-1, log=True),
    "batch": manyfit.Int(16, 512, log=True),
    "shape": manyfit.Choice(["small", "medium", "large"]),
}


def study(n_trials, folder, executor=None):
    return manyfit.tune(
        len,
        SPACE,
        metric="loss",
        n_trials=n_trials,
        executor=executor
        or ScriptedExecutor(lambda task: reports(task, [0.5, 0.25, 0.125]), parallelism=4),
        sampler="random",
        seed=0,
        tracker=None,
        progress=None,
        folder=folder,
    )


@pytest.mark.parametrize("n_trials", [300, pytest.param(10_000, marks=pytest.mark.soak("memory"))])
def test_a_trial_takes_a_few_kilobytes(tmp_path, n_trials):
    """At its peak a study holds 2.5 kB a trial, however many it has."""
    study(10, tmp_path / "first")  # imports, and what is made once
    tracemalloc.start()
    try:
        result = study(n_trials, tmp_path / "long")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(result) == n_trials
    assert peak < 1_000_000 + 3_500 * n_trials


def test_a_report_takes_as_much_whatever_came_before_it(tmp_path):
    """A trial that reports every batch costs in proportion, in one long burst of reports too."""
    n_reports = 5_000
    reporting = ScriptedExecutor(lambda task: reports(task, [0.5] * n_reports), parallelism=1)
    study(10, tmp_path / "first")
    tracemalloc.start()
    try:
        result = study(1, tmp_path / "long", reporting)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(result[0].measurements) == n_reports
    assert peak < 1_000_000 + 2_000 * n_reports
