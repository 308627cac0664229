"""Waves of groups as Spark jobs: the next one starts before one has ended."""

import contextlib
import math
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from manyfit.errors import ExecutorError, JournalError
from manyfit.groups.record.row import Table
from manyfit.groups.run.plan import TASKS, Plan, Wave
from manyfit.remote.watch import ClusterEnded, Watch, end_behind
from manyfit.spark.cluster import gist_of
from manyfit.spark.session import Session
from manyfit.spark.watch import session_error

_AT_ONCE = 2  # waves in flight beside the large groups, so that no slot idles at a wave's end
# What a wave should take, in seconds; of what is left it is half, so that the last ones are short
# and no slot is left alone for long; but a task costs some tenths of a second, so not too short.
_LONG = 30.0
_LAST = 0.4  # what is left when it is less than this part of the longest wave is one
_READINGS = 20.0  # each wave reads all rows: it should take so many times as long as that
_TASK = 1.5
_CANCEL = 10.0  # a cancelled job's Python workers are killed after 2 to 4 seconds


class Waves:
    """Runs waves as jobs, each in a thread of its own; the next one starts before one has ended.

    Args:
        session: Where jobs run.
        tuned: Runs a wave; returns its rows.
        reading: How many seconds it takes to read all rows once.
        study: The name under which the call is resumed.
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
        self._ended: queue.SimpleQueue[ClusterEnded | tuple[Wave, Table | Exception]] = (
            queue.SimpleQueue()
        )
        self._threads: dict[str, threading.Thread] = {}

    def run(self, plan: Plan, *, at_once: bool) -> Iterator[Table]:
        """Yield the rows of waves as they end.

        Args:
            plan: Gives waves out.
            at_once: Have one wave of all that is left.

        Raises:
            JournalError: The rows of a wave can't be written to the output.
            ExecutorError: A wave failed, since workers can't load the objective, say; or the
                session has ended.
        """
        began = time.monotonic()
        done = 0.0  # weight
        running: dict[int, Wave] = {}
        large = plan.first()
        if large.tasks:
            self._start(large)
            running[id(large)] = large
        while True:
            while plan.left and len(running) - (id(large) in running) < _AT_ONCE:
                rate = done / (time.monotonic() - began)
                wave = plan.next(math.inf) if at_once else _next(plan, rate, self._long)
                self._start(wave)
                running[id(wave)] = wave
            if not running:
                return
            wave, rows = self._next_end()
            del running[id(wave)]
            done += wave.weight
            if isinstance(rows, JournalError):
                raise rows
            if isinstance(rows, Exception):
                raise ExecutorError(
                    f"Spark failed while it tuned {wave.groups} groups; what is on record stays.\n"
                    f"{gist_of(rows)}"
                ) from rows
            yield rows

    def _next_end(self) -> tuple[Wave, Table | Exception]:
        """Wait for a wave to end, and look now and then whether the session is still there."""
        watch = Watch(self._session, self._ended.put, self._session.timings)
        while True:
            with contextlib.suppress(queue.Empty):
                ended = self._ended.get(timeout=self._session.timings.probe)
                if isinstance(ended, ClusterEnded):
                    self._session.leave()
                    self._threads.clear()  # there is nothing to cancel any more
                    raise session_error(ended.reason, self._study)
                return ended
            watch.look()

    def _start(self, wave: Wave) -> None:
        tag = f"manyfit-groups-{secrets.token_hex(6)}"

        def target() -> None:
            try:
                title = f"Manyfit: {wave.groups} groups"
                self._session.mark(tag, title, "manyfit-groups")
                self._ended.put((wave, self._tuned(wave)))
            except Exception as error:  # noqa: BLE001 - Py4J, gRPC and Spark have errors of their own
                self._ended.put(end_behind(self._session, self._session.timings) or (wave, error))

        thread = threading.Thread(target=self._session.inheriting(target), name=tag, daemon=True)
        self._threads[tag] = thread
        thread.start()

    def end(self) -> None:
        """Cancel what still runs, again and again: before a job there is nothing to cancel."""
        deadline = time.monotonic() + _CANCEL
        while self._threads and time.monotonic() < deadline:
            for tag, thread in tuple(self._threads.items()):
                if thread.is_alive():
                    with contextlib.suppress(Exception):  # a stopped session raises what it likes
                        self._session.cancel(tag)
                    thread.join(0.2)
                else:
                    del self._threads[tag]


def _next(plan: Plan, rate: float, longest: float) -> Wave:
    """Return the next wave.

    Args:
        plan: Gives it out.
        rate: The weight that is done in a second; 0 if nobody knows yet.
        longest: How many seconds it may take.
    """
    if not rate:
        return plan.next(0.0)
    left = plan.left / rate
    seconds = left if left < _LAST * longest else min(left / 2, longest)
    return plan.next(seconds * rate, min(max(round(seconds / _TASK), 1), TASKS))
