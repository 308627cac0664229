"""The params of `ManyfitValidator` and its model, named and read as those of `CrossValidator`."""
# ruff: noqa: N802, N815 - Spark ML has camel case

import os
from collections.abc import Callable, Mapping
from typing import Any, Self

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasCollectSubModels, HasSeed

from manyfit.spark_ml.stages import copied


def _parallelism(value: Any) -> Any:
    return value if value == "auto" else TypeConverters.toInt(value)


def _cache(value: Any) -> Any:
    return value if isinstance(value, bool) else TypeConverters.toInt(value)


def _param(name: str, doc: str, converter: Callable[[Any], Any] | None = None) -> "Param[Any]":
    return Param(Params._dummy(), name, doc, typeConverter=converter)


class ValidatorParams(HasSeed, HasCollectSubModels):
    """The params of `ManyfitValidator`, which its model keeps."""

    estimator = _param("estimator", "the pipeline, or another estimator, to be tuned")
    estimatorParamMaps = _param("estimatorParamMaps", "the param maps to try")
    evaluator = _param("evaluator", "the metric of models; the first of several is tuned")
    numFolds = _param("numFolds", "number of folds", TypeConverters.toInt)
    foldCol = _param("foldCol", "column that tells folds apart", TypeConverters.toString)
    trainRatio = _param(
        "trainRatio", "share of rows to train on, in place of folds", TypeConverters.toFloat
    )
    parallelism = _param("parallelism", "number of trials at once, or 'auto'", _parallelism)
    space = _param("space", "params of stages, or stages, and their domains")
    numTrials = _param("numTrials", "number of points of the space to try", TypeConverters.toInt)
    pruning = _param("pruning", "whether hopeless trials end early", TypeConverters.toBoolean)
    trainMetrics = _param(
        "trainMetrics", "whether to evaluate on training rows too", TypeConverters.toBoolean
    )
    cache = _param("cache", "whether trials share work, or the bytes for it", _cache)
    studyName = _param("studyName", "the study's name, to resume it", TypeConverters.toString)
    folder = _param("folder", "the folder that contains studies", os.fspath)
    tracking = _param("tracking", "whether MLflow mirrors the study", TypeConverters.toBoolean)

    def __init__(self) -> None:
        super().__init__()
        # Not Spark's default seed, which differs from process to process.
        self._setDefault(seed=0, numFolds=3, foldCol="", trainRatio=None, parallelism="auto")
        self._setDefault(estimatorParamMaps=None, space=None, numTrials=None, pruning=None)
        self._setDefault(trainMetrics=False, cache=True, studyName=None, folder=".manyfit")
        self._setDefault(tracking=True)

    def _with_own(self, extra: Mapping[Any, Any]) -> Self:
        """Give a shallow copy stages, maps and a space of its own."""
        for name in ("estimator", "evaluator", "space"):
            if self.isSet(name):
                self._set(**{name: copied(self.getOrDefault(name), extra)})
        if self.isSet("estimatorParamMaps"):
            self._set(estimatorParamMaps=[dict(each) for each in self.getEstimatorParamMaps()])
        return self

    def getEstimator(self) -> Any:
        return self.getOrDefault(self.estimator)

    def getEstimatorParamMaps(self) -> Any:
        """Return the param maps to try; None if there is a space."""
        return self.getOrDefault(self.estimatorParamMaps)

    def getEvaluator(self) -> Any:
        return self.getOrDefault(self.evaluator)

    def getNumFolds(self) -> int:
        """Return the number of folds, which `foldCol` and `trainRatio` override."""
        return int(self.getOrDefault(self.numFolds))

    def getFoldCol(self) -> str:
        """Return the column that tells folds apart; empty for random folds."""
        return str(self.getOrDefault(self.foldCol))

    def getTrainRatio(self) -> float | None:
        """Return the share of rows to train on; None for folds."""
        return self.getOrDefault(self.trainRatio)  # type: ignore[no-any-return]

    def getParallelism(self) -> Any:
        """Return the number of trials that run at once, or `"auto"`."""
        return self.getOrDefault(self.parallelism)

    def getSpace(self) -> Mapping[Any, Any] | None:
        """Return the space; None if there are param maps."""
        return self.getOrDefault(self.space)  # type: ignore[no-any-return]

    def getNumTrials(self) -> int | None:
        """Return the number of points of the space to try; None for all."""
        return self.getOrDefault(self.numTrials)  # type: ignore[no-any-return]

    def getPruning(self) -> bool | None:
        """Return whether hopeless trials end early; None for "with a space only"."""
        return self.getOrDefault(self.pruning)  # type: ignore[no-any-return]

    def getTrainMetrics(self) -> bool:
        """Return whether models are also evaluated on training rows."""
        return bool(self.getOrDefault(self.trainMetrics))

    def getCache(self) -> Any:
        """Return whether trials share work, or the bytes for it."""
        return self.getOrDefault(self.cache)

    def getStudyName(self) -> str | None:
        """Return the study's name; None for a new one at each fit."""
        return self.getOrDefault(self.studyName)  # type: ignore[no-any-return]

    def getFolder(self) -> str:
        """Return the folder that contains studies."""
        return str(self.getOrDefault(self.folder))

    def getTracking(self) -> bool:
        """Return whether MLflow mirrors the study."""
        return bool(self.getOrDefault(self.tracking))


class ValidatorSetters(ValidatorParams):
    """The setters of `ManyfitValidator`'s params; None restores the default."""

    def setEstimator(self, value: Any) -> Self:
        """Set the pipeline, or another estimator, to be tuned."""
        return self._given(estimator=value)

    def setEstimatorParamMaps(self, value: Any) -> Self:
        """Set the param maps to try."""
        return self._given(estimatorParamMaps=value)

    def setEvaluator(self, value: Any) -> Self:
        """Set the evaluator or evaluators; the first of several is tuned."""
        return self._given(evaluator=value)

    def setNumFolds(self, value: int) -> Self:
        """Set the number of folds."""
        return self._given(numFolds=value)

    def setFoldCol(self, value: str) -> Self:
        """Set the column that tells folds apart."""
        return self._given(foldCol=value)

    def setTrainRatio(self, value: float | None) -> Self:
        """Set the share of rows to train on, in place of folds."""
        return self._given(trainRatio=value)

    def setSeed(self, value: int) -> Self:
        """Set the seed of folds and proposals."""
        return self._given(seed=value)

    def setParallelism(self, value: Any) -> Self:
        """Set the number of trials that run at once, or `"auto"`."""
        return self._given(parallelism=value)

    def setCollectSubModels(self, value: bool) -> Self:
        """Set whether the model of each fold is kept."""
        return self._given(collectSubModels=value)

    def setSpace(self, value: Mapping[Any, Any] | None) -> Self:
        """Set the space, in place of param maps."""
        return self._given(space=value)

    def setNumTrials(self, value: int | None) -> Self:
        """Set the number of points of the space to try."""
        return self._given(numTrials=value)

    def setPruning(self, value: bool | None) -> Self:
        """Set whether hopeless trials end early."""
        return self._given(pruning=value)

    def setTrainMetrics(self, value: bool) -> Self:
        """Set whether models are also evaluated on training rows."""
        return self._given(trainMetrics=value)

    def setCache(self, value: bool | int) -> Self:
        """Set whether trials share work, or the bytes for it."""
        return self._given(cache=value)

    def setStudyName(self, value: str | None) -> Self:
        """Set the study's name, under which it resumes."""
        return self._given(studyName=value)

    def setFolder(self, value: str | os.PathLike[str]) -> Self:
        """Set the folder that contains studies."""
        return self._given(folder=value)

    def setTracking(self, value: bool) -> Self:
        """Set whether MLflow mirrors the study."""
        return self._given(tracking=value)

    def _given(self, **settings: Any) -> Self:
        for name, value in settings.items():
            if value is None:
                self.clear(self.getParam(name))
            else:
                self._set(**{name: value})
        return self
