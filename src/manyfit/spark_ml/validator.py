"""`ManyfitValidator`: an estimator that replaces `CrossValidator` and `TrainValidationSplit`."""
# ruff: noqa: N802, N803, ARG002 - Spark ML has camel case, and keyword_only

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.param import Params
from pyspark.ml.util import MLReadable, MLWritable

from manyfit.errors import ArgumentError
from manyfit.spark.session import Session
from manyfit.spark.watch import explained
from manyfit.spark_ml.maps import Listed, Maps
from manyfit.spark_ml.params import ValidatorSetters
from manyfit.spark_ml.recipe import Recipe
from manyfit.spark_ml.result import PipelineResult
from manyfit.spark_ml.saving import Reader, Writer
from manyfit.spark_ml.study import PipelineStudy, finished_keys, seed_of
from manyfit.spark_ml.validated import Fitted, ManyfitValidatorModel, Verdict
from manyfit.study import Study
from manyfit.worker.autologging import autologging_off

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class ManyfitValidator(
    Estimator[ManyfitValidatorModel],
    ValidatorSetters,
    MLReadable["ManyfitValidator"],
    MLWritable,
):
    """Tunes a pipeline; it replaces `CrossValidator` and `TrainValidationSplit`, even as a stage.

    With the same param maps, evaluator and seed, folds and metrics are the same as Spark's. In
    addition, trials share the front of the pipeline, run at the same time across folds, and are
    recorded. A setting that fails, or whose metric is NaN, is NaN in `avgMetrics` and never best.

    It works through Spark Connect, where `parallelism="auto"` stays at 2.

    Args:
        estimator: A `Pipeline`, or any other estimator.
        estimatorParamMaps: The param maps to try, as made by `ParamGridBuilder`. All are tried on
            all folds. A map may replace the `stages` of the pipeline.
        evaluator: An evaluator, a list, or a dict by name. The first is tuned; all are recorded.
        numFolds: The number of random folds.
        foldCol: A column whose values identify the fold of a row. It overrides `numFolds`, and the
            pipeline doesn't see it.
        trainRatio: The share of rows to train on, for a single random split instead of folds.
        seed: The seed of folds and proposals; 0 by default, in every process.
        parallelism: The number of trials that run at once; see `tune_pipeline`.
        collectSubModels: Whether the model of each fold is kept, on the driver.
        space: A space instead of param maps; see `tune_pipeline`. A sampler searches it, beginning
            with the pipeline itself.
        numTrials: With a space: the number of points to try; all of them by default.
        pruning: Whether trials that can't become best end between folds; by default with a space.
        trainMetrics: Whether models are also evaluated on training rows.
        cache: Whether trials share work, or the bytes for it; see `tune_pipeline`.
        studyName: The study's name, with which an interrupted fit resumes. By default each fit is a
            new study. Don't use it for several fits at once, such as `fit(rows, [map, map])`.
        folder: The folder that contains studies.
        tracking: Whether MLflow mirrors the study, if it is installed.

    Raises:
        ArgumentError: By `fit`, before anything has run: an argument breaks a rule, or there are
            both param maps and a space, or neither.
        SpaceError: By `fit`: the space breaks a rule.
        NoResultError: By `fit`: every trial failed. The message has the first error.
        ExecutorError: By `fit`: the Spark session has ended. The study is recorded.
        KeyboardInterrupt: By `fit`, on a Ctrl-C. Finished trials are recorded; the message has the
            name to pass as `studyName`.

    Example:
        >>> grid = ParamGridBuilder().addGrid(lr.regParam, [0.0, 0.1]).build()  # doctest: +SKIP
        >>> validator = ManyfitValidator(
        ...     estimator=pipeline, estimatorParamMaps=grid, evaluator=evaluator
        ... )  # doctest: +SKIP
        >>> model = validator.fit(rows)  # doctest: +SKIP
        >>> model.avgMetrics, model.bestModel  # doctest: +SKIP
    """

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        estimator: Any = None,
        estimatorParamMaps: Any = None,
        evaluator: Any = None,
        numFolds: int = 3,
        foldCol: str = "",
        trainRatio: float | None = None,
        seed: int | None = None,
        parallelism: int | Literal["auto"] = "auto",
        collectSubModels: bool = False,
        space: Mapping[Any, Any] | None = None,
        numTrials: int | None = None,
        pruning: bool | None = None,
        trainMetrics: bool = False,
        cache: bool | int = True,
        studyName: str | None = None,
        folder: str | os.PathLike[str] = ".manyfit",
        tracking: bool = True,
    ) -> None:
        super().__init__()
        self._given(**self._input_kwargs)

    def setParams(self, **params: Any) -> Self:
        """Set params by name, as in the constructor."""
        return self._given(**params)

    def copy(self, extra: Mapping[Any, Any] | None = None) -> Self:
        """Return a copy with params changed, including those of estimator and evaluators."""
        return Params.copy(self, dict(extra or {}))._with_own(extra or {})

    def write(self) -> Writer:
        """Return a writer for this validator.

        Raises:
            ArgumentError: The validator contains something that can't be saved.
        """
        return Writer(self)

    @classmethod
    def read(cls) -> Reader:
        """Return a reader for such validators."""
        return Reader(cls)

    # ── a fit ─────────────────────────────────────────────────────────────────────────────────

    def _fit(self, dataset: "DataFrame") -> ManyfitValidatorModel:
        recipe, column = self._recipe(), self.getFoldCol()
        pipeline_study = self._study(recipe, dataset)
        fitted: Fitted | None = {} if self.getCollectSubModels() else None
        result = self._tune(pipeline_study, recipe, fitted)
        if result.reason.startswith("interrupted"):
            raise KeyboardInterrupt(
                f"the study is recorded: to continue, fit again with studyName={result.name!r} and "
                f"folder={self.getFolder()!r}"
            )
        verdict = Verdict(result, recipe, pipeline_study.folds)
        with autologging_off(), explained(Session(dataset.sparkSession), result.name):
            best = recipe.assemble(verdict.best.params)
            # Without the column, which the evaluated stages haven't seen either.
            model = best.fit(dataset.drop(column) if column else dataset)
        return self._copyValues(
            ManyfitValidatorModel(
                model,
                verdict.means,
                verdict.deviations,
                None if fitted is None else verdict.sub_models(fitted),
                result,
            )
        )

    def _study(self, recipe: Recipe | Maps, rows: "DataFrame") -> PipelineStudy:
        ratio, column = self.getTrainRatio(), self.getFoldCol()
        if ratio is not None and not 0 < ratio < 1:
            raise ArgumentError(f"trainRatio must be between 0 and 1, but got {ratio!r}")
        if ratio is not None and column:
            raise ArgumentError(
                f"give trainRatio or foldCol, not both, but got foldCol={column!r} as well"
            )
        return PipelineStudy(
            recipe,
            self._needed("evaluator"),
            rows,
            validation=None if ratio is None else 1.0 - ratio,
            folds=None if ratio is not None else column or self.getNumFolds(),
            train_metrics=self.getTrainMetrics(),
            cache=self.getCache(),
            parallelism=self.getParallelism(),
        )

    def _tune(
        self, pipeline_study: PipelineStudy, recipe: Recipe | Maps, fitted: Fitted | None
    ) -> PipelineResult:
        points = recipe.points if isinstance(recipe, Maps) else None
        prunes = self.getPruning()
        with Study(
            recipe.space,
            metric=pipeline_study.scores.tuned,
            direction=pipeline_study.scores.direction,
            name=self.getStudyName(),
            folder=self.getFolder(),
            seed=seed_of(self.getSeed()),
            sampler="auto" if points is None else Listed(recipe.space, points),
            start_with=[recipe.given] if isinstance(recipe, Recipe) else (),
            pruner=pipeline_study.pruner if prunes or (prunes is None and points is None) else None,
            tracker="auto" if self.getTracking() else None,
        ) as study:
            n_trials = self.getNumTrials()
            if points is not None:
                n_trials = len(finished_keys(study) | {*map(study.space.key, points)})
            # Any number of settings may fail without ending the study.
            may_fail = recipe.space.finite_size() if n_trials is None else n_trials
            return pipeline_study.tune(
                study,
                points=points,
                n_trials=n_trials,
                models=fitted,
                max_failures=may_fail,
                advice=points is None,
            )

    def _recipe(self) -> Recipe | Maps:
        maps, space = self.getEstimatorParamMaps(), self.getSpace()
        if (maps is None) == (space is None):
            given = "neither" if maps is None else "both"
            raise ArgumentError(
                f"give estimatorParamMaps, or space and numTrials, but got {given} of them"
            )
        if space is None:
            if self.getNumTrials() is not None:
                raise ArgumentError(
                    "numTrials goes with space: param maps are all tried, but got "
                    f"{self.getNumTrials()!r}"
                )
            return Maps(self._needed("estimator"), maps)
        recipe = Recipe(self._needed("estimator"), space)
        if recipe.space.size is None and self.getNumTrials() is None:
            raise ArgumentError("the space is infinite: set numTrials")
        return recipe

    def _needed(self, name: str) -> Any:
        if not self.isSet(name):
            raise ArgumentError(f"{name} must be given: ManyfitValidator({name}=...)")
        return self.getOrDefault(name)
