"""Detects the end of a study's cluster, and explains it to the user."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from manyfit.errors import ExecutorError
from manyfit.worker.timings import USUAL, Timings

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class ClusterEnded:
    """The cluster, or the session with it, has ended, for this reason."""

    reason: str


class Ending(Protocol):
    """A cluster, or a session with one, that may end."""

    def ended(self) -> str | None:
        """Return how it ended; None while it exists."""


def cluster_error(reason: str, study: str | None = None) -> ExecutorError:
    """Return the error of a study whose cluster has ended: what happened, and how to continue.

    Example:
        >>> print(cluster_error("the Dask client is closed", "fashion"))
        the Dask client is closed. Start one, and run the same call again with name='fashion' to \
resume
    """
    name = "" if study is None else f" with name={study!r} to resume"
    return ExecutorError(f"{reason}. Start one, and run the same call again{name}")


def end_behind(cluster: Ending, timings: Timings) -> ClusterEnded | None:
    """Return the cluster's end, if that may have caused the failure of a task."""
    reason = cluster.ended()
    if reason is None:
        time.sleep(timings.aftermath)
        reason = cluster.ended()
    return None if reason is None else ClusterEnded(reason)


def answer_within(seconds: float, question: Callable[[], _Answer]) -> _Answer:
    """Return a cluster's answer within a time limit.

    Raises:
        TimeoutError: There was none. The call continues in a thread of its own.
    """
    future: Future[_Answer] = Future()

    def ask() -> None:
        try:
            future.set_result(question())
        except BaseException as error:  # noqa: BLE001 - it is raised where it was asked
            future.set_exception(error)

    threading.Thread(target=ask, name="manyfit-ask", daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError:
        raise TimeoutError(f"it gave no answer for {seconds:g} s") from None


class Watch:
    """Checks regularly that a cluster exists, which tasks notice after minutes, or never.

    Args:
        cluster: The cluster to check.
        send: Takes its end; called from another thread.
        timings: The interval of checks.
    """

    def __init__(
        self, cluster: Ending, send: Callable[[ClusterEnded], None], timings: Timings = USUAL
    ) -> None:
        self._cluster = cluster
        self._send = send
        self._pause = timings.probe
        self._look_at = time.monotonic() + self._pause

    def look(self) -> None:
        """Start a check, if it is time; returns at once."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._pause
            threading.Thread(target=self._ask, name="manyfit-watch", daemon=True).start()

    def _ask(self) -> None:
        reason = self._cluster.ended()
        if reason is not None:
            self._send(ClusterEnded(reason))
