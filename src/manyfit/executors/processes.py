"""Runs trials in worker processes on this machine.

::

    driver ── poll ──► slot ──► child: trial 0, trial 3, ...
                  └──► slot ──► child: trial 1, trial 2, ...
"""

import select
import time
from collections import deque

from manyfit._checks import check_number
from manyfit.errors import ExecutorError
from manyfit.events import AttemptEvent
from manyfit.executors.base import Capabilities, Handler
from manyfit.worker.limits import usable_cpus
from manyfit.worker.payload import Payload, pack
from manyfit.worker.slot import Slot
from manyfit.worker.work import Site, Task, Work, secret_params

# Seconds for idle workers to exit when the executor closes.
_GRACE = 2.0


class ProcessExecutor:
    """Runs trials in long-lived processes, each of which runs one trial after another.

    Frameworks are imported once per process. A process that dies ends only its own attempt. The
    objective may be defined anywhere: in a notebook, in `__main__`, in a closure. No
    `if __name__ == "__main__"` is needed.

    Example:
        >>> ProcessExecutor(4).parallelism
        4
    """

    capabilities = Capabilities(live_reports=True, hard_kill=True, memory_limit=True)

    def __init__(self, parallelism: int) -> None:
        self._parallelism: int = check_number("parallelism", parallelism, least=1, whole=True)
        self._work: Work | None = None
        self._payload: Payload | None = None
        self._slots: list[Slot] = []
        self._events: deque[AttemptEvent] = deque()

    @property
    def parallelism(self) -> int:
        """The number of processes."""
        return self._parallelism

    @property
    def cpus(self) -> int:
        """An equal share of all cores."""
        return max(1, usable_cpus() // self._parallelism)

    def open(self, work: Work) -> None:
        """Pickle the work; processes start with their first trial.

        Raises:
            ObjectiveError: The objective can't be sent to a process; the message names the part.
        """
        self._work = work
        self._payload = Payload(pack(work), Site(work.folder, work.limits))
        self._slots = [Slot(self._payload) for _ in range(self._parallelism)]

    def submit(self, task: Task) -> None:
        """Start an attempt in a free slot, one with a living process if there is one."""
        free = [slot for slot in self._slots if slot.task is None]
        if self._work is None or not free:
            raise ExecutorError(f"trial {task.number} was submitted, but no slot is free")
        min(free, key=lambda slot: slot.pid is None).submit(task, secret_params(self._work, task))

    def poll(self, handle: Handler, timeout: float) -> None:
        """Pass on new events, after waiting up to `timeout` for a first one.

        Raises:
            ExecutorError: Workers can't load the objective, or die before they begin.
        """
        deadline = time.monotonic() + timeout
        self._collect()
        while not self._events and (left := deadline - time.monotonic()) > 0:
            self._wait(left)
            self._collect()
        while self._events:
            handle(self._events.popleft())

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt at its next report, or at once."""
        for slot in self._slots:
            task = slot.task
            if task is not None and (task.number, task.attempt) == (number, attempt):
                if kill:
                    slot.kill(reason)
                else:
                    slot.stop(reason)

    def close(self) -> None:
        """End all processes; idle ones are given a moment to exit by themselves."""
        for slot in self._slots:
            slot.leave()
        deadline = time.monotonic() + _GRACE
        for slot in self._slots:
            slot.close(deadline - time.monotonic())
        self._slots.clear()
        self._events.clear()
        if self._payload is not None:
            self._payload.close()
            self._payload = None

    def _collect(self) -> None:
        for slot in self._slots:
            self._events.extend(slot.poll())

    def _wait(self, seconds: float) -> None:
        """Wait until a slot has events or must be polled."""
        waiting = select.poll()
        for slot in self._slots:
            fd = slot.fileno()
            if fd is not None:
                waiting.register(fd, select.POLLIN)
            seconds = min(seconds, slot.patience())
        waiting.poll(seconds * 1000)
