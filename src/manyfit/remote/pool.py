"""The workers of a study on a cluster: starts, inspects, uses, replaces and dismisses them."""

import logging
import queue
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from manyfit.errors import ExecutorError
from manyfit.events import AttemptEvent
from manyfit.remote.cluster import Cluster, TaskEnded
from manyfit.remote.equipment import Equipment
from manyfit.remote.hub import Hub, News
from manyfit.remote.supervisor import Supervisor, UnreachableDriverError
from manyfit.remote.watch import ClusterEnded
from manyfit.remote.workers import Workers
from manyfit.ship.preflight import check
from manyfit.worker.work import Task, Work

logger = logging.getLogger("manyfit")


@dataclass(frozen=True, slots=True)
class ExecutorsFound:
    """The executors of the cluster, over which workers should be spread."""

    names: frozenset[str]


Message: TypeAlias = News | TaskEnded | ClusterEnded | ExecutorsFound


class WorkerPool:
    """Runs attempts in workers that connect from a cluster.

    Args:
        cluster: The cluster of the workers.
        work: The study's work.
        equipment: What workers receive, and must have.
        size: The number of attempts that run at once.
        inbox: The queue for messages of workers and the cluster, which `take` handles.
        hub: The hub that workers connect to; closed here.
        settings: What they need for that; see `manyfit.remote.worker.serve`.
    """

    live_reports = True

    def __init__(
        self,
        cluster: Cluster,
        work: Work,
        equipment: Equipment,
        *,
        size: int,
        inbox: "queue.SimpleQueue[Message]",
        hub: Hub,
        settings: Mapping[str, Any],
    ) -> None:
        timings = hub.timings
        self._listing = equipment.listing
        self._timings = timings
        self._alone_since = time.monotonic()
        self._said: set[str] = set()
        self._hub = hub
        self._workers = Workers(self._hub, work, equipment.setup, size, self._inspect)
        self._supervisor = Supervisor(cluster, settings, inbox.put, timings)
        for _ in range(size):
            self._supervisor.start()

    @property
    def size(self) -> int:
        """The number of attempts that it can run now."""
        return self._workers.size

    @property
    def events(self) -> deque[AttemptEvent]:
        """The events of attempts, for the caller to remove."""
        return self._workers.events

    @property
    def has_contact(self) -> bool:
        """Whether a worker is connected, which proves that the cluster exists."""
        return bool(self._workers.workers)

    @property
    def has_worked(self) -> bool:
        """Whether a worker has ever been ready for an attempt."""
        return self._workers.has_worked

    def submit(self, task: Task) -> None:
        """Give an attempt to an idle worker, on the machine with the fewest running attempts."""
        self._workers.submit(task)

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool) -> None:
        """End an attempt, as `Executor.stop` has it."""
        self._workers.stop(number, attempt, reason, kill=kill)

    def take(self, message: Message) -> None:
        """Handle a message from the inbox.

        Raises:
            UnreachableDriverError: Workers start, but none can connect.
            ExecutorError: Workers can't be started, or can't do this work.
        """
        match message:
            case News():
                self._workers.take(message)
                if self.has_contact:
                    self._supervisor.joined()
            case TaskEnded():
                self._take_end(message)
            case ExecutorsFound(names):
                self._workers.spread(names)

    def _take_end(self, ended: TaskEnded) -> None:
        try:
            why = self._supervisor.take(ended, first=not (self.has_worked or self.has_contact))
        except UnreachableDriverError:
            self._check_end(ended)
            raise
        if why is not None:
            self._say(f"one worker less: {why}")

    def _check_end(self, ended: TaskEnded) -> None:
        """Inspect the machine of a worker that can't connect."""
        match ended.said:
            case {"hello": place, "facts": facts}:
                problem = self._inspect(facts, place["name"])
                if problem is not None:
                    raise ExecutorError(problem)

    def look(self) -> None:
        """Warn if there has been no worker for long; called regularly."""
        if self.has_contact:
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > self._timings.patience:
            self._say(
                "no worker is left: the cluster starts none. The study goes on when it does"
                if self.has_worked
                else "no worker has started yet: the cluster has no free slot, or is still "
                "starting machines. The study begins when one has"
            )

    def close(self) -> None:
        """End all workers and their tasks."""
        self._workers.dismiss("the study ended")
        self._supervisor.close(lambda: len(self._hub.connections))
        self._hub.close()

    def _inspect(self, facts: Mapping[str, Any], where: str) -> str | None:
        """Compare a worker's machine with this one; returns why it is unusable, or None."""
        findings = check(self._listing, facts, where)
        for warning in findings.warnings:
            self._say(warning)
        return "\n".join(findings.errors) or None

    def _say(self, sentence: str) -> None:
        """Log a warning, each sentence once."""
        if sentence not in self._said:
            self._said.add(sentence)
            logger.warning("%s", sentence)
