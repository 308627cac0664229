"""How many trials to run at once on a cluster, from how busy it is."""

FIRST, MOST = 2, 10
_ROOM = 0.8  # below this share of busy slots there is room for another trial


class Pace:
    """Starts at two trials, and adds one whenever all that may run leave slots idle; up to ten.

    Only time in which as many ran as may run counts: while trials are missing, an idle cluster says
    nothing. It never goes down again: what trials ask of a cluster rises and falls, and one too
    many costs little.

    Args:
        window: How many seconds that must last.

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
        self._last: tuple[float, float] | None = None  # when there was a sample, and its use
        self._seconds = 0.0  # in which as many ran as may
        self._busy = 0.0  # use times seconds

    def sample(self, now: float, running: int, use: float) -> None:
        """Take in how things are.

        Args:
            now: Seconds on any clock that doesn't jump.
            running: How many trials run.
            use: The share of the cluster's slots that run a task, of anybody's.
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
