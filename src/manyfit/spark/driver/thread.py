"""One attempt in a thread of the driver, whose Spark jobs are known by a tag and can be ended."""

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from manyfit.events import AttemptEvent, AttemptFailed, AttemptLost, AttemptStarted
from manyfit.remote.watch import ClusterEnded, end_behind
from manyfit.spark.session import Session
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.limits import limit_pools
from manyfit.worker.reason import message
from manyfit.worker.router import in_driver
from manyfit.worker.task import Place, run_task
from manyfit.worker.work import Task, Work

# How often jobs are cancelled until the end: a cancel that comes between two does nothing.
_AGAIN = 0.2
# What may pass between an attempt's start and its objective's: a time limit is the objective's.
_SETUP = 0.1

# How Spark tells of an executor's death under a barrier job, which none of them outlives, and under
# an ordinary one, which outlives three. What an objective itself says has another beginning.
_LOST = re.compile(
    r"(?:barrier task .* finished unsuccessfully\.\n|Lost task .*\): )(ExecutorLostFailure \(.*)"
)


News: TypeAlias = AttemptEvent | ClusterEnded


class TrialThread:
    """Runs an attempt; its news come from its own thread.

    Args:
        session: Where the objective's jobs run.
        work: The study's work.
        task: The attempt.
        tag: What its jobs are known by; no other attempt's, in all the life of the session.
        lane: Which of the attempts that run at once it is, from 0 up.
        pool: Which of Spark's fair pools its jobs are in.
        alone: Whether it has this process to itself.
        send: Takes its news.
    """

    def __init__(
        self,
        session: Session,
        work: Work,
        task: Task,
        *,
        tag: str,
        lane: int,
        pool: str,
        alone: bool,
        send: Callable[[News], None],
    ) -> None:
        self.lane = lane
        self._pool = pool
        self._session = session
        self._work = work
        self._task = task
        self._tag = tag
        self._alone = alone
        self._send = send
        self._channel = Channel(self._check)
        self._began: float | None = None
        self._cancelling: threading.Thread | None = None
        self._thread = threading.Thread(
            target=session.inheriting(self._run), name=f"manyfit-trial-{task.number}", daemon=True
        )

    def start(self) -> None:
        """Start the attempt."""
        self._thread.start()

    def has_run(self, seconds: float) -> bool:
        """Whether the objective has been running for longer than that."""
        return self._began is not None and time.monotonic() - self._began > seconds + _SETUP

    def stop(self, stop: Stop) -> None:
        """End it at its next report, or by ending what it waits for: its jobs, now and to come."""
        self._channel.request(stop)
        if self._cancelling is None:
            self._cancelling = threading.Thread(
                target=self._cancel, name=f"{self._thread.name}-cancel", daemon=True
            )
            self._cancelling.start()

    def join(self, timeout: float) -> None:
        """Wait for its end, for so many seconds."""
        self._thread.join(timeout)

    def _cancel(self) -> None:
        # A thread of its own, since a Connect client whose server is gone waits for minutes.
        while self._thread.is_alive():
            with contextlib.suppress(Exception):  # a session that is stopped raises what it likes
                self._session.cancel(self._tag)
            self._thread.join(_AGAIN)

    def _run(self) -> None:
        task = self._task
        limit_pools(self._work.limits.cpus)
        place = Place(
            worker=f"{place_name()}/{self.lane}",
            capture=lambda path, secrets: in_driver(path, secrets, alone=False),
            alone=self._alone,
            interrupts=True,
        )
        again = f", attempt {task.attempt}" if task.attempt > 1 else ""
        title = f"trial {task.number} of {self._work.study}{again}"
        try:
            self._session.mark(self._tag, title, self._pool)
            run_task(self._work, task, self._channel, place)
        except BaseException as error:  # noqa: BLE001 - dying silently would hang the study
            reason = f"the worker failed with {type(error).__name__}: {message(error)}"
            ended = self._session.ended()
            self._send(
                AttemptLost(task.number, task.attempt, reason, counts=True, at=time.time())
                if ended is None
                else ClusterEnded(ended)
            )

    def _check(self, event: AttemptEvent) -> None:
        """Send an event home, unless it is a failure that only tells of the session's end."""
        if isinstance(event, AttemptStarted):
            self._began = time.monotonic()
        if isinstance(event, AttemptFailed) and not event.fatal:
            self._send(self._end_behind(event) or _as_lost(event))
        else:
            self._send(event)

    def _end_behind(self, failure: AttemptFailed) -> ClusterEnded | None:
        """Return the session's end, if that is what made the attempt fail."""
        if "pyspark" in failure.traceback:
            return end_behind(self._session, self._session.timings)
        reason = self._session.ended()
        return None if reason is None else ClusterEnded(reason)


def _as_lost(failure: AttemptFailed) -> AttemptFailed | AttemptLost:
    """Return a failure as a loss, to be made good, if a machine was to blame and not the code."""
    found = _LOST.search(failure.traceback)
    if found is None:
        return failure
    reason = f"an executor died under it: {found[1]:.300}"
    return AttemptLost(failure.number, failure.attempt, reason, counts=True, at=failure.at)


def place_name() -> str:
    """Return the name of this process, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"
