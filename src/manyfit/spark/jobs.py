"""Everything Manyfit runs on Spark: functions in threads, whose Spark jobs can be cancelled by tag.

Workers, trials, waves of groups and the jobs of objectives on the driver are all started, cancelled
and waited for here.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from manyfit.spark.session import Session

logger = logging.getLogger("manyfit")

# Pause between two cancels (s). One cancel is not enough: Spark ignores a tag that no running job
# carries, and a function may run several jobs in turn.
_AGAIN = 0.2


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A function has returned or failed.

    Attributes:
        tag: The tag of its Spark jobs.
        answer: What it returned; None if it failed.
        error: What it raised; None if it returned.
    """

    tag: str
    answer: Any = None
    error: BaseException | None = None


class SparkJobs:
    """Runs functions in threads of one session, and cancels the Spark jobs that they start.

    Args:
        session: Where the jobs run.

    Example:
        >>> jobs = SparkJobs(session)  # doctest: +SKIP
        >>> jobs.start(lambda: session.run(task), inbox.put, tag="a", title="A")  # doctest: +SKIP
        >>> jobs.end(seconds=6.0)  # doctest: +SKIP
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()  # functions may be started from any thread
        self._threads: dict[str, threading.Thread] = {}
        self._cancelled: set[str] = set()

    def start(
        self,
        function: Callable[[], Any],
        ended: Callable[[JobEnded], None],
        *,
        tag: str,
        title: str,
        pool: str | None = None,
        inherits: bool = False,
    ) -> None:
        """Run a function in a new thread.

        Args:
            function: Starts Spark jobs and waits for them.
            ended: Called once, in that thread, when the function has returned or failed.
            tag: Names the jobs to `cancel`; must be new in this session.
            title: Describes the jobs on Spark's pages.
            pool: The fair pool of the jobs; the session's own by default.
            inherits: Give the thread the local properties of the calling one as well.
        """

        def target() -> None:
            ended(self._run(function, tag, title, pool))

        inherited = self._session.inheriting(target) if inherits else target
        thread = threading.Thread(target=inherited, name=tag, daemon=True)
        with self._lock:
            self._threads = {**self._running(), tag: thread}
            self._cancelled &= self._threads.keys()
            thread.start()

    @property
    def running(self) -> frozenset[str]:
        """The tags of functions that have not ended."""
        with self._lock:
            return frozenset(self._running())

    def cancel(self, *tags: str) -> None:
        """Cancel the jobs of some functions until these end; returns at once.

        A thread does it, since a Connect client whose server is gone waits for minutes. It gives up
        when the session doesn't answer: by the next call, it may.
        """
        with self._lock:
            running = self._running()
            threads = {tag: running[tag] for tag in {*tags} - self._cancelled if tag in running}
            self._cancelled |= threads.keys()
        if threads:
            name = "manyfit-cancel"
            threading.Thread(target=self._cancel, args=(threads,), name=name, daemon=True).start()

    def end(self, seconds: float) -> None:
        """Cancel everything, and wait up to some seconds; what remains is cancelled ever again."""
        self.cancel(*self.running)
        self.wait(seconds)

    def wait(self, seconds: float) -> None:
        """Wait until all functions have ended, or some seconds have passed."""
        deadline = time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _running(self) -> dict[str, threading.Thread]:
        return {tag: each for tag, each in self._threads.items() if each.is_alive()}

    def _cancel(self, threads: Mapping[str, threading.Thread]) -> None:
        while running := {tag: thread for tag, thread in threads.items() if thread.is_alive()}:
            for tag in running:
                try:
                    self._session.cancel(tag)
                except TimeoutError:  # each question to such a session leaves a thread that waits
                    with self._lock:
                        self._cancelled -= threads.keys()
                    return
                except Exception as error:  # noqa: BLE001 - a stopped session raises any type
                    logger.debug("jobs tagged %s can't be cancelled: %s", tag, error)
            next(iter(running.values())).join(_AGAIN)

    def _run(self, function: Callable[[], Any], tag: str, title: str, pool: str | None) -> JobEnded:
        try:
            self._session.mark(tag, title, pool)
            return JobEnded(tag, function())
        except BaseException as error:  # noqa: BLE001 - a thread that dies silently hangs the study
            return JobEnded(tag, error=error)


def spark_message(error: BaseException) -> str:
    """Return the message of an error from Spark, without its Java frames.

    Example:
        >>> print(spark_message(ValueError('''org.apache.spark.SparkException: Task 0 failed
        ...     at org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:1)
        ... ModuleNotFoundError: No module named 'pyarrow'
        ...     at java.base/java.lang.Thread.run(Thread.java:840)''')))
        org.apache.spark.SparkException: Task 0 failed
        ModuleNotFoundError: No module named 'pyarrow'
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"\s+at |\s+\.\.\. \d+ more", line)]
    kept = list(dict.fromkeys(telling))
    if len(kept) > 30:
        kept = [*kept[:10], "...", *kept[-20:]]
    return "\n".join(kept) or type(error).__name__
