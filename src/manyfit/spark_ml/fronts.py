"""The fronts of pipelines that trials share: fitted once, and kept while they are useful.

A front consists of the first stages of a pipeline, fitted on the training rows of a fold, and the
rows as these stages transform them. The first trial that needs a front makes it; others that need
it meanwhile wait for it instead of making it again. Its rows are persisted if the budget has room;
otherwise the fitted stages compute them again each time.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from manyfit.prefixes import Demand, Path, Shelf
from manyfit.spark_ml.frames import LOOK, Rows, bytes_of, persist, release
from manyfit.spark_ml.stages import Stage
from manyfit.worker.context import raise_if_stopped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# A front is kept if its expected number of uses, including the first, is at least this much: if
# another use depends on a sampler, it must be at least as likely as not.
_WORTH_KEEPING = 1.5
_LIKELY = 0.5


@dataclass(frozen=True)
class Front:
    """Fitted stages, and the rows of a fold as transformed by them."""

    models: tuple[Any, ...]
    train: "DataFrame"
    validation: "DataFrame"

    def advanced(self, stages: Sequence[Stage]) -> "Front":
        """Return a longer front: each further stage is fitted on the output of those before it."""
        models, train, validation = list(self.models), self.train, self.validation
        for stage in stages:
            if stage.stage is None:
                continue
            raise_if_stopped()
            model = stage.stage.fit(train) if hasattr(stage.stage, "fit") else stage.stage
            train, validation = model.transform(train), model.transform(validation)
            models.append(model)
        return Front(tuple(models), train, validation)

    @property
    def frames(self) -> "tuple[DataFrame, DataFrame]":
        """The training and the validation rows."""
        return self.train, self.validation


@dataclass(frozen=True)
class Savings:
    """The work saved by sharing the fronts of pipelines.

    Attributes:
        hits: The number of times that a front was reused.
        made: The number of fronts kept for reuse.
        seconds: The time that making them again at each hit would have taken.
        most_bytes: The largest size of persisted rows at one time, as estimated by Spark.
        budget: The bytes allowed for them.
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
class _Entry:
    variants: float
    front: Front | None = None  # None while it is being made, by its first user
    seconds: float = 0.0
    users: int = 1


class Fronts:
    """Makes fronts, keeps those that later trials need, and releases them. It is thread-safe.

    Args:
        demand: The uses that are still expected.
        shelf: Decides what is persisted.
        rows: Estimates the size of a front.
    """

    def __init__(self, demand: Demand, shelf: Shelf, rows: Rows) -> None:
        self._demand = demand
        self._shelf = shelf
        self._rows = rows
        self._entries: dict[Path, _Entry] = {}
        self._sizes: dict[Path, int] = {}  # path without the fold → bytes, estimated or measured
        self._changed = threading.Condition()
        self._hits = 0
        self._made = 0
        self._seconds = 0.0
        self._is_closed = False

    @property
    def savings(self) -> Savings:
        """The savings so far."""
        with self._changed:
            shelf = self._shelf
            return Savings(self._hits, self._made, self._seconds, shelf.most, shelf.budget)

    @contextlib.contextmanager
    def front(self, prefix: Path, variants: float, make: Callable[[], Front]) -> Iterator[Front]:
        """Provide the front of a prefix within the block, and make it if necessary.

        Args:
            prefix: The fold, and the keys of the stages.
            variants: The number of configurations of those stages in the space.
            make: Makes the front.
        """
        entry = self._find(prefix, variants)
        if entry is None:  # no other trial needs it
            yield make()
            return
        front = entry.front or self._fill(prefix, entry, make)
        try:
            yield front
        finally:
            with self._changed:
                entry.users -= 1
                self._shelf.use(prefix, -1)

    def begin(self, paths: Sequence[Path]) -> None:
        """Record a trial that begins, with a path for each fold."""
        with self._changed:
            self._demand.begin(paths)

    def done(self, path: Path) -> None:
        """Record that a trial is done with a path, and release fronts that are no longer needed."""
        with self._changed:
            self._demand.done(path)
            idle = [prefix for prefix, entry in self._entries.items() if not entry.users]
            useless = [prefix for prefix in idle if self._uses(prefix) < _LIKELY]
            gone = self._dropped(useless)
            for prefix, entry in self._entries.items():
                self._shelf.revalue(prefix, entry.seconds * self._uses(prefix))
        release(gone)

    def close(self) -> None:
        """Release everything, including fronts that an abandoned trial makes later."""
        with self._changed:
            self._is_closed = True
            gone = self._dropped(list(self._entries))
        release(gone)

    def _uses(self, prefix: Path) -> float:
        """Return the expected uses of a front, without those that a longer front will serve."""
        below = [
            other
            for other in self._entries
            if len(other) > len(prefix) and other[: len(prefix)] == prefix and other in self._shelf
        ]
        nearest = [
            other
            for other in below
            if not any(len(o) < len(other) and other[: len(o)] == o for o in below)
        ]
        served = sum(self._demand.of(other, self._entries[other].variants) for other in nearest)
        return self._demand.of(prefix, self._entries[prefix].variants) - served

    def _dropped(self, prefixes: Sequence[Path]) -> "list[DataFrame]":
        """Forget fronts; returns their persisted rows."""
        gone = self._rows_of(prefix for prefix in prefixes if self._shelf.drop(prefix))
        for prefix in prefixes:
            del self._entries[prefix]
        return gone

    def _rows_of(self, prefixes: Iterable[Path]) -> "list[DataFrame]":
        fronts = [self._entries[prefix].front for prefix in prefixes if prefix in self._entries]
        return [frame for front in fronts if front is not None for frame in front.frames]

    def _find(self, prefix: Path, variants: float) -> _Entry | None:
        """Return an entry, which the caller must fill if it is new; None if not worth keeping."""
        with self._changed:
            while (entry := self._entries.get(prefix)) is not None and entry.front is None:
                self._changed.wait(LOOK)
                raise_if_stopped()
            if entry is not None:
                entry.users += 1
                self._shelf.use(prefix, 1)
                self._hits += 1
                self._seconds += entry.seconds
            elif self._demand.of(prefix, variants) >= _WORTH_KEEPING and not self._is_closed:
                entry = self._entries[prefix] = _Entry(variants)
        return entry

    def _fill(self, prefix: Path, entry: _Entry, make: Callable[[], Front]) -> Front:
        began = time.monotonic()
        try:
            front = make()
            self._keep_rows(prefix, front, time.monotonic() - began)
        except BaseException:
            with self._changed:  # a waiting trial will make it
                self._entries.pop(prefix, None)
                self._shelf.drop(prefix)
                self._changed.notify_all()
            raise
        with self._changed:
            entry.front, entry.seconds = front, time.monotonic() - began
            self._made += 1
            self._shelf.use(prefix, 1)
            self._changed.notify_all()
            gone = front.frames if self._is_closed else ()
        release(gone)
        return front

    def _keep_rows(self, prefix: Path, front: Front, seconds: float) -> None:
        """Persist the rows of a front, if there is room."""
        foreseen = self._foresee(prefix, front)
        with self._changed:
            if self._is_closed:
                return
            worth = seconds * self._uses(prefix)
            leaving = self._shelf.make_room(prefix, foreseen, worth)
            gone = self._rows_of(leaving or ())
        release(gone)
        if leaving is None:
            return
        try:
            persist(front.frames)
            size = sum(map(bytes_of, front.frames))
        except BaseException:
            release(front.frames)
            raise
        with self._changed:
            self._sizes[prefix[1:]] = size
            leaving = self._shelf.correct(prefix, size)
            gone = self._rows_of(leaving)
        release([*gone, *(front.frames if prefix in leaving else ())])

    def _foresee(self, prefix: Path, front: Front) -> int:
        """Return the expected bytes of the rows, from those of another fold or from a sample."""
        size = self._sizes.get(prefix[1:])
        if size is None:
            size = self._sizes[prefix[1:]] = self._rows.foresee(front.models)
        return size


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
