"""TrialJobs that end, in every way they can, and what is done about it."""

import json
import queue
import threading
import time
from dataclasses import replace

import pytest

from manyfit.errors import ExecutorError
from manyfit.spark.watch import SessionEnded
from manyfit.spark.worker_jobs import Ended, UnreachableDriverError, WorkerJobs
from manyfit.worker.timings import Timings

QUICK = Timings(home=0.1, pause=0.05, outage=60.0, aftermath=0.01)


class FakeSession:
    """One whose jobs end as a test says."""

    def __init__(self):
        self.ends = queue.SimpleQueue()
        self.began = threading.Semaphore(0)
        self.cancelled = []
        self.timings = QUICK
        self.end = None

    def ended(self):
        return self.end

    def run(self, function, *, tag, **_):
        self.began.release()
        end = self.ends.get(timeout=10)
        if isinstance(end, Exception):
            raise end
        return [json.dumps(end)]

    def cancel(self, tag):
        self.cancelled.append(tag)
        self.ends.put(RuntimeError("cancelled"))


@pytest.fixture
def session():
    """A session."""
    return FakeSession()


@pytest.fixture
def inbox():
    """Where ends come in."""
    return queue.SimpleQueue()


@pytest.fixture
def worker_jobs(session, inbox):
    """What keeps the jobs going."""
    keeper = WorkerJobs(
        session, None, tag="t", title="Trials", profile=None, inbox=inbox, timings=QUICK
    )
    yield keeper
    keeper.close(lambda: 0)


@pytest.fixture
def end(session, inbox):
    """A function that ends a running job, and returns what came of it."""

    def end_with(said):
        assert session.began.acquire(timeout=5)
        session.ends.put(said)
        return inbox.get(timeout=5)

    return end_with


def test_what_a_task_said_comes_in(worker_jobs, end):
    """The end of a job is put into the inbox, with its task's own words."""
    worker_jobs.start()
    assert end({"left": "hung up"}) == Ended({"left": "hung up"})


def test_a_job_that_fails_comes_in(worker_jobs, end):
    """So is a failure, without Java's frames."""
    worker_jobs.start()
    error = ValueError("Task 0 failed\n    at org.apache.spark.Some.where(Some.scala:1)")
    assert end(error) == Ended(None, "Task 0 failed")


def test_a_job_that_fails_with_its_session(worker_jobs, end, session, inbox):
    """That the session has ended comes in first: it explains the failure."""
    session.end = "it was stopped"
    worker_jobs.start()
    assert end(RuntimeError("Job 7 cancelled")) == SessionEnded("it was stopped")
    assert inbox.get(timeout=5) == Ended(None, "Job 7 cancelled")


def test_a_job_that_ends_is_begun_again(worker_jobs, end, session):
    """A worker that was lost, or whose driver's connection broke, is replaced."""
    worker_jobs.start()
    for said in ({"left": "the connection broke"}, RuntimeError("executor lost")):
        assert worker_jobs.take(end(said), first=False) is None
        worker_jobs.joined()
    assert session.began.acquire(timeout=5)


def test_one_less(worker_jobs, end, session):
    """A worker that is no use, or can't dial in where others can, isn't begun again."""
    for _ in range(3):
        worker_jobs.start()
    assert (
        worker_jobs.take(end({"left": "disk full", "for_good": True}), first=False) == "disk full"
    )
    assert worker_jobs.take(end({"unreachable": "no route"}), first=False) == "no route"
    assert session.began.acquire(timeout=5)  # the third
    assert not session.began.acquire(timeout=0.4)


def test_nobody_is_left(worker_jobs, end):
    """When the last of them is no use either, nothing can go on, and it says why."""
    for _ in range(2):
        worker_jobs.start()
    worker_jobs.take(end({"left": "disk full", "for_good": True}), first=False)
    with pytest.raises(ExecutorError, match=r"no worker is left\. The last one: no memory"):
        worker_jobs.take(end({"left": "no memory", "for_good": True}), first=False)


def test_nobody_can_dial_in(worker_jobs, end):
    """Before any has, a worker that can't reach the driver means that none can."""
    worker_jobs.start()
    with pytest.raises(UnreachableDriverError, match="no route"):
        worker_jobs.take(end({"unreachable": "no route"}), first=True)


def test_manyfit_is_missing(worker_jobs, end):
    """It says where, and in which Python."""
    worker_jobs.start()
    said = {"missing": "No module named 'manyfit'", "place": {"name": "host3"}}
    with pytest.raises(ExecutorError, match="can't be imported on host3: No module"):
        worker_jobs.take(end(said), first=True)


def test_jobs_that_keep_failing(worker_jobs, end):
    """Before any has worked, the third failure in a row is the last, and is shown."""
    worker_jobs.start()
    for _ in range(2):
        assert worker_jobs.take(end(RuntimeError("no such queue")), first=True) is None
    with pytest.raises(ExecutorError, match=r"can't run Manyfit's workers\. no such queue"):
        worker_jobs.take(end(RuntimeError("no such queue")), first=True)


def test_an_outage_is_waited_for(worker_jobs, end):
    """A cluster that has had workers may restart: its failures end nothing until it takes long."""
    worker_jobs.start()
    worker_jobs.joined()
    for _ in range(4):
        assert worker_jobs.take(end(RuntimeError("no master")), first=False) is None


def test_an_outage_has_an_end(session, end, inbox):
    """When there has been no worker for too long, the third failure in a row is the last."""
    timings = replace(QUICK, outage=0.0)
    worker_jobs = WorkerJobs(
        session, None, tag="t", title="Trials", profile=None, inbox=inbox, timings=timings
    )
    worker_jobs.start()
    for _ in range(2):
        assert worker_jobs.take(end(RuntimeError("no master")), first=False) is None
    with pytest.raises(ExecutorError, match=r"can't run Manyfit's workers\. no master"):
        worker_jobs.take(end(RuntimeError("no master")), first=False)
    worker_jobs.close(lambda: 0)


def test_closing_lets_jobs_end(session, inbox):
    """As long as one after another ends, also one that has waited for a slot, none is cancelled."""
    worker_jobs = WorkerJobs(
        session,
        None,
        tag="t",
        title="Trials",
        profile=None,
        inbox=inbox,
        timings=replace(QUICK, home=0.3, cancel=60.0),
    )
    for _ in range(3):
        worker_jobs.start()

    def end():
        for _ in range(3):
            time.sleep(0.15)
            session.ends.put({"left": "the study ended"})

    threading.Thread(target=end).start()
    worker_jobs.close(lambda: 0)
    assert session.cancelled == []
    assert [inbox.get(timeout=5).error for _ in range(3)] == [""] * 3


def test_closing_cancels_what_does_not_leave(session, inbox):
    """Tasks are given time to leave by themselves; what is left is cancelled."""
    worker_jobs = WorkerJobs(
        session, None, tag="t", title="Trials", profile=None, inbox=inbox, timings=QUICK
    )
    worker_jobs.start()
    assert session.began.acquire(timeout=5)
    worker_jobs.close(lambda: 0)
    assert "t" in session.cancelled
    assert inbox.get(timeout=5) == Ended(None, "cancelled")
