"""A study on a cluster, from its first task to its last: how what happens there comes home."""

import queue
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, TypeGuard

from manyfit.events import AttemptEvent, AttemptLost
from manyfit.remote.watch import ClusterEnded, Ending, Watch, cluster_error
from manyfit.worker.timings import USUAL, Timings


class Runner(Protocol):
    """Runs the attempts of a study: in a pool of workers, or each attempt in a task of its own."""

    @property
    def events(self) -> deque[AttemptEvent]:
        """What has happened to attempts, for the caller to take."""

    @property
    def has_contact(self) -> bool:
        """Whether it hears of the cluster, so that nobody need ask whether that is there."""

    def take(self, message: Any) -> None:
        """Take in a message of its inbox."""

    def look(self) -> None:
        """Do what is due; called at least every second while the study runs."""

    def close(self) -> None:
        """End everything."""


class ClusterStudy:
    """Hands a runner its messages, and the driver its events.

    Args:
        runner: What runs attempts.
        inbox: Where messages for it are put, from any thread.
        cluster: What may end under it.
        study: The study's name.
        timings: How often it is looked whether the cluster is there.

    Attributes:
        ended: How the cluster ended; None while it is there.
    """

    def __init__(
        self,
        runner: Runner,
        inbox: "queue.SimpleQueue[Any]",
        cluster: Ending,
        study: str,
        timings: Timings = USUAL,
    ) -> None:
        self.ended: str | None = None
        self._runner = runner
        self._inbox = inbox
        self._cluster = cluster
        self._study = study
        self._watch = Watch(cluster, inbox.put, timings)

    def poll(self, handle: Callable[[AttemptEvent], None], timeout: float) -> None:
        """Take messages in until there are events, or time is up.

        Raises:
            ExecutorError: Workers can't be started, or the cluster has ended.
        """
        deadline = time.monotonic() + timeout
        self._take(0.0)
        while not (self._runner.events or self.ended) and (left := deadline - time.monotonic()) > 0:
            self._take(left)
        self._hand_over(handle)
        if self.ended is not None:
            raise cluster_error(self.ended, self._study)

    def _hand_over(self, handle: Callable[[AttemptEvent], None]) -> None:
        """Hand events over; what was lost with the cluster is nobody's fault."""
        events = self._runner.events
        if self.ended is None and any(map(_is_misfortune, events)):
            self.ended = self._cluster.ended()
        while events:
            event = events.popleft()
            if self.ended is not None and _is_misfortune(event):
                event = replace(event, reason=self.ended, counts=False)
            handle(event)

    def _take(self, timeout: float) -> None:
        """Take in all the messages, waiting for a first one."""
        try:
            self._take_one(
                self._inbox.get(timeout=timeout) if timeout else self._inbox.get_nowait()
            )
            while True:
                self._take_one(self._inbox.get_nowait())
        except queue.Empty:
            self._runner.look()
        if not self._runner.has_contact:
            self._watch.look()

    def _take_one(self, message: Any) -> None:
        if isinstance(message, ClusterEnded):
            # Workers that are there go on: a cluster that is slow to answer is not gone.
            self.ended = None if self._runner.has_contact else message.reason
        else:
            self._runner.take(message)

    def close(self) -> None:
        """End everything."""
        self._runner.close()


def _is_misfortune(event: AttemptEvent) -> TypeGuard[AttemptLost]:
    """Whether an attempt was lost, and nobody meant it to be."""
    return isinstance(event, AttemptLost) and event.counts
