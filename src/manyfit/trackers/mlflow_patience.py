"""Waiting for a server: between tries and at the end, and what the user is told meanwhile."""

import logging
import threading
import time

from manyfit._redact import redact
from manyfit.trackers.mlflow_remote import AwayError, BusyError, DeniedError

logger = logging.getLogger("manyfit.mlflow")

# Seconds.
LOAD = 120.0  # for which the end of a study waits for `import mlflow`
CLOSE_QUIET = 5.0  # for which it waits for an answer
CLOSE_TOTAL = 30.0  # for which it waits in all, once MLflow is imported
CLOSE_HASTE = 5.0  # the same after a signal to end: SIGKILL follows SIGTERM soon
BACKOFF = (0.5, 30.0)  # between tries: the first, the longest
# After this many failures in a row, the user is told, and only one thread keeps trying.
_AWAY = 3
_WITHOUT = "The study goes on; what it misses is written later"
_WHAT = {
    DeniedError: "refuses the credentials it is given",
    BusyError: "has too much to do",
}


class Patience:
    """The health of a server; any thread reports answers and failures to it.

    An answer to any request is a sign of life.

    Args:
        wait: The seconds for which the end waits, whatever the server does; by default 30 s, and
            5 s without an answer.
    """

    def __init__(self, wait: float | None = None) -> None:
        self._quiet = CLOSE_QUIET if wait is None else wait
        self._total = CLOSE_TOTAL if wait is None else wait
        self._load = max(LOAD, self._total)
        self._loaded_at: float | None = None
        self._answered_at = 0.0
        self._failures = 0
        self._told = [False, False]  # that it is away, that it is back
        self._changed = threading.Condition()
        self._is_over = False
        self._hurries = False

    @property
    def is_away(self) -> bool:
        """Whether several tries in a row have not been answered."""
        return self._failures >= _AWAY

    def loaded(self) -> None:
        """Note that MLflow is imported: from now on, the server is responsible for delays."""
        self._loaded_at = time.monotonic()

    def answered(self) -> None:
        """Note that the server has answered a request."""
        self._answered_at = time.monotonic()
        was_away, self._failures = self.is_away, 0
        if was_away:
            with self._changed:
                self._changed.notify_all()
            self._tell(1, "MLflow answers again.")

    def failed(self, error: AwayError) -> None:
        """Note that the server has not answered, or asked to wait."""
        self._failures += 1
        if isinstance(error, BusyError):
            self._answered_at = time.monotonic()
        if self.is_away:
            what = _WHAT.get(type(error), "does not answer")
            text = redact(str(error))[:300]
            self._tell(0, f"MLflow {what} ({text}). {_WITHOUT}.")

    def pause(self, error: AwayError) -> None:
        """Wait before the next try; at the end of a study, no longer than necessary."""
        first, longest = BACKOFF
        delay = min(first * 2 ** min(self._failures - 1, 30), longest) if self._failures else first
        asked_for = time.monotonic() + error.wait
        deadline = time.monotonic() + max(delay, error.wait)
        with self._changed:
            while not self._is_over and (now := time.monotonic()) < deadline:
                if self._hurries:
                    deadline = min(deadline, max(asked_for, now + first))
                self._changed.wait(max(0.0, deadline - now))

    def wait_for_answer(self) -> None:
        """Wait until another thread finds out that the server is back."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or not self.is_away)

    def hurry(self, reason: str) -> None:
        """Note that the study is over, and why: retries are now made soon."""
        if reason.startswith("interrupted"):
            self._load, self._total = CLOSE_HASTE, min(self._total, CLOSE_HASTE)
        with self._changed:
            self._hurries = True
            self._changed.notify_all()

    def end(self) -> None:
        """Stop all waiting."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def is_lost(self, begun: float, *, is_local: bool, extra: float = 0.0) -> bool:
        """Return whether the end, which began to wait at `begun`, has waited long enough.

        A local database gets all the time allowed, because waiting for it always succeeds.
        """
        now = time.monotonic()
        if self._loaded_at is None:
            return now - begun > self._load
        begun = max(begun, self._loaded_at)
        if now - begun > self._total + extra:
            return True
        return not is_local and now - max(begun, self._answered_at) > self._quiet

    def _tell(self, which: int, sentence: str) -> None:
        level = logging.INFO if self._told[which] else logging.WARNING
        self._told[which] = True
        logger.log(level, "%s", sentence)
