"""Who the workers are, where, and at what: answers that don't take longer as they become more."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from manyfit.worker.work import Task


@dataclass(slots=True, eq=False)
class Member:
    """A worker that has dialled in; only the roster changes it.

    Attributes:
        connection: Its number at the hub.
        place: Where it is, as it says itself.
        is_ready: Whether it has unpacked the kit.
        task: The attempt it is at.
        memory: Bytes that its last beat told of: `used` by its trial, `total` and `available` on
            its machine.
    """

    connection: int
    place: Mapping[str, Any]
    is_ready: bool = False
    task: Task | None = None
    memory: Mapping[str, int] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The machine it is on."""
        return str(self.place["host"])

    @property
    def executor(self) -> str:
        """The executor of the cluster that it is in."""
        return str(self.place["name"])

    def is_at(self, number: int, attempt: int) -> bool:
        """Whether it is at this attempt."""
        task = self.task
        return task is not None and (task.number, task.attempt) == (number, attempt)


class Roster:
    """The workers of a study.

    Example:
        >>> roster = Roster()
        >>> for connection, host in enumerate(["a", "a", "b"]):
        ...     member = Member(connection, {"host": host, "name": host})
        ...     roster.add(member)
        ...     roster.is_ready(member)
        >>> roster.assign(roster.idlest(), Task(0, 1, {}, 0))
        >>> roster.idlest().host, roster.n_ready
        ('b', 3)
    """

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.n_ready = 0
        self._idle: dict[int, Member] = {}
        self._at: dict[tuple[int, int], Member] = {}
        self._busy: Counter[str] = Counter()  # by host
        self._on_host: Counter[str] = Counter()
        self._in_executor: Counter[str] = Counter()

    def add(self, member: Member) -> None:
        """Take a worker in, which is not ready yet."""
        self.members[member.connection] = member
        self._on_host[member.host] += 1
        self._in_executor[member.executor] += 1

    def remove(self, member: Member) -> None:
        """Strike a worker off; what it was at is its `task` still."""
        del self.members[member.connection]
        self._on_host[member.host] -= 1
        self._in_executor[member.executor] -= 1
        self.n_ready -= member.is_ready
        self._idle.pop(member.connection, None)
        if member.task is not None:
            self._leave_task(member, member.task)

    def is_ready(self, member: Member) -> None:
        """Take note that a worker can begin."""
        member.is_ready = True
        self.n_ready += 1
        self._idle[member.connection] = member

    def assign(self, member: Member, task: Task) -> None:
        """Take note that an idle worker is given an attempt."""
        del self._idle[member.connection]
        member.task = task
        self._at[task.number, task.attempt] = member
        self._busy[member.host] += 1

    def release(self, member: Member) -> None:
        """Take note that a worker has ended its attempt."""
        if member.task is not None:
            self._leave_task(member, member.task)
            member.task = None
            self._idle[member.connection] = member

    def idlest(self) -> Member | None:
        """Return an idle worker on the machine that is at the fewest attempts; None if all work."""
        return min(
            self._idle.values(), key=lambda m: (self._busy[m.host], m.connection), default=None
        )

    def at(self, number: int, attempt: int) -> Member | None:
        """Return the worker that is at an attempt."""
        return self._at.get((number, attempt))

    def on(self, host: str) -> int:
        """Return how many workers a machine has."""
        return self._on_host[host]

    def surplus(self, member: Member, executors: Iterable[str]) -> int:
        """Return how many workers more there are where one is than where the fewest are.

        Args:
            member: The one.
            executors: What is known to exist, besides where workers are.
        """
        known = {*executors, *(name for name, n in self._in_executor.items() if n)}
        return self._in_executor[member.executor] - min(self._in_executor[name] for name in known)

    def _leave_task(self, member: Member, task: Task) -> None:
        del self._at[task.number, task.attempt]
        self._busy[member.host] -= 1
