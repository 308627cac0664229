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

from manyfit.front_plan import FrontPlan, Savings
from manyfit.prefixes import Path
from manyfit.spark_ml.frames import LOOK, Rows, bytes_of, persist, release
from manyfit.spark_ml.stages import Stage
from manyfit.worker.context import raise_if_stopped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


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


@dataclass
class _Held:
    front: Front | None = None  # None while its first user makes it


class Fronts:
    """Makes fronts, keeps those that later trials need, and releases them. It is thread-safe.

    Args:
        plan: Decides what is kept.
        rows: Estimates the size of a front.
    """

    def __init__(self, plan: FrontPlan, rows: Rows) -> None:
        self._plan = plan
        self._rows = rows
        self._held: dict[Path, _Held] = {}
        self._sizes: dict[Path, int] = {}  # path without the fold → bytes, estimated or measured
        self._changed = threading.Condition()
        self._is_closed = False

    @property
    def savings(self) -> Savings:
        """The savings so far."""
        with self._changed:
            return self._plan.savings

    @contextlib.contextmanager
    def front(self, prefix: Path, variants: float, make: Callable[[], Front]) -> Iterator[Front]:
        """Provide the front of a prefix within the block, and make it if necessary.

        Args:
            prefix: The fold, and the keys of the stages.
            variants: The number of configurations of those stages in the space.
            make: Makes the front.
        """
        held = self._find(prefix, variants)
        if held is None:  # no other trial needs it
            yield make()
            return
        front = held.front or self._fill(prefix, held, make)
        try:
            yield front
        finally:
            with self._changed:
                self._plan.use(prefix, -1)

    def begin(self, paths: Sequence[Path]) -> None:
        """Record a trial that begins, with a path for each fold."""
        with self._changed:
            self._plan.begin(paths)

    def done(self, path: Path) -> None:
        """Record that a trial is done with a path, and release fronts that are no longer needed."""
        with self._changed:
            gone = self._dropped(self._plan.done(path))
        release(gone)

    def close(self) -> None:
        """Release everything, including fronts that an abandoned trial makes later."""
        with self._changed:
            self._is_closed = True
            gone = self._dropped(list(self._held))
        release(gone)

    def _dropped(self, prefixes: Sequence[Path]) -> "list[DataFrame]":
        """Forget fronts; returns their persisted rows."""
        gone = self._rows_of(prefix for prefix in prefixes if self._plan.forget(prefix))
        for prefix in prefixes:
            del self._held[prefix]
        return gone

    def _rows_of(self, prefixes: Iterable[Path]) -> "list[DataFrame]":
        fronts = [self._held[prefix].front for prefix in prefixes if prefix in self._held]
        return [frame for front in fronts if front is not None for frame in front.frames]

    def _find(self, prefix: Path, variants: float) -> _Held | None:
        """Return a front, which the caller must make if it is new; None if not worth keeping."""
        with self._changed:
            while (held := self._held.get(prefix)) is not None and held.front is None:
                self._changed.wait(LOOK)
                raise_if_stopped()
            if held is not None:
                self._plan.use(prefix, 1)
                self._plan.reuse(prefix)
            elif self._plan.is_wanted(prefix, variants) and not self._is_closed:
                held = self._held[prefix] = _Held()
                self._plan.add(prefix, variants)
        return held

    def _fill(self, prefix: Path, held: _Held, make: Callable[[], Front]) -> Front:
        began = time.monotonic()
        try:
            front = make()
            self._keep_rows(prefix, front, time.monotonic() - began)
        except BaseException:
            with self._changed:  # a waiting trial will make it
                self._held.pop(prefix, None)
                self._plan.forget(prefix)
                self._changed.notify_all()
            raise
        with self._changed:
            held.front = front
            self._plan.made(prefix, time.monotonic() - began)
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
            leaving = self._plan.room(prefix, foreseen, seconds)
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
            leaving = self._plan.correct(prefix, size)
            gone = self._rows_of(leaving)
        release([*gone, *(front.frames if prefix in leaving else ())])

    def _foresee(self, prefix: Path, front: Front) -> int:
        """Return the expected bytes of the rows, from those of another fold or from a sample."""
        size = self._sizes.get(prefix[1:])
        if size is None:
            size = self._sizes[prefix[1:]] = self._rows.foresee(front.models)
        return size
