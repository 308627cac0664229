"""Spark clusters on this machine, from the pip package alone, for the demo and for tests.

They listen on loopback only, and write into one temporary folder. A cluster ends with its `with`
block, or with the Python process that started it, in whatever way that ends.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from manyfit.demo.java import StartError, java_home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Classes of Spark that Java maps into memory instead of loading them: scripts/archive.py makes it.
ARCHIVE = Path(sys.prefix) / "spark.jsa"
PATIENCE = 90.0  # seconds; 3 to 9 are usual
CONNECT = "org.apache.spark.sql.connect.service.SparkConnectServer"
# Runs a program that can't outlive us. Its pipe closes however we die; then its
# process group is killed. When the program ends by itself, so does the shell, which `poll` sees.
LEASH = '{ "$@"; kill -9 0; } & read -r _; kill -9 0'


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@dataclass(frozen=True)
class Daemon:
    """A program in the background, with its process group and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until the program has made a condition true.

        Raises:
            StartError: The program has ended, or the condition is still false after 90 seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if self.process.poll() is not None:
                raise StartError(f"Spark ended while it started. {tail(self.log)}")
            if time.monotonic() > deadline:
                raise StartError(f"Spark didn't start within {PATIENCE:.0f} s. {tail(self.log)}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End its whole process group with SIGKILL; does nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@dataclass
class Cluster:
    """A master, and workers that come and go.

    Attributes:
        folder: The folder of all logs and of the executors' files.
        cores: The number of tasks that each worker runs at once; the machine may have fewer cores.
        memory: The memory of each worker for the JVMs of executors, such as "1g".
        port: The master's port.
        status_port: The port on which the master serves its status as JSON.
        workers: The workers that have not been killed, by port. The processes of a worker are its
            process group, except Python's, which end when their executor has.
    """

    folder: Path
    cores: int
    memory: str
    port: int = field(default_factory=free_port)
    status_port: int = field(default_factory=free_port)
    workers: dict[int, Daemon] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The master's URL for sessions."""
        return f"spark://127.0.0.1:{self.port}"

    def add_workers(self, n: int = 1) -> list[int]:
        """Start workers, wait until the master knows them, and return their ports.

        Raises:
            StartError: One of them has ended, or the master doesn't know it after 90 seconds.
        """
        ports = [free_port() for _ in range(n)]
        for port in ports:
            command = ["spark-class", "org.apache.spark.deploy.worker.Worker", "--webui-port", "0"]
            command += ["--host", "127.0.0.1", "--port", f"{port}", "--cores", f"{self.cores}"]
            command += ["--memory", self.memory, "--work-dir", f"{self.folder}/work", self.url]
            self.workers[port] = launch(self.folder / f"worker-{port}.log", command)
        for port in ports:
            self.workers[port].wait_until(partial(self._knows, port))
        return ports

    def _knows(self, port: int) -> bool:
        return port in self.alive()

    def kill_worker(self, port: int) -> None:
        """End a worker and its executors with SIGKILL, as if its machine were gone."""
        self.workers.pop(port).kill()

    def alive(self) -> set[int]:
        """Return the ports of the workers that the master knows; none if it doesn't answer."""
        # urllib would use a proxy if the environment sets one.
        with contextlib.closing(HTTPConnection("127.0.0.1", self.status_port, timeout=5)) as line:
            try:
                line.request("GET", "/json/")
                workers = json.loads(line.getresponse().read())["workers"]
            except (OSError, HTTPException, ValueError):  # at first, it answers in HTML
                return set()
        return {worker["port"] for worker in workers if worker["state"] == "ALIVE"}


@contextlib.contextmanager
def standalone(workers: int = 2, cores: int = 1, memory: str = "1g") -> Iterator[Cluster]:
    """Run a standalone cluster.

    Raises:
        StartError: A part of it didn't start; the others are stopped.
    """
    with tempfile.TemporaryDirectory(prefix="spark-") as folder:
        cluster = Cluster(Path(folder), cores, memory)
        command = ["spark-class", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1"]
        command += ["--port", f"{cluster.port}", "--webui-port", f"{cluster.status_port}"]
        master = launch(cluster.folder / "master.log", command)
        try:
            master.wait_until(lambda: listens(cluster.port) and listens(cluster.status_port))
            cluster.add_workers(workers)
            yield cluster
        finally:
            for worker in [*cluster.workers]:
                cluster.kill_worker(worker)
            master.kill()


@contextlib.contextmanager
def connect_server(cluster: Cluster, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a Spark Connect server as an application of a cluster; yields its address for `remote`.

    Raises:
        StartError: It didn't start.
    """
    port = free_port()
    address = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": f"{port}",
    }
    options = {**small(cluster.folder), **address, **(settings or {})}.items()
    command = ["spark-submit", "--master", cluster.url, "--name", "connect", "--class", CONNECT]
    command += [part for name, value in options for part in ("--conf", f"{name}={value}")]
    server = launch(cluster.folder / f"connect-{port}.log", [*command, "spark-internal"])
    try:
        server.wait_until(lambda: listens(port))
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.kill()


@contextlib.contextmanager
def session(
    master: str, log: Path, settings: Mapping[str, str] | None = None
) -> Iterator["SparkSession"]:
    """Run a classic session in this process, which can have only one at a time.

    The first session starts a JVM that stays until this process ends. All output of Java goes to
    the `log` of the first.

    Raises:
        StartError: The JVM didn't start.
    """
    env = environment(log.parent)
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master)
    for name, value in {**small(log.parent), **(settings or {})}.items():
        builder = builder.config(name, value)
    with log.open("ab") as file, patch.dict(os.environ, env, clear=True):
        try:
            with stderr_to(file.fileno()):
                spark = builder.getOrCreate()
        except PySparkRuntimeError as error:
            raise StartError(f"{error}. {tail(log)}") from error
    try:
        yield spark
    finally:
        spark.stop()


def small(folder: Path) -> dict[str, str]:
    """Return settings of a session that starts fast, needs little memory and stays on loopback."""
    return {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraJavaOptions": java_options(folder),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.executor.extraJavaOptions": java_options(folder),
        "spark.executor.memory": "512m",  # for Java only; Python and its models are extra
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


def java_options(folder: Path) -> str:
    """Return options with which Java starts faster, and writes only into a folder."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    shared = f"-XX:SharedArchiveFile={ARCHIVE} " if ARCHIVE.exists() else ""
    return (
        f"{shared}-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData "
        f"-Djava.io.tmpdir={temporary}"
    )


def launch(log: Path, command: list[str]) -> Daemon:
    """Run one of Spark's own scripts in the background, in a process group of its own."""
    env = environment(log.parent)
    command[0] = f"{env['SPARK_HOME']}/bin/{command[0]}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["/bin/sh", "-c", LEASH, "sh", *command],
            env=env,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Daemon(process, log)


def environment(folder: Path) -> dict[str, str]:
    """Return this process's environment, with the Spark of this Python and no other.

    Raises:
        StartError: There is no PySpark, or no Java.
    """
    try:
        import pyspark
    except ModuleNotFoundError:
        raise StartError("PySpark is not installed: pip install 'manyfit[demo,spark]'") from None
    theirs = ("SPARK_", "PYSPARK_")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return {
        **ours,
        "JAVA_HOME": str(java_home(newest=17 if pyspark.__version__.startswith("3.") else 25)),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_DAEMON_JAVA_OPTS": f"{java_options(folder)} -Dspark.master.rest.enabled=false",
        "SPARK_DAEMON_MEMORY": "512m",
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_LOCAL_DIRS": f"{folder}/local",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def listens(port: int) -> bool:
    """Return whether a process listens on a port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def tail(log: Path) -> str:
    """Quote the end of a log, without INFO lines and stack frames."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    telling = [line for line in lines if " INFO " not in line and not line.startswith("\tat ")]
    return "\n  ".join(["It said at last:", *telling[-15:]])


@contextlib.contextmanager
def stderr_to(descriptor: int) -> Iterator[None]:
    """Redirect this process's stderr; a JVM that starts meanwhile keeps the redirection."""
    sys.stderr.flush()
    ours = os.dup(2)
    try:
        os.dup2(descriptor, 2)
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
