"""A study of a pipeline, from what a user passes to its result."""

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
from manyfit.spark_ml.quiet import autologging_off
from manyfit.spark_ml.result import PipelineResult
from manyfit.spark_ml.scores import Scores
from manyfit.spark_ml.split import divide
from manyfit.spark_ml.stages import Configurations
from manyfit.study import Study
from manyfit.trial import Params

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# Of a list that is longer, nobody waits for the end.
_MOST_LISTED = 10_000
# How many trials come where no number is given: more than matter, and still a number.
_MANY = 1e9


class Run:
    """All that a study of a pipeline needs besides itself; refused before anything is on disk.

    Args:
        recipe: The pipeline.
        evaluators: What models are judged by; see `Scores`.
        rows: What they are fitted and judged on.
        validation: As `divide` takes it.
        folds: As `divide` takes it.
        train_metrics: Whether training rows are judged too.
        cache: Whether trials share work, and the bytes that may take.
        parallelism: How many trials run at once, or `"auto"`.

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
        """How many folds there are; 1 for one split."""
        return len(self._division.names)

    @property
    def pruner(self) -> FoldPruner | None:
        """Ends trials between folds; None where there is one only."""
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
            points: What it is to try, if that is known, in its order.
            n_trials: How many trials finish in all; None for no limit.
            models: Where fitted stages go; see `FoldObjective`.
            **limits: Whatever else `Study.tune` takes.
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
        """Return the trials that a study is still to run: one by one, if they are known."""
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
    """Return the keys of the points that a study is done with."""
    found = study.result()
    return {
        study.space.key(study.space.store(trial.params))
        for trial in found
        if trial.state.is_finished and trial.number not in found.outside
    }


def seed_of(seed: int) -> int:
    """Return a study's seed for one of Spark's, which may be negative.

    Example:
        >>> seed_of(7), _as_long(seed_of(-7))
        (7, -7)
    """
    return seed % (1 << 64)


def _as_long(seed: int) -> int:
    """Return a seed as Spark's functions take it: a signed number of 64 bits."""
    return (seed + (1 << 63)) % (1 << 64) - (1 << 63)
