"""`tune_pipeline`: tunes a pipeline of Spark ML on folds, and does shared work once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from manyfit.arguments import points_of
from manyfit.budget import Stop
from manyfit.pruners.auto import Pruning
from manyfit.samplers.base import Sampler
from manyfit.spark_ml.recipe import Recipe
from manyfit.spark_ml.result import PipelineResult
from manyfit.spark_ml.study import PipelineStudy
from manyfit.study import Study
from manyfit.trackers.auto import Trackers
from manyfit.trial import Params

if TYPE_CHECKING:
    import optuna
    from pyspark.ml import Estimator
    from pyspark.sql import DataFrame


def tune_pipeline(
    pipeline: "Estimator[Any]",
    space: Mapping[Any, Any],
    evaluators: Any,
    train: "DataFrame",
    *,
    validation: "DataFrame | float | None" = None,
    folds: int | str | None = None,
    n_trials: int | None = None,
    timeout: float | None = None,
    parallelism: int | Literal["auto"] = "auto",
    sampler: "str | Sampler | optuna.samplers.BaseSampler" = "auto",
    pruner: Pruning = "auto",
    stop: Stop | Iterable[Stop] | None = None,
    start_with: Iterable[Mapping[Any, Any]] | None = None,
    prior_from: Iterable[Any] = (),
    name: str | None = None,
    seed: int | None = None,
    trial_timeout: float | None = None,
    max_failures: int | None = None,
    train_metrics: bool = True,
    cache: bool | int = True,
    tracker: Trackers = "auto",
    folder: str | Path = ".manyfit",
    advice: bool = True,
    progress: str | bool | None = "auto",
) -> PipelineResult:
    """Find the params for which a pipeline of Spark ML performs best.

    Trials run from this process, several at once, each using the whole cluster. A trial is fitted
    and evaluated on one fold after another; it may be pruned between folds. A trial that fails on a
    fold, or whose tuned metric is NaN there, is a FAIL; the others go on. Called again with the
    same `name`, it resumes, without repeating completed folds.

    Trials that share the front of the pipeline (the same stages with the same params, on the same
    rows) share its fitted stages and transformed rows. Put costly stages first, and give them few
    settings; a grid runs in the order that shares the most.

    Args:
        pipeline: A `Pipeline`, or any other estimator. It is copied, never changed.
        space: A mapping from params of its stages to domains or constants: `{lr.regParam: Float(0,
            1)}`. A key may also be a stage, to replace it: `{lr: Choice([lr, forest])}`. Params of
            a stage are active only when it is chosen; None leaves the stage out.
        evaluators: An evaluator, a list, or a dict with names of your own. The first is tuned, in
            the direction of its `isLargerBetter`.
        train: The rows. The stages see all columns but that of `folds`.
        validation: The validation rows, or their share of all rows; None for folds.
        folds: The number of folds, or the column whose values identify the fold of a row, for rows
            that belong together or to a period. 3 by default, the same as those of
            `CrossValidator` with this seed.
        n_trials: The exact total number of trials; None for no limit.
        timeout: Seconds after which this call ends.
        parallelism: The number of trials that run at once; `"auto"` begins with 2 and adds one
            while less than 80 % of the cluster's slots are busy, up to 10. Trials of stages that
            need several slots at once (`num_workers`, `num_processes`) wait until these are free.
        sampler: See `manyfit.tune`; `"grid"` tries all configurations.
        pruner: `"auto"` compares a trial with the complete ones fold by fold (`FoldPruner`); any
            other pruner gets the metric of each fold at step 0, 1, and so on; None ends no trial
            early.
        stop: `Target(...)`, `NoImprovement(...)`, or a list of them.
        start_with: Points to try first, with the keys of `space`. By default this is the pipeline
            itself, moved to the nearest point of the space: the baseline for tuning.
        prior_from: Earlier studies to learn from; see `manyfit.tune`.
        name: The study's name; by default a new one with date and time.
        seed: Makes proposals and folds repeatable; drawn at random by default.
        trial_timeout: Seconds after which a trial's jobs are cancelled and it becomes a FAIL.
        max_failures: End the study when more trials than this have failed in this call; None for
            any number, unless trials all over the space fail in the same way.
        train_metrics: Whether models are also evaluated on training rows, as `train_...`.
        cache: Whether trials share work, or the bytes that rows persisted for it may take; True
            for half of the memory that Spark's executors have for data. They are released at the
            end.
        tracker: `"auto"` mirrors the study to MLflow if it is installed; a tracker; a sequence of
            these; or None. No model is logged. MLflow's autologging of Spark ML is off meanwhile.
        folder: The folder that contains studies, each in a folder of its own.
        advice: See `manyfit.tune`.
        progress: See `manyfit.tune`.

    Returns:
        The result, with metrics such as `val_areaUnderROC`: the mean over folds, its standard
        deviation `val_areaUnderROC_std`, and `fold_0/val_areaUnderROC` of each.

    Raises:
        ArgumentError: An argument breaks a rule. Like the next error, it is raised before anything
            has run.
        SpaceError: The space, or a point of `start_with`, breaks a rule.
        StudyChangedError: The study on disk has another metric, direction or space.
        StudyLockedError: Another driver is running this study.
        ExecutorError: The Spark session ended.

    Example:
        >>> result = tune_pipeline(
        ...     Pipeline(stages=[hashing, idf, lr]),
        ...     {hashing.numFeatures: Choice([1 << 10, 1 << 14]), lr.regParam: Float(0, 1)},
        ...     BinaryClassificationEvaluator(), rows, n_trials=30,
        ... )  # doctest: +SKIP
        >>> model = result.refit()  # doctest: +SKIP
    """
    recipe = Recipe(pipeline, space)
    pipeline_study = PipelineStudy(
        recipe,
        evaluators,
        train,
        validation=validation,
        folds=folds,
        train_metrics=train_metrics,
        cache=cache,
        parallelism=parallelism,
    )
    with Study(
        recipe.space,
        metric=pipeline_study.scores.tuned,
        direction=pipeline_study.scores.direction,
        name=name,
        folder=folder,
        seed=seed,
        sampler=sampler,
        pruner=pipeline_study.pruner if pruner == "auto" else pruner,
        start_with=_first(recipe, start_with, sampler),
        prior_from=prior_from,
        tracker=tracker,
    ) as study:
        return pipeline_study.tune(
            study,
            points=recipe.space.grid() if sampler == "grid" else None,
            n_trials=n_trials,
            timeout=timeout,
            stop=stop,
            trial_timeout=trial_timeout,
            max_failures=max_failures,
            advice=advice,
            progress=progress,
        )


def _first(recipe: Recipe, start_with: Any, sampler: Any) -> list[Params]:
    """Return the points to try first, in stored form."""
    if start_with is not None:
        return [recipe.stored(point) for point in points_of(start_with)]
    return [] if sampler == "grid" else [recipe.given]
