"""Runs trials on the driver's own thread, one after another, for debugging and for clusters.

The debugger, the terminal and the stack are the driver's. Distributed training, in which a trial
uses a whole cluster from the driver, runs this way or in threads.
"""

import contextlib
import os
import socket
import time
from collections import deque

from manyfit.errors import ExecutorError
from manyfit.events import AttemptEvent, AttemptLost
from manyfit.executors.base import Capabilities, Handler
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.limits import limited_pools, usable_cpus
from manyfit.worker.router import in_driver
from manyfit.worker.task import Place, run_task
from manyfit.worker.work import Task, Work


class InlineExecutor:
    """Runs one trial at a time, inside `poll`.

    A report is handled before `report` returns, so a hopeless trial ends at once. A trial can't be
    killed: `trial_timeout` and a cancellation end it at its next report.

    Example:
        >>> InlineExecutor().parallelism
        1
    """

    capabilities = Capabilities(
        live_reports=True,
        hard_kill=False,
        memory_limit=False,
        in_driver_process=True,
        on_driver_thread=True,
    )

    def __init__(self) -> None:
        self._work: Work | None = None
        self._tasks: deque[Task] = deque()
        self._running: tuple[Task, Channel] | None = None
        self._unhandled: deque[AttemptEvent] = deque()
        self._pools = contextlib.ExitStack()

    @property
    def parallelism(self) -> int:
        """Always 1."""
        return 1

    @property
    def cpus(self) -> int:
        """All cores."""
        return usable_cpus()

    def open(self, work: Work) -> None:
        """Keep the work, and limit the thread pools of this process until `close`."""
        self._work = work
        self._pools.enter_context(limited_pools(work.limits.cpus))

    def submit(self, task: Task) -> None:
        """Queue an attempt; `poll` runs it."""
        self._tasks.append(task)

    def poll(self, handle: Handler, timeout: float) -> None:
        """Run a queued attempt to its end, passing on its events as they happen."""
        while self._unhandled:
            handle(self._unhandled.popleft())
            timeout = 0
        if self._tasks:
            self._run(self._tasks.popleft(), handle)
        elif timeout > 0:
            time.sleep(timeout)

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt at its next report, or at once if it hasn't begun."""
        for task in tuple(self._tasks):
            if (task.number, task.attempt) == (number, attempt) and kill:
                self._tasks.remove(task)
                self._unhandled.append(AttemptLost(number, attempt, reason, False, time.time()))
        if self._running is not None:
            task, channel = self._running
            if (task.number, task.attempt) == (number, attempt):
                channel.request(Stop(reason, lost=kill))

    def close(self) -> None:
        """Forget attempts that haven't begun."""
        self._tasks.clear()
        self._unhandled.clear()
        self._pools.close()

    def _run(self, task: Task, handle: Handler) -> None:
        if self._work is None:
            raise ExecutorError("open(work) must come before poll")
        failures: list[BaseException] = []

        def send(event: AttemptEvent) -> None:
            # An exception of the driver must not be raised in the objective, which might catch it.
            if failures:
                self._unhandled.append(event)
                return
            try:
                handle(event)
            except BaseException as failure:  # noqa: BLE001 - raised again below
                failures.append(failure)
                channel.request(Stop("interrupted", lost=True))

        channel = Channel(send)
        self._running = task, channel
        try:
            run_task(self._work, task, channel, _place())
        finally:
            self._running = None
        if failures:
            raise failures[0]


def _place() -> Place:
    return Place(
        worker=f"{socket.gethostname()}:{os.getpid()}",
        capture=lambda path, secrets: in_driver(path, secrets, alone=True),
        alone=True,
        on_driver_thread=True,
    )
