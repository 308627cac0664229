"""A Spark job for each trial: slower than workers that stay, and the way where none can dial in."""

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from json import loads
from typing import Any, cast

from manyfit.events import AttemptEvent, AttemptLost, decode
from manyfit.remote.equipment import Equipment
from manyfit.remote.mailbox import Mailbox
from manyfit.remote.tunnel import URI, own_address
from manyfit.remote.watch import end_behind
from manyfit.spark.cluster import SparkCluster, gist_of
from manyfit.spark.task import task_function
from manyfit.worker.logs import write_log
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Task, Work, secret_params

logger = logging.getLogger("manyfit")

# How often the mailboxes of running trials are looked into.
_LOOK = 0.5


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The job of an attempt ended; `said` is None if it failed, and `error` says how."""

    number: int
    attempt: int
    said: Mapping[str, Any] | None
    error: str = ""


class TrialJobs:
    """Runs each attempt as a job of its own, in a thread of its own.

    Its events come home with the job's result; or while it runs, if there is a channel.

    Args:
        cluster: Where jobs run.
        work: The study's work.
        equipment: What each job is given.
        size: How many may run at once.
        channel: A folder or URL that the driver and all workers see; None if there is none.
        inbox: Where ends are put.
        timings: How long Spark may take to end jobs.
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
        self._session = cluster.session
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
        self._running: dict[tuple[int, int], Task] = {}
        self._doomed: set[tuple[int, int]] = set()
        self._threads: dict[tuple[int, int], threading.Thread] = {}
        self._look_at = 0.0
        self._has_told = False

    @property
    def live_reports(self) -> bool:
        """Whether reports arrive while a trial runs."""
        return self._channel is not None

    @property
    def has_contact(self) -> bool:
        """Never: jobs that run say nothing of the cluster."""
        return False

    def submit(self, task: Task) -> None:
        """Begin a job."""
        key = task.number, task.attempt
        self._running[key] = task
        self._threads[key] = threading.Thread(
            target=self._run, args=(task,), name=f"manyfit-trial-{task.number}", daemon=True
        )
        self._threads[key].start()

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool) -> None:
        """End an attempt: by a message, if there is a channel, or by having Spark kill it."""
        if (number, attempt) not in self._running:
            return
        if kill:
            del self._running[number, attempt]
            self.events.append(AttemptLost(number, attempt, reason, False, time.time()))
            self._doomed.add((number, attempt))
            self._cancel(number, attempt)
        elif (url := self._url_of(number, attempt)) is not None:
            Mailbox(f"{url}/orders").put("stop", reason)

    def take(self, ended: JobEnded) -> None:
        """Take in how a job ended."""
        key = ended.number, ended.attempt
        self._threads.pop(key).join()
        self._doomed.discard(key)
        self._look(*key)
        if self._running.pop(key, None) is None:
            return
        match ended.said:
            case {"events": lines, "log": log}:
                if log:
                    write_log(self._work.folder, *key, log.encode())
                self.events.extend(cast("AttemptEvent", decode(line)) for line in lines)
            case {"lost": why} | {"missing": why}:
                self.events.append(AttemptLost(*key, str(why), counts=True, at=time.time()))
            case _:
                reason = f"Spark failed its job: {ended.error}"
                self.events.append(AttemptLost(*key, reason, counts=True, at=time.time()))

    def look(self) -> None:
        """Take in what running trials have sent through the channel."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK
        for key in tuple(self._running):
            self._look(*key)
        for key in self._doomed:  # a cancel that comes before the job does nothing
            self._cancel(*key)

    def close(self) -> None:
        """Cancel what runs, and wait until Spark has ended it."""
        self._running.clear()
        deadline = time.monotonic() + self._timings.cancel
        while self._threads and time.monotonic() < deadline:
            for key, thread in tuple(self._threads.items()):
                self._cancel(*key)
                thread.join(0.2)
                if not thread.is_alive():
                    del self._threads[key]
        if self._channel is not None:
            Mailbox(self._channel).remove()

    def _run(self, task: Task) -> None:
        key = task.number, task.attempt
        settings = {
            **self._settings,
            "task": asdict(self._without_tunnel(task)),
            "secrets": secret_params(self._work, task),
            "mailbox": self._url_of(*key),
        }
        try:
            said = self._session.run(
                task_function("manyfit.spark.trial_task:run", settings),
                tag=self._tag_of(*key),
                title=f"Manyfit: trial {task.number} of {self._work.study}",
                profile=self._cluster.profile,
            )
            ended = JobEnded(*key, loads(said[0]))
        except Exception as error:  # noqa: BLE001 - Py4J, gRPC and Spark have errors of their own
            ended = JobEnded(*key, None, gist_of(error))
            if (
                key in self._running
                and (end := end_behind(self._cluster, self._timings)) is not None
            ):
                self._inbox.put(end)
        self._inbox.put(ended)

    def _without_tunnel(self, task: Task) -> Task:
        """Leave an MLflow server out that only this machine can reach: a job has no way to it."""
        if own_address(task.env.get(URI, "")) is None:
            return task
        if not self._has_told:
            self._has_told = True
            logger.warning(
                "what objectives log with MLflow themselves is lost: workers can't reach the store "
                "on this machine. What Manyfit records of trials is in it all the same."
            )
        env = {name: value for name, value in task.env.items() if "MLFLOW_" not in name}
        return replace(task, env=env)

    def _look(self, number: int, attempt: int) -> None:
        url = self._url_of(number, attempt)
        if url is None or (number, attempt) not in self._running:
            return
        for text in Mailbox(f"{url}/events").take():
            self.events.extend(cast("AttemptEvent", decode(line)) for line in text.splitlines())

    def _cancel(self, number: int, attempt: int) -> None:
        with contextlib.suppress(Exception):  # a session that is stopped raises what it likes
            self._session.cancel(self._tag_of(number, attempt))

    def _tag_of(self, number: int, attempt: int) -> str:
        return f"{self._tag}-{number}-{attempt}"

    def _url_of(self, number: int, attempt: int) -> str | None:
        return f"{self._channel}/{number}-{attempt}" if self._channel else None
