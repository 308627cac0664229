"""The table of workers, with their machines and tasks; lookups take constant time."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from manyfit.worker.work import Task


@dataclass(slots=True, eq=False)
class Worker:
    """A connected worker; only the table changes it.

    Attributes:
        connection: Its number at the hub.
        place: Its place, as it reports it.
        is_ready: Whether it has unpacked the setup.
        task: Its current attempt.
        memory: Bytes in its last beat: `used` by its trial, `total` and `available` on its machine.
    """

    connection: int
    place: Mapping[str, Any]
    is_ready: bool = False
    task: Task | None = None
    memory: Mapping[str, int] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """Its machine."""
        return str(self.place["host"])

    @property
    def executor(self) -> str:
        """Its executor of the cluster."""
        return str(self.place["name"])

    def is_at(self, number: int, attempt: int) -> bool:
        """Return whether this is its current attempt."""
        task = self.task
        return task is not None and (task.number, task.attempt) == (number, attempt)


class WorkerTable:
    """The workers of a study.

    Example:
        >>> table = WorkerTable()
        >>> for connection, host in enumerate(["a", "a", "b"]):
        ...     worker = Worker(connection, {"host": host, "name": host})
        ...     table.add(worker)
        ...     table.is_ready(worker)
        >>> table.assign(table.idlest(), Task(0, 1, {}, 0))
        >>> table.idlest().host, table.n_ready
        ('b', 3)
    """

    def __init__(self) -> None:
        self.workers: dict[int, Worker] = {}
        self.n_ready = 0
        self._idle: dict[int, Worker] = {}
        self._at: dict[tuple[int, int], Worker] = {}
        self._busy: Counter[str] = Counter()  # by host
        self._on_host: Counter[str] = Counter()
        self._in_executor: Counter[str] = Counter()

    def add(self, worker: Worker) -> None:
        """Add a worker, which is not ready yet."""
        self.workers[worker.connection] = worker
        self._on_host[worker.host] += 1
        self._in_executor[worker.executor] += 1

    def remove(self, worker: Worker) -> None:
        """Remove a worker; its `task` is kept."""
        del self.workers[worker.connection]
        self._on_host[worker.host] -= 1
        self._in_executor[worker.executor] -= 1
        self.n_ready -= worker.is_ready
        self._idle.pop(worker.connection, None)
        if worker.task is not None:
            self._leave_task(worker, worker.task)

    def is_ready(self, worker: Worker) -> None:
        """Note that a worker is ready."""
        worker.is_ready = True
        self.n_ready += 1
        self._idle[worker.connection] = worker

    def assign(self, worker: Worker, task: Task) -> None:
        """Note that an idle worker receives an attempt."""
        del self._idle[worker.connection]
        worker.task = task
        self._at[task.number, task.attempt] = worker
        self._busy[worker.host] += 1

    def release(self, worker: Worker) -> None:
        """Note that a worker has ended its attempt."""
        if worker.task is not None:
            self._leave_task(worker, worker.task)
            worker.task = None
            self._idle[worker.connection] = worker

    def idlest(self) -> Worker | None:
        """Return an idle worker on the machine with the fewest attempts; None if all are busy."""
        return min(
            self._idle.values(), key=lambda m: (self._busy[m.host], m.connection), default=None
        )

    def at(self, number: int, attempt: int) -> Worker | None:
        """Return the worker of an attempt."""
        return self._at.get((number, attempt))

    def on(self, host: str) -> int:
        """Return the number of workers on a machine."""
        return self._on_host[host]

    def surplus(self, worker: Worker, executors: Iterable[str]) -> int:
        """Return how many more workers its executor has than the one with the fewest.

        Args:
            worker: The worker.
            executors: Known executors, in addition to those of workers.
        """
        known = {*executors, *(name for name, n in self._in_executor.items() if n)}
        return self._in_executor[worker.executor] - min(self._in_executor[name] for name in known)

    def _leave_task(self, worker: Worker, task: Task) -> None:
        del self._at[task.number, task.attempt]
        self._busy[worker.host] -= 1
