"""Runs waves of groups as Spark jobs, the next before the last has ended."""

import contextlib
import math
import queue
import secrets
import time
from collections.abc import Callable, Iterator

from manyfit.errors import ExecutorError, JournalError
from manyfit.groups.record.row import Table
from manyfit.groups.run.plan import TASKS, Plan, Wave
from manyfit.remote.watch import ClusterEnded, Watch, end_behind
from manyfit.spark.jobs import JobEnded, SparkJobs, spark_message
from manyfit.spark.session import Session
from manyfit.spark.watch import session_error

_AT_ONCE = 2  # waves at a time besides the large groups, so that no slot idles at a wave's end
# The longest duration of a wave, in seconds. A wave is half of the rest, so that the last ones are
# short and slots end at about the same time.
_LONG = 30.0
_LAST = 0.4  # a rest below this fraction of the longest wave is run as one wave
_READINGS = 20.0  # each wave reads all rows; it should take this many times as long as reading them
_TASK = 1.5
_CANCEL = 10.0  # how long it may take until cancelled jobs have ended (s)


class Waves:
    """Runs waves as Spark jobs, the next before the last has ended.

    Args:
        session: The session of the jobs.
        tuned: Runs a wave; returns its rows.
        reading: The seconds that it takes to read all rows once.
        study: The name with which the call is resumed.
    """

    def __init__(
        self,
        session: Session,
        tuned: Callable[[Wave], Table],
        reading: float = 0.0,
        study: str | None = None,
    ) -> None:
        self._session = session
        self._tuned = tuned
        self._study = study
        self._long = max(_LONG, _READINGS * reading)
        self._ended: queue.SimpleQueue[ClusterEnded | JobEnded] = queue.SimpleQueue()
        self._jobs = SparkJobs(session)

    def run(self, plan: Plan, *, at_once: bool) -> Iterator[Table]:
        """Yield the rows of waves as they end.

        Args:
            plan: The plan of waves.
            at_once: Whether to run the rest as a single wave.

        Raises:
            JournalError: The rows of a wave can't be written to the output.
            ExecutorError: A wave failed, for example because workers can't load the objective; or
                the session has ended.
        """
        began = time.monotonic()
        done = 0.0  # weight
        running: dict[str, Wave] = {}
        large = plan.first()
        beside = {self._start(large): large} if large.tasks else {}
        while True:
            while plan.left and len(running) < _AT_ONCE:
                rate = done / (time.monotonic() - began)
                wave = plan.next(math.inf) if at_once else _next(plan, rate, self._long)
                running[self._start(wave)] = wave
            if not (running or beside):
                return
            ended = self._next_end()
            wave = (running if ended.tag in running else beside).pop(ended.tag)
            done += wave.weight
            yield _rows_of(ended, wave)

    def _next_end(self) -> JobEnded:
        """Wait for a wave to end, while checking that the session still exists."""
        watch = Watch(self._session, self._ended.put, self._session.timings)
        while True:
            with contextlib.suppress(queue.Empty):
                ended = self._ended.get(timeout=self._session.timings.probe)
                if isinstance(ended, ClusterEnded):
                    self._session.leave()
                    self._jobs = SparkJobs(self._session)  # nothing is left to cancel
                    raise session_error(ended.reason, self._study)
                return ended
            watch.look()

    def _start(self, wave: Wave) -> str:
        """Start a wave; returns its tag."""
        tag = f"manyfit-groups-{secrets.token_hex(6)}"
        self._jobs.start(
            lambda: self._tuned(wave),
            self._wave_ended,
            tag=tag,
            title=f"Manyfit: {wave.groups} groups",
            pool="manyfit-groups",
            inherits=True,
        )
        return tag

    def _wave_ended(self, ended: JobEnded) -> None:
        failed = ended.error is not None
        end = end_behind(self._session, self._session.timings) if failed else None
        self._ended.put(end or ended)

    def end(self) -> None:
        """Cancel running waves."""
        self._jobs.end(_CANCEL)


def _rows_of(ended: JobEnded, wave: Wave) -> Table:
    """Return the rows of a wave.

    Raises:
        JournalError: They can't be written to the output.
        ExecutorError: The wave failed.
    """
    if isinstance(ended.error, JournalError):
        raise ended.error
    if ended.error is not None:
        raise ExecutorError(
            f"Spark failed while it tuned {wave.groups} groups; recorded groups are kept.\n"
            f"{spark_message(ended.error)}"
        ) from ended.error
    return ended.answer


def _next(plan: Plan, rate: float, longest: float) -> Wave:
    """Return the next wave.

    Args:
        plan: The plan of waves.
        rate: The weight completed per second; 0 if unknown.
        longest: The longest duration of the wave, in seconds.
    """
    if not rate:
        return plan.next(0.0)
    left = plan.left / rate
    seconds = left if left < _LAST * longest else min(left / 2, longest)
    return plan.next(seconds * rate, min(max(round(seconds / _TASK), 1), TASKS))
