"""Runs trials on an Apache Spark cluster: each worker is a Spark job of one task."""

import logging
import math
import queue
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from manyfit._checks import check_number, check_text
from manyfit.errors import ArgumentError
from manyfit.executors.base import Handler
from manyfit.executors.remote import Opened, RemoteExecutor
from manyfit.remote.pool import ExecutorsFound
from manyfit.remote.study import ClusterStudy
from manyfit.remote.supervisor import UnreachableDriverError
from manyfit.ship.chosen import Shippable
from manyfit.spark.cluster import SparkCluster
from manyfit.spark.session import Session
from manyfit.spark.trial_jobs import TrialJobs
from manyfit.spark.watch import check_session, explained
from manyfit.worker.timings import USUAL, Timings
from manyfit.worker.work import Work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger("manyfit")


class SparkExecutor(RemoteExecutor[SparkCluster]):
    """Runs each trial in a task of a Spark cluster: classic or Connect, Spark 3.5 or newer.

    Each task runs one trial after another in one child process. Frameworks are therefore imported
    and data loaded once, a crash ends only its own trial, and limits are enforced by killing. Tasks
    for which the cluster has no room yet join when it grows.

    If the session ends, the study ends with an `ExecutorError`, and can be resumed with a new
    session; running trials don't lose an attempt. While there is no worker, the session is checked
    every 10 s, and considered gone if it doesn't answer for 20 s.

    Args:
        spark: The session.
        parallelism: The number of trials that run at once; by default the cluster's current slots.
        host: The host at which executors reach this process; by default from Spark's settings.
        port: The port to listen at; 0 for any free port.
        channel: A folder or URL that the driver and all workers can access. If workers can't
            connect to the driver, each trial is a Spark job, which sends its reports this way.
        storage: A folder or URL that the driver and all workers can access, for large shared data.
        ship: What to send to workers instead of the modules found automatically: modules, names of
            modules, files and folders; see `manyfit.shipping_list`.
        env: Environment variables for the objective's process.
        secrets: Names of environment variables of this process to pass to the objective; their
            values are redacted in everything that is written.
        gpus_per_trial: The number of GPUs of each trial, which finds them in CUDA_VISIBLE_DEVICES.
        timings: Intervals and timeouts; shorter in tests.

    Raises:
        ArgumentError: An argument breaks a rule; nothing has run.

    Example:
        >>> executor = SparkExecutor(spark, parallelism=8)  # doctest: +SKIP
    """

    def __init__(
        self,
        spark: "SparkSession",
        parallelism: int | None = None,
        *,
        host: str | None = None,
        port: int = 0,
        channel: str | None = None,
        storage: str | None = None,
        ship: Sequence[Shippable] | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        gpus_per_trial: float = 0,
        timings: Timings = USUAL,
    ) -> None:
        super().__init__(
            parallelism,
            host=host,
            port=port,
            storage=storage,
            ship=ship,
            env=env,
            secrets=secrets,
            timings=timings,
        )
        self._gpus = check_number("gpus_per_trial", gpus_per_trial, least=0)
        self._session = Session(spark, timings)
        self._channel = check_text("channel", channel, "a folder or a URL")
        self._is_to_survey = False

    def slots(self) -> int:
        """Return the number of tasks that the cluster runs at once, as far as Spark reveals it."""
        with explained(self._session):
            slots = self._session.slots()
        number = slots.dependable if slots.now is None else slots.now
        if number is None or number == math.inf:
            raise ArgumentError("the number of slots of this cluster is unknown: set parallelism")
        return max(1, int(number))

    @property
    def session(self) -> Session:
        """The session of the jobs."""
        return self._session

    @property
    def cpus(self) -> int:
        """The number of cores of a task: `spark.task.cpus`."""
        return self._session.cpus

    def cluster(self, work: Work) -> SparkCluster:
        """Return the session as a cluster, with the resource profile that a trial needs."""
        profile = self._session.profile(work.limits.cpus, self._gpus)
        return SparkCluster(self._session, f"Manyfit: trials of {work.study}", profile)

    def _size(self, work: Work) -> int:
        size, cpus = super()._size(work), work.limits.cpus
        fitting = self._session.fitting(cpus)
        if fitting == 0:
            raise ArgumentError(f"cpus_per_trial={cpus} is more than this local Spark has")
        return min(size, fitting or size)

    def open(self, work: Work) -> None:
        """Pack code, data and work, and start tasks; returns before the first is ready.

        Raises:
            ObjectiveError: The objective can't be pickled; the message names the part.
            ArgumentError: The cluster can't give trials the requested resources.
            ExecutorError: This process can't listen for workers, or the session has ended.
        """
        check_session(self._session, work.study)
        with explained(self._session, work.study):
            super().open(work)
            opened = self._opened
            self._is_to_survey = opened is not None and opened.size > 1
            self._is_to_survey &= not self._session.is_local  # it has one executor

    def poll(self, handle: Handler, timeout: float) -> None:
        """Pass on new events, after waiting up to `timeout` for a first one.

        Raises:
            ExecutorError: Workers can't be started, or can't do this work; or the session ended.
        """
        try:
            super().poll(handle, timeout)
        except UnreachableDriverError as error:
            if self._opened is None:
                raise
            self._fall_back(self._opened, error.why)
        else:
            self._spread()

    def _spread(self) -> None:
        """Spread workers over the executors, once one of them has proved to work."""
        opened = self._opened
        if opened is not None and self._is_to_survey and opened.runner.has_worked:
            self._is_to_survey = False
            inbox = opened.inbox
            opened.cluster.survey(lambda names: inbox.put(ExecutorsFound(names)))

    def _fall_back(self, opened: Opened[SparkCluster], why: str) -> None:
        """From now on, run each trial as a job."""
        how = (
            f"come through {self._channel}"
            if self._channel
            else "come when it ends: none is pruned"
        )
        logger.warning(
            "%s. So each trial is a Spark job of its own, which takes longer to start, and its "
            "reports %s. Give host= (and port=) at which executors reach this process%s",
            why,
            how,
            "" if self._channel else ", or channel=, a folder that both see",
        )
        self._is_to_survey = False
        opened.study.close()
        inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        opened.inbox = inbox
        opened.runner = TrialJobs(
            opened.cluster,
            opened.work,
            opened.equipment,
            size=opened.size,
            channel=self._channel,
            inbox=inbox,
            timings=self._timings,
        )
        opened.study = ClusterStudy(
            opened.runner, inbox, opened.cluster, opened.work.study, self._timings
        )

    def close(self) -> None:
        """End all workers and their jobs; takes a second, or longer if Spark has to kill them."""
        opened = self._opened
        if opened is not None and opened.study.ended is not None:
            self._session.leave()  # otherwise, requests to it might wait for minutes
        super().close()
        if opened is not None:
            opened.cluster.close()
