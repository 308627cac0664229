"""The workers of a study on a cluster: started, inspected, given attempts, replaced, sent home."""

import logging
import queue
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Task, Work

logger = logging.getLogger("manyfit")


@dataclass(frozen=True, slots=True)
class ExecutorsFound:
    """The executors of the cluster, over which workers are to spread."""

    names: frozenset[str]


Message: TypeAlias = News | TaskEnded | ClusterEnded | ExecutorsFound


class WorkerPool:
    """Runs attempts in workers that dial in from a cluster.

    Args:
        cluster: Where workers run.
        work: The study's work.
        equipment: What workers are given, and must have.
        size: How many attempts run at once.
        inbox: Where what they and the cluster say is put, for `take`.
        host: Where they dial this process; None for what the cluster says.
        port: The port to listen at; 0 for any that is free.
        timings: How long its parts wait for one another.

    Raises:
        ExecutorError: This process can't listen there.
        MissingExtraError: cryptography is not installed.
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
        host: str | None = None,
        port: int = 0,
        timings: Timings = USUAL,
    ) -> None:
        self._listing = equipment.listing
        self._timings = timings
        self._began = time.monotonic()
        self._said: set[str] = set()
        reach = cluster.reach()
        self._hub = Hub(reach.listen_at, port, inbox, timings)
        self._workers = Workers(self._hub, work, equipment.setup, size, self._inspect)
        hosts = reach.hosts if host is None else (host,)
        settings = {
            "addresses": [(each, self._hub.port) for each in hosts],
            "credentials": asdict(self._hub.credentials),
            "imports": dict(self._listing.imports),
            "broadcasts": dict(equipment.broadcasts.broadcasts),
            "timings": asdict(timings),
        }
        self._supervisor = Supervisor(cluster, settings, inbox.put, timings)
        for _ in range(size):
            self._supervisor.start()

    @property
    def size(self) -> int:
        """How many attempts it could run at this moment."""
        return self._workers.size

    @property
    def events(self) -> deque[AttemptEvent]:
        """What has happened to attempts, for the caller to take."""
        return self._workers.events

    @property
    def has_contact(self) -> bool:
        """Whether a worker is there, which tells that the cluster is."""
        return bool(self._workers.workers)

    @property
    def has_worked(self) -> bool:
        """Whether a worker was ever ready for an attempt."""
        return self._workers.has_worked

    def submit(self, task: Task) -> None:
        """Give an attempt to an idle worker, on the machine with most of them."""
        self._workers.submit(task)

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool) -> None:
        """End an attempt, as `Executor.stop` has it."""
        self._workers.stop(number, attempt, reason, kill=kill)

    def take(self, message: Message) -> None:
        """Take in what came through the inbox.

        Raises:
            UnreachableDriverError: Workers start, and none can dial in.
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
        """Look at what a worker that can't dial in says of its machine."""
        match ended.said:
            case {"hello": place, "facts": facts}:
                problem = self._inspect(facts, place["name"])
                if problem is not None:
                    raise ExecutorError(problem)

    def look(self) -> None:
        """Say so if workers take long to come; called now and then."""
        if not self.has_worked and time.monotonic() - self._began > self._timings.patience:
            self._say(
                "no worker has started yet: the cluster has no free slot, or is still starting "
                "machines. The study begins when one has"
            )

    def close(self) -> None:
        """End all workers and their tasks."""
        self._workers.dismiss("the study ended")
        self._supervisor.close(lambda: len(self._hub.connections))
        self._hub.close()

    def _inspect(self, facts: Mapping[str, Any], where: str) -> str | None:
        """Compare a worker's machine with this one; returns what makes it useless, if anything."""
        findings = check(self._listing, facts, where)
        for warning in findings.warnings:
            self._say(warning)
        return "\n".join(findings.errors) or None

    def _say(self, sentence: str) -> None:
        """Tell people, each thing once."""
        if sentence not in self._said:
            self._said.add(sentence)
            logger.warning("%s", sentence)
