"""How reports go home and stop requests come out."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    encode,
)

# What ends an attempt: it sends exactly one of these, last.
ENDINGS = (AttemptFinished, AttemptPruned, AttemptFailed, AttemptLost)


@dataclass(frozen=True, slots=True)
class Stop:
    """A request to end an attempt at its next report.

    Attributes:
        reason: Why, for people.
        lost: Whether the attempt was cut off rather than judged: it is then lost, not pruned.
        timeout: Whether it ran for too long: it has then failed.
    """

    reason: str
    lost: bool = False
    timeout: bool = False


class Channel:
    """One attempt's line to the driver: events go home through `send`, a stop request comes out.

    Args:
        send: Takes an event home. Called from any of the objective's threads, one call at a time.
    """

    def __init__(self, send: Callable[[AttemptEvent], None]) -> None:
        self.send = send
        self._stop: Stop | None = None

    @property
    def stop(self) -> Stop | None:
        """What has been requested, if anything; the first request stands."""
        return self._stop

    def request(self, stop: Stop) -> None:
        """Ask the attempt to end at its next report; safe from any thread."""
        if self._stop is None:
            self._stop = stop


class PipeWriter:
    """Writes events to a pipe as lines of JSON, each whole, whichever thread sends it.

    A process forked off by the objective inherits this object: what it sends is dropped, since two
    processes writing to one pipe could mix their lines.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def event(self, event: AttemptEvent) -> None:
        """Write an event."""
        self.line(encode(event))

    def line(self, text: str) -> None:
        """Write a line of ASCII; waits while the pipe is full.

        Raises:
            OSError: The other end is gone.
        """
        if os.getpid() != self._pid:
            return
        data = memoryview(f"{text}\n".encode("ascii"))
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]
