"""One attempt in a thread of the driver, whose Spark jobs are known by a tag and can be ended."""

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

# What may pass between an attempt's start and its objective's: a time limit is the objective's.
_SETUP = 0.1

# How Spark tells of an executor's death under a barrier job, which none of them outlives, and under
# an ordinary one, which outlives three. What an objective itself says has another beginning.
_LOST = re.compile(
    r"(?:barrier task .* finished unsuccessfully\.\n|Lost task .*\): )(ExecutorLostFailure \(.*)"
)


TrialMessage: TypeAlias = AttemptEvent | ClusterEnded


class TrialThread:
    """Runs an attempt; its news come from its own thread.

    Args:
        session: Where the objective's jobs run.
        jobs: Runs it, and cancels its jobs.
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
        """Start the attempt."""
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
        """Whether the objective has been running for longer than that."""
        return self._began is not None and time.monotonic() - self._began > seconds + _SETUP

    def stop(self, stop: Stop) -> None:
        """End it at its next report, or by ending what it waits for: its jobs, now and to come."""
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
        """Tell how the thread failed; an objective's own failure is an event."""
        if ended.error is None:
            return
        number, attempt = self._task.number, self._task.attempt
        reason = f"the worker failed with {type(ended.error).__name__}: {message(ended.error)}"
        lost = AttemptLost(number, attempt, reason, counts=True, at=time.time())
        self._send(end_behind(self._session, self._session.timings) or lost)

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
