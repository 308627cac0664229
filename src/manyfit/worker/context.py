"""What an objective can say and ask about its trial: `report`, `note` and `current_trial`."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyfit._redact import redact
from manyfit.errors import MetricError, TrialStopped
from manyfit.events import Noted, ParamsSuggested, Reported
from manyfit.metric import notes_in, to_report
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.exchange import scratch_of

_MOST_NOTES = 100


@dataclass(frozen=True, slots=True)
class CurrentTrial:
    """The trial for which an objective runs.

    Attributes:
        number: The trial's number in the study, from 0.
        attempt: The attempt's number in the trial, from 1; above 1 if an earlier worker died.
        seed: A seed derived from the study's seed and the trial's number; the same for every
            attempt.
        study: The study's name.
    """

    number: int
    attempt: int
    seed: int
    study: str
    _folder: Path = field(repr=False)

    @property
    def scratch(self) -> Path:
        """A folder of the trial's own, made on first use; later attempts find its contents."""
        return scratch_of(self._folder, self.number)


def current_trial() -> CurrentTrial | None:
    """Return the current trial, or None in a plain call of the objective.

    Example:
        >>> current_trial() is None
        True
    """
    context = _find()
    return None if context is None else context.trial


def report(step: int, **metrics: float) -> None:
    """Report metrics at a step; ends the trial if it has become hopeless.

    It does nothing in a plain call of the objective, in processes that it forked, and in a fit of
    `SearchCV`, which reports by itself. It may be called from threads that the objective started.
    The tuned metric may be NaN; the pruner then ends the trial.

    Args:
        step: An epoch, a round, a number of examples: a whole number of at least 0 that rises from
            report to report.
        **metrics: Any numbers, including those of NumPy, JAX, TensorFlow and PyTorch.

    Raises:
        TrialStopped: The trial need not go on. Don't catch it: clean up with `finally` or a `with`
            block. Every later report raises it again.
        MetricError: The step doesn't rise, or a metric isn't a number.

    Example:
        >>> for epoch in range(3):
        ...     report(epoch, loss=1.0 / (1 + epoch))
    """
    context = reporting()
    if context is not None:
        context.report(step, metrics)


def note(**notes: object) -> None:
    """Keep notes with the trial: a checkpoint, an epoch, a version of the data.

    They are in the trial's `notes`, in the table and the report, and tags of its MLflow run, as
    short strings (1000 characters of a string, 200 of the `repr` of anything else) without
    credentials. The last note of a name counts; the 101st name of a trial and later ones are left
    out, and a note says so. It does nothing in a plain call of the objective, in processes that it
    forked, and in an objective of `tune_groups`.

    Args:
        **notes: Any values, by name. What is to be tuned or plotted is a metric instead: `report`
            or return it.

    Example:
        >>> note(checkpoint="/models/7.keras", best_epoch=12)
    """
    context = _find()
    if context is not None:
        context.note(notes)


def raise_if_stopped() -> None:
    """End the current trial if it has been told to stop; does nothing outside of a trial.

    Raises:
        TrialStopped: The trial has been told to stop, as for `report`.
    """
    context = _find()
    if context is not None:
        context.raise_if_stopped()


class Context:
    """A running attempt, and the stop request it has received.

    Args:
        trial: What the objective may know of its trial.
        channel: The channel to the driver.
        seconds: The time limit, if the attempt can't be killed; it is checked at each report.
        clean: Takes credentials out of a text.
        domains: Records of the domains that are known, if the objective asks for its params.
        metric: The name of the tuned metric; None if reports are discarded, whatever they have.
    """

    def __init__(
        self,
        trial: CurrentTrial,
        channel: Channel,
        seconds: float | None = None,
        *,
        clean: Callable[[str], str] = redact,
        domains: Mapping[str, Any] | None = None,
        metric: str | None = None,
    ) -> None:
        self.trial = trial
        self.domains = domains or {}
        self.metric = metric
        self.reports_itself = False  # whether reports of what the objective calls are ignored
        self.is_optunas = False  # whether the objective receives a trial with Optuna's methods
        self.last_step = -1  # of the latest report; -1 before the first
        # An error by which the attempt fails, however its objective ends: a library that called a
        # callback may have swallowed it.
        self.refusal: MetricError | None = None
        self.delivered: Stop | None = None  # the stop request that was raised in the objective
        self._channel = channel
        self._seconds = seconds
        self._began = time.monotonic()
        self._clean = clean
        self._noted: list[str] = []
        self._open = True
        self._lock = threading.RLock()  # reentrant: on the driver's thread, `send` may call back
        self._pid = os.getpid()
        self._elders = frozenset(threading.enumerate()) - {threading.current_thread()}

    @property
    def seconds(self) -> float:
        """The duration of the attempt so far."""
        return time.monotonic() - self._began

    def owns_this_thread(self) -> bool:
        """Return whether the calling thread is newer than the attempt: its objective started it.

        Threads that Python didn't start have no age, and are assumed to be the objective's.
        """
        thread = threading.current_thread()
        return thread not in self._elders or thread.name.startswith("Dummy-")

    def report(self, step: int, metrics: Mapping[str, object]) -> None:
        """Send a report to the driver, then raise `TrialStopped` if the attempt must end."""
        with self._lock:
            if self.is_heard:
                self.raise_if_stopped()
                self._send_report(step, metrics)
                self.raise_if_stopped()

    def record(self, step: int, metrics: Mapping[str, object]) -> None:
        """Send a report to the driver, for an objective that asks itself whether to end.

        Raises:
            TrialStopped: The attempt is cut off: it is not its pruning.
        """
        with self._lock:
            if self.is_heard:
                self._send_report(step, metrics)
                if (stop := self._stop()) is not None and (stop.lost or stop.timeout):
                    self.raise_if_stopped()

    def suggest(self, params: Mapping[str, Any], domains: Mapping[str, Any]) -> None:
        """Send params that the objective has asked for, and records of their domains."""
        with self._lock:
            if self.is_heard:
                whose = self.trial.number, self.trial.attempt
                self._channel.send(ParamsSuggested(*whose, params, domains, time.time()))

    @property
    def should_stop(self) -> bool:
        """Whether the attempt has been told to end."""
        return self._stop() is not None

    @property
    def is_heard(self) -> bool:
        """Whether the attempt goes on, and this is its own process, not one that it forked."""
        return self._open and os.getpid() == self._pid

    def _send_report(self, step: int, metrics: Mapping[str, object]) -> None:
        trial = self.trial
        number, numbers = to_report(step, metrics, after=self.last_step)
        self._channel.send(Reported(trial.number, trial.attempt, number, numbers, time.time()))
        self.last_step = number

    def note(self, notes: Mapping[str, object]) -> None:
        """Send notes to the driver."""
        with self._lock:
            if not self.is_heard:
                return
            texts = {self._clean(k): self._clean(v) for k, v in notes_in(notes, {}).items()}
            names = dict.fromkeys([*self._noted, *texts])
            self._noted = list(names)[:_MOST_NOTES]
            kept = {name: text for name, text in texts.items() if name in self._noted}
            if len(names) > _MOST_NOTES:
                first = list(names)[_MOST_NOTES]
                kept["left out"] = f"{first} and later names: a trial keeps {_MOST_NOTES} notes"
            self._channel.send(Noted(self.trial.number, self.trial.attempt, kept, time.time()))

    def close(self) -> None:
        """Ignore further reports from any thread."""
        with self._lock:
            self._open = False

    def raise_if_stopped(self) -> None:
        """Raise `TrialStopped` if the attempt must end; every later call raises it again."""
        self.delivered = self._stop()
        if self.delivered is not None:
            raise TrialStopped(self.delivered.reason)

    def _stop(self) -> Stop | None:
        """Return the stop request that was delivered, or that is to be."""
        stop = self.delivered or self._channel.stop
        if stop is None and self._seconds is not None and self.seconds > self._seconds:
            return Stop(timeout_reason(self._seconds), timeout=True)
        return stop


def timeout_reason(seconds: float) -> str:
    """Return the reason of a trial that ran for too long, the same for all executors."""
    return f"ran longer than trial_timeout={seconds:g}s"


_context: ContextVar[Context | None] = ContextVar("manyfit_trial", default=None)
# Threads that an objective starts don't inherit context variables by default. They are recognised
# by their age instead.
_active: list[Context] = []


@contextlib.contextmanager
def entered(context: Context) -> Iterator[None]:
    """Make `report` and `current_trial` refer to this attempt within the block."""
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


def current_context() -> Context | None:
    """Return the running attempt; None in a plain call of the objective."""
    return _find()


def reporting() -> Context | None:
    """Return the running attempt to which `report` would report now; None if to none."""
    context = _find()
    return context if context and context.is_heard and not context.reports_itself else None


@contextlib.contextmanager
def ignoring_reports(ignored: bool = True) -> Iterator[None]:
    """Ignore reports within the block, or hear them in spite of an outer block."""
    context = _find()
    if context is None:
        yield
        return
    before, context.reports_itself = context.reports_itself, ignored
    try:
        yield
    finally:
        context.reports_itself = before


def _find() -> Context | None:
    found = _context.get()
    if found is not None or not _active:
        return found
    candidates = [context for context in tuple(_active) if context.owns_this_thread()]
    if len(candidates) > 1:
        raise RuntimeError(
            "report() or current_trial() was called in a thread that an objective started, while "
            "several trials run in this process, so its trial is unknown. Start the thread's "
            "function by contextvars.copy_context().run, or use executor='processes'"
        )
    return candidates[0] if candidates else None
