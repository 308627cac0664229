"""A job for each trial, where no worker can dial in."""

import json
import os
import queue
from secrets import token_hex
from types import SimpleNamespace

import numpy as np
import pytest

import manyfit
from manyfit.event_lines import encode
from manyfit.events import AttemptFinished, AttemptLost
from manyfit.metric import Metric
from manyfit.spark.executor import SparkExecutor
from manyfit.spark.trial_jobs import TrialJobs
from manyfit.testing.remote import LocalSpark
from manyfit.trial import State
from manyfit.worker.timings import Timings
from manyfit.worker.work import Task, Work

NOWHERE = "127.0.0.99"  # nobody listens there


class FakeCluster:
    """One whose jobs end as a test says, with an answer or an error."""

    profile = None

    def __init__(self):
        self.session = self
        self.answers = queue.SimpleQueue()
        self.cancelled = queue.SimpleQueue()

    def mark(self, tag, title, pool):
        pass

    def run(self, function, *, profile):
        answer = self.answers.get(timeout=10)
        if isinstance(answer, Exception):
            raise answer
        return [json.dumps(answer)]

    def cancel(self, tag):
        self.cancelled.put(tag)

    def ended(self):
        return None


@pytest.fixture
def trial_jobs(tmp_path):
    """Jobs on a fake cluster, and their inbox; a trial is in each of them."""
    cluster, inbox = FakeCluster(), queue.SimpleQueue()
    space = manyfit.Space({"x": manyfit.Float(0.0, 1.0)})
    work = Work(lambda params: params["x"], space, Metric("loss"), "study", tmp_path)
    equipment = SimpleNamespace(
        setup=SimpleNamespace(packed=dict, token="token"),
        broadcasts=SimpleNamespace(parcel=lambda setup: setup, broadcasts={}),
    )
    timings = Timings(aftermath=0.0)
    jobs = TrialJobs(cluster, work, equipment, size=2, channel=None, inbox=inbox, timings=timings)
    jobs.submit(Task(3, 1, {"x": 0.5}, seed=0))
    yield jobs, cluster, inbox
    jobs.close()


FINISHED = AttemptFinished(3, 1, {"loss": 0.5}, 0.1, 12.0)


@pytest.mark.parametrize(
    "answer",
    [RuntimeError("Job 7 cancelled"), {"events": [encode(FINISHED)], "log": ""}],
    ids=["cancelled", "too late"],
)
def test_a_killed_trial_ends_once(trial_jobs, answer):
    """A trial is lost when it is killed; whatever its job says afterwards counts for nothing."""
    jobs, cluster, inbox = trial_jobs
    jobs.stop(3, 1, "too slow", kill=True)
    assert cluster.cancelled.get(timeout=5) == "manyfit-token-3-1"
    cluster.answers.put(answer)
    jobs.take(inbox.get(timeout=5))
    (end,) = jobs.events
    assert isinstance(end, AttemptLost)
    assert (end.reason, end.counts) == ("too slow", False)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RuntimeError("no executor"), "Spark failed its job: no executor"),
        ({"lost": "Spark lost its task"}, "Spark lost its task"),
        ({"missing": "No module named 'manyfit'"}, "No module named 'manyfit'"),
    ],
)
def test_a_job_that_fails(trial_jobs, answer, reason):
    """Its trial is lost, which counts, and says how; a second message of it changes nothing."""
    jobs, cluster, inbox = trial_jobs
    cluster.answers.put(answer)
    ended = inbox.get(timeout=5)
    jobs.take(ended)
    jobs.take(ended)
    (end,) = jobs.events
    assert (end.number, end.attempt, end.reason, end.counts) == (3, 1, reason, True)


def test_a_trial_that_ends_by_itself(trial_jobs):
    """What it said comes home with its job."""
    jobs, cluster, inbox = trial_jobs
    cluster.answers.put({"events": [encode(FINISHED)], "log": ""})
    jobs.take(inbox.get(timeout=5))
    assert [*jobs.events] == [FINISHED]


@pytest.mark.integration
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
