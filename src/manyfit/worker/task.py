"""Runs one attempt: the only code that catches exceptions of an objective."""

import contextlib
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from manyfit._redact import redact
from manyfit.errors import FatalError, MetricError, TrialStopped
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
)
from manyfit.metric import notes_in
from manyfit.trial import log_name
from manyfit.worker.active_run import active_run
from manyfit.worker.channel import Channel
from manyfit.worker.context import Context, CurrentTrial, entered
from manyfit.worker.reason import message, one_line, reason_of
from manyfit.worker.seeds import seeded
from manyfit.worker.shipped import hint_for
from manyfit.worker.usage import Usage
from manyfit.worker.work import Task, Work, secrets_of

Capture: TypeAlias = Callable[[Path, Sequence[str]], AbstractContextManager[None]]

# Frames of these folders are left out of tracebacks: they call the objective.
_OWN_FRAMES = tuple(
    str(Path(__file__).parents[1] / name) for name in ("worker", "groups", "sklearn", "optuna")
)
_MOST_TRACEBACK = 100_000
# The endings that say what an attempt used.
_MEASURED = (AttemptFinished, AttemptPruned, AttemptFailed)


@dataclass(frozen=True, slots=True)
class Place:
    """The place where an attempt runs, and its properties.

    Attributes:
        worker: The worker's name.
        capture: A context in which output goes to a file, given the values to redact.
        alone: Whether no other trial runs in this process at the same time: the trial then owns
            the environment and the random state.
        killable: Whether the time limit is enforced from outside; otherwise each report checks it.
        on_driver_thread: Whether a Ctrl-C is raised in the objective.
        interrupts: Whether a stop request also interrupts what the objective waits for: what it
            then raises is a consequence of the stop.
        code: Folders with code sent from the driver; anything else was not sent.
    """

    worker: str
    capture: Capture
    alone: bool
    killable: bool = False
    on_driver_thread: bool = False
    interrupts: bool = False
    code: tuple[str, ...] = ()


def run_task(work: Work, task: Task, channel: Channel, place: Place) -> None:
    """Run an attempt, and send its start, its reports and exactly one ending.

    The ending is sent once the log is complete. Any exception of the objective becomes an ending,
    even `SystemExit`. Once `report` has told the objective to stop, or the place has interrupted
    it, it counts as stopped however it ends, except for a `FatalError`.

    Raises:
        KeyboardInterrupt: On the driver's thread, after the attempt was sent as lost.
    """
    channel.send(AttemptStarted(task.number, task.attempt, place.worker, time.time()))
    log = work.folder / "logs" / log_name(task.number, task.attempt)
    with contextlib.ExitStack() as stack:
        stack.enter_context(active_run(task.env, threaded=not place.alone))
        secrets = secrets_of(work, task)
        stack.enter_context(place.capture(log, secrets))
        if place.alone:
            stack.enter_context(seeded(task.seed))
            # Otherwise a warning shown in one trial would not be shown in later ones.
            stack.enter_context(warnings.catch_warnings())
        attempt = _Attempt(work, task, channel, place, secrets)
        usage = Usage(own_process=place.killable) if place.alone else None
        ending = attempt.run()
        if usage is not None and isinstance(ending, _MEASURED):
            ending = replace(ending, usage=usage.now())
    channel.send(ending)
    if attempt.interrupt is not None:
        raise attempt.interrupt


def run_within(
    work: Work, task: Task, channel: Channel, place: Place, secrets: Sequence[str]
) -> AttemptEvent:
    """Run an attempt as part of another task in this process, and return its ending.

    It is meant for objectives that take milliseconds: they use the output and the environment of
    the enclosing task. Their errors and notes are redacted like its output: of these `secrets`.

    Raises:
        KeyboardInterrupt: On the driver's thread, as for `run_task`.
    """
    with seeded(task.seed):
        attempt = _Attempt(work, task, channel, place, secrets)
        ending = attempt.run()
    if attempt.interrupt is not None:
        raise attempt.interrupt
    return ending


class _Attempt:
    def __init__(
        self, work: Work, task: Task, channel: Channel, place: Place, secrets: Sequence[str]
    ) -> None:
        self.interrupt: KeyboardInterrupt | None = None
        self._returned = False
        self._work = work
        self._task = task
        self._channel = channel
        self._place = place
        self._secrets = secrets
        trial = CurrentTrial(task.number, task.attempt, task.seed, work.study, work.folder)
        limit = None if place.killable else work.limits.seconds
        self._context = Context(
            trial,
            channel,
            limit,
            clean=self._text,
            domains=task.domains,
            metric=work.metric.name,
        )

    def run(self) -> AttemptEvent:
        """Call the objective and return its ending."""
        work, context = self._work, self._context
        metrics: Mapping[str, float] = {}
        notes: Mapping[str, str] = {}
        error: BaseException | None = None
        try:
            with entered(context):
                context.raise_if_stopped()
                returned = work.objective(work.space.materialize(self._task.params))
            self._returned = context.refusal is None
            metrics = work.metric.to_metrics(returned)
            notes = self._notes(notes_in(returned, metrics))
        except BaseException as raised:  # noqa: BLE001 - it is the user's code
            error = raised
            if self._place.interrupts:
                with contextlib.suppress(TrialStopped):
                    context.raise_if_stopped()
        error = context.refusal or error
        seconds = context.seconds
        try:
            if error is None and context.delivered is None:
                return AttemptFinished(*self._whose, metrics, seconds, time.time(), notes)
            return self._unfinished(error, seconds)
        finally:
            del error  # its frames refer to the model and the data

    def _notes(self, notes: Mapping[str, str]) -> dict[str, str]:
        return {self._text(name): self._text(text) for name, text in notes.items()}

    @property
    def _whose(self) -> tuple[int, int]:
        return self._task.number, self._task.attempt

    def _unfinished(self, error: BaseException | None, seconds: float) -> AttemptEvent:
        stop, now = self._context.delivered, time.time()
        if self._place.on_driver_thread and isinstance(error, KeyboardInterrupt):
            self.interrupt = error.with_traceback(None)
            return AttemptLost(*self._whose, "interrupted", False, now)
        if stop is not None and not isinstance(error, FatalError):
            if stop.timeout:
                return AttemptFailed(*self._whose, stop.reason, "", "", False, seconds, now)
            if stop.lost:
                return AttemptLost(*self._whose, stop.reason, False, now)
            return AttemptPruned(*self._whose, stop.reason, seconds, now)
        if isinstance(error, TrialStopped):  # raised by the objective itself
            reason = self._text(message(error)) or "the objective ended it"
            return AttemptPruned(*self._whose, reason, seconds, now)
        if error is None:
            raise AssertionError("an attempt that wasn't stopped and raised nothing has finished")
        return self._failed(error, seconds, now)

    def _failed(self, error: BaseException, seconds: float, now: float) -> AttemptFailed:
        said = message(error) if isinstance(error, MetricError) else reason_of(error)
        return AttemptFailed(
            *self._whose,
            reason=one_line(self._text(said)) + hint_for(error, self._place.code),
            error=type(error).__name__,
            # An unusable return value has no location in the code.
            traceback="" if self._returned else self._text(_shorten(_traceback(error))),
            fatal=isinstance(error, FatalError),
            seconds=seconds,
            at=now,
        )

    def _text(self, text: str) -> str:
        """Return text without credentials and encodable as UTF-8."""
        return redact(text, self._secrets).encode("utf-8", "backslashreplace").decode()


def _traceback(error: BaseException) -> str:
    """Format an exception with its causes, beginning with the user's first frame."""
    frames = error.__traceback__
    while frames is not None and _is_own(frames):
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception as failure:  # noqa: BLE001 - exceptions can be as odd as they like
        return f"{type(error).__name__}, whose traceback can't be shown ({type(failure).__name__})"


def _is_own(frames: TracebackType) -> bool:
    return frames.tb_frame.f_code.co_filename.startswith(_OWN_FRAMES)


def _shorten(text: str) -> str:
    if len(text) <= _MOST_TRACEBACK:
        return text
    half = _MOST_TRACEBACK // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
