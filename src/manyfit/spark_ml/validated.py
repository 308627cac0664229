"""`ManyfitValidatorModel`: the model that `ManyfitValidator.fit` returns."""
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

    It transforms rows with `bestModel`. When saved, it keeps the params it was made with,
    `bestModel`, `avgMetrics`, `stdMetrics` and `subModels`, but not `result`. As in Spark, the
    writer's option `persistSubModels` says whether sub-models are saved: by default, if there are
    any.

    Attributes:
        bestModel: The fitted pipeline.
        avgMetrics: The mean of the tuned metric over folds, for each param map in order, or with a
            space for each trial. NaN if the trial failed or was ended early.
        stdMetrics: The standard deviation over folds; empty with `trainRatio`.
        subModels: With `collectSubModels`, the models of each fold, one for each param map or
            trial; with `trainRatio`, those of the single split. None for failed ones, and for folds
            that an earlier call has completed.
        result: The result of the study; None after loading.
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
        """The same as `avgMetrics`; named as in `TrainValidationSplitModel`."""
        return self.avgMetrics

    def _transform(self, dataset: "DataFrame") -> "DataFrame":
        return self.bestModel.transform(dataset)  # type: ignore[no-any-return]

    def copy(self, extra: Mapping[Any, Any] | None = None) -> "ManyfitValidatorModel":
        """Return a copy with its own stages, and with params changed, including `bestModel`'s.

        Sub-models are copied unchanged. The result is shared.
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
        """Return a writer for this model.

        Raises:
            ArgumentError: The model contains something that can't be saved. The writer's `save`
                raises it for an unknown option, or if there are no sub-models to save.
        """
        metrics = {"avgMetrics": self.avgMetrics, "stdMetrics": self.stdMetrics}
        return Writer(self, metrics, self.bestModel, self.subModels)

    @classmethod
    def read(cls) -> Reader:
        """Return a reader for such models."""
        return Reader(cls)


class Verdict:
    """The metrics of each param map, in order, or with a space of each trial.

    Args:
        result: The result of the study.
        recipe: The pipeline with its maps or its space.
        folds: The number of folds.

    Raises:
        NoResultError: Every trial failed.
    """

    def __init__(self, result: PipelineResult, recipe: Configurations, folds: int) -> None:
        self._recipe = recipe
        self._folds = folds
        self._metric = result.metric
        self._trials = _in_order(result, recipe)
        done = [trial for trial in self._trials if _is_complete(trial)]
        # The first of equal maps in the list, as in Spark, not the first one tried.
        self.best = min(done, key=self._loss) if done else result.best

    def _loss(self, trial: Trial) -> float:
        return self._metric.loss(trial.metrics[self._metric.name])

    @property
    def means(self) -> list[float]:
        """The tuned metric; NaN if a trial isn't complete."""
        return self._values(self._metric.name)

    @property
    def deviations(self) -> list[float]:
        """The standard deviation of the tuned metric over folds; empty for a single split."""
        return self._values(f"{self._metric.name}_std") if self._folds > 1 else []

    def _values(self, name: str) -> list[float]:
        return [trial.metrics[name] if _is_complete(trial) else math.nan for trial in self._trials]

    def sub_models(self, fitted: Fitted) -> list[Any]:
        """Return the models of each fold, or of the single split."""
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
