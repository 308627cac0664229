"""Keeps a worker running for each slot of a study, and decides what the end of one means."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from manyfit.errors import ExecutorError
from manyfit.remote.cluster import Cluster, TaskEnded
from manyfit.remote.watch import ClusterEnded, end_behind
from manyfit.worker.timings import USUAL, Timings

# The number of tasks in a row that may fail while there is no worker, if that has lasted for
# `Timings.outage`. A cluster that has never had a worker doesn't get that time.
_MOST_FAILURES = 3
_LOOK = 0.02  # seconds between two looks at what is ending
_LONGEST_PAUSE = 30.0  # seconds before a task is begun again

# Takes, from any thread, what the cluster says.
Tell: TypeAlias = Callable[[TaskEnded | ClusterEnded], None]


class UnreachableDriverError(ExecutorError):
    """No worker can connect.

    Attributes:
        why: The addresses tried, and their errors.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}. Give host= (and port=) at which workers reach this process")
        self.why = why


class Supervisor:
    """Keeps the workers of a study running.

    Args:
        cluster: The cluster of the workers.
        settings: The settings of each worker; see `manyfit.remote.worker.serve`.
        tell: Takes the ends of their tasks.
        timings: Intervals and timeouts.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: Mapping[str, Any],
        tell: Tell,
        timings: Timings = USUAL,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._tell = tell
        self._timings = timings
        self._closing = False
        self._lock = threading.Lock()
        self._running = 0  # tasks that were started and have not ended
        self._timers: list[threading.Timer] = []
        self._failures = 0
        self._joined_at = time.monotonic()
        self._begun = 0  # workers whose end has not been handled

    def start(self, pause: float = 0.0) -> None:
        """Start a worker, after a pause."""
        self._begun += 1
        if not pause:
            self._start()
            return
        timer = threading.Timer(pause, self._start)
        timer.daemon = True
        self._timers = [each for each in self._timers if each.is_alive()] + [timer]
        timer.start()

    def _start(self) -> None:
        with self._lock:
            if self._closing:
                return
            self._running += 1
        try:
            self._cluster.start("manyfit.remote.worker:serve", self._settings, self._take_end)
        except Exception as error:  # noqa: BLE001 - a cluster that is gone raises what it likes
            self._take_end(TaskEnded(None, f"{type(error).__name__}: {error}"))

    def _take_end(self, ended: TaskEnded) -> None:
        """Pass on the end of a task, after the cluster's end if that caused it."""
        if ended.said is None and not self._closing:
            end = end_behind(self._cluster, self._timings)
            if end is not None:
                self._tell(end)
        with self._lock:
            self._running -= 1
        self._tell(ended)

    def joined(self) -> None:
        """Note that a worker has connected, so tasks can work."""
        self._failures = 0
        self._joined_at = time.monotonic()

    def take(self, ended: TaskEnded, *, first: bool) -> str | None:
        """Start another worker after the end of one, or return why there is permanently one less.

        Args:
            ended: The end of the task.
            first: Whether no worker has connected so far.

        Raises:
            UnreachableDriverError: Workers start, but none can connect.
            ExecutorError: No task can succeed.
        """
        self._begun -= 1
        check_said(ended.said)
        match ended.said:
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
            raise ExecutorError(f"the cluster can't run Manyfit's workers. {error}")

    def close(self, leaving: Callable[[], int]) -> None:
        """Wait for workers that were told to leave, and cancel the remaining tasks.

        Args:
            leaving: Returns the number of workers that have not left yet.
        """
        with self._lock:
            self._closing = True
        for timer in self._timers:
            timer.cancel()
        deadline = time.monotonic() + self._timings.cancel
        while leaving() and time.monotonic() < deadline:
            time.sleep(_LOOK)
        self._settle(deadline)
        deadline = time.monotonic() + self._timings.cancel
        while self._running and time.monotonic() < deadline:
            self._cluster.cancel()
            time.sleep(_LOOK)

    def _settle(self, deadline: float) -> None:
        """Let tasks end by themselves, because cancelled ones look like failures.

        This takes a while if the cluster is busy, or if tasks have waited for the slots of others.
        It continues as long as tasks keep ending.
        """
        running, patience = self._running, time.monotonic() + self._timings.home
        while running and time.monotonic() < min(deadline, patience):
            time.sleep(_LOOK)
            if self._running < running:
                running, patience = self._running, time.monotonic() + self._timings.home


def check_said(said: Mapping[str, Any] | None) -> None:
    """Refuse what a task says where Manyfit is missing.

    Raises:
        ExecutorError: It is; says where, and what to do.
    """
    match said:
        case {"missing": why, "place": place}:
            raise ExecutorError(
                f"Manyfit can't be imported on {place['name']}: {why}. Install it on the workers, "
                "in the Python that runs there (on Spark, PYSPARK_PYTHON)"
            )
