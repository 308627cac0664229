"""The seam between the driver and the places where trials run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from manyfit.events import AttemptEvent
from manyfit.worker.work import Task, Work

Handler: TypeAlias = Callable[[AttemptEvent], None]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an executor can do; the driver adapts to the rest, and says so once.

    Attributes:
        live_reports: Reports arrive while the trial runs, so it can be pruned.
        hard_kill: A trial can be ended whatever its code is doing.
        memory_limit: `trial_memory` is enforced.
        in_driver_process: Trials share the driver's process, and one of them can be its death.
        on_driver_thread: Trials run inside `poll`, on the driver's own thread.
        remote: Trials run where files and servers of the driver's machine may not be seen.
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
    """Runs attempts in slots. Driven by one thread: every method is called from the driver's.

    What happens to an attempt comes back as events, handed to the handler on the driver's thread by
    `poll`: one `AttemptStarted`, any number of `Reported`, and exactly one of `AttemptFinished`,
    `AttemptPruned`, `AttemptFailed` or `AttemptLost`. A slot whose worker died is refilled.
    """

    capabilities: Capabilities

    @property
    def parallelism(self) -> int:
        """How many attempts it could run at this moment; may change while it is open.

        Before that, how many it means to run at once.
        """

    @property
    def cpus(self) -> int:
        """Cores that each attempt has for itself, unless the user says otherwise."""

    def open(self, work: Work) -> None:
        """Make ready to run this work; returns before the workers are up where they take long.

        Raises:
            ObjectiveError: The objective can't be sent to a worker; names what in it is to blame.
            ExecutorError: No worker can be started.
        """

    def submit(self, task: Task) -> None:
        """Start an attempt once its slot is ready; there are never more than `parallelism`."""

    def poll(self, handle: Handler, timeout: float) -> None:
        """Hand over the events that have arrived, waiting up to `timeout` seconds for a first one.

        Enforces the hard limits. An exception from `handle` passes through, and loses no event.
        """

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt: at its next report (pruned), or with `kill`, at once (lost).

        A kill is answered by an `AttemptLost` with `reason` and `counts=False` from the next
        `poll`; an executor without `hard_kill` can only wait for the objective's next report to
        do so. An attempt that has already ended is left alone.
        """

    def close(self) -> None:
        """End everything that still runs and leave nothing behind. Safe to call twice."""
