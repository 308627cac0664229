"""A stand-in for a SparkSession, with neither Java nor a cluster: for tests of remote workers."""

import contextlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

_BOOT = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from manyfit.testing.remote import main; main()"
)


_MOST_IN_MEMORY = 1 << 20  # bytes of a function, as Spark's UDFCompressionThreshold has it


class LocalSpark:
    """As much of a SparkSession as `SparkExecutor` needs; each task is a Python process here.

    All between driver and worker is as on a cluster: pickled functions, the network, a folder of
    the machine. What there is of Spark itself is that a job fails when its process dies, that
    cancelling a job kills it, and which of the driver's values are written to disk: broadcasts
    until they are destroyed, and functions above 1 MB for good.

    Args:
        folder: Where workers make their temporary files.
        slots: How many tasks may run at once.

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
        self.tasks: dict[subprocess.Popen[bytes], str] = {}  # those that run, and their jobs' tags
        self._own = threading.local()  # jobs belong to the thread that runs them

    @property
    def defaultParallelism(self) -> int:  # noqa: N802
        """How many tasks run at once.

        Raises:
            RuntimeError: It was stopped.
        """
        if self._stopped:
            raise RuntimeError("Cannot call methods on a stopped SparkContext.")
        return self._slots

    def stop(self) -> None:
        """Kill all tasks, and run no more."""
        self._stopped = True
        for process in tuple(self.tasks):
            process.kill()

    def addJobTag(self, tag: str) -> None:  # noqa: N802 - these names are Spark's
        """Tag the jobs of this thread."""
        self._own.tag = tag

    def setLocalProperty(self, name: str, value: str) -> None:  # noqa: N802
        """Change nothing: nobody looks at a job's title."""

    def cancelJobsWithTag(self, tag: str) -> None:  # noqa: N802
        """Kill the tasks of jobs with a tag."""
        for process, its in tuple(self.tasks.items()):
            if its == tag:
                process.kill()

    def broadcast(self, value: Any) -> "Broadcast":
        """Put a value where every task finds it."""
        return Broadcast(self._written(pickle.dumps(value)))

    def range(self, *_: int) -> "LocalSpark":
        """Return rows, of which only their being there matters."""
        return self

    def mapInArrow(self, function: Callable[..., Any], _schema: str) -> "_Job":  # noqa: N802
        """Return a job of one task."""
        return _Job(self, function)

    def run(self, function: Callable[..., Any]) -> list[str]:
        """Run a task to its end.

        Raises:
            RuntimeError: Its process died, or all was stopped.
        """
        if self._stopped:
            raise AttributeError("'NoneType' object has no attribute 'sc'")  # as PySpark has it
        command = [sys.executable, "-P", "-c", _BOOT, json.dumps(sys.path)]
        env = {**os.environ, "TMPDIR": str(self.folder)}
        pickled = cloudpickle.dumps(function)
        if len(pickled) > _MOST_IN_MEMORY:
            self._written(pickled)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=env) as process:  # noqa: S603
            self.tasks[process] = self._own.tag
            said, _ = process.communicate(pickled)
            del self.tasks[process]
        if process.returncode:
            raise RuntimeError(f"Python worker exited unexpectedly ({process.returncode})")
        texts: list[str] = json.loads(said)
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
        """The value, as a task gets it."""
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


def main() -> None:
    """Run the task that comes in, and say what it says."""
    function = cloudpickle.loads(sys.stdin.buffer.read())
    texts = [text for batch in function(iter(())) for text in batch.column("said").to_pylist()]
    with (
        contextlib.suppress(BrokenPipeError),
        open(1, "w", encoding="utf-8") as answer,
    ):  # the driver may be gone
        answer.write(json.dumps(texts))
