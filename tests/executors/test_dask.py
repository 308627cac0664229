"""What the executor on Dask does beyond the contract: refusals, code, data, and deaths."""

import contextlib
import dataclasses
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

import manyfit
from manyfit import ArgumentError, DaskExecutor, ExecutorError, State
from manyfit.trial import Lost
from manyfit.worker.timings import Timings
from manyfit.worker.work import Work

pytestmark = pytest.mark.integration

QUICK = Timings(pause=0.1, probe=0.1, answer=2.0, cancel=2.0, home=0.5)


def until(condition):
    """Wait until something holds."""
    deadline = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def client(dask_cluster):
    """A client of two workers with two threads each."""
    with Client(dask_cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def tune(tmp_path):
    """Tune with what these tests have in common."""

    def run(objective, executor, n_trials=4, **options):
        return manyfit.tune(
            objective,
            {"x": manyfit.Float(0.0, 1.0)},
            metric="loss",
            n_trials=n_trials,
            executor=executor,
            name="it",
            folder=tmp_path / "studies",
            **{"sampler": "random", "pruner": None, "tracker": None, "progress": None, **options},
        )

    return run


@pytest.fixture
def own_cluster(tmp_path):
    """A function that starts a cluster for one test."""
    clusters = []

    def start(n_workers):
        clusters.append(
            LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                local_directory=str(tmp_path / "dask"),
                silence_logs="CRITICAL",
            )
        )
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.close()


# ── what is refused ───────────────────────────────────────────────────────────────────────────────


def test_no_client():
    """What is no client is refused by what it is."""
    with pytest.raises(ArgumentError, match=r"must be a distributed\.Client .* but got 'tcp://me"):
        DaskExecutor("tcp://me")


@pytest.mark.parametrize("parallelism", [None, 2])
def test_a_closed_client(dask_cluster, tune, tmp_path, parallelism):
    """The study isn't begun, and it says what to do."""
    client = Client(dask_cluster, set_as_default=False)
    client.close()
    with pytest.raises(ExecutorError, match=r"the Dask client is closed\. Start one, and run"):
        tune(lambda params: params["x"], DaskExecutor(client, parallelism))


def test_no_workers(own_cluster, tune):
    """Without workers parallelism must be given; one that comes later is used, with data."""
    cluster, data = own_cluster(0), manyfit.share(x=np.ones(2_000_000))
    with Client(cluster, set_as_default=False) as client:
        with pytest.raises(ArgumentError, match=r"no workers: start some, or give parallelism"):
            tune(lambda params: params["x"], DaskExecutor(client))
        executor = DaskExecutor(client, 2)
        threading.Timer(0.5, cluster.scale, args=(1,)).start()
        result = tune(lambda params: params["x"] * data["x"][-1], executor)
    assert result.count(State.COMPLETE) == 4


def test_a_cancel_ends_the_tasks_of_one_work(own_cluster, tmp_path):
    """What another work of the same executor has started goes on."""
    cluster, ends = own_cluster(0), {"kept": queue.SimpleQueue(), "cancelled": queue.SimpleQueue()}
    work = Work(
        print, manyfit.Space({"x": manyfit.Float(0.0, 1.0)}), manyfit.Metric("loss"), "it", tmp_path
    )
    with Client(cluster, set_as_default=False) as client:
        executor = DaskExecutor(client, 1)
        works = {name: executor.cluster(work) for name in ends}
        for name, each in works.items():
            each.start("manyfit.testing.clusters:echo", {}, ends[name].put)
        works["cancelled"].cancel()
        assert ends["cancelled"].get(timeout=60).said is None
        cluster.scale(1)
        assert ends["kept"].get(timeout=60).said["pid"]


def test_a_driver_that_workers_cannot_dial(client, tune):
    """The study ends before its first trial, and names the argument."""
    executor = DaskExecutor(client, 2, host="127.0.0.99", timings=QUICK)
    with pytest.raises(ExecutorError, match=r"reached at 127\.0\.0\.99.* Give host= \(and"):
        tune(lambda params: params["x"], executor)


# ── code and data ─────────────────────────────────────────────────────────────────────────────────


def test_code_and_data_travel(client, tune, tmp_path, monkeypatch):
    """A module beside the script is there, and shared data are one file for all workers."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "mf_for_dask.py").write_text("SCALE = 3.0\n")
    monkeypatch.syspath_prepend(project)
    data = manyfit.share(x=np.arange(2_000_000.0))

    def objective(params):
        from mf_for_dask import SCALE

        x = data["x"]
        mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        (inode,) = {part[4] for part in mapped if "/shared/" in part[-1]}
        return {"loss": params["x"], "last": float(x[-1]) * SCALE, "file": float(inode)}

    result = tune(objective, DaskExecutor(client), n_trials=6)
    assert result.failures() == ()
    assert {trial.metrics["last"] for trial in result} == {1_999_999.0 * 3.0}
    assert len({trial.metrics["file"] for trial in result}) == 1


# ── deaths ────────────────────────────────────────────────────────────────────────────────────────


def test_a_dask_worker_is_killed(own_cluster, tune, tmp_path):
    """Its attempt is lost and tried again elsewhere; every trial completes."""

    def objective(params):
        trial = manyfit.current_trial()
        if (trial.number, trial.attempt) == (1, 1):
            (tmp_path / "worker").write_text(str(os.getppid()))
            time.sleep(60)
        return params["x"]

    def kill():
        until(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text())
        until(lambda: manyfit.load_study("it", folder=tmp_path / "studies")[1].attempts)
        os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with Client(own_cluster(2), set_as_default=False) as client:
        result = tune(objective, DaskExecutor(client, timings=QUICK), n_trials=8)
    assert result.count(State.COMPLETE) == 8
    assert isinstance(result[1].attempts[0].end, Lost)
    assert len(result[1].attempts) == 2


@pytest.mark.soak("kills")  # at times, Dask starts no worker again
def test_the_only_worker_with_the_data_is_killed(own_cluster, tune):
    """Dask forgets data with the last worker that has them: the next worker gets them again."""
    data = manyfit.share(x=np.ones(2_000_000))

    def objective(params):
        trial = manyfit.current_trial()
        if (trial.number, trial.attempt) == (1, 1):
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return params["x"] * data["x"][-1]

    with Client(own_cluster(1), set_as_default=False) as client:
        result = tune(objective, DaskExecutor(client, timings=QUICK), timeout=120.0)
    assert result.count(State.COMPLETE) == 4


@pytest.fixture
def processes(tmp_path):
    """A scheduler and a worker of two threads, and the file that leads to them."""
    file, options = tmp_path / "scheduler.json", ("--host", "127.0.0.1", "--no-dashboard")
    worker = (*options, "--nthreads", "2", "--no-nanny", "--local-directory", str(tmp_path))
    with contextlib.ExitStack() as stack:

        def start(name, *options):
            module = [sys.executable, "-m", f"distributed.cli.dask_{name}"]
            command = [*module, "--scheduler-file", str(file), *options]
            process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            stack.callback(process.kill)
            return process

        yield start("scheduler", *options, "--port", "0"), start("worker", *worker), file


def test_scheduler_and_worker_are_killed(processes, tune, tmp_path):
    """The study ends and says how to go on; what had finished stays, and what ran doesn't count.

    A worker goes on without its scheduler: its trials of meanwhile are the study's.
    """
    scheduler, worker, file = processes

    def begun():
        return len(list(tmp_path.glob("begun-*")))

    def objective(params):
        (tmp_path / f"begun-{manyfit.current_trial().number}").touch()
        time.sleep(0.1)
        return params["x"]

    def kill():
        until(lambda: begun() >= 4)
        scheduler.kill()
        until(lambda: client.status != "running")
        before = begun()
        until(lambda: begun() >= before + 4)
        worker.kill()

    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(1)
        threading.Thread(target=kill, daemon=True).start()
        with pytest.raises(ExecutorError, match=r"scheduler is gone\. Start one, .* name='it' to"):
            tune(objective, DaskExecutor(client, timings=QUICK), n_trials=500)
    found = manyfit.load_study("it", folder=tmp_path / "studies")
    ends = [attempt.end for trial in found for attempt in trial.attempts]
    assert 0 < found.count(State.COMPLETE) < 500
    assert not any(isinstance(end, Lost) and end.counts for end in ends)


def test_a_study_whose_last_worker_is_gone_waits_and_says_so(processes, tune, caplog):
    """Another worker may come. The time limit of the study still holds."""
    _, worker, file = processes
    timings = dataclasses.replace(QUICK, patience=0.2)

    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(1)
        executor = DaskExecutor(client, 1, timings=timings)
        result = tune(
            lambda params: params["x"] if manyfit.current_trial().number == 0 else time.sleep(60),
            executor,
            timeout=4.0,
            on_trial_end=lambda result, trial: worker.kill(),
        )
    assert "timeout" in result.reason
    assert "no worker is left: the cluster starts none" in caplog.text
