"""Assigns tasks to connected workers, and handles their messages and their loss.

It runs on the driver's thread: `take` handles the hub's news, and returns events for the driver.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from manyfit.errors import ExecutorError
from manyfit.events import AttemptEvent, AttemptLost
from manyfit.remote.exchange import piece_of, take_result
from manyfit.remote.hub import Hub, News
from manyfit.remote.memory import lost_because, too_little
from manyfit.remote.messages import NonsenseError, event_in, facts_in, memory_in, place_in
from manyfit.remote.setup import WorkerSetup
from manyfit.remote.tunnel import MLFLOW, URI, own_address
from manyfit.remote.worker_table import Worker, WorkerTable
from manyfit.worker.channel import ENDINGS
from manyfit.worker.exchange import given_file
from manyfit.worker.logs import extend_log, write_log
from manyfit.worker.work import Task, Work, secret_params

# Spark places a restarted job at random: of two workers on one of two executors, a worker that
# moves comes back half of the time.
_LEAST_MOVES = 8

logger = logging.getLogger("manyfit")


class Workers:
    """Gives tasks to workers, the idlest machine first, and turns their messages into events.

    Args:
        hub: The hub of their connections.
        work: The study's work.
        setup: The setup of each worker.
        most: The number that may work at once; further workers are spares. A speculative copy of a
            task (`spark.speculation`) is one: it never runs what another worker runs.
        inspect: Checks the facts of a worker's machine, given its name; returns why it is unusable,
            or None.
    """

    def __init__(
        self,
        hub: Hub,
        work: Work,
        setup: WorkerSetup,
        most: int,
        inspect: Callable[[Mapping[str, Any], str], str | None],
    ) -> None:
        self.events: deque[AttemptEvent] = deque()
        self.has_worked = False
        self._table = WorkerTable()
        self._hub = hub
        self._work = work
        self._setup = setup.packed()
        self._env = setup.env
        self._most = most
        self._inspect = inspect
        self._proven = False  # whether the objective has begun anywhere: it can be loaded
        self._executors: frozenset[str] = frozenset()
        self._moves = max(2 * most, _LEAST_MOVES)
        self._largest = 0  # bytes that a trial was seen to use
        manifests = (item.manifest for item in setup.shared)
        self._shared = sum(item["size"] for each in manifests for item in each["items"])
        self._waiting: deque[Task] = deque()  # submitted when there was no idle worker any more

    @property
    def workers(self) -> Mapping[int, Worker]:
        """The workers, by connection."""
        return self._table.workers

    @property
    def size(self) -> int:
        """The number of attempts that it can run now."""
        return min(self._most, self._table.n_ready)

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker, or to the next one that becomes idle."""
        address = own_address({**self._env, **task.env}.get(URI, ""))
        if address is not None:
            self._hub.tunnels[MLFLOW] = address
        self._waiting.append(task)
        self._hand_out()

    def spread(self, executors: frozenset[str]) -> None:
        """Spread workers evenly over these executors: surplus workers move when idle."""
        self._executors = executors

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool) -> None:
        """End an attempt, as `Executor.stop` has it."""
        worker = self._table.at(number, attempt)
        if worker is not None:
            order = {"kill" if kill else "stop": [number, attempt, reason]}
            self._hub.send(worker.connection, order)
        for task in tuple(self._waiting):
            if kill and (task.number, task.attempt) == (number, attempt):
                self._waiting.remove(task)
                self.events.append(AttemptLost(number, attempt, reason, False, time.time()))

    def dismiss(self, reason: str) -> None:
        """Tell all workers to leave, including those that are just connecting."""
        self._hub.dismiss({"leave": reason})

    def take(self, news: News) -> None:
        """Handle news of a connection.

        Raises:
            ExecutorError: A worker can't do the work, and neither can any other.
        """
        self._hub.took(news)
        worker = self.workers.get(news.connection)
        if news.frame is None:
            if worker is not None:
                self._lose(worker, news.why)
            return
        try:
            match news.frame.message:
                case {"hello": place, "facts": facts} if worker is None:
                    self._welcome(news.connection, place_in(place), facts_in(facts))
                case {"fetch": asked} if worker is None:
                    self._hub.send(news.connection, *piece_of(asked))
                case message if worker is not None:
                    self._hear(worker, message, news.frame.blob)
        except NonsenseError as error:
            self._send_off(news.connection, f"it said what no worker says: {error}")
            self._hub.hang_up(news.connection)

    def _welcome(self, connection: int, place: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Send a worker its setup. An unusable first worker is fatal, a later one is dismissed."""
        problem = self._inspect(facts, place["name"])
        if problem is None:
            self._table.add(Worker(connection, place))
            self._hub.send(connection, {"setup": self._setup[0]}, self._setup[1])
        elif not self.has_worked:
            raise ExecutorError(problem)
        else:
            self._send_off(connection, problem)

    def _send_off(self, connection: int, why: str) -> None:
        """Dismiss a worker permanently; its attempt is lost."""
        self._hub.send(connection, {"leave": why, "for_good": True})
        worker = self.workers.get(connection)
        if worker is not None:
            self._lose(worker, why)

    def _hear(self, worker: Worker, message: Mapping[str, Any], blob: bytes) -> None:
        match message:
            case {"event": line}:
                self._note(worker, event_in(line, self._work.metric))
            case {"log": [number, attempt]} if worker.is_at(number, attempt):
                extend_log(self._work.folder, number, attempt, blob)
            case {"whole log": [number, attempt]} if worker.is_at(number, attempt):
                write_log(self._work.folder, number, attempt, blob)
            case {"result": [number, attempt]} if worker.is_at(number, attempt):
                take_result(self._work.folder, number, attempt, blob)
            case {"beat": memory}:
                worker.memory = memory_in(memory)
                self._weigh(worker)
            case {"ready": True} if not worker.is_ready:
                self.has_worked = True
                self._table.is_ready(worker)
                self._free(worker)
            case {"broken": why} if self._proven:
                self._send_off(worker.connection, f"it can't go on: {why}")
            case {"broken": why}:
                raise ExecutorError(f"the worker on {worker.place['name']} can't work. {why}")

    def _note(self, worker: Worker, event: AttemptEvent) -> None:
        """Pass on an event, unless it is of an attempt of another worker."""
        if not worker.is_at(event.number, event.attempt):
            return
        self._proven = True
        self.events.append(event)
        if isinstance(event, ENDINGS):
            self._table.release(worker)
            self._free(worker)

    def _free(self, worker: Worker) -> None:
        """Give an idle worker a task, or move it to an executor with fewer workers."""
        if self._moves and self._table.surplus(worker, self._executors) >= 2:
            self._moves -= 1
            self._table.remove(worker)
            self._hub.send(worker.connection, {"leave": "another executor has fewer workers"})
        self._hand_out()

    def _weigh(self, worker: Worker) -> None:
        """Check that trials like the largest one so far fit into the worker's machine."""
        if worker.memory["used"] <= 1.1 * self._largest:
            return
        self._largest = worker.memory["used"]
        host, total = worker.host, worker.memory["total"]
        if said := too_little(host, self._table.on(host), self._largest, self._shared, total):
            logger.warning("%s.", said)

    def _lose(self, worker: Worker, why: str) -> None:
        self._table.remove(worker)
        task = worker.task
        if task is not None:
            reason = lost_because(worker.place, worker.memory, why)
            lost = AttemptLost(task.number, task.attempt, reason, counts=True, at=time.time())
            self.events.append(lost)

    def _hand_out(self) -> None:
        while self._waiting and (worker := self._table.idlest()) is not None:
            task = self._waiting.popleft()
            self._table.assign(worker, task)
            order = {"task": asdict(task), "secrets": secret_params(self._work, task)}
            self._hub.send(worker.connection, order, self._given(task))

    def _given(self, task: Task) -> bytes:
        """Return the contents of the file that a task is given."""
        if task.exchange is None:
            return b""
        return given_file(self._work.folder, task.number).read_bytes()
