"""Whether a study's cluster is still there, and what people are told when it isn't."""

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
    """The cluster, or the session with it, is no longer there; says how it ended."""

    reason: str


class Ending(Protocol):
    """A cluster, or a session with one, that may end."""

    def ended(self) -> str | None:
        """Return how it ended; None while it is there."""


def cluster_error(reason: str, study: str | None = None) -> ExecutorError:
    """Return the error of a study whose cluster has ended: what happened, and how to go on.

    Example:
        >>> print(cluster_error("the Dask client is closed", "fashion"))
        the Dask client is closed. Start one, and run the same call again with name='fashion' to \
resume
    """
    name = "" if study is None else f" with name={study!r} to resume"
    return ExecutorError(f"{reason}. Start one, and run the same call again{name}")


def end_behind(cluster: Ending, timings: Timings) -> ClusterEnded | None:
    """Return the cluster's end if that may be why a task of it has just failed."""
    reason = cluster.ended()
    if reason is None:
        time.sleep(timings.aftermath)
        reason = cluster.ended()
    return None if reason is None else ClusterEnded(reason)


def answer_within(seconds: float, question: Callable[[], _Answer]) -> _Answer:
    """Return a cluster's answer, unless it doesn't come in time.

    Raises:
        TimeoutError: It didn't. The question is left to itself, in a thread of its own.
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
    """Asks now and then whether a cluster is there, which tasks learn after minutes, or never.

    Args:
        cluster: What is asked.
        send: Takes the word that it has ended; called from another thread.
        timings: How often it is asked.
    """

    def __init__(
        self, cluster: Ending, send: Callable[[ClusterEnded], None], timings: Timings = USUAL
    ) -> None:
        self._cluster = cluster
        self._send = send
        self._pause = timings.probe
        self._look_at = time.monotonic() + self._pause

    def look(self) -> None:
        """Ask, if it is time; returns at once."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._pause
            threading.Thread(target=self._ask, name="manyfit-watch", daemon=True).start()

    def _ask(self) -> None:
        reason = self._cluster.ended()
        if reason is not None:
            self._send(ClusterEnded(reason))
