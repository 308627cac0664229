"""Which fronts of pipelines are worth keeping for later trials, and what keeping them has saved.

A front consists of the first stages of a pipeline, fitted on the training rows of a fold, and the
rows as these stages transform them. Nothing here makes, holds or removes a front: a plan is told
what has been made, and returns what to keep and what to let go.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from manyfit._checks import is_number
from manyfit.errors import ArgumentError
from manyfit.prefixes import Demand, Path, Shelf

# A front is kept if its expected number of uses, including the first, is at least this much: if
# another use depends on a sampler, it must be at least as likely as not.
_WORTH_KEEPING = 1.5
_LIKELY = 0.5


@dataclass(frozen=True)
class Savings:
    """The work saved by sharing the fronts of pipelines.

    Attributes:
        hits: The number of times that a front was reused.
        made: The number of fronts kept for reuse.
        seconds: The time that making them again at each hit would have taken.
        most_bytes: The largest size of kept rows at one time.
        budget: The bytes allowed for them.

    Example:
        >>> print(Savings(hits=8, made=1, seconds=12.3, most_bytes=35_600_000, budget=1 << 30))
        1 front of pipelines kept, reused 8 times: 12 s saved; at most 35.6 MB of 1.07 GB held
    """

    hits: int
    made: int
    seconds: float
    most_bytes: int
    budget: int

    def __str__(self) -> str:
        fronts = "1 front" if self.made == 1 else f"{self.made} fronts"
        return (
            f"{fronts} of pipelines kept, reused {self.hits} times: {self.seconds:.0f} s saved; "
            f"at most {_in_words(self.most_bytes)} of {_in_words(self.budget)} held"
        )


@dataclass
class _Planned:
    variants: float
    users: int
    seconds: float = 0.0


class FrontPlan:
    """Decides which fronts to keep, by the uses that are still expected of each.

    It is a plain value that can be pickled; callers from several threads need a lock.

    Args:
        demand: The uses that are still expected.
        shelf: Decides what fits into the budget.

    Example:
        >>> plan = FrontPlan(Demand([("fold 0", "scaler")] * 2), Shelf(budget=100))
        >>> plan.is_wanted(("fold 0", "scaler")), plan.is_wanted(("fold 0", "other"))
        (True, False)
        >>> plan.add(("fold 0", "scaler"), users=0)
        >>> plan.room(("fold 0", "scaler"), 60, seconds=1.0)
        []
        >>> plan.made(("fold 0", "scaler"), seconds=1.0)
        >>> plan.reuse(("fold 0", "scaler"))
        1.0
        >>> plan.done(("fold 0", "scaler")), plan.done(("fold 0", "scaler"))
        ([], [('fold 0', 'scaler')])
        >>> plan.savings.hits, plan.savings.seconds
        (1, 1.0)
    """

    def __init__(self, demand: Demand, shelf: Shelf) -> None:
        self._demand = demand
        self._shelf = shelf
        self._fronts: dict[Path, _Planned] = {}
        self._hits = 0
        self._made = 0
        self._seconds = 0.0

    def __contains__(self, prefix: Path) -> bool:
        return prefix in self._fronts

    @property
    def savings(self) -> Savings:
        """The savings so far."""
        shelf = self._shelf
        return Savings(self._hits, self._made, self._seconds, shelf.most, shelf.budget)

    def begin(self, paths: Iterable[Path]) -> None:
        """Record a trial that begins, with a path for each fold."""
        self._demand.begin(paths)

    def done(self, path: Path) -> list[Path]:
        """Record that a trial is done with a path; returns fronts that are no longer needed."""
        self._demand.done(path)
        idle = [prefix for prefix, front in self._fronts.items() if not front.users]
        useless = [prefix for prefix in idle if self._uses(prefix) < _LIKELY]
        for prefix, front in self._fronts.items():
            self._shelf.revalue(prefix, front.seconds * self._uses(prefix))
        return useless

    def is_wanted(self, prefix: Path, variants: float = math.inf) -> bool:
        """Return whether a front is worth keeping, one of `variants` equally likely ones."""
        return self._demand.of(prefix, variants) >= _WORTH_KEEPING

    def add(self, prefix: Path, variants: float = math.inf, *, users: int = 1) -> None:
        """Add a front that is being made; while it has users, it stays."""
        self._fronts[prefix] = _Planned(variants, users)

    def room(self, prefix: Path, size: int, seconds: float) -> list[Path] | None:
        """Reserve room for the rows of a front, which took some seconds; see `Shelf.make_room`."""
        return self._shelf.make_room(prefix, size, seconds * self._uses(prefix))

    def correct(self, prefix: Path, size: int) -> list[Path]:
        """Correct the size of a front's rows; see `Shelf.correct`."""
        return self._shelf.correct(prefix, size)

    def made(self, prefix: Path, seconds: float) -> None:
        """Record that a front has been made, even if it was forgotten meanwhile."""
        self._made += 1
        if prefix in self._fronts:
            front = self._fronts[prefix]
            front.seconds = seconds
            self._shelf.use(prefix, front.users)

    def reuse(self, prefix: Path) -> float:
        """Record that a front was used again; returns the seconds that making it again takes."""
        seconds = self._fronts[prefix].seconds
        self._hits += 1
        self._seconds += seconds
        return seconds

    def use(self, prefix: Path, users: int) -> None:
        """Change the number of users of a front, by 1 or -1."""
        if prefix in self._fronts:
            self._fronts[prefix].users += users
            self._shelf.use(prefix, users)

    def forget(self, prefix: Path) -> bool:
        """Forget a front; returns whether its rows were kept."""
        self._fronts.pop(prefix, None)
        return self._shelf.drop(prefix)

    def _uses(self, prefix: Path) -> float:
        """Return the expected uses of a front, without those that a longer front will serve."""
        below = [
            other
            for other in self._fronts
            if len(other) > len(prefix) and other[: len(prefix)] == prefix and other in self._shelf
        ]
        nearest = [
            other
            for other in below
            if not any(len(o) < len(other) and other[: len(o)] == o for o in below)
        ]
        served = sum(self._demand.of(other, self._fronts[other].variants) for other in nearest)
        return self._demand.of(prefix, self._fronts[prefix].variants) - served


def bytes_allowed(cache: bool | int, default: Callable[[], int]) -> int:
    """Return the bytes that `cache=` allows: a given number, or `default()` for True and False.

    Raises:
        ArgumentError: `cache` is neither True, False nor a positive number of bytes.

    Example:
        >>> bytes_allowed(1 << 20, lambda: 7), bytes_allowed(True, lambda: 7)
        (1048576, 7)
    """
    if isinstance(cache, bool):
        return default()
    if not is_number(cache, whole=True) or cache < 1:
        raise ArgumentError(
            f"cache must be True, False or a positive number of bytes, but got {cache!r}"
        )
    return int(cache)


def _in_words(size: float) -> str:
    """Format a number of bytes.

    Example:
        >>> _in_words(35_600_000)
        '35.6 MB'
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
