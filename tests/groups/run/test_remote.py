"""Groups of a pandas DataFrame on a cluster: a stand-in of processes, and Dask."""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import manyfit
from manyfit import ArgumentError, DaskExecutor, ExecutorError, Float
from manyfit.groups.record.row import FAIL, GroupRow
from manyfit.groups.run.batch import Portion
from manyfit.groups.run.batch_runner import GroupBatch
from manyfit.groups.run.remote import RemoteRunner
from manyfit.remote.cluster import TaskEnded
from manyfit.testing.remote import ProcessCluster, ProcessClusterExecutor
from manyfit.worker.timings import Timings

pytestmark = pytest.mark.integration

QUICK = Timings(pause=0.1, probe=0.1, beat=0.1, answer=2.0, cancel=2.0, home=0.5)
TIMES = ["seconds", "fit_seconds", "worker"]


def frame(groups, rows=6):
    x = np.arange(groups * rows, dtype=float)
    return pd.DataFrame({"g": np.repeat(np.arange(groups), rows), "x": x % 7})


def fit(group, params):
    return {"error": abs(params["level"] - group["x"].mean())}, float(group["x"].sum())


@contextlib.contextmanager
def own_dask(folder):
    """A client of a cluster of two processes that a test may kill."""
    cluster = LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(folder / "dask"),
        silence_logs="CRITICAL",
    )
    with cluster, Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def machine(tmp_path):
    """A cluster of processes."""
    return ProcessCluster(tmp_path / "machine")


@pytest.fixture
def tune(tmp_path):
    """Tune groups with what these tests have in common."""

    def run(executor=None, data=None, objective=fit, name="it", **options):
        return manyfit.tune_groups(
            frame(12) if data is None else data,
            by="g",
            objective=objective,
            space={"level": Float(0.0, 10.0)},
            metric="error",
            executor=executor,
            name=name,
            folder=tmp_path / "calls",
            **{"n_trials": 4, "seed": 0, "tracker": None, "progress": None, **options},
        )

    return run


@pytest.fixture
def client(dask_cluster):
    """A client of two workers with two threads each."""
    with Client(dask_cluster, set_as_default=False) as client:
        yield client


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param("independent", marks=pytest.mark.soak("contracts")),
        "shared",
        pytest.param("transfer", marks=pytest.mark.soak("contracts")),
    ],
)
def test_it_is_as_on_one_machine(client, tune, mode):
    """In each mode the table is that of a call without a cluster, but for times and places."""
    here = tune(data=frame(6), name="here", mode=mode, n_trials=2)
    there = tune(DaskExecutor(client, 2), frame(6), name="there", mode=mode, n_trials=2)
    pd.testing.assert_frame_equal(here.table.drop(columns=TIMES), there.table.drop(columns=TIMES))
    assert there.failures() == ()
    assert there.table["worker"].str.len().min() > 0


def test_many_rows(client, tune):
    """Rows above what travels with the work are broadcast, and models come home."""
    data = frame(20, rows=40_000)
    result = tune(DaskExecutor(client), data, keep_models=True)
    assert result.failures() == ()
    assert len(result.table) == 20
    assert result.model_of(19) == data[data["g"] == 19]["x"].sum()


@pytest.mark.soak("contracts")
def test_a_process_for_each_batch(machine, tune):
    """A cluster whose tasks share nothing does the same."""
    result = tune(ProcessClusterExecutor(machine, timings=QUICK), frame(4))
    assert result.failures() == ()
    assert len(result.table) == 4


def test_a_dask_worker_is_killed(tmp_path, tune):
    """What had ended stays, what it was at is done elsewhere, and each group has one row."""
    (tmp_path / "fits").mkdir()

    def killing(group, params):
        number = int(group["g"].iloc[0])
        (tmp_path / "fits" / f"{number}-{time.monotonic_ns()}").touch()
        if number == 5 and not (tmp_path / "worker").exists():
            (tmp_path / "pid").write_text(str(os.getppid()))
            (tmp_path / "pid").rename(tmp_path / "worker")
            time.sleep(60)
        return fit(group, params)

    def kill():
        while not (tmp_path / "worker").exists():
            time.sleep(0.02)
        time.sleep(0.5)  # rows of before are on their way
        os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with own_dask(tmp_path) as client:
        result = tune(DaskExecutor(client, timings=QUICK), objective=killing)
    assert result.failures() == ()
    assert sorted(result.table["g"]) == list(range(12))


class Worker:
    """Tasks of a cluster; some groups end their worker, and rows that were not sent are lost."""

    def __init__(self, *, ending, reruns):
        self.ending = ending
        self.reruns = reruns  # whether the cluster, like Dask, runs a task again by itself
        self.orders = []
        self.waiting = False

    def start(self, runner):
        self.waiting = True

    def run(self, runner):
        self.waiting = False
        while not self._once(runner) and self.reruns:
            pass
        runner.take_end(TaskEnded({} if self.ended else None, "killed"))

    def _once(self, runner):
        number = len(self.orders)
        order = [portion[0] for portion in runner.join(number)["portions"]]
        self.orders.append(order)
        self.ended = self.ending.isdisjoint(order)
        for group in order if self.ended else ():
            runner.take_row(GroupRow(group, "COMPLETE"))
        runner.leave(number)
        return self.ended


def batch_on(worker, groups=10):
    """Run a batch to its end; returns the states of groups, and the rows that failed."""
    runner, rows = RemoteRunner(worker), []
    runner.submit(GroupBatch(tuple(Portion(f"[{n}]", 3 * n, 3 * n + 3) for n in range(groups))))
    while runner.busy:
        if worker.waiting:
            worker.run(runner)
        rows += runner.poll()
    return [row.group for row in rows], [row for row in rows if row.state == FAIL]


@pytest.mark.parametrize("reruns", [False, True])
def test_groups_that_end_their_worker(reruns):
    """They are found, tried twice more by themselves, and fail; all others end, each once."""
    worker = Worker(ending={"[4]", "[5]", "[9]"}, reruns=reruns)
    ended, failed = batch_on(worker)
    assert ended == [f"[{n}]" for n in range(10)]
    assert [row.group for row in failed] == ["[4]", "[5]", "[9]"]
    assert "its worker died 2 times with nothing but this group" in failed[0].reason
    assert failed[0].rows == 3
    assert [worker.orders.count([group]) for group in ("[4]", "[5]", "[9]")] == [2, 2, 2]
    assert len(worker.orders) < 20


def test_a_worker_that_dies_by_chance():
    """No group fails, though another worker dies in the next task."""
    worker = Worker(ending={"[1]"}, reruns=False)
    worker.start = lambda runner: (
        setattr(worker, "waiting", True),
        worker.ending.clear() if len(worker.orders) > 2 else None,
    )
    assert batch_on(worker) == ([f"[{n}]" for n in range(10)], [])


@pytest.mark.soak("contracts")
def test_a_group_that_ends_its_dask_worker(tmp_path, tune):
    """Only that group fails, although Dask starts the worker and the task again each time."""

    def killing(group, params):
        if int(group["g"].iloc[0]) == 5:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return fit(group, params)

    with own_dask(tmp_path) as client:
        result = tune(DaskExecutor(client, timings=QUICK), frame(40), objective=killing)
    assert sorted(result.table["g"]) == list(range(40))
    (failure,) = result.failures()
    assert failure.keys == (5,)
    assert "its worker died" in failure.reason


def test_a_call_that_is_interrupted(machine, tune, tmp_path):
    """Its tasks leave, and the same call goes on where it was."""

    def interrupting(group, params):
        if int(group["g"].iloc[0]) == 1 and not (tmp_path / "told").exists():
            (tmp_path / "told").touch()
            os.kill(driver, signal.SIGINT)
            time.sleep(60)
        return fit(group, params)

    driver = os.getpid()
    executor = ProcessClusterExecutor(machine, timings=QUICK)
    first = tune(executor, frame(3), objective=interrupting)
    assert "interrupted" in first.reason
    deadline = time.monotonic() + 20
    while machine.tasks and time.monotonic() < deadline:
        time.sleep(0.05)
    assert machine.tasks == {}
    assert first.table["g"].tolist() != [*range(3)]
    again = tune(None, frame(3), objective=interrupting)
    assert len(again.table) == 3
    assert again.failures() == ()


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def test_a_closed_client(dask_cluster, tune):
    """Nothing runs, and it says how to go on."""
    client = Client(dask_cluster, set_as_default=False)
    executor = DaskExecutor(client, 2)
    client.close()
    with pytest.raises(ExecutorError, match=r"the Dask client is closed\. Start one, and run"):
        tune(executor)


def test_other_executors(machine, tune):
    """A word is refused by what it is; so is a parallelism beside the executor's own."""
    with pytest.raises(ArgumentError, match="must be a DaskExecutor, a SparkExecutor or None, but"):
        tune("processes")
    with pytest.raises(ArgumentError, match="parallelism is given by the executor"):
        tune(ProcessClusterExecutor(machine), parallelism=2)


def test_a_driver_that_tasks_cannot_dial(machine, tune):
    """The call ends, and names the argument."""
    executor = ProcessClusterExecutor(machine, host="127.0.0.99", timings=QUICK)
    with pytest.raises(ExecutorError, match=r"reached at 127\.0\.0\.99.* Give host= \(and"):
        tune(executor)


def test_a_cluster_that_ends(machine, tune, tmp_path):
    """The call says so, and how to go on; what had ended is on record."""

    def ending(group, params):
        if int(group["g"].iloc[0]) == 1:
            (tmp_path / "told").touch()
            time.sleep(60)
        return fit(group, params)

    def end():
        while not (tmp_path / "told").exists():
            time.sleep(0.02)
        machine.stop()

    threading.Thread(target=end, daemon=True).start()
    with pytest.raises(ExecutorError, match=r"cluster was stopped\. .* with name='it' to"):
        tune(ProcessClusterExecutor(machine, timings=QUICK), frame(3), objective=ending)
