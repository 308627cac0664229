"""One Spark job of one task for each slot of a study, and what to do when one of them ends.

Not one job of many tasks: Spark fails a whole job when one of its tasks has died four times, and
then healthy workers lose their trials with it. A job for which there is no room waits in Spark's
queue, and joins when the cluster grows.
"""

import contextlib
import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from json import loads
from typing import Any

from manyfit.errors import ExecutorError
from manyfit.spark.session import Session, TaskFunction
from manyfit.spark.task import task_function
from manyfit.spark.watch import end_behind
from manyfit.worker.timings import USUAL, Timings

logger = logging.getLogger("manyfit")

# How often in a row jobs may fail while there is no worker, if that has lasted for a while. A
# cluster that has never had a worker gets no such time.
_MOST_FAILURES = 3
_LOOK = 0.02  # seconds between two looks at what is ending
_LONGEST_PAUSE = 30.0  # seconds before a job is begun again


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker's job ended.

    Attributes:
        said: What its task said of it; None if the job failed.
        error: How the job failed; empty if it didn't.
    """

    said: dict[str, Any] | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The executors that there are."""

    executors: frozenset[str]


class UnreachableDriverError(Exception):
    """No worker can dial in: trials have to come and go with Spark's own jobs."""


class WorkerJobs:
    """Keeps the jobs of a study going.

    Args:
        session: Where they run.
        function: What each task runs.
        tag: What Spark knows the jobs by.
        title: What people see them as.
        profile: The resources of a task; None for the session's own.
        inbox: Where their ends are put.
        timings: How long Spark is given, and how long jobs may fail.
    """

    def __init__(
        self,
        session: Session,
        function: TaskFunction,
        *,
        tag: str,
        title: str,
        profile: Any,
        inbox: "queue.SimpleQueue[Any]",
        timings: Timings = USUAL,
    ) -> None:
        self._timings = timings
        self._session = session
        self._function = function
        self._tag = tag
        self._title = title
        self._profile = profile
        self._inbox = inbox
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._failures = 0
        self._joined_at = time.monotonic()
        self._begun = 0  # jobs whose end has not been taken in

    def start(self, pause: float = 0.0) -> None:
        """Begin a job, after a pause."""
        self._begun += 1
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        number = len(self._threads)
        thread = threading.Thread(
            target=self._run, args=(pause,), name=f"manyfit-worker-{number}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def look_around(self) -> None:
        """Find out which executors there are, by a job that has a task for each of their slots."""
        thread = threading.Thread(target=self._find, name="manyfit-survey", daemon=True)
        self._threads.append(thread)
        thread.start()

    def joined(self) -> None:
        """Take note that there is a worker: jobs can work."""
        self._failures = 0
        self._joined_at = time.monotonic()

    def take(self, ended: Ended, *, first: bool) -> str | None:
        """Decide what an end means; begins another job, or says for good why there is one less.

        Args:
            ended: What came through the inbox.
            first: Whether no worker has dialled in so far.

        Raises:
            ExecutorError: No job will ever do better.
            UnreachableDriverError: Workers start, and none can dial in.
        """
        self._begun -= 1
        match ended.said:
            case {"missing": why, "place": place}:
                raise ExecutorError(
                    f"Manyfit can't be imported on {place['name']}: {why}. Install it on the "
                    "workers, in the Python that runs there (PYSPARK_PYTHON)"
                )
            case {"unreachable": why} if first:
                raise UnreachableDriverError(why)
            case {"unreachable": why} | {"left": why, "for_good": True}:
                if not self._begun:
                    raise ExecutorError(f"no worker is left. The last one: {why}")
                return str(why)
            case None:
                self._failures += 1
                self._check_failures(ended.error, 0.0 if first else self._timings.outage)
            case _:
                self._failures += 1
        self.start(min(_LONGEST_PAUSE, self._timings.pause * 2 ** (self._failures - 1)))
        return None

    def _check_failures(self, error: str, wait: float) -> None:
        alone = time.monotonic() - self._joined_at
        if self._failures >= _MOST_FAILURES and alone >= wait:
            raise ExecutorError(f"Spark can't run Manyfit's workers. {error}")

    def close(self, leaving: Callable[[], int]) -> None:
        """Wait for tasks that were told to leave, and cancel what is left.

        Args:
            leaving: Returns how many workers have not left yet.
        """
        self._closing.set()
        deadline = time.monotonic() + self._timings.cancel
        while leaving() and time.monotonic() < deadline:
            time.sleep(_LOOK)
        self._settle(deadline)
        deadline = time.monotonic() + self._timings.cancel
        while self._running and time.monotonic() < deadline:
            # Again and again: a cancel that comes before Spark has the job does nothing.
            with contextlib.suppress(Exception):  # a session that is stopped raises what it likes
                self._session.cancel(self._tag)
            time.sleep(_LOOK)

    def _settle(self, deadline: float) -> None:
        """Let jobs end by themselves: people would look at cancelled ones as failed.

        That takes a while where Spark is busy, or where jobs have waited for the slots of others:
        so it may, as long as one ends every now and then.
        """
        running, patience = self._running, time.monotonic() + self._timings.home
        while running and time.monotonic() < min(deadline, patience):
            time.sleep(_LOOK)
            if self._running < running:
                running, patience = self._running, time.monotonic() + self._timings.home

    @property
    def _running(self) -> int:
        return sum(thread.is_alive() for thread in self._threads)

    def _find(self) -> None:
        try:
            said = self._session.run(
                task_function("", {}), tag=self._tag, title=self._title, everywhere=True
            )
        except Exception as error:  # noqa: BLE001 - as below; nothing depends on it
            logger.debug("the executors can't be listed: %s", error)
        else:
            names = frozenset(loads(text)["place"]["name"] for text in said)
            self._inbox.put(Found(names))

    def _run(self, pause: float) -> None:
        if self._closing.wait(pause):
            return
        try:
            said = self._session.run(
                self._function, tag=self._tag, title=self._title, profile=self._profile
            )
            ended = Ended(loads(said[0]))
        except Exception as error:  # noqa: BLE001 - Py4J, gRPC and Spark each have errors of their own
            ended = Ended(None, gist_of(error))
            if not self._closing.is_set() and (end := end_behind(self._session)) is not None:
                self._inbox.put(end)
        self._inbox.put(ended)


def gist_of(error: Exception) -> str:
    """Return what a Spark error says, without its Java frames.

    Example:
        >>> print(gist_of(ValueError('''org.apache.spark.SparkException: Task 0 failed 4 times
        ...     at org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:1)
        ... ModuleNotFoundError: No module named 'pyarrow'
        ...     at java.base/java.lang.Thread.run(Thread.java:840)''')))
        org.apache.spark.SparkException: Task 0 failed 4 times
        ModuleNotFoundError: No module named 'pyarrow'
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"\s+at |\s+\.\.\. \d+ more", line)]
    kept = list(dict.fromkeys(telling))
    if len(kept) > 30:
        kept = [*kept[:10], "...", *kept[-20:]]
    return "\n".join(kept) or type(error).__name__
