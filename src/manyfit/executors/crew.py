"""The workers that have dialled in: who they are, what each is at, and what their silence means.

Lives on the driver's thread: the hub's news come in through `take`, events for the driver go out.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from manyfit.errors import ExecutorError
from manyfit.events import AttemptEvent, AttemptLost, decode
from manyfit.executors.hub import Hub, News
from manyfit.executors.kit import Kit
from manyfit.worker.channel import ENDINGS
from manyfit.worker.logs import extend_log, write_log
from manyfit.worker.work import Task, Work, secret_params

logger = logging.getLogger("manyfit")

# A machine with less of its memory left than this was probably killed for memory.
_SCARCE = 0.05


@dataclass(slots=True)
class Member:
    """A worker that has dialled in.

    Attributes:
        connection: Its number at the hub.
        place: Where it is, as it says itself.
        ready: Whether it has unpacked the kit.
        task: The attempt it is at.
        memory: Bytes that its last beat told of: `used` by its trial, `total` and `available` on
            its machine.
    """

    connection: int
    place: Mapping[str, Any]
    ready: bool = False
    task: Task | None = None
    memory: Mapping[str, int] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The machine it is on."""
        return str(self.place["host"])


class Crew:
    """Gives tasks to workers, the idlest machine first, and turns their news into events.

    Args:
        hub: Where they dial in.
        work: The study's work.
        kit: What each of them is given.
        most: How many may work at once; more of them are spares. A copy of a task that Spark
            starts on suspicion is one: it never runs what another runs.
        inspect: Looks at what a worker says of its machine, given its name; returns what makes it
            useless, if anything does.
    """

    def __init__(
        self,
        hub: Hub,
        work: Work,
        kit: Kit,
        most: int,
        inspect: Callable[[Mapping[str, Any], str], str | None],
    ) -> None:
        self.members: dict[int, Member] = {}
        self.events: deque[AttemptEvent] = deque()
        self._hub = hub
        self._work = work
        self._kit = kit.packed()
        self._most = most
        self._inspect = inspect
        self.has_worked = False
        self._waiting: deque[Task] = deque()  # submitted, and their worker was lost before it began

    @property
    def size(self) -> int:
        """How many attempts it could run at this moment."""
        return min(self._most, sum(member.ready for member in self.members.values()))

    def submit(self, task: Task) -> None:
        """Give a task to an idle worker, or to the next that is."""
        self._waiting.append(task)
        self._hand_out()

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool) -> None:
        """End an attempt, as `Executor.stop` has it."""
        for member in self.members.values():
            if _is_at(member, number, attempt):
                self._hub.send(
                    member.connection, {"kill" if kill else "stop": [number, attempt, reason]}
                )
        for task in tuple(self._waiting):
            if kill and (task.number, task.attempt) == (number, attempt):
                self._waiting.remove(task)
                self.events.append(AttemptLost(number, attempt, reason, False, time.time()))

    def dismiss(self, reason: str) -> None:
        """Tell all to leave."""
        for connection in self.members:
            self._hub.send(connection, {"leave": reason})

    def take(self, news: News) -> None:
        """Take in what came over a connection.

        Raises:
            ExecutorError: A worker can't do its work, and no other will.
        """
        member = self.members.get(news.connection)
        if news.frame is None:
            if member is not None:
                self._lose(member, news.why)
            return
        match news.frame.message:
            case {"hello": place, "facts": facts} if member is None:
                self._welcome(news.connection, place, facts)
            case message if member is not None:
                self._hear(member, message, news.frame.blob)

    def _welcome(self, connection: int, place: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Give a worker its kit; one that is no use is fatal before others work, else sent off."""
        problem = self._inspect(facts, place["name"])
        if problem is None:
            self.members[connection] = Member(connection, place)
            self._hub.send(connection, {"kit": self._kit[0]}, self._kit[1])
        elif not self.has_worked:
            raise ExecutorError(problem)
        else:
            self._hub.send(connection, {"leave": problem, "for_good": True})

    def _hear(self, member: Member, message: Mapping[str, Any], blob: bytes) -> None:
        match message:
            case {"event": line}:
                self._note(member, cast("AttemptEvent", decode(line)))
            case {"log": [number, attempt]} if _is_at(member, number, attempt):
                extend_log(self._work.folder, number, attempt, blob)
            case {"whole log": [number, attempt]} if _is_at(member, number, attempt):
                write_log(self._work.folder, number, attempt, blob)
            case {"beat": memory}:
                member.memory = memory
            case {"ready": True}:
                member.ready = self.has_worked = True
                self._hand_out()
            case {"broken": why}:
                raise ExecutorError(f"the worker on {member.place['name']} can't work. {why}")

    def _note(self, member: Member, event: AttemptEvent) -> None:
        """Pass an event on; one of an attempt that is not this worker's is dropped."""
        if not _is_at(member, event.number, event.attempt):
            return
        self.events.append(event)
        if isinstance(event, ENDINGS):
            member.task = None
            self._hand_out()

    def _lose(self, member: Member, why: str) -> None:
        del self.members[member.connection]
        task, member.task = member.task, None
        if task is not None:
            reason = _lost_because(member, why)
            lost = AttemptLost(task.number, task.attempt, reason, counts=True, at=time.time())
            self.events.append(lost)

    def _hand_out(self) -> None:
        while self._waiting:
            idle = [m for m in self.members.values() if m.ready and m.task is None]
            if not idle:
                return
            busy = Counter(m.host for m in self.members.values() if m.task is not None)
            member = min(idle, key=lambda m: (busy[m.host], m.connection))
            task = member.task = self._waiting.popleft()
            order = {"task": asdict(task), "secrets": secret_params(self._work, task)}
            self._hub.send(member.connection, order)


def _is_at(member: Member, number: int, attempt: int) -> bool:
    task = member.task
    return task is not None and (task.number, task.attempt) == (number, attempt)


def _lost_because(member: Member, why: str) -> str:
    """Say what became of a worker: was it this trial, or the machine?"""
    name, memory = member.place["name"], member.memory
    if memory and memory["available"] < _SCARCE * memory["total"]:
        total, used, left = (memory[key] / 1e9 for key in ("total", "used", "available"))
        return (
            f"the worker on {name} was lost when its machine had run out of memory: of "
            f"{total:.3g} GB the trial used {used:.3g} GB, and {left:.2g} GB were left. Give "
            "trials less to hold, run fewer on a machine, or set trial_memory"
        )
    return (
        f"the worker on {name} was lost ({why}): its machine, executor or Python worker died or "
        "was taken away; nothing says that the trial was the cause"
    )
