"""Measures how many of the cluster's slots trials keep busy."""

import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

from manyfit.events import AttemptEvent, AttemptFailed, AttemptFinished, AttemptPruned
from manyfit.spark.driver.gate import Key

# After a longer time without a sample, what happened meanwhile is unknown.
_LONGEST = 2.0


class Load:
    """Divides the seconds of Spark's tasks among the trials that run at the same time.

    Spark doesn't tell which trial a running task belongs to, so each gets an equal share. Attempts
    that end before they are sampled have no load.

    Example:
        >>> load = Load()
        >>> for second in range(4):
        ...     load.sample(float(second), tasks=6, slots=8, running=[(7, 1), (8, 1)])
        >>> load.measured(AttemptFinished(7, 1, {"loss": 0.5}, 3.1, at=0.0)).usage
        {'task_seconds': 9.0, 'slots': 8}
    """

    def __init__(self) -> None:
        self._seconds: dict[Key, float] = defaultdict(float)
        self._slots = 0.0
        self._last: float | None = None

    def sample(self, now: float, tasks: int, slots: float, running: Collection[Key]) -> None:
        """Record a sample.

        Args:
            now: Seconds of a monotonic clock.
            tasks: The number of running tasks.
            slots: The number of tasks that the cluster runs at once.
            running: The attempts that run.
        """
        if self._last is not None and now - self._last < _LONGEST:
            for key in running:
                self._seconds[key] += (now - self._last) * tasks / len(running)
        self._last, self._slots = now, slots

    def measured(self, event: AttemptEvent) -> AttemptEvent:
        """Return an event with the usage of its attempt, if it ends one.

        What the driver's process used is left out: a plan would take it for all that a trial needs.
        """
        if not isinstance(event, AttemptFinished | AttemptPruned | AttemptFailed):
            return event
        seconds = self._seconds.pop((event.number, event.attempt), None)
        if seconds is None or math.isinf(self._slots):  # a cluster that grows without bounds
            return replace(event, usage={})
        return replace(event, usage={"task_seconds": seconds, "slots": self._slots})
