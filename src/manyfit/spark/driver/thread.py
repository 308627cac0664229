"""Runs an attempt in a thread of the driver, with tagged Spark jobs that can be cancelled."""

import os
import re
import socket
import time
from collections.abc import Callable
from typing import TypeAlias

from manyfit.events import AttemptEvent, AttemptFailed, AttemptLost, AttemptStarted
from manyfit.remote.watch import ClusterEnded, end_behind
from manyfit.spark.jobs import JobEnded, SparkJobs
from manyfit.spark.session import Session
from manyfit.worker.channel import Channel, Stop
from manyfit.worker.limits import limit_pools
from manyfit.worker.reason import message
from manyfit.worker.router import in_driver
from manyfit.worker.task import Place, run_task
from manyfit.worker.work import Task, Work

# Seconds between the starts of an attempt and of its objective, to which a time limit applies.
_SETUP = 0.1

# Spark's message for an executor's death, which fails a barrier job at once, and an ordinary job
# after spark.task.maxFailures. Messages of objectives begin differently.
_LOST = re.compile(
    r"(?:barrier task .* finished unsuccessfully\.\n|Lost task .*\): )(ExecutorLostFailure \(.*)"
)


TrialMessage: TypeAlias = AttemptEvent | ClusterEnded


class TrialThread:
    """Runs an attempt, and sends its events from its own thread.

    Args:
        session: The session of the objective's jobs.
        jobs: Runs the thread, and cancels its jobs.
        work: The study's work.
        task: The attempt.
        tag: The tag of its jobs, unique in the session.
        lane: Its index among the attempts that run at once.
        pool: The fair pool of its jobs.
        alone: Whether it is the only trial in this process.
        send: Takes its events.
    """

    def __init__(
        self,
        session: Session,
        jobs: SparkJobs,
        work: Work,
        task: Task,
        *,
        tag: str,
        lane: int,
        pool: str,
        alone: bool,
        send: Callable[[TrialMessage], None],
    ) -> None:
        self.lane = lane
        self._pool = pool
        self._session = session
        self._jobs = jobs
        self._work = work
        self._task = task
        self._tag = tag
        self._alone = alone
        self._send = send
        self._channel = Channel(self._check)
        self._began: float | None = None

    def start(self) -> None:
        again = f", attempt {self._task.attempt}" if self._task.attempt > 1 else ""
        self._jobs.start(
            self._run,
            self._job_ended,
            tag=self._tag,
            title=f"trial {self._task.number} of {self._work.study}{again}",
            pool=self._pool,
            inherits=True,
        )

    def has_run(self, seconds: float) -> bool:
        """Return whether the objective has been running for longer than this."""
        return self._began is not None and time.monotonic() - self._began > seconds + _SETUP

    def stop(self, stop: Stop) -> None:
        """End it at its next report, or by cancelling its current and future jobs."""
        self._channel.request(stop)
        self._jobs.cancel(self._tag)

    def _run(self) -> None:
        limit_pools(self._work.limits.cpus)
        place = Place(
            worker=f"{place_name()}/{self.lane}",
            capture=lambda path, secrets: in_driver(path, secrets, alone=False),
            alone=self._alone,
            interrupts=True,
        )
        run_task(self._work, self._task, self._channel, place)

    def _job_ended(self, ended: JobEnded) -> None:
        """Send a failure of the thread; an objective's own failure is an event."""
        if ended.error is None:
            return
        number, attempt = self._task.number, self._task.attempt
        reason = f"the worker failed with {type(ended.error).__name__}: {message(ended.error)}"
        lost = AttemptLost(number, attempt, reason, counts=True, at=time.time())
        self._send(end_behind(self._session, self._session.timings) or lost)

    def _check(self, event: AttemptEvent) -> None:
        """Send an event, unless it is a failure caused by the end of the session."""
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
    """Return a failure as a loss if a machine caused it, so that the trial runs again."""
    found = _LOST.search(failure.traceback)
    if found is None:
        return failure
    reason = f"an executor died under it: {found[1]:.300}"
    return AttemptLost(failure.number, failure.attempt, reason, counts=True, at=failure.at)


def place_name() -> str:
    """Return the readable name of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"
