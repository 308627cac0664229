"""The source of time, which tests can replace."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time for the journal, in seconds since the epoch, and monotonic time for durations."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
