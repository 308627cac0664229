"""What SparkExecutor refuses before anything runs; a stand-in for Spark's session is enough."""

import socket

import numpy as np
import pytest

import manyfit
from manyfit import ArgumentError, ExecutorError, Float, SparkExecutor
from manyfit.testing.remote import LocalSpark


@pytest.fixture
def machine(tmp_path):
    return LocalSpark(tmp_path / "machine")


def tune_once(objective, executor, folder):
    manyfit.tune(
        objective,
        {"x": Float(0.0, 1.0)},
        metric="loss",
        n_trials=1,
        executor=executor,
        folder=folder / "studies",
        tracker=None,
        progress=None,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parallelism": 0}, "parallelism must be a whole number, at least 1, or None, but got 0"),
        ({"port": 70_000}, "port must be a whole number, at least 0, at most 65535, but got 70000"),
        ({"gpus_per_trial": -1}, "gpus_per_trial must be a number, at least 0, but got -1"),
        ({"env": {"DEPTH": 3}}, "env must map names to strings, but got 'DEPTH': 3"),
        ({"env": ["DEPTH"]}, r"env must map names to strings, but got \['DEPTH'\]"),
        ({"env": {"A=B": "x"}}, "env can't have a variable 'A=B' with the value 'x': a name may"),
        ({"env": {"A": "x\0"}}, r"env can't have a variable 'A' .* neither of them a NUL"),
        ({"env": {"API_TOKEN": "x"}}, r"API_TOKEN in env looks like a secret.*secrets=\['API_TOK"),
        ({"secrets": "API_TOKEN"}, "secrets must be a list of names"),
        ({"secrets": 5}, "secrets must be a list of names"),
        ({"secrets": [5]}, "secrets must be a list of names"),
        ({"host": 3}, "host must be a name or an address, or None, but got 3"),
        ({"storage": ""}, "storage must be a folder or a URL, or None, but got ''"),
        ({"channel": 5}, "channel must be a folder or a URL, or None, but got 5"),
        ({"secrets": ["MF_NOT_SET"]}, "secrets names MF_NOT_SET, which this process's environment"),
    ],
)
def test_bad_arguments(machine, options, message):
    """Each names the argument, the rule and what was given."""
    with pytest.raises(ArgumentError, match=message):
        SparkExecutor(machine, **options)


def test_no_session():
    """What is no session is refused by what it is."""
    with pytest.raises(ArgumentError, match="spark must be a SparkSession, but got 'local'"):
        SparkExecutor("local")


def test_a_port_that_is_taken(machine, tmp_path):
    """Where it can't listen, it says where that was, and what to give; what was offered is gone."""
    storage = tmp_path / "storage"
    data = manyfit.share(x=np.zeros(2_000_000))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        executor = SparkExecutor(machine, 1, port=port, storage=str(storage))
        with pytest.raises(ExecutorError, match=f"can't listen for workers at .*port {port}"):
            tune_once(lambda _: float(data["x"][0]), executor, tmp_path)

    assert not storage.exists() or list(storage.iterdir()) == []


def test_no_more_workers_than_trials(machine, tmp_path):
    """A study of one trial on a cluster of many slots starts one worker."""
    executor = SparkExecutor(machine, 8)
    sizes = set()
    poll = executor.poll
    executor.poll = lambda *args: (poll(*args), sizes.add(executor.parallelism))
    tune_once(lambda params: params["x"], executor, tmp_path)

    assert max(sizes) == 1
