"""Calls the user's functions on a group, with new copies of rows, and averages over folds."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from manyfit._own import own_values
from manyfit.errors import MetricError
from manyfit.groups.search.holdout import Holdout, take
from manyfit.groups.search.lent import Lent
from manyfit.metric import Metric
from manyfit.worker.active_run import own_runs
from manyfit.worker.channel import Channel
from manyfit.worker.context import Context, current_trial, entered, report


class Fits:
    """A group's rows, split once for all trials, and the fits on them.

    Args:
        frame: The group's rows.
        holdout: The split; None to pass all rows.
        metric: The metric to tune.
        seed: Determines the split.
    """

    def __init__(self, frame: Any, holdout: Holdout | None, metric: Metric, seed: int) -> None:
        self.seconds = 0.0
        self.model: Any = None
        self._frame = frame.copy()  # contiguous, so that copies are five times as fast
        self._metric = metric
        self._parts: list[tuple[Lent, ...]]
        if holdout is None:
            self._parts = [(Lent(self._frame),)]
        else:
            splits = holdout.splits(len(frame), seed)
            self._parts = [tuple(Lent(take(frame, rows)) for rows in split) for split in splits]

    def __call__(self, function: Callable[..., Any], *params: Any) -> dict[str, float]:
        """Return the metrics of a function; for several folds, their means.

        The function may change the params that it gets; for several folds, each gets its own.
        The model is kept in `model` until the next call; for folds there is none.

        Raises:
            MetricError: It returned no usable metric, for some fold.
        """
        self.model = None
        if len(self._parts) == 1:
            returned, self.model = self._call(function, self._parts[0], params)
            return self._metric.to_metrics(returned)
        return self._over_folds(function, params)

    def whole(self, function: Callable[..., Any], *params: Any, parts: int) -> Any:
        """Return the model that a function fits with all rows as each of its `parts`."""
        return self._call(function, [Lent(self._frame) for _ in range(parts)], params)[1]

    @property
    def folds(self) -> int:
        """The number of fits per trial."""
        return len(self._parts)

    def _over_folds(self, function: Callable[..., Any], params: Sequence[Any]) -> dict[str, float]:
        name = self._metric.name
        scores: list[dict[str, float]] = []
        for fold, parts in enumerate(self._parts):
            given = [own_values(each) if isinstance(each, Mapping) else each for each in params]
            with _muted():
                returned, _ = self._call(function, parts, given)
            try:
                scores.append(self._metric.to_metrics(returned))
            except MetricError as error:
                raise type(error)(f"fold {fold}: {error}") from error
            report(fold, **{name: scores[-1][name]})
        shared = set.intersection(*(set(each) for each in scores))
        return {
            metric: sum(each[metric] for each in scores) / len(scores)
            for metric in scores[0]
            if metric in shared
        }

    def _call(
        self, function: Callable[..., Any], parts: Sequence[Lent], params: Sequence[Any]
    ) -> tuple[Any, Any]:
        frames = [part.lend() for part in parts]
        with own_runs():
            began = time.perf_counter()
            try:
                returned = function(*frames, *params)
            finally:
                self.seconds += time.perf_counter() - began
                for part in parts:
                    part.take_back()
        if isinstance(returned, tuple) and len(returned) == 2:
            return returned
        return returned, None


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Discard reports within a fold, because the steps of a trial are its folds."""
    trial = current_trial()
    if trial is None:
        yield
        return
    with entered(Context(trial, Channel(lambda _: None))):
        yield
