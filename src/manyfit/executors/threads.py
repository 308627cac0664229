"""Runs trials in threads of the driver's process, for work that waits or releases the GIL."""

import contextlib
import os
import queue
import socket
import threading
import time

from manyfit._checks import check_number
from manyfit.errors import ExecutorError
from manyfit.events import AttemptEvent, AttemptLost
from manyfit.executors.base import Capabilities, Handler
from manyfit.worker.channel import ENDINGS, Channel, Stop
from manyfit.worker.limits import limit_pools, limited_pools, usable_cpus
from manyfit.worker.reason import message
from manyfit.worker.router import in_driver
from manyfit.worker.task import Place, run_task
from manyfit.worker.work import Task, Work

# Seconds for which `close` waits for trials to stop.
_GRACE = 1.0


class ThreadExecutor:
    """Runs trials in `parallelism` threads.

    Trials share the process with its environment and random state, and a crash ends them all. They
    are not seeded, because they would draw from one another's random numbers: use
    `current_trial().seed`. A trial can't be killed: `trial_timeout` and a cancellation end it at
    its next report, and one that never reports keeps running when the study ends.

    Example:
        >>> ThreadExecutor(4).parallelism
        4
    """

    capabilities = Capabilities(
        live_reports=True, hard_kill=False, memory_limit=False, in_driver_process=True
    )

    def __init__(self, parallelism: int) -> None:
        self._parallelism: int = check_number("parallelism", parallelism, least=1, whole=True)
        self._work: Work | None = None
        self._tasks: queue.SimpleQueue[tuple[Task, Channel] | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[AttemptEvent] = queue.SimpleQueue()
        self._channels: dict[tuple[int, int], Channel] = {}
        self._threads: list[threading.Thread] = []
        self._pools = contextlib.ExitStack()

    @property
    def parallelism(self) -> int:
        """The number of threads."""
        return self._parallelism

    @property
    def cpus(self) -> int:
        """An equal share of all cores."""
        return max(1, usable_cpus() // self._parallelism)

    def open(self, work: Work) -> None:
        """Start the threads, and limit the thread pools of this process until `close`."""
        self._work = work
        self._tasks, self._events = queue.SimpleQueue(), queue.SimpleQueue()
        self._pools.enter_context(limited_pools(work.limits.cpus))
        for index in range(self._parallelism):
            thread = threading.Thread(
                target=self._serve,
                args=(work, self._tasks, self._events, index),
                name=f"manyfit-{index}",
                daemon=True,
            )
            self._threads.append(thread)
            thread.start()

    def submit(self, task: Task) -> None:
        """Pass an attempt to the next free thread."""
        if self._work is None:
            raise ExecutorError("open(work) must come before submit")
        channel = Channel(self._events.put)
        self._channels[task.number, task.attempt] = channel
        self._tasks.put((task, channel))

    def poll(self, handle: Handler, timeout: float) -> None:
        """Pass on new events, after waiting up to `timeout` for a first one."""
        with contextlib.suppress(queue.Empty):
            event = self._events.get(timeout=max(0.0, timeout))
            while True:
                self._take(event, handle)
                event = self._events.get_nowait()

    def _take(self, event: AttemptEvent, handle: Handler) -> None:
        if isinstance(event, ENDINGS):
            self._channels.pop((event.number, event.attempt), None)
        handle(event)

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt at its next report."""
        channel = self._channels.get((number, attempt))
        if channel is not None:
            channel.request(Stop(reason, lost=kill))

    def close(self) -> None:
        """Ask running trials to stop, wait for them briefly, and abandon those that don't."""
        for channel in self._channels.values():
            channel.request(Stop("the study ended", lost=True))
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()
        self._channels.clear()
        self._work = None
        self._pools.close()

    def _serve(
        self,
        work: Work,
        tasks: "queue.SimpleQueue[tuple[Task, Channel] | None]",
        events: "queue.SimpleQueue[AttemptEvent]",
        index: int,
    ) -> None:
        limit_pools(work.limits.cpus)
        place = _place(index, alone=self._parallelism == 1)
        while (given := tasks.get()) is not None:
            task, channel = given
            try:
                run_task(work, task, channel, place)
            except BaseException as error:  # noqa: BLE001 - dying silently would hang the study
                reason = f"the worker failed with {type(error).__name__}: {message(error)}"
                events.put(AttemptLost(task.number, task.attempt, reason, True, time.time()))


def _place(index: int, *, alone: bool) -> Place:
    return Place(
        worker=f"{socket.gethostname()}:{os.getpid()}/{index}",
        capture=lambda path, secrets: in_driver(path, secrets, alone=False),
        alone=alone,
    )
