"""Adapts the number of trials that run at once to how busy the cluster is."""

FIRST, MOST = 2, 10
_ROOM = 0.8  # another trial is added below this share of busy slots


class Pace:
    """Starts at two trials, and adds one whenever the allowed number leaves slots idle; up to ten.

    Only time in which the allowed number of trials runs counts: with fewer, an idle cluster means
    nothing. The number never decreases: the load of trials varies, and one too many costs little.

    Args:
        window: The seconds for which slots must be idle.

    Example:
        >>> pace = Pace()
        >>> for second in range(6):
        ...     pace.sample(float(second), running=2, use=0.5)
        >>> pace.size
        3
    """

    def __init__(self, window: float = 5.0) -> None:
        self._window = window
        self.size = FIRST
        self._last: tuple[float, float] | None = None  # the time of the last sample, and its use
        self._seconds = 0.0  # in which the allowed number ran
        self._busy = 0.0  # use times seconds

    def sample(self, now: float, running: int, use: float) -> None:
        """Record a sample.

        Args:
            now: Seconds of a monotonic clock.
            running: The number of running trials.
            use: The share of the cluster's slots that run a task, including those of others.
        """
        if self._last is not None:
            before, was = self._last
            self._seconds += now - before
            self._busy += (now - before) * was
        self._last = (now, use) if running >= self.size else None
        if self._seconds >= self._window:
            if self._busy < _ROOM * self._seconds:
                self.size = min(MOST, self.size + 1)
            self._last, self._seconds, self._busy = None, 0.0, 0.0
