"""A queue of what to write to MLflow: trials and groups, each on one thread only.

A job names a trial or a group, not what to write: the thread that takes it writes the state at that
time. Only names pile up, and a job that failed is simply put back.
"""

import heapq
import itertools
import threading
import time
from typing import TypeAlias

from manyfit.trackers.mlflow_ledger import Key

Job: TypeAlias = tuple[int, int, Key]  # priority, turn, whose: a trial's number, a group's key

# Priorities: a worker may wait for its run; what has ended can wait; the study ends last of all.
START, FOLLOW, SETTLE, END = range(4)
STUDY = -1  # stands for a trial's number in the job that ends the study


class Jobs:
    """A queue for several threads, with a schedule for trials that are followed."""

    def __init__(self) -> None:
        self._heap: list[Job] = []
        self._turn = itertools.count()
        self._busy: set[Key] = set()
        self._due: dict[Key, float] = {}
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, priority: int, key: Key) -> None:
        """Add a job."""
        with self._changed:
            heapq.heappush(self._heap, (priority, next(self._turn), key))
            self._changed.notify()

    def look_again(self, key: Key, seconds: float | None) -> None:
        """Follow a trial again after `seconds`, or no more if that is None."""
        with self._changed:
            self._due.pop(key, None)
            if seconds is not None:
                self._due[key] = time.monotonic() + seconds
                self._changed.notify()

    def take(self) -> Job | None:
        """Wait for the next job and return it; None once the queue is closed.

        The job and its trial belong to this thread until `done`.
        """
        with self._changed:
            while not self._is_closed:
                self._add_due()
                if (job := self._next()) is not None:
                    self._busy.add(job[2])
                    return job
                soonest = min(self._due.values(), default=None)
                self._changed.wait(None if soonest is None else soonest - time.monotonic())
            return None

    def done(self, job: Job) -> None:
        """Release the job's trial for other threads."""
        with self._changed:
            self._busy.discard(job[2])
            self._changed.notify_all()

    def close(self) -> None:
        """Return no more jobs."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _add_due(self) -> None:
        now = time.monotonic()
        for key in [key for key, at in self._due.items() if at <= now]:
            del self._due[key]
            heapq.heappush(self._heap, (FOLLOW, next(self._turn), key))

    def _next(self) -> Job | None:
        """Take the first job whose trial no thread works on; the study's end waits for all."""
        passed: list[Job] = []
        found = None
        while self._heap and found is None:
            job = heapq.heappop(self._heap)
            if job[2] in self._busy or (job[0] == END and (self._busy or passed)):
                passed.append(job)
            else:
                found = job
        for job in passed:
            heapq.heappush(self._heap, job)
        return found
