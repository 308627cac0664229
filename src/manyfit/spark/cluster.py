"""Spark as a cluster for remote workers: each task is a job.

It isn't one job of many tasks, because Spark fails a whole job when one of its tasks has failed
four times (`spark.task.maxFailures`), and healthy workers would lose their trials. A job for which
there is no room waits in Spark's queue, and joins when the cluster grows.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from itertools import count
from json import loads
from typing import Any

from manyfit.remote.cluster import Broadcast, Reach, TaskEnded
from manyfit.spark.jobs import JobEnded, SparkJobs, spark_message
from manyfit.spark.session import Session
from manyfit.spark.task import task_function

logger = logging.getLogger("manyfit")

_NO_ARROW = (
    "Install pyarrow on the workers, in the Python that Spark runs there (PYSPARK_PYTHON, "
    "spark.pyspark.python), or set these to the Python that has it"
)


class SparkCluster:
    """The slots of a session, for the tasks of one study.

    Args:
        session: The session of the jobs.
        title: The title of the jobs on Spark's pages.
        profile: The resources of a task; None for the session's own.

    Attributes:
        session: As given.
        profile: As given.
    """

    def __init__(self, session: Session, title: str, profile: Any = None) -> None:
        self.session = session
        self.profile = profile
        self._title = title
        self._tag = f"manyfit-{secrets.token_hex(8)}"
        self._numbers = count()
        self._tasks = SparkJobs(session)
        self._surveys = SparkJobs(session)

    @property
    def broadcast(self) -> Callable[[Any], Broadcast] | None:
        """Spark's broadcast; Connect has none."""
        return self.session.broadcast

    def reach(self) -> Reach:
        """Return the driver's address, from Spark's settings."""
        return Reach((self.session.host(),), self.session.bind_address())

    def start(
        self, entry: str, settings: Mapping[str, Any], tell: Callable[[TaskEnded], None]
    ) -> None:
        """Run a job of one task."""
        function = task_function(entry, settings)
        self._tasks.start(
            lambda: loads(self.session.run(function, profile=self.profile)[0]),
            lambda ended: tell(_as_task(ended)),
            tag=f"{self._tag}-{next(self._numbers)}",
            title=self._title,
        )

    def cancel(self) -> None:
        """Cancel the jobs of tasks."""
        self._tasks.cancel(*self._tasks.running)

    def ended(self) -> str | None:
        """Return how the session ended."""
        reason = self.session.ended()
        return None if reason is None else f"the Spark session has ended: {reason}"

    def survey(self, tell: Callable[[frozenset[str]], None]) -> None:
        """Find the names of the executors, by a job with a task for each of their slots."""

        def find() -> frozenset[str]:
            said = self.session.run(task_function("", {}), everywhere=True)
            return frozenset(loads(text)["place"]["name"] for text in said)

        def found(ended: JobEnded) -> None:
            if ended.error is None:
                tell(ended.answer)
            else:  # nothing depends on it
                logger.debug("the executors can't be listed: %s", ended.error)

        tag = f"{self._tag}-survey-{next(self._numbers)}"
        self._surveys.start(find, found, tag=tag, title=self._title)

    def close(self) -> None:
        """Wait for the survey to end, now that it has all slots; cancel it if that takes long."""
        self._surveys.wait(self.session.timings.home)
        self._surveys.end(self.session.timings.cancel)


def _as_task(ended: JobEnded) -> TaskEnded:
    if ended.error is None:
        return TaskEnded(ended.answer)
    said = spark_message(ended.error)
    return TaskEnded(None, f"{said}\n{_NO_ARROW}" if "No module named 'pyarrow'" in said else said)
