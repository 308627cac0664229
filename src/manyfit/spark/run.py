"""A study on a cluster, from its first job to its last: who works, and how the news come home."""

import logging
import queue
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, TypeGuard

from manyfit.errors import ExecutorError
from manyfit.events import AttemptEvent, AttemptLost
from manyfit.executors.base import Handler
from manyfit.remote.hub import Hub, News
from manyfit.remote.setup import WorkerSetup
from manyfit.remote.workers import Workers
from manyfit.ship.listing import ShippingList
from manyfit.ship.preflight import check
from manyfit.spark.broadcasts import Broadcasts
from manyfit.spark.session import Session
from manyfit.spark.task import task_function
from manyfit.spark.trial_jobs import JobEnded, TrialJobs
from manyfit.spark.watch import SessionEnded, Watch, session_error
from manyfit.spark.worker_jobs import Ended, Found, UnreachableDriverError, WorkerJobs
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Work

logger = logging.getLogger("manyfit")


class Run:
    """One study on the cluster: from its first job to what is left when the last one has ended.

    Args:
        session: Where it runs.
        work: The study's work.
        setup: What workers are given.
        listing: What workers must have.
        broadcasts: Holds shared data out to workers; closed here.
        parallelism: How many trials run at once.
        address: Where workers reach this process: a host, and a port or 0.
        channel: A folder or URL that both sides see, should workers be unable to dial in.
        profile: The resources of a task; None for the session's own.
        timings: How long its parts wait for one another.

    Raises:
        ExecutorError: No worker could dial in here.
    """

    def __init__(
        self,
        session: Session,
        work: Work,
        setup: WorkerSetup,
        listing: ShippingList,
        broadcasts: Broadcasts,
        *,
        parallelism: int,
        address: tuple[str, int],
        channel: str | None,
        profile: Any,
        timings: Timings = USUAL,
    ) -> None:
        self._session = session
        self._timings = timings
        self._work = work
        self._setup = setup
        self._listing = listing
        self._parallelism = parallelism
        self._channel = channel
        self._profile = profile
        self._broadcasts = broadcasts
        self._said: set[str] = set()
        self._has_looked = parallelism == 1 or session.is_local  # where there is one executor
        self._began = time.monotonic()
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._inbox = inbox
        self._ended: str | None = None  # how the session did
        self._watch = Watch(session, inbox.put, timings)
        secret = secrets.token_bytes(32)
        self._hub = Hub(secret, session.bind_address(), address[1], inbox, timings)
        self._workers = Workers(self._hub, work, setup, parallelism, self._inspect)
        self._jobs: TrialJobs | None = None
        settings = {
            "addresses": [(address[0], self._hub.port)],
            "secret": secret,
            "imports": dict(listing.imports),
            "broadcasts": dict(broadcasts.broadcasts),
            "timings": asdict(timings),
        }
        self._worker_jobs = WorkerJobs(
            session,
            task_function("manyfit.remote.worker:serve", settings),
            tag=f"manyfit-{setup.token}",
            title=f"Manyfit: trials of {work.study}",
            profile=profile,
            inbox=inbox,
            timings=timings,
        )
        for _ in range(parallelism):
            self._worker_jobs.start()

    @property
    def runner(self) -> Workers | TrialJobs:
        """What runs tasks: workers that have dialled in, or else jobs."""
        return self._jobs or self._workers

    @property
    def live_reports(self) -> bool:
        """Whether reports arrive while a trial runs."""
        return self._jobs is None or self._channel is not None

    def poll(self, handle: Handler, timeout: float) -> None:
        """Take news in until there are events, or time is up.

        Raises:
            ExecutorError: Workers can't be started, or the session has ended.
        """
        deadline = time.monotonic() + timeout
        self._take(0.0)
        while not (self.runner.events or self._ended) and (left := deadline - time.monotonic()) > 0:
            self._take(left)
        self._hand_over(handle)
        if self._ended is not None:
            raise session_error(self._ended, self._work.study)

    def _hand_over(self, handle: Handler) -> None:
        """Hand events over; what was lost with the session is nobody's fault."""
        events = self.runner.events
        if self._ended is None and any(map(_is_misfortune, events)):
            self._ended = self._session.ended()
        while events:
            event = events.popleft()
            if self._ended is not None and _is_misfortune(event):
                reason = f"the Spark session has ended: {self._ended}"
                event = replace(event, reason=reason, counts=False)
            handle(event)

    def close(self) -> None:
        """End everything."""
        if self._ended is not None:
            self._session.leave()  # else what is asked of it now might wait for minutes
        if self._jobs is not None:
            self._jobs.close()
        self._end_crew()
        self._broadcasts.close()

    def _end_crew(self) -> None:
        self._workers.dismiss("the study ended")
        self._worker_jobs.close(lambda: len(self._hub.connections))
        self._hub.close()

    def _take(self, timeout: float) -> None:
        """Take in all the news there are, waiting for a first one."""
        try:
            news = self._inbox.get(timeout=timeout) if timeout else self._inbox.get_nowait()
            while True:
                self._take_one(news)
                news = self._inbox.get_nowait()
        except queue.Empty:
            self._explain_waiting()
        if not self._workers.workers:  # no worker tells that there is a cluster
            self._watch.look()
        if self._jobs is not None:
            self._jobs.look()

    def _take_one(self, news: Any) -> None:
        if isinstance(news, SessionEnded):
            # Workers that are there go on: a server that is slow is none that is gone.
            self._ended = None if self._workers.workers else news.reason
        elif isinstance(news, JobEnded) and self._jobs is not None:
            self._jobs.take(news)
        elif isinstance(news, Ended) and self._jobs is None:
            self._take_end(news)
        elif isinstance(news, Found):
            self._workers.spread(news.executors)
        elif isinstance(news, News) and self._jobs is None:
            self._workers.take(news)
            if self._workers.workers:
                self._worker_jobs.joined()
            if self._workers.has_worked and not self._has_looked:
                self._has_looked = True
                self._worker_jobs.look_around()

    def _take_end(self, ended: Ended) -> None:
        try:
            why = self._worker_jobs.take(
                ended, first=not (self._workers.has_worked or self._workers.workers)
            )
        except UnreachableDriverError as error:
            self._check_end(ended)
            self._fall_back(str(error))
        else:
            if why is not None:
                self._say(f"one worker less: {why}")

    def _check_end(self, ended: Ended) -> None:
        """Look at what a worker that can't dial in says of its machine."""
        match ended.said:
            case {"hello": place, "facts": facts}:
                problem = self._inspect(facts, place["name"])
                if problem is not None:
                    raise ExecutorError(problem)

    def _fall_back(self, why: str) -> None:
        """Run each trial as a job from now on."""
        how = (
            f"come through {self._channel}"
            if self._channel
            else "come when it ends: none is pruned"
        )
        self._say(
            f"{why}. So each trial is a Spark job of its own, which takes longer to start, and its "
            f"reports {how}. Give host= (and port=) at which executors reach this process"
            + ("" if self._channel else ", or channel=, a folder that both see")
        )
        self._end_crew()
        self._jobs = TrialJobs(
            self._session,
            self._work,
            self._setup,
            size=self._parallelism,
            broadcasts=self._broadcasts,
            channel=self._channel,
            profile=self._profile,
            inbox=self._inbox,
            timings=self._timings,
        )

    def _inspect(self, facts: Mapping[str, Any], where: str) -> str | None:
        """Compare a worker's machine with this one; returns what makes it useless, if anything."""
        findings = check(self._listing, facts, where)
        for warning in findings.warnings:
            self._say(warning)
        return "\n".join(findings.errors) or None

    def _explain_waiting(self) -> None:
        if (
            self._jobs is None
            and not self._workers.has_worked
            and time.monotonic() - self._began > self._timings.patience
        ):
            self._say(
                "no worker has started yet: Spark has no free slot, or is still starting "
                "executors. The study begins when one has"
            )

    def _say(self, sentence: str) -> None:
        """Tell people, each thing once."""
        if sentence not in self._said:
            self._said.add(sentence)
            logger.warning("%s", sentence)


def _is_misfortune(event: AttemptEvent) -> TypeGuard[AttemptLost]:
    """Whether an attempt was lost, and nobody meant it to be."""
    return isinstance(event, AttemptLost) and event.counts
