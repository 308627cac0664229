"""The protocol of an executor, with which the driver runs trials."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from manyfit.events import AttemptEvent
from manyfit.worker.work import Task, Work

Handler: TypeAlias = Callable[[AttemptEvent], None]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor can do. The driver adapts to what is missing, and tells the user once.

    Attributes:
        live_reports: Reports arrive while the trial runs, so it can be pruned.
        hard_kill: A trial can be ended whatever its code is doing.
        memory_limit: `trial_memory` is enforced.
        in_driver_process: Trials run in the driver's process, and can crash it.
        on_driver_thread: Trials run inside `poll`, on the driver's own thread.
        remote: Trials run where the files and servers of the driver's machine may be inaccessible.
        cancels: Ending a trial also ends what it waits for, such as its Spark jobs.
    """

    live_reports: bool
    hard_kill: bool
    memory_limit: bool
    in_driver_process: bool = False
    on_driver_thread: bool = False
    remote: bool = False
    cancels: bool = False


class Executor(Protocol):
    """Runs attempts in slots. All methods are called from the driver's thread.

    `poll` passes the events of an attempt to a handler, on the driver's thread: one
    `AttemptStarted`, any number of `Reported` and `Noted`, and exactly one of `AttemptFinished`,
    `AttemptPruned`, `AttemptFailed` or `AttemptLost`. A worker that dies is replaced.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    @property
    def parallelism(self) -> int:
        """The number of attempts it can run now, which may change while it is open.

        Before `open`, it is the number that it intends to run at once.
        """

    @property
    def cpus(self) -> int:
        """The number of cores for each attempt, unless the user says otherwise."""

    def open(self, work: Work) -> None:
        """Prepare to run this work; may return before workers have started.

        Raises:
            ObjectiveError: The objective can't be sent to a worker; the message names the part.
            ExecutorError: No worker can be started.
        """

    def submit(self, task: Task) -> None:
        """Start an attempt once a slot is ready; there are never more than `parallelism`."""

    def poll(self, handle: Handler, timeout: float) -> None:
        """Pass new events to `handle`, after waiting up to `timeout` seconds for a first one.

        It enforces the hard limits. An exception of `handle` passes through, and loses no event.
        """

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt: at its next report (pruned), or with `kill`, at once (lost).

        After a kill, the next `poll` yields an `AttemptLost` with `reason` and `counts=False`; an
        executor without `hard_kill` has to wait for the objective's next report. For an attempt
        that has ended, this does nothing.
        """

    def close(self) -> None:
        """End all running attempts, and leave nothing behind. Safe to call twice."""
