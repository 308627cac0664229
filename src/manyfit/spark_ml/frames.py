"""The rows of a study, persisted and measured for as long as they are needed."""

import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from pyspark.sql import DataFrame, functions

from manyfit.errors import FatalError
from manyfit.prefixes import Shelf
from manyfit.spark_ml.split import Parts, Split
from manyfit.worker.context import raise_if_stopped

# The size of the sample from which the size of all rows is estimated: `_SAMPLE` rows, at most
# `_SHARE` of the data (because the sample takes memory, too), and at least `_FEWEST`.
_SAMPLE = 1000
_SHARE = 0.02
_FEWEST = 20
# The key of the rows themselves on the shelf.
_KEY = ("rows",)
# Seconds between checks for a stop request, while a trial waits for another one's work.
LOOK = 0.2

_UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50}
_CACHED = re.compile(r"InMemoryRelation .*Statistics\(sizeInBytes=([\d.E+]+) ([KMGTP]i|)B")


def persist(frames: "Iterable[DataFrame]") -> list[int]:
    """Persist and materialise tables; returns the number of rows of each."""
    counts = []
    for frame in frames:
        raise_if_stopped()
        frame.persist()
        counts.append(frame.count())
    return counts


def release(frames: "Iterable[DataFrame]") -> None:
    """Unpersist tables."""
    for frame in frames:
        frame.unpersist(True)


def bytes_of(frame: DataFrame) -> int:
    """Return the number of bytes of a materialised persisted table; 0 for any other table.

    This is Spark's estimate. The storage status shows less: by a few per cent for vectors, by half
    for columns that compress well.
    """
    # Dropping a temporary view unpersists its table, so the view is of another, equally wide table:
    # https://issues.apache.org/jira/browse/SPARK-22538
    view = frame.where("true")
    plan = frame.sparkSession.sql("EXPLAIN COST SELECT * FROM {rows}", rows=view).first()
    found = _CACHED.search(plan[0]) if plan is not None else None
    return int(float(found[1]) * _UNITS[found[2]]) if found else 0


class Rows:
    """The rows of a study: read once, counted, and persisted if there is room.

    This happens when the first trial asks for a fold.

    Args:
        split: The division into training and validation rows.
        shelf: Decides what is persisted.
    """

    def __init__(self, split: Split, shelf: Shelf) -> None:
        self._split = split
        self._shelf = shelf
        self._persisted: list[DataFrame] = []
        self._opening = threading.Lock()
        self._is_open = False
        self._is_closed = False
        self.count = 0

    def parts(self, fold: int) -> Parts:
        """Return the training and the validation rows of a fold.

        Raises:
            FatalError: A fold has no rows for one of them.
        """
        while not self._opening.acquire(timeout=LOOK):
            raise_if_stopped()
        try:
            if not self._is_open:
                self._open()
        finally:
            self._opening.release()
        return self._split.parts(fold)

    def foresee(self, models: Sequence[Any]) -> int:
        """Return the expected bytes of all rows after a transformation by fitted stages."""
        wanted = max(_FEWEST, min(_SAMPLE, _SHARE * self.count))
        source = self._split.sources[0]
        rows = source.sample(fraction=min(1.0, wanted / max(1, self.count)), seed=0)
        if self._split.hidden is not None:
            rows = rows.drop(self._split.hidden)
        for model in models:
            rows = model.transform(rows)
        rows = rows.coalesce(1)
        try:
            (sampled,) = persist([rows])
            return int(bytes_of(rows) * self.count / max(1, sampled))
        finally:
            release([rows])

    def close(self) -> None:
        """Release the rows, including those that an abandoned trial persists later."""
        self._is_closed = True
        persisted, self._persisted = self._persisted, []
        release(persisted)

    def _open(self) -> None:
        try:
            self._take()
        except BaseException:
            self._give_up()
            raise
        self._is_open = True
        if self._is_closed:
            self._give_up()

    def _give_up(self) -> None:
        persisted, self._persisted = self._persisted, []
        self._shelf.drop(_KEY)
        release(persisted)

    def _take(self) -> None:
        sources = self._split.sources
        self._check_folds(self._counted())
        # Every trial reads them, so nothing else is worth as much.
        if self._shelf.make_room(_KEY, self.foresee(()), float("inf")) is not None:
            self._shelf.use(_KEY, 1)
            self._persisted.extend(sources)
            persist(sources)
            if self._shelf.correct(_KEY, sum(map(bytes_of, sources))):
                release(sources)

    def _counted(self) -> list[tuple[int, int]]:
        """Count all rows; returns the numbers of validation and of training rows of each fold."""
        if not self._split.conditions:
            train, validation = (source.count() for source in self._split.sources)
            self.count = train + validation
            return [(validation, train)]
        inside = [
            functions.count(functions.when(condition, 1)) for condition in self._split.conditions
        ]
        row = self._split.sources[0].select(functions.count("*"), *inside).first()
        self.count, *found = row if row is not None else (0,)
        return [(n, self.count - n) for n in found]

    def _check_folds(self, counts: Sequence[tuple[int, int]]) -> None:
        if not self.count:
            raise FatalError("there are no rows to tune on")
        for name, (validation, train) in zip(self._split.names, counts, strict=True):
            if not (validation and train):
                part = "training" if validation else "validation"
                raise FatalError(
                    f"{name} has no {part} rows, of {validation + train} in all: fewer folds, or "
                    "another share of rows for validation"
                )
