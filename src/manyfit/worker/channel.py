"""The channel of an attempt: events to the driver, stop requests from it."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from manyfit.event_lines import encode
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
)

# The events that end an attempt. It sends exactly one of these, as its last.
ENDINGS = (AttemptFinished, AttemptPruned, AttemptFailed, AttemptLost)


@dataclass(frozen=True, slots=True)
class Stop:
    """A request to end an attempt at its next report.

    Attributes:
        reason: Why, in one line.
        lost: Whether the attempt is cut off: it is then lost, not pruned.
        timeout: Whether it ran for too long: it is then failed.
    """

    reason: str
    lost: bool = False
    timeout: bool = False


class Channel:
    """One attempt's channel: events go to the driver through `send`, stop requests come back.

    Args:
        send: Sends an event to the driver. It is called from any of the objective's threads, one
            call at a time.
    """

    def __init__(self, send: Callable[[AttemptEvent], None]) -> None:
        self.send = send
        self._stop: Stop | None = None

    @property
    def stop(self) -> Stop | None:
        """The stop request, if any; the first one wins."""
        return self._stop

    def request(self, stop: Stop) -> None:
        """Ask the attempt to end at its next report; safe from any thread."""
        if self._stop is None:
            self._stop = stop


class PipeWriter:
    """Writes events to a pipe as lines of JSON, each as a whole, from any thread.

    A process that the objective forks inherits this object. What it sends is dropped, because two
    processes that write to one pipe could mix their lines.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def event(self, event: AttemptEvent) -> None:
        self.line(encode(event))

    def line(self, text: str) -> None:
        """Write a line of ASCII; waits while the pipe is full.

        Raises:
            OSError: The other end is closed.
        """
        if os.getpid() != self._pid:
            return
        data = memoryview(f"{text}\n".encode("ascii"))
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]
