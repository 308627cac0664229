import sys

import numpy as np
import pytest

import manyfit
from manyfit import ArgumentError, Choice, Float, replay_trial, share

CODE = """
import numpy
import manyfit

def train(params):
    loss = params["x"] + numpy.random.rand()
    for step in range(3):
        manyfit.report(step, loss=loss / (step + 1))
    if params["x"] > 0.9:
        raise ValueError("too large")
    return {"loss": loss}
"""


def tuned(objective, folder, space=None, **options):
    defaults = {"metric": "loss", "n_trials": 4, "name": "one", "executor": "inline", "seed": 3}
    defaults |= {"tracker": None, "progress": None, "folder": folder, "pruner": None}
    return manyfit.tune(objective, space or {"x": Float(0.0, 1.0)}, **defaults | options)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module with an objective, in a folder that Python finds."""
    (tmp_path / "replayed_models.py").write_text(CODE)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    import replayed_models

    yield replayed_models
    del sys.modules["replayed_models"]


def test_an_imported_objective_gives_the_same(module, tmp_path):
    """With the trial's params and seed, each report and each metric is the same, to the bit."""
    tuned(module.train, tmp_path)
    log = {path: path.read_bytes() for path in tmp_path.rglob("*.log")}
    replay = replay_trial("one", 2, folder=tmp_path)

    assert replay.is_same
    assert list(replay.again) == ["loss", *(f"loss at step {step}" for step in range(3))]
    assert replay.changed == ()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.log")} == log


def test_what_has_changed_is_told(tmp_path):
    """Another result is shown beside the recorded one, with the change of code that explains it."""
    tuned(lambda params: {"loss": params["x"], "other": 1.0}, tmp_path)
    replay = replay_trial("one", 0, lambda params: params["x"] + 1, folder=tmp_path)

    assert not replay.is_same
    assert replay.differing == ("loss", "other")
    assert replay.again["loss"] == replay.recorded["loss"] + 1
    assert any("has changed" in phrase for phrase in replay.changed)


def test_shared_data_have_a_fingerprint(tmp_path):
    """Data that differ from those of the study are named."""

    def objective(data):
        return lambda params: params["x"] + float(data["x"].sum())

    tuned(objective(share(x=np.arange(3.0))), tmp_path)
    replay = replay_trial("one", 0, objective(share(x=np.arange(4.0))), folder=tmp_path)

    assert any(phrase.startswith("shared data data is ") for phrase in replay.changed)


def test_failures_and_pruned_trials(module, tmp_path):
    """A failure fails again for the same reason; a pruned trial ends where it was pruned."""
    tuned(module.train, tmp_path, start_with=[{"x": 0.95}], n_trials=1)
    failed = replay_trial("one", 0, folder=tmp_path)
    with manyfit.Study(
        {"x": Float(0.0, 1.0)}, metric="loss", name="two", folder=tmp_path, tracker=None, seed=3
    ) as study:
        trial = study.ask()
        study.report(trial, 0, loss=5.0)
        study.prune(trial)
    pruned = replay_trial("two", 0, module.train, folder=tmp_path)

    assert (failed.is_same, failed.state_again) == (True, "FAIL")
    assert failed.reason.startswith("ValueError: too large\nTraceback")
    assert pruned.state_again == "PRUNED"
    assert pruned.differing == ("loss at step 0",)


def test_what_can_not_be_run_again_says_what_to_do(tmp_path):
    """Objectives of notebooks, values known by name, trials that don't exist."""
    tuned(lambda params: 1.0, tmp_path)
    options = Choice([np.mean, np.median])
    tuned(lambda params: 1.0, tmp_path, {"by": options}, name="named", n_trials=1)
    with pytest.raises(ArgumentError, match=r"can't be imported: .*objective=\.\.\."):
        replay_trial("one", 0, folder=tmp_path)
    with pytest.raises(ArgumentError, match=r"has by .* by name only.*space="):
        replay_trial("named", 0, lambda params: 1.0, folder=tmp_path)
    with pytest.raises(ArgumentError, match="there is no trial 9: one has 4"):
        replay_trial("one", 9, folder=tmp_path)

    again = replay_trial("named", 0, lambda params: 1.0, folder=tmp_path, space={"by": options})
    assert again.is_same
