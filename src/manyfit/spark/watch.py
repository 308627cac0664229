"""Whether a study's Spark session is still there, and what people are told when it isn't."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from manyfit.errors import ExecutorError, ManyfitError
from manyfit.spark.session import Session
from manyfit.worker.timings import USUAL, Timings


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """There is no Spark session any more; says how it ended."""

    reason: str


def session_error(reason: str, study: str | None = None) -> ExecutorError:
    """Return the error of a study whose session has ended: what happened, and how to go on.

    Example:
        >>> print(session_error("it was stopped", "fashion"))
        the Spark session has ended: it was stopped. Start one, and run the same call again with \
name='fashion' to resume
    """
    name = "" if study is None else f" with name={study!r} to resume"
    return ExecutorError(
        f"the Spark session has ended: {reason}. Start one, and run the same call again{name}"
    )


def check_session(session: Session, study: str | None = None) -> None:
    """Refuse a session that has ended.

    Raises:
        ExecutorError: It has.
    """
    if (reason := session.ended()) is not None:
        raise session_error(reason, study)


@contextlib.contextmanager
def explained(session: Session, study: str | None = None) -> Iterator[None]:
    """Have what fails in a block say so where the session's end is behind it.

    Raises:
        ExecutorError: The session has ended.
    """
    try:
        yield
    except ManyfitError:
        raise
    except Exception as error:
        reason = session.ended()
        if reason is None:
            raise
        raise session_error(reason, study) from error


def end_behind(session: Session) -> SessionEnded | None:
    """Return the session's end if that may be why a job of it has just failed."""
    reason = session.ended()
    if reason is None:
        time.sleep(session.timings.aftermath)
        reason = session.ended()
    return None if reason is None else SessionEnded(reason)


class Watch:
    """Asks now and then whether a session is there, which jobs learn after minutes, or never.

    Args:
        session: The session.
        send: Takes the word that it has ended; called from another thread.
        timings: How often it is asked.
    """

    def __init__(
        self, session: Session, send: Callable[[SessionEnded], None], timings: Timings = USUAL
    ) -> None:
        self._session = session
        self._send = send
        self._pause = timings.probe
        self._look_at = time.monotonic() + self._pause

    def look(self) -> None:
        """Ask, if it is time; returns at once."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + self._pause
            threading.Thread(target=self._ask, name="manyfit-watch", daemon=True).start()

    def _ask(self) -> None:
        reason = self._session.ended()
        if reason is not None:
            self._send(SessionEnded(reason))
