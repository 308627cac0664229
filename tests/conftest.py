"""Spark for tests: a cluster on this machine, and the three kinds of session that users have.

Each starts when a test first asks for it, the cluster in some 20 s, and lasts for the whole run.
Tests that use them are marked `integration`.

A process has one classic session at a time, so `spark` and `standalone_spark` can't both be in one
test; from one test to the next, the session changes in a second. `connect_spark` goes with either.
A test that kills a worker of the `cluster` adds another for the tests that follow; none stops a
session. What runs on workers must not be a function of a test's module: they don't have that.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle
import pytest

from manyfit.demo.cluster import Cluster, connect_server, session, standalone

if TYPE_CHECKING:
    from distributed import LocalCluster
    from pyspark.sql import SparkSession

# Tables of a few rows in 200 partitions would take a hundred times as long as in two. To compile
# Java for a query, or an expression of it, takes longer than such a query without; to describe it
# for the UI takes a fifth of its planning.
FEW = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.python.daemon.module": "manyfit.testing.python_daemon",
    "spark.sql.ui.explainMode": "simple",
}
# Of the cluster's 8 slots, 2 on each worker: so two applications find room.
SHARE = {"spark.cores.max": "4", "spark.executor.cores": "2", **FEW}
# The UI, on loopback, tells what Spark holds.
CLASSIC = {**SHARE, "spark.ui.enabled": "true", "spark.ui.port": "0"}


class ClassicSession:
    """The one that this process can have, on whichever master is asked for."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._master: str | None = None
        self._stack = contextlib.ExitStack()

    def on(self, master: str) -> "SparkSession":
        """Return the session on a master; one on another ends."""
        if master != self._master:
            self.stop()
            self._spark = self._stack.enter_context(session(master, self._log, CLASSIC))
            self._master = master
        return self._spark

    def stop(self) -> None:
        """End the session, if there is one."""
        self._stack.close()
        self._master = None


@pytest.hookimpl(wrapper=True)
def pytest_collect_file():
    """Don't search tests for examples in docstrings: they have none."""
    return [found for found in (yield) if type(found) is pytest.Module]


@pytest.fixture
def hangup() -> Iterator[None]:
    """SIGHUP ends processes, also if this run ignores it, as under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, also if this run ignores it, as in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Functions of the test's module travel without it: importing it takes a worker a second."""
    cloudpickle.register_pickle_by_value(request.module)
    yield
    cloudpickle.unregister_pickle_by_value(request.module)


@pytest.fixture
def patient_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have mirrors in MLflow wait as long as it takes: on a busy machine, nothing is left out."""
    monkeypatch.setattr("manyfit.trackers.mlflow_courier.PATIENCE", 30.0)
    monkeypatch.setattr("manyfit.trackers.mlflow_patience.CLOSE_QUIET", 60.0)
    monkeypatch.setattr("manyfit.trackers.mlflow_patience.CLOSE_TOTAL", 300.0)
    monkeypatch.setattr("manyfit.trackers.mlflow_patience.CLOSE_HASTE", 60.0)


@pytest.fixture
def short_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MLflow's client give up soon, so that what is left of a test ends with it."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A standalone cluster of two workers with 4 slots each."""
    with standalone(workers=2, cores=4, memory="2g") as running:
        yield running


@pytest.fixture(scope="session")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassicSession]:
    """What `spark` and `standalone_spark` share."""
    one = ClassicSession(tmp_path_factory.mktemp("spark") / "driver.log")
    yield one
    one.stop()


@pytest.fixture
def spark(classic: ClassicSession) -> "SparkSession":
    """A session whose executor is its own JVM, with 4 slots."""
    return classic.on("local[4]")


@pytest.fixture
def standalone_spark(cluster: Cluster, classic: ClassicSession) -> "SparkSession":
    """A session with an executor of 2 slots on each worker of the cluster."""
    return classic.on(cluster.url)


@pytest.fixture(scope="session")
def connect_url(cluster: Cluster) -> Iterator[str]:
    """The address of a Spark Connect server, whose executors are as those of `standalone_spark`."""
    with connect_server(cluster, SHARE) as url:
        yield url


@pytest.fixture(scope="session")
def connect_spark(connect_url: str) -> Iterator["SparkSession"]:
    """A session through Spark Connect."""
    from pyspark.sql import SparkSession

    remote = SparkSession.builder.remote(connect_url).create()
    # It has PySpark's functions make columns for Connect alone, and classic tests are yet to come.
    os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    yield remote
    remote.stop()


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["LocalCluster"]:
    """A Dask cluster of two worker processes with two threads each."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=2,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=str(tmp_path_factory.mktemp("dask")),
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster
