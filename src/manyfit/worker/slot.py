"""Runs one attempt at a time in a worker process, which is replaced whenever it dies."""

import contextlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from manyfit._redact import redact, secret_values
from manyfit.errors import ExecutorError
from manyfit.event_lines import decode
from manyfit.events import AttemptEvent, AttemptFailed, AttemptLost, AttemptStarted
from manyfit.trial import log_name
from manyfit.worker.channel import ENDINGS
from manyfit.worker.context import timeout_reason
from manyfit.worker.last_words import last_words
from manyfit.worker.limits import tree_memory
from manyfit.worker.logs import finalise, is_too_long, shorten
from manyfit.worker.payload import Payload
from manyfit.worker.process import Process
from manyfit.worker.work import Task

# Seconds between checks of a running worker: whether it is alive, and its memory.
_LOOK = 0.2
_SEND_AGAIN = 0.02  # seconds until the rest of a task is sent to a worker that was not ready for it
_LEAST_TO_BEGIN = 2.0  # seconds in which a worker must begin, at least, on a busy machine
_MOST_STARTS = 3


class Slot:
    """Runs one attempt at a time in a long-lived child process, and returns its events.

    The child starts with the first task. One that died or was killed is replaced at the next task.
    A slot is not thread-safe.

    Args:
        payload: The packed work, which must stay open as long as the slot is used.
    """

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._site = payload.site
        self._limits = payload.site.limits
        self._cwd = Path.cwd()
        self._process: Process | None = None
        self._task: Task | None = None
        self._secrets: Sequence[str] = ()
        self._began: float | None = None  # when the objective began, in monotonic seconds
        self._could_begin: float | None = None  # when a child had loaded the work and had a task
        self._next_look = 0.0
        self._starts = 0  # children started for the current task
        self._broken = ""  # why the last child couldn't load the work
        self._news: list[AttemptEvent] = []

    @property
    def task(self) -> Task | None:
        """The current task."""
        return self._task

    @property
    def pid(self) -> int | None:
        """The PID of the child, if there is one. It may be read from any thread."""
        process = self._process
        return None if process is None else process.pid

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when `poll` has something to do, or None."""
        return None if self._process is None else self._process.events

    def submit(self, task: Task, secrets: Sequence[str] = ()) -> None:
        """Start an attempt; returns before the child has started.

        Args:
            task: The attempt to run.
            secrets: Values of its params to redact in everything that is written.

        Raises:
            ExecutorError: No process can be started.
        """
        self._task, self._secrets, self._began, self._starts = task, secrets, None, 0
        self._could_begin = time.monotonic()
        if self._process is not None and self._process.is_dead():
            self._process.bury()
            self._process = None
        self._begin(task)

    def stop(self, reason: str) -> None:
        """Ask the objective to end at its next report."""
        if self._process is not None and self._task is not None:
            self._process.send({"stop": [self._task.number, self._task.attempt, reason]})

    def kill(self, reason: str) -> None:
        """End the attempt at once: it is lost, unless its end has been sent already."""
        if self._task is not None:
            whose = self._task.number, self._task.attempt
            self._bury(AttemptLost(*whose, reason, counts=False, at=time.time()))

    def poll(self) -> list[AttemptEvent]:
        """Return new events without blocking, and enforce the limits.

        Raises:
            ExecutorError: The child can't load the objective, or keeps dying before it begins.
        """
        process = self._process
        if process is not None:
            dead = process.is_dead()  # checked first, so that nothing written before is missed
            self._take(process.read())
            process.flush()
            if dead or process.hung_up or self._is_frozen():
                self._bury()
            elif self._task is not None and self._began is not None:
                self._enforce(self._task, time.monotonic() - self._began)
        if self._task is not None and self._process is None:
            self._begin(self._task)
        news, self._news = self._news, []
        return news

    def patience(self) -> float:
        """Return the seconds after which to call `poll` even if nothing is readable."""
        if self._news:
            return 0.0
        if self._task is None:
            return float("inf")
        if self._process is not None and not self._process.flush():
            return _SEND_AGAIN
        if self._began is None or self._limits.seconds is None:
            return _LOOK
        return max(0.0, min(_LOOK, self._began + self._limits.seconds - time.monotonic() + 0.001))

    def leave(self) -> None:
        """Ask an idle child to exit by itself, so that its libraries clean up."""
        if self._process is not None and self._task is None:
            self._process.send({"leave": True})

    def close(self, within: float = 0.0) -> None:
        """End the child and its descendants; one asked to leave has `within` seconds to do so."""
        if self._process is not None:
            if self._task is None:
                self._process.wait(within)
            self._task = None
            self._bury()
        self._news.clear()

    def _begin(self, task: Task) -> None:
        if self._process is None:
            self._starts += 1
            self._could_begin, self._broken = None, ""
            try:
                self._process = Process(self._payload, self._cwd)
            except ExecutorError as error:
                if not self._payload.has_loaded or self._starts >= _MOST_STARTS:
                    self._give_up(task, str(error), error)
                return  # the next poll tries again
        self._process.send({"task": asdict(task)})

    def _is_frozen(self) -> bool:
        """Return whether the child has not begun within the time limit of the whole attempt."""
        if self._began is not None or self._could_begin is None or self._limits.seconds is None:
            return False
        within = max(self._limits.seconds, _LEAST_TO_BEGIN)
        return self._task is not None and time.monotonic() - self._could_begin > within

    def _take(self, lines: Iterable[bytes]) -> None:
        """Decode the lines that the child wrote; an incomplete last line is dropped."""
        for line in lines:
            if line.startswith(b'{"ready"'):
                self._payload.has_loaded = True
                self._could_begin = time.monotonic()
            elif line.startswith(b'{"broken"'):
                self._is_broken(json.loads(line)["broken"])
            with contextlib.suppress(ValueError):
                if self._task is not None:
                    self._note(cast("AttemptEvent", decode(line)))

    def _note(self, event: AttemptEvent) -> None:
        self._news.append(event)
        if isinstance(event, AttemptStarted):
            self._began = time.monotonic()
            self._next_look = self._began + _LOOK
        elif isinstance(event, ENDINGS):
            self._task = None

    def _enforce(self, task: Task, seconds: float) -> None:
        limits = self._limits
        reason = None
        if limits.seconds is not None and seconds > limits.seconds:
            reason = timeout_reason(limits.seconds)
        elif time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK
            reason = self._look(task)
        if reason is not None:
            whose = task.number, task.attempt
            self._bury(AttemptFailed(*whose, reason, "", "", False, seconds, time.time()))

    def _look(self, task: Task) -> str | None:
        """Shorten the log if needed; returns a reason if the attempt uses too much memory."""
        log = self._log_of(task)
        if is_too_long(log):
            shorten(log, self._secrets_of(task))
        if self._limits.memory is None:
            return None
        used, most = tree_memory(self.pid or 0, self._limits.memory), self._limits.memory
        if used <= most:
            return None
        return f"used {_bytes(used)} of memory, more than trial_memory={_bytes(most)}"

    def _log_of(self, task: Task) -> Path:
        return self._site.folder / "logs" / log_name(task.number, task.attempt)

    def _secrets_of(self, task: Task) -> tuple[str, ...]:
        return (*secret_values({**os.environ, **self._site.env, **task.env}), *self._secrets)

    def _bury(self, verdict: AttemptFailed | AttemptLost | None = None) -> None:
        """Kill the child and its descendants, and read the last events.

        If the task has not ended with these, it ends with the verdict, or as lost. Without a
        verdict, a task that has not begun is kept for the next child.
        """
        process, task = self._process, self._task
        self._process = None
        if process is not None:
            process.bury()
            self._take(process.read())
        if task is None or self._task is None:
            return
        if verdict is None and self._began is None:
            self._check_starts(process)
            return
        log, secrets = self._log_of(task), self._secrets_of(task)
        finalise(log, secrets)
        if verdict is None:
            said = redact(last_words(log), secrets)
            reason = "the worker process " + (process.death() if process is not None else "is gone")
            reason += f"; its last output: {said}" if said else ""
            verdict = AttemptLost(task.number, task.attempt, reason, counts=True, at=time.time())
        self._news.append(verdict)
        self._task = None

    def _check_starts(self, process: Process | None) -> None:
        if process is not None and self._task is not None and self._starts >= _MOST_STARTS:
            why = self._broken or f"it {process.death()}\n{redact(process.said)}"
            self._give_up(self._task, why.strip())

    def _is_broken(self, traceback: str) -> None:
        """Note that the child can't load the work; if none has ever loaded it, none will."""
        self._broken = traceback
        if self._task is not None and not self._payload.has_loaded:
            self._give_up(self._task, traceback)

    def _give_up(self, task: Task, why: str, error: ExecutorError | None = None) -> None:
        """End the study if no worker has ever loaded the work; otherwise only this attempt.

        If workers have started before, the cause is the machine: it may have no memory left, or too
        many processes.
        """
        if self._payload.has_loaded:
            whose, at = (task.number, task.attempt), time.time()
            reason = f"no worker process could start {self._starts} times; at last: {why}"
            self._news.append(AttemptStarted(*whose, self._site.name, at))
            self._news.append(AttemptLost(*whose, reason, counts=True, at=at))
            self._task = None
            return
        self.close()
        if error is not None:
            raise error
        raise ExecutorError(
            "a worker process can't load the objective. Its imports must be found with the "
            f"sys.path of this process. From the worker:\n{why}"
        )


def _bytes(number: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bytes"
