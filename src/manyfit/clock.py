"""Where time comes from, so that tests can say what time it is."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Wall time for the record, in seconds since the epoch; monotonic time for durations."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
