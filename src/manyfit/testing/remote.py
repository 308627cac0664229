"""Replacements for a SparkSession and for a cluster without Java, for tests of remote workers."""

import contextlib
import functools
import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from manyfit.executors.remote import RemoteExecutor
from manyfit.remote.cluster import Reach, TaskEnded, call
from manyfit.worker.work import Work

_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from manyfit.testing.remote import main; main()"
)


_MOST_IN_MEMORY = 1 << 20  # bytes of a function; see spark.broadcast.UDFCompressionThreshold


class LocalSpark:
    """The part of a SparkSession that `SparkExecutor` needs; each task is a local Python process.

    Everything between driver and worker is as on a cluster: pickled functions, the network, a
    folder on the machine. Spark's own behaviour is imitated in that a job fails when its process
    dies, that cancelling a job kills it, and that some of the driver's values are written to disk:
    broadcasts until they are destroyed, and functions above 1 MB permanently.

    Args:
        folder: The folder for temporary files of workers.
        slots: The number of tasks that may run at once.

    Example:
        >>> spark = LocalSpark(getfixture("tmp_path"), slots=4)
        >>> SparkExecutor(spark, parallelism=2).parallelism
        2
    """

    version = "4.0.0"

    def __init__(self, folder: Path, slots: int = 8) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.conf = {"spark.master": f"local[{slots}]"}
        self.sparkContext = self
        self._slots = slots
        self._stopped = False
        self.tasks: dict[subprocess.Popen[bytes], str] = {}  # tasks → tags of jobs
        self._own = threading.local()  # jobs belong to the thread that runs them

    @property
    def defaultParallelism(self) -> int:  # noqa: N802
        """The number of tasks that run at once.

        Raises:
            RuntimeError: It was stopped.
        """
        if self._stopped:
            raise RuntimeError("Cannot call methods on a stopped SparkContext.")
        return self._slots

    def stop(self) -> None:
        """Kill all tasks, and accept no more."""
        self._stopped = True
        for process in tuple(self.tasks):
            process.kill()

    def addJobTag(self, tag: str) -> None:  # noqa: N802 - these names are Spark's
        """Tag the jobs of this thread."""
        self._own.tag = tag

    def setJobGroup(self, group: str, title: str) -> None:  # noqa: N802
        """Do nothing: titles of jobs aren't imitated."""

    def setLocalProperty(self, name: str, value: str) -> None:  # noqa: N802
        """Change nothing: all jobs share the machine alike."""

    def cancelJobsWithTag(self, tag: str) -> None:  # noqa: N802
        """Kill the tasks of jobs with a tag."""
        for process, its in tuple(self.tasks.items()):
            if its == tag:
                process.kill()

    def broadcast(self, value: Any) -> "Broadcast":
        """Write a value to a file for all tasks."""
        return Broadcast(self._written(pickle.dumps(value)))

    def range(self, *_: int) -> "LocalSpark":
        """Return rows, whose contents don't matter."""
        return self

    def mapInArrow(self, function: Callable[..., Any], _schema: str) -> "_Job":  # noqa: N802
        """Return a job of one task."""
        return _Job(self, function)

    def run(self, function: Callable[..., Any]) -> list[str]:
        """Run a task to its end.

        Raises:
            RuntimeError: Its process died, or the session was stopped.
        """
        if self._stopped:
            raise AttributeError("'NoneType' object has no attribute 'sc'")  # as PySpark has it
        pickled = cloudpickle.dumps(function)
        if len(pickled) > _MOST_IN_MEMORY:
            self._written(pickled)
        texts: list[str] = _run(_texts, pickled, self.folder, self.tasks, self._own.tag)
        return texts

    def _written(self, data: bytes) -> Path:
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            file.write(data)
        return Path(file.name)


@dataclass(frozen=True)
class Broadcast:
    """A value in a file, until it is destroyed."""

    file: Path

    @property
    def value(self) -> Any:
        """The value, as a task receives it."""
        return pickle.loads(self.file.read_bytes())  # noqa: S301 - its own

    def destroy(self) -> None:
        """Remove the file."""
        self.file.unlink()


@dataclass(frozen=True)
class _Job:
    spark: LocalSpark
    function: Callable[[Iterator[Any]], Iterator[Any]]

    def collect(self) -> list[tuple[str]]:
        return [(text,) for text in self.spark.run(self.function)]


class ProcessCluster:
    """A cluster for remote workers on this machine: each task is a Python process.

    Args:
        folder: Where workers make their temporary files.

    Example:
        >>> import queue
        >>> cluster, ends = ProcessCluster(getfixture("tmp_path")), queue.SimpleQueue()
        >>> cluster.start("builtins:dict", {"x": 1}, ends.put)
        >>> ends.get(timeout=60).said["x"]
        1
    """

    broadcast = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.tasks: dict[subprocess.Popen[bytes], str] = {}  # those that run
        self._stopped = False

    def reach(self) -> Reach:
        """Return the loopback address."""
        return Reach(("127.0.0.1",), "127.0.0.1")

    def start(
        self, entry: str, settings: Mapping[str, Any], tell: Callable[[TaskEnded], None]
    ) -> None:
        """Start a process."""
        pickled = cloudpickle.dumps(functools.partial(call(entry, settings), _here()))

        def run() -> None:
            try:
                tell(TaskEnded(_run(_called, pickled, self.folder, self.tasks, entry)))
            except RuntimeError as error:
                tell(TaskEnded(None, str(error)))

        threading.Thread(target=run, name="manyfit-task", daemon=True).start()

    def cancel(self) -> None:
        """Kill all processes."""
        for process in tuple(self.tasks):
            process.kill()

    def stop(self) -> None:
        """End the cluster."""
        self._stopped = True
        self.cancel()

    def ended(self) -> str | None:
        """Return whether `stop` was called."""
        return "the cluster was stopped" if self._stopped else None


class ProcessClusterExecutor(RemoteExecutor[ProcessCluster]):
    """An executor whose workers are tasks of a `ProcessCluster`.

    Args:
        cluster: Where they run.
        parallelism: How many trials, or batches of groups, run at once.
        **options: As `RemoteExecutor` has them.
    """

    def __init__(self, cluster: ProcessCluster, parallelism: int = 2, **options: Any) -> None:
        super().__init__(parallelism, **options)
        self._cluster = cluster

    def cluster(self, work: Work) -> ProcessCluster:  # noqa: ARG002 - one for all works
        return self._cluster

    def slots(self) -> int:
        return self.parallelism


def _here() -> dict[str, Any]:
    return {"host": socket.gethostname(), "name": socket.gethostname(), "gpus": []}


def _run(
    kind: Callable[[Any], Any],
    pickled: bytes,
    folder: Path,
    tasks: dict[subprocess.Popen[bytes], str],
    tag: str,
) -> Any:
    """Run what is pickled in a process of this Python, and return what it says.

    Args:
        kind: `_texts` or `_called`.
        pickled: What that is given.
        folder: Where the process makes its temporary files.
        tasks: Has the process while it runs.
        tag: And this beside it.

    Raises:
        RuntimeError: It raised an exception, or died.
    """
    command = [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path), kind.__name__]
    env = {**os.environ, "TMPDIR": str(folder)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env) as process:  # noqa: S603
        tasks[process] = tag
        said, _ = process.communicate(pickled)
        del tasks[process]
    if process.returncode:
        raise RuntimeError(f"Python worker exited unexpectedly ({process.returncode})")
    answer = json.loads(said)
    if "raised" in answer:
        raise RuntimeError(answer["raised"])
    return answer["said"]


def _texts(function: Callable[[Iterator[Any]], Iterator[Any]]) -> list[str]:
    return [text for batch in function(iter(())) for text in batch.column("said").to_pylist()]


def _called(function: Callable[[], Any]) -> Any:
    return function()


def main() -> None:
    """Run the task on standard input, and write its result."""
    kind = {each.__name__: each for each in (_texts, _called)}[sys.argv[2]]
    try:
        answer = {"said": kind(cloudpickle.loads(sys.stdin.buffer.read()))}
    except Exception:  # noqa: BLE001 - it is raised where the task was started
        answer = {"raised": traceback.format_exc()}
    with (
        contextlib.suppress(BrokenPipeError),
        open(1, "w", encoding="utf-8") as pipe,
    ):  # the driver may be gone
        pipe.write(json.dumps(answer))
