"""Runs a study of a pipeline, from the user's arguments to the result."""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from manyfit.prefixes import Demand, Path
from manyfit.pruners.folds import FoldPruner
from manyfit.spark.driver.executor import DriverExecutor
from manyfit.spark.session import Session
from manyfit.spark.watch import check_session
from manyfit.spark_ml.budget import budget_of
from manyfit.spark_ml.objective import FoldObjective, path_of
from manyfit.spark_ml.result import PipelineResult
from manyfit.spark_ml.scores import Scores
from manyfit.spark_ml.split import divide
from manyfit.spark_ml.stages import Configurations
from manyfit.study import Study
from manyfit.trial import Params
from manyfit.worker.autologging import autologging_off

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Longer lists of points are not ordered and counted: no study gets to their end.
_MOST_LISTED = 10_000
# The assumed number of trials if none is given: larger than matters, but finite.
_MANY = 1e9


class PipelineStudy:
    """What a study of a pipeline needs, checked before anything is on disk.

    Args:
        recipe: The pipeline.
        evaluators: The metrics of models; see `Scores`.
        rows: The rows to fit and evaluate on.
        validation: See `divide`.
        folds: See `divide`.
        train_metrics: Whether models are also evaluated on training rows.
        cache: Whether trials share work, or the bytes for it.
        parallelism: The number of trials that run at once, or `"auto"`.

    Raises:
        ArgumentError: An argument breaks a rule.
        ExecutorError: The Spark session has ended.
    """

    def __init__(
        self,
        recipe: Configurations,
        evaluators: Any,
        rows: "DataFrame",
        *,
        validation: "DataFrame | float | None",
        folds: int | str | None,
        train_metrics: bool,
        cache: bool | int,
        parallelism: int | Literal["auto"],
    ) -> None:
        check_session(Session(rows.sparkSession))
        self._recipe = recipe
        self._rows = rows
        self.scores = Scores(evaluators, on_train=train_metrics)
        self._division = divide(rows, validation, folds)
        self._budget = budget_of(cache, rows.sparkSession)
        self._shares = bool(cache)
        self._executor = DriverExecutor(
            rows.sparkSession,
            parallelism,
            slots_per_trial=recipe.slots if recipe.has_barriers else None,
        )

    @property
    def folds(self) -> int:
        """The number of folds; 1 for a single split."""
        return len(self._division.names)

    @property
    def pruner(self) -> FoldPruner | None:
        """The pruner between folds; None for a single split."""
        return FoldPruner(self.folds) if self.folds > 1 else None

    def tune(
        self,
        study: Study,
        *,
        points: Iterable[Params] | None,
        n_trials: int | None,
        models: dict[Path, tuple[Any, ...]] | None = None,
        **limits: Any,
    ) -> PipelineResult:
        """Run a study to its end.

        Args:
            study: The study.
            points: The points to try, in order, if they are known.
            n_trials: The total number of trials; None for no limit.
            models: A dict for fitted stages; see `FoldObjective`.
            **limits: Other arguments of `Study.tune`.
        """
        split = self._division.with_seed(_as_long(study.seed))
        demand = self._demand(study, points, n_trials)
        objective = FoldObjective(
            self._recipe,
            split,
            self.scores,
            demand,
            budget=self._budget,
            shares=self._shares,
            models=models,
        )
        with objective, autologging_off():
            found = study.tune(objective, executor=self._executor, n_trials=n_trials, **limits)
        rows = split.all_rows(self._rows)
        return PipelineResult.of(found, objective.savings, self._recipe, rows)

    def _demand(
        self, study: Study, points: Iterable[Params] | None, n_trials: int | None
    ) -> Demand:
        """Return the trials that a study has yet to run, listed if they are known."""
        finished = finished_keys(study)
        most = _MANY if n_trials is None else n_trials
        left = max(0, most - len(finished))
        if points is None:
            return Demand(unlisted=left)
        space = self._recipe.space
        waiting = (point for point in points if space.key(point) not in finished)
        listed = islice(waiting, int(min(left, _MOST_LISTED)))
        stages = [self._recipe.stages(space.materialize(point)) for point in listed]
        return Demand(path_of(fold, each) for each in stages for fold in range(self.folds))


def finished_keys(study: Study) -> set[str]:
    """Return the keys of the points that a study has finished."""
    found = study.result()
    return {
        study.space.key(study.space.store(trial.params))
        for trial in found
        if trial.state.is_finished and trial.number not in found.outside
    }


def seed_of(seed: int) -> int:
    """Return a study's seed for a seed of Spark's, which may be negative.

    Example:
        >>> seed_of(7), _as_long(seed_of(-7))
        (7, -7)
    """
    return seed % (1 << 64)


def _as_long(seed: int) -> int:
    """Return a seed as a signed 64-bit number, for Spark's functions."""
    return (seed + (1 << 63)) % (1 << 64) - (1 << 63)
