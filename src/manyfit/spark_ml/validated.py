"""`ManyfitValidatorModel`: what a fit of `ManyfitValidator` found."""
# ruff: noqa: N802, N803 - Spark ML has camel case

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from pyspark.ml import Model, Pipeline, PipelineModel
from pyspark.ml.util import MLReadable, MLWritable

from manyfit.prefixes import Path
from manyfit.spark_ml.maps import Maps
from manyfit.spark_ml.objective import path_of
from manyfit.spark_ml.params import ValidatorParams
from manyfit.spark_ml.result import PipelineResult
from manyfit.spark_ml.saving import Reader, Writer
from manyfit.spark_ml.stages import Configurations, copied
from manyfit.trial import State, Trial

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

# The fitted stages of each configuration and fold.
Fitted: TypeAlias = dict[Path, tuple[Any, ...]]


class ManyfitValidatorModel(
    Model,
    ValidatorParams,
    MLReadable["ManyfitValidatorModel"],
    MLWritable,
):
    """The best of the models that a `ManyfitValidator` tried, fitted on all rows.

    It transforms as `bestModel` does. Saved, it keeps the params it was made with, `bestModel`,
    `avgMetrics`, `stdMetrics` and `subModels`, but not `result`. As in Spark's own, the writer's
    option `persistSubModels` says whether sub-models are saved: by default where there are any.

    Attributes:
        bestModel: The fitted pipeline.
        avgMetrics: The tuned metric of each param map in their order, as a mean over folds; with a
            space, of each trial. NaN where the trial failed or was ended early.
        stdMetrics: Its standard deviation over folds; empty with `trainRatio`.
        subModels: With `collectSubModels`, the models of each fold, one for each param map or
            trial; with `trainRatio`, those of the one split. None for what failed, and for folds
            that an earlier run of the study has done.
        result: The study; None once loaded.
    """

    def __init__(
        self,
        bestModel: Any,
        avgMetrics: Sequence[float] = (),
        stdMetrics: Sequence[float] = (),
        subModels: list[Any] | None = None,
        result: PipelineResult | None = None,
    ) -> None:
        super().__init__()
        self.bestModel = bestModel
        self.avgMetrics = list(avgMetrics)
        self.stdMetrics = list(stdMetrics)
        self.subModels = subModels
        self.result = result

    @property
    def validationMetrics(self) -> list[float]:
        """What `TrainValidationSplitModel` calls `avgMetrics`."""
        return self.avgMetrics

    def _transform(self, dataset: "DataFrame") -> "DataFrame":
        return self.bestModel.transform(dataset)  # type: ignore[no-any-return]

    def copy(self, extra: Mapping[Any, Any] | None = None) -> "ManyfitValidatorModel":
        """Return a copy with params changed, also those of `bestModel`; and with its own stages.

        Sub-models are copied as they are. The study is the same.
        """
        extra = dict(extra or {})
        that = ManyfitValidatorModel(
            self.bestModel.copy(extra),
            self.avgMetrics,
            self.stdMetrics,
            copied(self.subModels, {}),
            self.result,
        )
        that._resetUid(self.uid)
        return self._copyValues(that, extra)._with_own(extra)

    def write(self) -> Writer:
        """Return what saves it.

        Raises:
            ArgumentError: It holds something that can't be saved. Raised by `save`, too: an option
                is unknown, or no sub-models were collected that could be saved.
        """
        metrics = {"avgMetrics": self.avgMetrics, "stdMetrics": self.stdMetrics}
        return Writer(self, metrics, self.bestModel, self.subModels)

    @classmethod
    def read(cls) -> Reader:
        """Return what loads it."""
        return Reader(cls)


class Verdict:
    """What a study says of each param map, in their order; with a space, of each trial.

    Args:
        result: The study.
        recipe: What was tried.
        folds: How many folds there are.

    Raises:
        NoResultError: Every trial failed.
    """

    def __init__(self, result: PipelineResult, recipe: Configurations, folds: int) -> None:
        self._recipe = recipe
        self._folds = folds
        self._metric = result.metric
        self._trials = _in_order(result, recipe)
        done = [trial for trial in self._trials if _is_complete(trial)]
        # Of equals the first one, as with Spark: not the first that was tried.
        self.best = min(done, key=self._loss) if done else result.best

    def _loss(self, trial: Trial) -> float:
        return self._metric.loss(trial.metrics[self._metric.name])

    @property
    def means(self) -> list[float]:
        """The tuned metric; NaN where a trial is not complete."""
        return self._values(self._metric.name)

    @property
    def deviations(self) -> list[float]:
        """Its standard deviation over folds; empty for one split."""
        return self._values(f"{self._metric.name}_std") if self._folds > 1 else []

    def _values(self, name: str) -> list[float]:
        return [trial.metrics[name] if _is_complete(trial) else math.nan for trial in self._trials]

    def sub_models(self, fitted: Fitted) -> list[Any]:
        """Return the models of each fold; of the split, where there is one only."""
        models = [
            [self._sub_model(fitted, fold, trial) for trial in self._trials]
            for fold in range(self._folds)
        ]
        return models if self._folds > 1 else models[0]

    def _sub_model(self, fitted: Fitted, fold: int, trial: Trial | None) -> Any:
        if trial is None:
            return None
        models = fitted.get(path_of(fold, self._recipe.stages(trial.params)))
        if models is None or not isinstance(self._recipe.estimator, Pipeline):
            return None if models is None else models[0]
        return PipelineModel(list(models))


def _is_complete(trial: Trial | None) -> TypeGuard[Trial]:
    return trial is not None and trial.state is State.COMPLETE


def _in_order(result: PipelineResult, recipe: Configurations) -> list[Trial | None]:
    inside = [trial for trial in result if trial.number not in result.outside]
    if not isinstance(recipe, Maps):
        return [*inside]
    by_key = {recipe.space.key(trial.params): trial for trial in inside}
    return [by_key.get(recipe.space.key(point)) for point in recipe.given]
