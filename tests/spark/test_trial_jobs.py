"""A job for each trial, where no worker can dial in."""

import os
from secrets import token_hex

import numpy as np
import pytest

import manyfit
from manyfit.spark.executor import SparkExecutor
from manyfit.testing.remote import LocalSpark
from manyfit.trial import State

pytestmark = pytest.mark.integration

NOWHERE = "127.0.0.99"  # nobody listens there


def test_secrets_are_in_no_file(tmp_path, monkeypatch):
    """Spark writes functions and broadcasts to disk: the setup is there once, unreadable."""
    secret, constant = token_hex(16), token_hex(16)
    monkeypatch.setenv("BACKUP", secret)
    machine = LocalSpark(tmp_path / "machine")
    folder = machine.folder
    noise = np.random.default_rng(0).normal(size=300_000)

    def objective(params):
        files = [path.read_bytes() for path in folder.iterdir() if path.is_file()]
        known = [os.environ["BACKUP"].encode(), params["api_token"].encode()]
        return {
            "loss": float(noise[0]),
            "large": float(sum(len(data) > noise.nbytes for data in files)),
            "readable": float(sum(each in data for data in files for each in known)),
        }

    result = manyfit.tune(
        objective,
        {"x": manyfit.Float(0.0, 1.0), "api_token": constant},
        metric="loss",
        n_trials=3,
        executor=SparkExecutor(machine, 2, host=NOWHERE, secrets=["BACKUP"]),
        folder=tmp_path / "studies",
        sampler="random",
        tracker=None,
        progress=None,
    )

    assert result.count(State.COMPLETE) == 3
    assert {trial.metrics["large"] for trial in result} == {1.0}
    assert {trial.metrics["readable"] for trial in result} == {0.0}
    assert [path for path in folder.iterdir() if path.is_file()] == []
