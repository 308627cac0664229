"""What an objective sees of the trial it is run for: `report` and `current_trial`."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from manyfit.errors import TrialStopped
from manyfit.events import Reported
from manyfit.metric import to_report
from manyfit.worker.channel import Channel, Stop


@dataclass(frozen=True, slots=True)
class CurrentTrial:
    """The trial that an objective is being run for.

    Attributes:
        number: Counts from 0 within the study.
        attempt: Counts from 1 within the trial; above 1 when a machine died under an earlier one.
        seed: Derived from the study's seed and the trial's number; the same for every attempt.
        study: The study's name.
    """

    number: int
    attempt: int
    seed: int
    study: str
    _folder: Path = field(repr=False)

    @property
    def scratch(self) -> Path:
        """A folder of the trial's own, made on first use; a later attempt finds what is in it."""
        path = self._folder / "scratch" / str(self.number)
        path.mkdir(parents=True, exist_ok=True)
        return path


def current_trial() -> CurrentTrial | None:
    """Return the trial being run, or None in a plain call of the objective.

    Example:
        >>> current_trial() is None
        True
    """
    context = _find()
    return None if context is None else context.trial


def report(step: int, **metrics: float) -> None:
    """Report metrics at a step; ends the trial when it has become hopeless.

    In a plain call of the objective it does nothing. It may be called from threads that the
    objective started, but not from processes it forked: there it does nothing. The tuned metric may
    be NaN here; the pruner judges it.

    Args:
        step: An epoch, a round, a number of examples: a whole number from 0 up that rises from
            report to report.
        **metrics: Any numbers, also of NumPy, JAX, TensorFlow or PyTorch.

    Raises:
        TrialStopped: The trial need not go on. Let it pass: clean up with `finally` or a `with`
            block. It is raised again by every later report.
        MetricError: The step doesn't rise, or a metric is no number.

    Example:
        >>> for epoch in range(3):
        ...     report(epoch, loss=1.0 / (1 + epoch))
    """
    context = _find()
    if context is not None:
        context.report(step, metrics)


def raise_if_stopped() -> None:
    """End the trial being run if it has been told to; does nothing outside of one.

    Raises:
        TrialStopped: As `report` does.
    """
    context = _find()
    if context is not None:
        context.raise_if_stopped()


class Context:
    """One attempt as it runs, and what it has been told.

    Args:
        trial: What the objective may know.
        channel: Its line to the driver.
        seconds: How long it may run where nobody can kill it; checked at each report.
    """

    def __init__(self, trial: CurrentTrial, channel: Channel, seconds: float | None = None) -> None:
        self.trial = trial
        self.delivered: Stop | None = None  # the stop request that the objective was told of
        self._channel = channel
        self._seconds = seconds
        self._began = time.monotonic()
        self._last_step = -1
        self._open = True
        self._lock = threading.RLock()  # the driver's thread may come back in from `send`
        self._pid = os.getpid()
        self._elders = frozenset(threading.enumerate()) - {threading.current_thread()}

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._began

    def owns_this_thread(self) -> bool:
        """Whether the calling thread is younger than the attempt, so that its objective started it.

        Threads that weren't started by Python have no age, and are given the benefit of the doubt.
        """
        thread = threading.current_thread()
        return thread not in self._elders or thread.name.startswith("Dummy-")

    def report(self, step: int, metrics: Mapping[str, object]) -> None:
        """Send a report home, then raise `TrialStopped` if the attempt is to end."""
        with self._lock:
            if not self._open or os.getpid() != self._pid:
                return
            self.raise_if_stopped()
            trial = self.trial
            number, numbers = to_report(step, metrics, after=self._last_step)
            self._channel.send(Reported(trial.number, trial.attempt, number, numbers, time.time()))
            self._last_step = number
            self.raise_if_stopped()

    def close(self) -> None:
        """Let no further report through, from whatever thread."""
        with self._lock:
            self._open = False

    def raise_if_stopped(self) -> None:
        """Raise `TrialStopped` if the attempt is to end, now and ever after."""
        if self.delivered is None:
            self.delivered = self._channel.stop
        if self.delivered is None and self._seconds is not None and self.seconds > self._seconds:
            self.delivered = Stop(timeout_reason(self._seconds), timeout=True)
        if self.delivered is not None:
            raise TrialStopped(self.delivered.reason)


def timeout_reason(seconds: float) -> str:
    """Return why a trial that ran for too long failed, in the same words wherever it ran."""
    return f"ran longer than trial_timeout={seconds:g}s"


_context: ContextVar[Context | None] = ContextVar("manyfit_trial", default=None)
# Threads that an objective starts have no context variables. They are found by their age instead.
_active: list[Context] = []


@contextlib.contextmanager
def entered(context: Context) -> Iterator[None]:
    """Make `report` and `current_trial` work within the block, in place of an outer one's."""
    outer = _context.get()
    token = _context.set(context)
    _active.append(context)
    if outer in _active:
        _active.remove(outer)
    try:
        yield
    finally:
        context.close()
        _active.remove(context)
        if outer is not None:
            _active.append(outer)
        _context.reset(token)


def _find() -> Context | None:
    found = _context.get()
    if found is not None or not _active:
        return found
    candidates = [context for context in tuple(_active) if context.owns_this_thread()]
    if len(candidates) > 1:
        raise RuntimeError(
            "report() or current_trial() was called in a thread that the objective started, while "
            "several trials run in this process, so that it can't be told whose it is. Start the "
            "thread's function by contextvars.copy_context().run, or use executor='processes'"
        )
    return candidates[0] if candidates else None
