"""The demo's training function, called plainly, on each backend."""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

# In a process of its own, since Keras keeps the backend that it is imported with.
SCRIPT = """
import json, random, sys
from pathlib import Path
import numpy as np
import manyfit
from manyfit.demo import classifier
from manyfit.demo.data import Dataset, Part, load
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.context import Context, CurrentTrial, entered

digits = load(None)
blinded = Dataset(digits.train, digits.validation, Part(digits.test.images, digits.test.labels * 0))
params = {"batch_size": 64, "learning_rate": 0.003, "structure": "small"}

def train(data, **others):
    random.seed(7)
    np.random.seed(7)
    if "tensorflow" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(7)
    return classifier.train({**params, **others}, data)

classifier.MAX_EPOCHS = 4
facts = {"first": train(digits), "blind": train(blinded)}

def train_in_trial(channel, **others):
    trial = CurrentTrial(0, 1, 7, "study", Path())
    with entered(Context(trial, channel, metric="val_loss")):
        return train(digits, **others)

seen = facts["reports"] = []
classifier.MAX_EPOCHS = 40
channel = Channel(lambda report: seen.append(dict(report.metrics)))
facts["stopped_early"] = train_in_trial(channel, learning_rate=0.1)

stopping = Channel(lambda report: stopping.request(Stop("hopeless")) if report.step == 1 else None)
try:
    train_in_trial(stopping)
except manyfit.TrialStopped as request:
    facts["pruned"] = str(request)

facts["sizes"] = [
    classifier.build(structure, (8, 8)).count_params() for structure in ("small", "medium", "large")
]
print(json.dumps(facts))
"""

pytestmark = pytest.mark.integration


@pytest.fixture(
    scope="module",
    params=["jax", pytest.param("tensorflow", marks=pytest.mark.soak("tensorflow"))],
)
def facts(request: pytest.FixtureRequest, jax_that_compiles_soon: dict[str, str]) -> dict[str, Any]:
    """What became of a few short trainings."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"there is no {request.param} for this Python")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={
            **os.environ,
            **jax_that_compiles_soon,
            "KERAS_BACKEND": request.param,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_plain_call_learns(facts: dict[str, Any]) -> None:
    """It needs no study, and returns losses and accuracies of all three parts."""
    metrics = facts["first"]
    parts = ("", "val_", "test_")
    names = {f"{part}{name}" for part in parts for name in ("loss", "accuracy")}
    assert set(metrics) == {*names, "epochs", "n_parameters"}
    assert metrics["val_accuracy"] > 0.7
    assert metrics["epochs"] == 4


def test_the_same_seed_gives_the_same_model(facts: dict[str, Any]) -> None:
    """To the last digit; and the test images decide nothing, though all their labels be wrong."""
    differing = {name for name, value in facts["blind"].items() if value != facts["first"][name]}
    assert differing == {"test_loss", "test_accuracy"}


def test_reports_every_epoch(facts: dict[str, Any]) -> None:
    """Under the names by which the metrics are returned in the end."""
    names = {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert {frozenset(report) for report in facts["reports"]} == {frozenset(names)}
    assert len(facts["reports"]) == facts["stopped_early"]["epochs"] < 40


def test_early_stopping_restores_the_best_weights(facts: dict[str, Any]) -> None:
    """What is returned is the best epoch, not the last."""
    losses = [report["val_loss"] for report in facts["reports"]]
    assert losses[-1] > min(losses)
    assert facts["stopped_early"]["val_loss"] == pytest.approx(min(losses), rel=1e-4)


def test_pruning_leaves_keras_at_once(facts: dict[str, Any]) -> None:
    """The request to stop passes through Keras unharmed."""
    assert facts["pruned"] == "hopeless"


def test_structures_are_named_by_size(facts: dict[str, Any]) -> None:
    """Small has fewer parameters than medium, and that fewer than large."""
    assert facts["sizes"] == sorted(set(facts["sizes"]))
