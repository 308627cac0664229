"""The objective of a pipeline: fits and evaluates it on one fold after another."""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Any, Self

from manyfit.errors import UndefinedMetricError
from manyfit.front_plan import FrontPlan, Savings
from manyfit.prefixes import Demand, Path, Shelf
from manyfit.spark.session import Session
from manyfit.spark_ml.frames import Rows
from manyfit.spark_ml.fronts import Front, Fronts
from manyfit.spark_ml.scores import Scores, of_fold, summarized
from manyfit.spark_ml.split import Split
from manyfit.spark_ml.stages import Configurations, Stage
from manyfit.worker.context import current_trial, raise_if_stopped, report


class FoldObjective:
    """Fits a pipeline on each fold and returns the means of its metrics.

    Each fold is reported when it is done, so that a hopeless trial can end before the others. It is
    also saved in the trial's scratch folder, so that a later attempt need not repeat it.

    This is a context manager, which at the end releases what was persisted.

    Args:
        recipe: The pipeline.
        split: The folds.
        scores: The metrics of models.
        demand: The trials that are still expected.
        budget: The bytes that persisted rows may take.
        shares: Whether trials share work.
        models: A dict for the fitted stages of each configuration and fold, by path; None to keep
            none.
    """

    def __init__(
        self,
        recipe: Configurations,
        split: Split,
        scores: Scores,
        demand: Demand,
        *,
        budget: int,
        shares: bool,
        models: dict[Path, tuple[Any, ...]] | None = None,
    ) -> None:
        self._recipe = recipe
        self._split = split
        self._scores = scores
        self._models = models
        shelf = Shelf(budget)
        self._rows = Rows(split, shelf)
        self._fronts = Fronts(FrontPlan(demand, shelf), self._rows) if shares else None

    @property
    def savings(self) -> Savings | None:
        """The savings so far; None if trials share no work."""
        return None if self._fronts is None else self._fronts.savings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if Session(self._split.sources[0].sparkSession).ended() is not None:
            return  # the session has ended, and its tables with it
        if self._fronts is not None:
            self._fronts.close()
        self._rows.close()

    def __call__(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Evaluate a trial's params.

        Raises:
            UndefinedMetricError: The tuned metric is NaN or infinite on a fold.
        """
        stages = self._recipe.stages(params)
        paths = [path_of(fold, stages) for fold in range(len(self._split))]
        kept = KeptFolds.of_trial()
        with self._announced(paths) as left:
            for fold, path in enumerate(paths):
                metrics = kept.folds[fold] if fold < len(kept.folds) else None
                if metrics is None:
                    metrics = self._evaluate(fold, path, stages)
                    self._check(fold, metrics)
                    kept.add(metrics)
                self._done(left)
                if len(paths) > 1:
                    report(fold, **metrics, **of_fold(fold, metrics))
        return summarized(kept.folds)

    @contextlib.contextmanager
    def _announced(self, paths: Sequence[Path]) -> Iterator[list[Path]]:
        """Announce what this trial will need, and at the end that it needs no more."""
        left = list(paths)
        if self._fronts is not None:
            self._fronts.begin(paths)
        try:
            yield left
        finally:
            while left:
                self._done(left)

    def _done(self, left: list[Path]) -> None:
        path = left.pop(0)
        if self._fronts is not None:
            self._fronts.done(path)

    def _evaluate(self, fold: int, path: Path, stages: Sequence[Stage]) -> dict[str, float]:
        with contextlib.ExitStack() as held:
            forks = [0, *(fork for fork in self._recipe.forks if fork <= len(stages))]
            front = self._front(held, fold, path, stages, forks)
            fitted = front.advanced(stages[forks[-1] :])
            raise_if_stopped()
            if self._models is not None:
                self._models[path] = fitted.models
            return self._scores.of(fitted.validation, fitted.train)

    def _front(
        self,
        held: contextlib.ExitStack,
        fold: int,
        path: Path,
        stages: Sequence[Stage],
        forks: Sequence[int],
    ) -> Front:
        """Provide the front up to the last of some forks, built on the longest one available."""
        *earlier, length = forks
        if not earlier:
            return Front((), *self._rows.parts(fold))

        def make() -> Front:
            front = self._front(held, fold, path, stages, earlier)
            return front.advanced(stages[earlier[-1] : length])

        if self._fronts is None:
            return make()
        variants = self._recipe.variants(length)
        return held.enter_context(self._fronts.front(path[: length + 1], variants, make))

    def _check(self, fold: int, metrics: Mapping[str, float]) -> None:
        value = metrics[self._scores.tuned]
        if not math.isfinite(value):
            raise UndefinedMetricError(
                f"{self._scores.tuned} is {value} on {self._split.names[fold]}"
            )


def path_of(fold: int, stages: Sequence[Stage]) -> Path:
    """Return the path of a configuration on a fold."""
    return (fold, *(stage.key for stage in stages))


class KeptFolds:
    """The folds that a trial has completed, saved for its next attempt.

    Args:
        file: The file; None to save nothing.
    """

    def __init__(self, file: File | None) -> None:
        self._file = file
        self.folds: list[dict[str, float]] = []
        if file is not None and file.exists():
            self.folds = json.loads(file.read_text(encoding="utf-8"))

    @classmethod
    def of_trial(cls) -> "KeptFolds":
        """Return the folds of this thread's trial; outside of a trial, nothing is saved."""
        trial = current_trial()
        return cls(None if trial is None else trial.scratch / "folds.json")

    def add(self, metrics: Mapping[str, float]) -> None:
        """Save another fold atomically."""
        self.folds.append(dict(metrics))
        if self._file is None:
            return
        draft = self._file.with_suffix(".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(self.folds, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)
