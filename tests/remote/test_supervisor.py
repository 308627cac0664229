"""Workers whose tasks end, in every way they can, and what is done about it."""

import queue
import threading
import time
from dataclasses import replace

import pytest

from manyfit.errors import ExecutorError
from manyfit.remote.cluster import TaskEnded
from manyfit.remote.supervisor import Supervisor, UnreachableDriverError
from manyfit.remote.watch import ClusterEnded
from manyfit.worker.timings import Timings

QUICK = Timings(home=0.1, pause=0.05, outage=60.0, aftermath=0.01)


class FakeCluster:
    """One whose tasks end as a test says."""

    def __init__(self):
        self.tells = queue.SimpleQueue()
        self.began = threading.Semaphore(0)
        self.cancels = 0
        self.end = None
        self.refuses = None

    def ended(self):
        return self.end

    def start(self, entry, settings, tell):
        assert (entry, settings) == ("manyfit.remote.worker:serve", {"secret": b"s"})
        if self.refuses is not None:
            raise self.refuses
        self.tells.put(tell)
        self.began.release()

    def finish(self, said):
        """End the task that began first."""
        tell = self.tells.get(timeout=5)
        tell(TaskEnded(None, str(said)) if isinstance(said, Exception) else TaskEnded(said))

    def cancel(self):
        self.cancels += 1
        while not self.tells.empty():
            self.finish(RuntimeError("cancelled"))


@pytest.fixture
def cluster():
    """A cluster."""
    return FakeCluster()


@pytest.fixture
def inbox():
    """Where ends come in."""
    return queue.SimpleQueue()


@pytest.fixture
def supervisor(cluster, inbox):
    """What keeps the workers going."""
    keeper = Supervisor(cluster, {"secret": b"s"}, inbox.put, QUICK)
    yield keeper
    keeper.close(lambda: 0)


@pytest.fixture
def end(cluster, inbox):
    """A function that ends a running task, and returns what came of it."""

    def end_with(said):
        assert cluster.began.acquire(timeout=5)
        cluster.finish(said)
        return inbox.get(timeout=5)

    return end_with


def test_what_a_task_said_comes_in(supervisor, end):
    """The end of a task is told, with its own words."""
    supervisor.start()
    assert end({"left": "hung up"}) == TaskEnded({"left": "hung up"})


def test_a_task_that_fails_with_its_cluster(supervisor, end, cluster, inbox):
    """That the cluster has ended comes in first: it explains the failure."""
    cluster.end = "it was stopped"
    supervisor.start()
    assert end(RuntimeError("Job 7 cancelled")) == ClusterEnded("it was stopped")
    assert inbox.get(timeout=5) == TaskEnded(None, "Job 7 cancelled")


def test_a_cluster_that_takes_no_task(supervisor, cluster, inbox):
    """What it raises is the task's failure, and ends no thread of the study's."""
    cluster.refuses = OSError("closed")
    supervisor.start()
    assert inbox.get(timeout=5) == TaskEnded(None, "OSError: closed")


def test_a_worker_that_ends_is_begun_again(supervisor, end, cluster):
    """A worker that was lost, or whose driver's connection broke, is replaced."""
    supervisor.start()
    for said in ({"left": "the connection broke"}, RuntimeError("executor lost")):
        assert supervisor.take(end(said), first=False) is None
        supervisor.joined()
    assert cluster.began.acquire(timeout=5)


def test_one_less(supervisor, end, cluster):
    """A worker that is no use, or can't dial in where others can, isn't begun again."""
    for _ in range(3):
        supervisor.start()
    assert supervisor.take(end({"left": "disk full", "for_good": True}), first=False) == "disk full"
    assert supervisor.take(end({"unreachable": "no route"}), first=False) == "no route"
    assert cluster.began.acquire(timeout=5)  # the third
    assert not cluster.began.acquire(timeout=0.4)


def test_nobody_is_left(supervisor, end):
    """When the last of them is no use either, nothing can go on, and it says why."""
    for _ in range(2):
        supervisor.start()
    supervisor.take(end({"left": "disk full", "for_good": True}), first=False)
    with pytest.raises(ExecutorError, match=r"no worker is left\. The last one: no memory"):
        supervisor.take(end({"left": "no memory", "for_good": True}), first=False)


def test_nobody_can_dial_in(supervisor, end):
    """Before any has, a worker that can't reach the driver means that none can."""
    supervisor.start()
    with pytest.raises(UnreachableDriverError, match="no route"):
        supervisor.take(end({"unreachable": "no route"}), first=True)


def test_manyfit_is_missing(supervisor, end):
    """It says where, and in which Python."""
    supervisor.start()
    said = {"missing": "No module named 'manyfit'", "place": {"name": "host3"}}
    with pytest.raises(ExecutorError, match="can't be imported on host3: No module"):
        supervisor.take(end(said), first=True)


def test_tasks_that_keep_failing(supervisor, end):
    """Before any has worked, the third failure in a row is the last, and is shown."""
    supervisor.start()
    for _ in range(2):
        assert supervisor.take(end(RuntimeError("no such queue")), first=True) is None
    with pytest.raises(ExecutorError, match=r"can't run Manyfit's workers\. no such queue"):
        supervisor.take(end(RuntimeError("no such queue")), first=True)


def test_an_outage_is_waited_for(supervisor, end):
    """A cluster that has had workers may restart: its failures end nothing until it takes long."""
    supervisor.start()
    supervisor.joined()
    for _ in range(4):
        assert supervisor.take(end(RuntimeError("no master")), first=False) is None


def test_an_outage_has_an_end(cluster, end, inbox):
    """When there has been no worker for too long, the third failure in a row is the last."""
    supervisor = Supervisor(cluster, {"secret": b"s"}, inbox.put, replace(QUICK, outage=0.0))
    supervisor.start()
    for _ in range(2):
        assert supervisor.take(end(RuntimeError("no master")), first=False) is None
    with pytest.raises(ExecutorError, match=r"can't run Manyfit's workers\. no master"):
        supervisor.take(end(RuntimeError("no master")), first=False)
    supervisor.close(lambda: 0)


def test_closing_lets_tasks_end(cluster, inbox):
    """As long as one after another ends, also one that has waited for a slot, none is cancelled."""
    timings = replace(QUICK, home=0.3, cancel=60.0)
    supervisor = Supervisor(cluster, {"secret": b"s"}, inbox.put, timings)
    for _ in range(3):
        supervisor.start()

    def end():
        for _ in range(3):
            time.sleep(0.15)
            cluster.finish({"left": "the study ended"})

    threading.Thread(target=end).start()
    supervisor.close(lambda: 0)
    assert cluster.cancels == 0
    assert [inbox.get(timeout=5).error for _ in range(3)] == [""] * 3


def test_closing_cancels_what_does_not_leave(cluster, inbox):
    """Tasks are given time to leave by themselves; what is left is cancelled."""
    supervisor = Supervisor(cluster, {"secret": b"s"}, inbox.put, QUICK)
    supervisor.start()
    assert cluster.began.acquire(timeout=5)
    supervisor.close(lambda: 0)
    assert cluster.cancels == 1
    assert inbox.get(timeout=5) == TaskEnded(None, "cancelled")


def test_nothing_begins_once_it_is_closed(cluster, inbox):
    """A worker that was to begin after a pause doesn't."""
    supervisor = Supervisor(cluster, {"secret": b"s"}, inbox.put, QUICK)
    supervisor.start(pause=0.1)
    supervisor.close(lambda: 0)
    assert not cluster.began.acquire(timeout=0.2)
