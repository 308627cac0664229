"""Runs each trial as a Spark job: slower than workers, but possible if these can't connect."""

import logging
import queue
import time
from collections import deque
from dataclasses import asdict, replace
from json import loads
from typing import Any, cast

from manyfit.event_lines import decode
from manyfit.events import AttemptEvent, AttemptLost
from manyfit.remote.equipment import Equipment
from manyfit.remote.mailbox import Mailbox
from manyfit.remote.tunnel import URI, own_address
from manyfit.remote.watch import end_behind
from manyfit.spark.cluster import SparkCluster
from manyfit.spark.jobs import JobEnded, SparkJobs, spark_message
from manyfit.spark.task import task_function
from manyfit.worker.logs import write_log
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Task, Work, secret_params

logger = logging.getLogger("manyfit")

# Seconds between checks of the mailboxes of running trials.
_LOOK = 0.5


class TrialJobs:
    """Runs each attempt as a Spark job of its own.

    Its events arrive with the job's result; or while it runs, if there is a channel.

    Args:
        cluster: The cluster of the jobs.
        work: The study's work.
        equipment: The equipment of each job.
        size: The number of jobs that may run at once.
        channel: A folder or URL that the driver and all workers can access; None if there is none.
        inbox: Takes a `JobEnded` for each attempt.
        timings: Intervals and timeouts.
    """

    def __init__(
        self,
        cluster: SparkCluster,
        work: Work,
        equipment: Equipment,
        *,
        size: int,
        channel: str | None,
        inbox: "queue.SimpleQueue[Any]",
        timings: Timings = USUAL,
    ) -> None:
        self._timings = timings
        self.size = size
        self.events: deque[AttemptEvent] = deque()
        self._cluster = cluster
        self._jobs = SparkJobs(cluster.session)
        self._work = work
        setup, broadcasts = equipment.setup, equipment.broadcasts
        kept = {
            "setup": broadcasts.parcel(setup.packed()),
            "broadcasts": dict(broadcasts.broadcasts),
        }
        self._settings: dict[str, Any] = kept
        self._tag = f"manyfit-{setup.token}"
        self._channel = f"{channel.rstrip('/')}/manyfit-{setup.token}" if channel else None
        self._inbox = inbox
        self._running: dict[str, Task] = {}  # by the tag of its job
        self._look_at = 0.0
        self._has_told = False

    @property
    def live_reports(self) -> bool:
        """Whether reports arrive while a trial runs."""
        return self._channel is not None

    @property
    def has_contact(self) -> bool:
        """False: running jobs reveal nothing about the cluster."""
        return False

    def submit(self, task: Task) -> None:
        """Begin a job."""
        tag = self._tag_of(task.number, task.attempt)
        self._running[tag] = task
        self._jobs.start(
            lambda: self._run(task),
            self._job_ended,
            tag=tag,
            title=f"Manyfit: trial {task.number} of {self._work.study}",
        )

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool) -> None:
        """End an attempt: by a message, if there is a channel, or by cancelling its job."""
        tag = self._tag_of(number, attempt)
        if tag not in self._running:
            return
        if kill:
            del self._running[tag]
            self.events.append(AttemptLost(number, attempt, reason, False, time.time()))
            self._jobs.cancel(tag)
        elif (url := self._url_of(number, attempt)) is not None:
            Mailbox(f"{url}/orders").put("stop", reason)

    def take(self, ended: JobEnded) -> None:
        """Handle the end of a job, unless its attempt has ended already."""
        task = self._running.get(ended.tag)
        if task is None:
            return
        self._look(task)
        del self._running[ended.tag]
        key = task.number, task.attempt
        match ended.answer:
            case {"events": lines, "log": log}:
                if log:
                    write_log(self._work.folder, *key, log.encode())
                self.events.extend(cast("AttemptEvent", decode(line)) for line in lines)
            case {"lost": why} | {"missing": why}:
                self.events.append(AttemptLost(*key, str(why), counts=True, at=time.time()))
            case _:
                why = "it returned nothing" if ended.error is None else spark_message(ended.error)
                reason = f"Spark failed its job: {why}"
                self.events.append(AttemptLost(*key, reason, counts=True, at=time.time()))

    def look(self) -> None:
        """Handle events that running trials have sent through the channel."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK
        for task in tuple(self._running.values()):
            self._look(task)

    def close(self) -> None:
        """Cancel running jobs, and wait until Spark has ended them."""
        self._running.clear()
        self._jobs.end(self._timings.cancel)
        if self._channel is not None:
            Mailbox(self._channel).remove()

    def _run(self, task: Task) -> Any:
        settings = {
            **self._settings,
            "task": asdict(self._without_tunnel(task)),
            "secrets": secret_params(self._work, task),
            "mailbox": self._url_of(task.number, task.attempt),
        }
        function = task_function("manyfit.spark.trial_task:run", settings)
        return loads(self._cluster.session.run(function, profile=self._cluster.profile)[0])

    def _job_ended(self, ended: JobEnded) -> None:
        """Put the end of a job into the inbox, after the session's end if that caused it."""
        if ended.error is not None and ended.tag in self._running:
            end = end_behind(self._cluster, self._timings)
            if end is not None:
                self._inbox.put(end)
        self._inbox.put(ended)

    def _without_tunnel(self, task: Task) -> Task:
        """Remove an MLflow server that only this machine can reach, because jobs can't."""
        if own_address(task.env.get(URI, "")) is None:
            return task
        if not self._has_told:
            self._has_told = True
            logger.warning(
                "what objectives log with MLflow themselves is lost: workers can't reach the store "
                "on this machine. Manyfit still mirrors the trials to it."
            )
        env = {name: value for name, value in task.env.items() if "MLFLOW_" not in name}
        return replace(task, env=env)

    def _look(self, task: Task) -> None:
        url = self._url_of(task.number, task.attempt)
        if url is not None:
            for text in Mailbox(f"{url}/events").take():
                self.events.extend(cast("AttemptEvent", decode(line)) for line in text.splitlines())

    def _tag_of(self, number: int, attempt: int) -> str:
        return f"{self._tag}-{number}-{attempt}"

    def _url_of(self, number: int, attempt: int) -> str | None:
        return f"{self._channel}/{number}-{attempt}" if self._channel else None
