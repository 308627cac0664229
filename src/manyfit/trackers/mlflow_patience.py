"""How long to wait for a server: between tries, at the end, and what is said of it meanwhile."""

import logging
import threading
import time

from manyfit._redact import redact
from manyfit.trackers.mlflow_remote import AwayError, BusyError, DeniedError

logger = logging.getLogger("manyfit.mlflow")

# Seconds.
LOAD = 120.0  # how long the end of a study waits for `import mlflow`
CLOSE_QUIET = 5.0  # how long it waits for an answer
CLOSE_TOTAL = 30.0  # how long it waits for all of it, from when MLflow is there
CLOSE_HASTE = 5.0  # the same after an order to end: who sends SIGTERM kills soon
BACKOFF = (0.5, 30.0)  # between tries: the first, the longest
# So many failures in a row are no accident: people are told, and one thread alone goes on trying.
_AWAY = 3
_WITHOUT = "The study goes on; what it misses is written later"
_WHAT = {
    DeniedError: "refuses the credentials it is given",
    BusyError: "has too much to do",
}


class Patience:
    """What is known of a server's health; told of answers and failures by any thread.

    An answer to any request is a sign of life, whatever it is a part of.

    Args:
        wait: How long the end waits, in seconds, whatever the server does; by default 30 s, and 5 s
            without an answer.
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
        """Whether nothing has been answered for several tries."""
        return self._failures >= _AWAY

    def loaded(self) -> None:
        """MLflow is imported: from now on what takes time is the server's doing."""
        self._loaded_at = time.monotonic()

    def answered(self) -> None:
        """The server has answered a request."""
        self._answered_at = time.monotonic()
        was_away, self._failures = self.is_away, 0
        if was_away:
            with self._changed:
                self._changed.notify_all()
            self._tell(1, "MLflow answers again.")

    def failed(self, error: AwayError) -> None:
        """The server has not answered, or not now."""
        self._failures += 1
        if isinstance(error, BusyError):
            self._answered_at = time.monotonic()
        if self.is_away:
            what = _WHAT.get(type(error), "does not answer")
            text = redact(str(error))[:300]
            self._tell(0, f"MLflow {what} ({text}). {_WITHOUT}.")

    def pause(self, error: AwayError) -> None:
        """Wait before the next try; at the end of a study no longer than need be."""
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
        """Leave it to another thread to find out when an away server is back."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or not self.is_away)

    def hurry(self, reason: str) -> None:
        """The study is over, and why: what is tried again is tried soon."""
        if reason.startswith("interrupted"):
            self._load, self._total = CLOSE_HASTE, min(self._total, CLOSE_HASTE)
        with self._changed:
            self._hurries = True
            self._changed.notify_all()

    def end(self) -> None:
        """Wait no more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def is_lost(self, begun: float, *, is_local: bool, extra: float = 0.0) -> bool:
        """Whether the end, which has `begun` to wait, has waited long enough.

        A database of this machine is given all the time there is: waiting for it always pays.
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
