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


def study(n_trials, folder):
    return manyfit.tune(
        len,
        SPACE,
        metric="loss",
        n_trials=n_trials,
        executor=ScriptedExecutor(lambda task: reports(task, [0.5, 0.25, 0.125]), parallelism=4),
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
