"""Fakes with which hours of tuning run in milliseconds: a clock, and a scripted executor."""

from collections.abc import Callable, Iterable, Iterator

from manyfit.clock import Clock
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Reported,
)
from manyfit.executors.base import Capabilities, Handler
from manyfit.worker.work import Task, Work


class FakeClock:
    """A clock that moves only when told to.

    Example:
        >>> fake = FakeClock()
        >>> fake.advance(60)
        >>> fake.clock.monotonic()
        60.0
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.clock = Clock(now=lambda: 1_000_000.0 + self.seconds, monotonic=lambda: self.seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


Script = Callable[[Task], Iterable[AttemptEvent]]


class ScriptedExecutor:
    """Runs no code: each attempt yields the events that a script returns for its task.

    Every `poll` advances the clock by `tick` seconds and passes on one event of each running
    attempt, so that attempts interleave. A killed attempt is lost; one that is asked to stop is
    pruned at its next report, like a real one.

    Args:
        script: Returns the events of a task after `AttemptStarted`, which is sent automatically.
        parallelism: The number of attempts that run at once.
        clock: The clock, which every poll advances.
        tick: The seconds of a poll.
    """

    def __init__(
        self,
        script: Script,
        *,
        parallelism: int = 1,
        clock: FakeClock | None = None,
        tick: float = 1.0,
    ) -> None:
        self.capabilities = Capabilities(live_reports=True, hard_kill=True, memory_limit=True)
        self.parallelism = parallelism
        self.cpus = 1
        self.submitted: list[Task] = []
        self.stopped: list[tuple[int, int, str, bool]] = []
        self.closed = False
        self._script = script
        self._clock = clock or FakeClock()
        self._tick = tick
        self._running: dict[tuple[int, int], Iterator[AttemptEvent]] = {}
        self._stops: dict[tuple[int, int], str] = {}

    def open(self, work: Work) -> None:
        """Do nothing."""

    def submit(self, task: Task) -> None:
        """Start a task's script."""
        self.submitted.append(task)
        self._running[task.number, task.attempt] = self._events(task)

    def poll(self, handle: Handler, timeout: float) -> None:  # noqa: ARG002
        """Advance the clock, and pass on one event of each running attempt."""
        self._clock.advance(self._tick)
        for key, events in list(self._running.items()):
            event = next(events, None)
            if event is None:
                self._running.pop(key, None)
            else:
                handle(event)

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """Note the request, and let the attempt obey."""
        self.stopped.append((number, attempt, reason, kill))
        key = (number, attempt)
        if key not in self._running:
            return
        if kill:
            at = self._clock.clock.now()
            self._running[key] = iter([AttemptLost(number, attempt, reason, False, at)])
        else:
            self._stops[key] = reason

    def close(self) -> None:
        """Forget running attempts."""
        self._running.clear()
        self.closed = True

    def _events(self, task: Task) -> Iterator[AttemptEvent]:
        number, attempt, now = task.number, task.attempt, self._clock.clock.now
        yield AttemptStarted(number, attempt, "scripted", now())
        for event in self._script(task):
            reason = self._stops.get((number, attempt))
            if reason is not None and isinstance(event, Reported):
                yield AttemptPruned(number, attempt, reason, 1.0, now())
                return
            yield event


def finishes(task: Task, value: float, *, metric: str = "loss") -> list[AttemptEvent]:
    """Return a script in which the objective returns at once."""
    return [AttemptFinished(task.number, task.attempt, {metric: value}, 1.0, 0.0)]


def raises(task: Task, reason: str = "ValueError: no") -> list[AttemptEvent]:
    """Return a script in which the objective raises."""
    error = reason.partition(":")[0]
    fatal = error == "FatalError"
    return [AttemptFailed(task.number, task.attempt, reason, error, "...", fatal, 1.0, 0.0)]


def dies(task: Task, reason: str = "killed by SIGKILL") -> list[AttemptEvent]:
    """Return a script in which the worker dies."""
    return [AttemptLost(task.number, task.attempt, reason, True, 0.0)]


def reports(task: Task, values: Iterable[float], *, metric: str = "loss") -> list[AttemptEvent]:
    """Return a script that reports one value per step, and returns the last one."""
    values = list(values)
    steps: list[AttemptEvent] = [
        Reported(task.number, task.attempt, step, {metric: value}, 0.0)
        for step, value in enumerate(values)
    ]
    return [*steps, *finishes(task, values[-1], metric=metric)]
