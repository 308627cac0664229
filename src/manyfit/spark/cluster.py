"""Spark as a cluster that remote workers run on: each task is a job, in a thread of its own.

Not one job of many tasks: Spark fails a whole job when one of its tasks has died four times, and
then healthy workers lose their trials with it. A job for which there is no room waits in Spark's
queue, and joins when the cluster grows.
"""

import contextlib
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from json import loads
from typing import Any

from manyfit.remote.cluster import Broadcast, Reach, TaskEnded
from manyfit.spark.session import Session
from manyfit.spark.task import task_function

logger = logging.getLogger("manyfit")


class SparkCluster:
    """The slots of a session, for the tasks of one study.

    Args:
        session: Where jobs run.
        title: What people see the jobs as.
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
        self._survey: threading.Thread | None = None

    @property
    def broadcast(self) -> Callable[[Any], Broadcast] | None:
        """Spark's own; Connect has none."""
        return None if self.session.is_connect else self.session.broadcast

    def reach(self) -> Reach:
        """Return what Spark's settings say of the driver's address."""
        return Reach((self.session.host(),), self.session.bind_address())

    def start(
        self, entry: str, settings: Mapping[str, Any], tell: Callable[[TaskEnded], None]
    ) -> None:
        """Run a job of one task."""
        function = task_function(entry, settings)

        def run() -> None:
            try:
                said = self.session.run(
                    function, tag=self._tag, title=self._title, profile=self.profile
                )
                tell(TaskEnded(loads(said[0])))
            except Exception as error:  # noqa: BLE001 - Py4J, gRPC and Spark each have errors of their own
                tell(TaskEnded(None, gist_of(error)))

        threading.Thread(target=run, name="manyfit-worker", daemon=True).start()

    def cancel(self) -> None:
        """Cancel the jobs; a cancel that comes before Spark has one does nothing to it."""
        with contextlib.suppress(Exception):  # a session that is stopped raises what it likes
            self.session.cancel(self._tag)

    def ended(self) -> str | None:
        """Return how the session ended."""
        reason = self.session.ended()
        return None if reason is None else f"the Spark session has ended: {reason}"

    def survey(self, tell: Callable[[frozenset[str]], None]) -> None:
        """Tell the names of the executors, found by a job with a task for each of their slots."""

        def find() -> None:
            try:
                said = self.session.run(
                    task_function("", {}), tag=self._tag, title=self._title, everywhere=True
                )
                tell(frozenset(loads(text)["place"]["name"] for text in said))
            except Exception as error:  # noqa: BLE001 - as above; nothing depends on it
                logger.debug("the executors can't be listed: %s", error)

        self._survey = threading.Thread(target=find, name="manyfit-survey", daemon=True)
        self._survey.start()

    def end_survey(self) -> None:
        """Wait for the survey's end, now that it has all slots; cancel it if that takes long."""
        if self._survey is None:
            return
        timings = self.session.timings
        self._survey.join(timings.home)
        deadline = time.monotonic() + timings.cancel
        while self._survey.is_alive() and time.monotonic() < deadline:
            self.cancel()
            self._survey.join(0.1)


def gist_of(error: Exception) -> str:
    """Return what a Spark error says, without its Java frames.

    Example:
        >>> print(gist_of(ValueError('''org.apache.spark.SparkException: Task 0 failed 4 times
        ...     at org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:1)
        ... ModuleNotFoundError: No module named 'pyarrow'
        ...     at java.base/java.lang.Thread.run(Thread.java:840)''')))
        org.apache.spark.SparkException: Task 0 failed 4 times
        ModuleNotFoundError: No module named 'pyarrow'
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"\s+at |\s+\.\.\. \d+ more", line)]
    kept = list(dict.fromkeys(telling))
    if len(kept) > 30:
        kept = [*kept[:10], "...", *kept[-20:]]
    return "\n".join(kept) or type(error).__name__
