"""Prefixes that configurations of a pipeline share: the order to run them in, and what to cache.

A configuration is a path: a key for the data (a fold of it), then one for each stage with its
params. Two paths with an equal prefix share the work of that prefix, which need be done only once
if its result is still cached. Nothing here knows what a result is, or where it is kept.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Path: TypeAlias = tuple[Hashable, ...]


def prefix_order(paths: Sequence[Path]) -> list[int]:
    """Return an order in which paths that share a prefix are adjacent.

    At each stage, groups are ordered by their first members, so the order of paths that share
    nothing, and of equal paths, is unchanged.

    Returns:
        Indices into `paths`.

    Example:
        >>> prefix_order([("a", 1), ("b", 1), ("a", 2), ("b", 2)])
        [0, 2, 1, 3]
    """
    ranks: dict[Path, int] = {}
    for path in paths:
        for length in range(1, len(path) + 1):
            ranks.setdefault(path[:length], len(ranks))

    def ranked(place: int) -> list[int]:
        path = paths[place]
        return [ranks[path[:length]] for length in range(1, len(path) + 1)]

    return sorted(range(len(paths)), key=ranked)


class Demand:
    """The number of times that each prefix will still be needed.

    Known paths are counted exactly. For configurations that a sampler has yet to propose, the
    number is an expectation: if a prefix has `variants` alternatives, one in `variants` has it.

    Args:
        listed: Paths that are known in advance.
        unlisted: The number of further configurations, not known yet; may be infinite.

    Example:
        >>> demand = Demand([("fold 0", "scaler", "small"), ("fold 0", "scaler", "large")])
        >>> demand.of(("fold 0", "scaler")), demand.of(("fold 0", "scaler", "small"))
        (2.0, 1.0)
        >>> demand.done(("fold 0", "scaler", "small"))
        >>> demand.of(("fold 0", "scaler")), demand.of(("fold 0", "scaler", "small"))
        (1.0, 0.0)
    """

    def __init__(self, listed: Iterable[Path] = (), unlisted: float = 0) -> None:
        self._uses: Counter[Path] = Counter()
        self._awaited: Counter[Path] = Counter()
        self._unlisted = unlisted
        for path in listed:
            self._awaited[path] += 1
            self._list(path)

    def begin(self, paths: Iterable[Path]) -> None:
        """Record that a configuration begins, with all its paths: one for each fold."""
        news = []
        for path in paths:
            if self._awaited[path]:
                self._awaited[path] -= 1
            else:
                news.append(path)
                self._list(path)
        if news:
            self._unlisted = max(0, self._unlisted - 1)

    def done(self, path: Path) -> None:
        """Record that a path that began has been completed, or never will be."""
        for length in range(1, len(path) + 1):
            self._uses[path[:length]] -= 1
            if self._uses[path[:length]] <= 0:
                del self._uses[path[:length]]

    def of(self, prefix: Path, variants: float = math.inf) -> float:
        """Return the expected number of uses of a prefix, one of `variants` equally likely ones."""
        by_chance = 0.0 if math.isinf(variants) else self._unlisted / max(1.0, variants)
        return self._uses[prefix] + by_chance

    def _list(self, path: Path) -> None:
        for length in range(1, len(path) + 1):
            self._uses[path[:length]] += 1


@dataclass
class _Held:
    size: int
    worth: float
    users: int = 0


class Shelf:
    """Decides which items to cache within a budget, and which to evict for others.

    Args:
        budget: The capacity, in bytes. The sum of expected sizes never exceeds it.

    Example:
        >>> shelf = Shelf(100)
        >>> shelf.make_room("a", 70, worth=1.0), shelf.make_room("b", 60, worth=5.0)
        ([], ['a'])
        >>> shelf.make_room("c", 60, worth=1.0) is None
        True
        >>> shelf.held
        60
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.most = 0
        self._held: dict[Path, _Held] = {}

    @property
    def held(self) -> int:
        """The number of bytes kept."""
        return sum(item.size for item in self._held.values())

    def __contains__(self, key: Path) -> bool:
        return key in self._held

    def make_room(self, key: Path, size: int, worth: float) -> list[Path] | None:
        """Reserve room for an item; returns the items to evict, or None if it can't be kept.

        Items in use stay, and so do those that save more seconds per byte.

        Args:
            key: The item's key.
            size: Its expected size, in bytes.
            worth: Seconds that keeping it will save.
        """
        if size > self.budget:
            return None
        leaving: list[Path] = []
        lacking = self.held + size - self.budget
        for other, item in sorted(self._held.items(), key=lambda pair: _density(pair[1])):
            if lacking <= 0:
                break
            if item.users == 0 and _density(item) < worth / max(1, size):
                leaving.append(other)
                lacking -= item.size
        if lacking > 0:
            return None
        for other in leaving:
            del self._held[other]
        self._held[key] = _Held(size, worth)
        self._note()
        return leaving

    def correct(self, key: Path, size: int) -> list[Path]:
        """Correct an item's size; returns the items to evict, which may include the item itself."""
        self._held[key].size = size
        leaving: list[Path] = []
        for other, item in sorted(self._held.items(), key=lambda pair: _density(pair[1])):
            if self.held <= self.budget:
                break
            if item.users == 0 or other == key:
                leaving.append(other)
                del self._held[other]
        self._note()
        return leaving

    def revalue(self, key: Path, worth: float) -> None:
        """Update the number of seconds that keeping an item will save."""
        if key in self._held:
            self._held[key].worth = worth

    def use(self, key: Path, users: int) -> None:
        """Change the number of users of an item, by 1 or -1."""
        if key in self._held:
            self._held[key].users += users

    def drop(self, key: Path) -> bool:
        """Drop an item; returns whether it was kept."""
        return self._held.pop(key, None) is not None

    def _note(self) -> None:
        self.most = max(self.most, self.held)


def _density(item: _Held) -> float:
    return item.worth / max(1, item.size)
