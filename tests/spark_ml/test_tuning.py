"""A pipeline is tuned on folds: each front is fitted once, and kept as long as it is needed."""

import json
import math
from functools import partial
from types import SimpleNamespace

import pytest

from manyfit import (
    ArgumentError,
    Choice,
    Float,
    Int,
    NoResultError,
    SpaceError,
    State,
    TrialStopped,
)

pytestmark = pytest.mark.integration


def tune_quietly(folder, *args, **options):
    """Tune quickly, and write nowhere but into a folder."""
    from manyfit.spark_ml import tune_pipeline

    quick = {"parallelism": 2, "pruner": None, "train_metrics": False}
    quiet = {"tracker": None, "progress": None, "folder": folder, "seed": 0}
    return tune_pipeline(*args, **{**quick, **quiet, **options})


@pytest.fixture
def tune(tmp_path):
    """Tunes quickly and quietly."""
    return partial(tune_quietly, tmp_path)


@pytest.fixture
def parts(toys):
    """A pipeline of two stages to fit and a model."""
    return parts_of(toys)


def parts_of(toys):
    from pyspark.ml import Pipeline

    first, second, last = toys.Shift("first"), toys.Shift("second", "z"), toys.Constant()
    pipeline = Pipeline(stages=[first, toys.Doubled(), second, last])
    return SimpleNamespace(
        first=first, second=second, last=last, pipeline=pipeline, error=toys.MeanError()
    )


GRID = {"sampler": "grid", "folds": 2}
ONE = {"sampler": "grid", "validation": 0.5}  # where a second fold would show nothing new


def grid_of(parts):
    return {
        parts.first.by: Choice([0.0, 1.0]),
        parts.second.by: Choice([0.0, 2.0]),
        parts.last.value: Choice([0.0, 0.5]),
    }


@pytest.fixture(scope="class")
def grid(classic, make_toys, make_rows, storage, tmp_path_factory):
    """A grid that was tuned on rows which the user had persisted, and what it was tuned with."""
    spark, toys = classic.on("local[4]"), make_toys()
    parts, rows = parts_of(toys), make_rows(spark).persist()
    rows.count()
    before = storage.settled(spark, 1)
    folder = tmp_path_factory.mktemp("grid")
    result = tune_quietly(folder, parts.pipeline, grid_of(parts), parts.error, rows, **GRID)
    after = storage.settled(spark, 1)
    rows.unpersist(True)
    held = SimpleNamespace(before=before, after=after, end=storage.settled(spark, 0))
    return SimpleNamespace(result=result, toys=toys, parts=parts, held=held)


class TestSharing:
    def test_each_front_is_fitted_once_a_fold(self, spark, grid):
        """Fits are distinct fronts times folds, not settings times folds."""
        result = grid.result
        assert result.count(State.COMPLETE) == 8
        assert grid.toys.count("first") == 2 * 2
        assert grid.toys.count("second") == 4 * 2
        assert grid.toys.count("constant") == 8 * 2
        assert result.savings.made == (2 + 4) * 2
        assert result.savings.hits == 8 * 2 - 4 * 2 + (4 - 2) * 2
        assert "fronts of pipelines kept" in str(result)

    def test_it_changes_no_metric(self, rows, grid, parts, tune):
        """Shared or not, every trial has the same metrics, to the last digit."""
        alone = tune(parts.pipeline, grid_of(parts), parts.error, rows, cache=False, **GRID)

        assert alone.savings is None
        assert [trial.metrics for trial in grid.result] == [trial.metrics for trial in alone]

    def test_nothing_stays_persisted(self, spark, grid):
        """In the end Spark's storage is as it was, with what the user had persisted."""
        assert len(grid.held.before) == 1
        assert grid.held.after == grid.held.before
        assert grid.held.end == []

    def test_the_pipeline_is_left_as_it_was(self, spark, grid):
        """Trials set params of copies."""
        assert grid.parts.first.getOrDefault("by") == 0.0
        assert grid.parts.last.getOrDefault("value") == 0.0

    def test_nothing_stays_after_errors(self, spark, rows, toys, parts, tune, storage):
        """Nor where trials failed, at whatever stage."""

        def gate(name, by):
            if (name, by) in (("second", 2.0), ("constant", 0.5)):
                raise ValueError("no")

        toys.gate = gate
        space = grid_of(parts)
        del space[parts.first.by]
        # One by one: three that fail alike before any has completed would end the study.
        result = tune(parts.pipeline, space, parts.error, rows, parallelism=1, **GRID)

        assert (result.count(State.COMPLETE), result.count(State.FAIL)) == (1, 3)
        assert storage.settled(spark, 0) == []

    def test_what_no_coming_trial_needs_is_released(self, spark, rows, toys, parts, tune, storage):
        """While a grid goes on, fronts of the part that is done are gone."""
        seen = []
        toys.gate = lambda *_: seen.append(len(storage.sizes(spark)))

        tune(
            parts.pipeline,
            {
                parts.first.by: Choice([0.0, 1.0, 2.0]),
                parts.last.value: Choice([0, 1]),
            },
            parts.error,
            rows,
            sampler="grid",
            folds=2,
            parallelism=1,
        )

        # The rows, and of each front two tables: that of both folds, and of the next one's first.
        assert max(seen) <= 1 + 2 * 3

    def test_within_the_budget(self, spark, toys, parts, tune, storage):
        """While trials run, Spark never holds more than it may; and each trial still ends."""
        rows = wide(spark)
        seen = []
        toys.gate = lambda *_: seen.append(sum(storage.sizes(spark)))

        result = tune(
            parts.pipeline,
            grid_of(parts),
            parts.error,
            rows,
            cache=1_600_000,
            **ONE,
        )

        assert result.count(State.COMPLETE) == 8
        assert 0 < max(seen) <= 1_600_000
        assert 1_000_000 < result.savings.most_bytes <= 1_600_000

    def test_no_room_at_all(self, rows, toys, parts, tune):
        """With no room for rows, fitted stages are shared all the same."""
        space = grid_of(parts)
        del space[parts.second.by]
        result = tune(parts.pipeline, space, parts.error, rows, cache=1, **ONE)

        assert toys.count("first") == 2
        assert result.count(State.COMPLETE) == 4
        assert result.savings.most_bytes == 0

    def test_a_seed_is_a_param(self, rows, toys, tune):
        """Trials whose random stages have different seeds share nothing of them."""
        from pyspark.ml import Pipeline
        from pyspark.ml.feature import SQLTransformer

        draw = [
            SQLTransformer(statement=f"SELECT *, rand({seed}) AS drawn FROM __THIS__")
            for seed in (1, 2)
        ]
        last = toys.Constant()
        result = tune(
            Pipeline(stages=[toys.Doubled(), draw[0], toys.Shift("after", "drawn"), last]),
            {draw[0]: Choice(draw), last.value: Choice([0.0, 1.0])},
            toys.MeanError(),
            rows,
            **ONE,
        )

        assert result.count(State.COMPLETE) == 4
        assert toys.count("after") == 2

    def test_a_continuous_param_is_not_waited_for(self, rows, toys, parts, tune):
        """What a sampler won't propose again isn't kept; what all trials share is."""
        result = tune(
            parts.pipeline,
            {parts.second.by: Float(0, 1), parts.last.value: Float(0, 1)},
            parts.error,
            rows,
            n_trials=3,
            validation=0.5,
        )

        assert toys.count("first") == 1
        assert toys.count("second") == 3
        assert result.savings.made == 1

    def test_one_that_fails_leaves_the_work_to_the_next(self, rows, toys, parts, tune):
        """If the trial that makes a front fails at it, another one that waits makes it."""
        failed = []

        def gate(name, _):
            if name == "first" and not failed:
                failed.append(name)
                raise ValueError("only once")

        toys.gate = gate
        result = tune(
            parts.pipeline,
            {parts.last.value: Choice([0.0, 0.5, 1.0]), parts.second.by: Choice([1.0])},
            parts.error,
            rows,
            parallelism=3,
            **ONE,
        )

        assert (result.count(State.COMPLETE), result.count(State.FAIL)) == (2, 1)


def wide(spark):
    """Return rows of half a megabyte, in which next to nothing compresses."""
    from pyspark.sql import functions

    return spark.range(0, 12_000, 1, 2).select(
        functions.rand(1).alias("x"),
        functions.rand(2).alias("z"),
        functions.round(functions.rand(3)).alias("label"),
        *[functions.rand(10 + i).alias(f"wide{i}") for i in range(3)],
    )


class TestFolds:
    def test_metrics_of_each_fold(self, rows, parts, tune):
        """A trial has its mean over folds, the deviation, and each fold's own, on both parts."""
        result = tune(
            parts.pipeline,
            {parts.last.value: Choice([0.0])},
            {"error": parts.error, "again": parts.error},
            rows,
            train_metrics=True,
            **GRID,
        )

        (trial,) = result
        of_folds = [trial.metrics[f"fold_{fold}/val_error"] for fold in range(2)]
        assert trial.value == trial.metrics["val_error"] == pytest.approx(sum(of_folds) / 2)
        assert trial.metrics["val_error_std"] > 0
        assert trial.metrics["train_again"] == trial.metrics["train_error"]
        assert [m.metrics["val_error"] for m in trial.measurements] == of_folds
        assert [m.step for m in trial.measurements] == [0, 1]

    def test_a_nan_fold_fails_its_trial(self, rows, toys, parts, tune):
        """A metric that is NaN on one fold never wins: the trial fails, and says on which."""
        values = []
        parts.error.seen = lambda value: (
            values.append(value) or (math.nan if len(values) == 2 else value)
        )
        result = tune(
            parts.pipeline,
            {parts.last.value: Choice([0.0, 0.5])},
            parts.error,
            rows,
            sampler="grid",
            folds=2,
            parallelism=1,
        )

        assert [trial.state for trial in result] == [State.FAIL, State.COMPLETE]
        assert result[0].reason == "val_MeanError is nan on fold 1"
        assert result.best.number == 1

    def test_a_stage_that_fails_on_one_fold(self, rows, toys, parts, tune):
        """Its trial fails with the stage's error, the others go on."""
        calls = []

        def gate(name, value):
            calls.append((name, value))
            if calls.count(("constant", 0.5)) == 2 and value == 0.5:
                raise ZeroDivisionError("on the second fold")

        toys.gate = gate
        result = tune(
            parts.pipeline,
            {parts.last.value: Choice([0.0, 0.5, 1.0])},
            parts.error,
            rows,
            sampler="grid",
            folds=2,
        )

        assert [trial.state for trial in result] == [State.COMPLETE, State.FAIL, State.COMPLETE]
        assert result[1].reason == "ZeroDivisionError: on the second fold"
        assert "gate(" in result[1].traceback

    def test_by_column(self, rows, toys, parts, tune):
        """A column's values are the folds, each with its own metrics, and no stage sees it."""
        from pyspark.ml import Pipeline, Transformer

        columns = []

        class Look(Transformer):
            def _transform(self, dataset):
                columns.append(dataset.columns)
                return dataset

        result = tune(
            Pipeline(stages=[Look(), parts.last]),
            {parts.last.value: Choice([0.0])},
            parts.error,
            rows,
            sampler="grid",
            folds="part",
        )

        # The model predicts x.
        errors = rows.selectExpr("part", "abs(x - label) AS of").toPandas().groupby("part").mean()
        assert {name: value for name, value in result[0].metrics.items() if "/" in name} == {
            f"fold_{fold}/val_MeanError": pytest.approx(errors["of"][fold]) for fold in range(4)
        }
        assert all("part" not in seen for seen in columns)

    def test_validation_rows_apart(self, rows, toys, parts, tune):
        """With a table or a share to validate on, there is one fit, and nothing to report."""
        train, validation = rows.where("x < 0.7"), rows.where("x >= 0.7")
        for given in (validation, 0.25):
            toys.fits.clear()
            result = tune(
                parts.pipeline,
                {parts.last.value: Choice([0.0])},
                parts.error,
                train,
                validation=given,
                sampler="grid",
                train_metrics=True,
            )

            assert sorted(result[0].metrics) == ["train_MeanError", "val_MeanError"]
            assert (toys.count("constant"), result[0].measurements) == (1, ())

    def test_pruning_between_folds(self, rows, toys, parts, tune):
        """A trial that is hopeless on its first folds is ended, and fits no more."""
        result = tune(
            parts.pipeline,
            {parts.last.value: Choice([0.0, 0.01, 0.02, 0.03, 9.0])},
            parts.error,
            rows,
            sampler="grid",
            folds=3,
            parallelism=1,
            pruner="auto",
        )

        assert [trial.state for trial in result] == [State.COMPLETE] * 4 + [State.PRUNED]
        assert "val_MeanError averages" in result[4].reason
        assert toys.fits.count(("constant", 9.0)) < 3

    def test_an_empty_fold(self, rows, parts, tune):
        """A fold without rows ends the study at once, saying which."""
        few = rows.limit(2)
        result = tune(
            parts.pipeline, {parts.last.value: Float(0, 1)}, parts.error, few, folds=20, n_trials=9
        )

        assert "fold" in result.reason
        assert "has no validation rows, of 2 in all" in result.reason
        with pytest.raises(NoResultError):
            result.best  # noqa: B018

    def test_no_rows(self, rows, parts, tune):
        """Nor is anything tuned on no rows."""
        result = tune(
            parts.pipeline,
            {parts.last.value: Float(0, 1)},
            parts.error,
            rows.limit(0),
            validation=0.5,
            n_trials=3,
        )

        assert "there are no rows" in result.reason

    def test_folds_of_an_earlier_attempt_are_kept(self, rows, toys, parts, tune, tmp_path):
        """A study that was cut off goes on where it was: at the fold, not only at the trial."""
        space = {parts.last.value: Choice([0.5])}

        def gate(name, value):
            if toys.count("constant") == 2:
                raise TrialStopped("as if the driver had died here")

        options = {"sampler": "grid", "folds": 2, "parallelism": 1, "name": "again"}
        whole = tune(parts.pipeline, space, parts.error, rows, **{**options, "name": "whole"})
        toys.fits.clear()
        toys.gate = gate
        tune(parts.pipeline, space, parts.error, rows, **options)
        kept = json.loads((tmp_path / "again" / "scratch" / "0" / "folds.json").read_text())

        assert len(kept) == 1
        assert kept[0]["val_MeanError"] == whole[0].metrics["fold_0/val_MeanError"]


class TestResult:
    def test_refit(self, rows, toys, parts, tune):
        """The best trial's pipeline is fitted on all rows on request, and not before."""
        result = tune(
            parts.pipeline,
            {parts.first.by: Choice([0.0, 1.0])},
            parts.error,
            rows,
            **ONE,
        )
        before = toys.count("constant")

        model = result.refit()

        assert toys.count("constant") == before + 1
        assert model.transform(rows).count() == 240
        assert model.stages[0].by + rows.selectExpr("avg(x)").first()[0] == pytest.approx(
            result.best.params["shift_1.by"]
        )

    def test_whole_stages(self, rows, toys, parts, tune):
        """A stage may be another one or none, each with params of its own."""
        other = toys.Shift("other")
        result = tune(
            parts.pipeline,
            {
                parts.first: Choice([parts.first, other, None]),
                other.by: Int(1, 2),
                parts.last.value: Choice([0.0, 1.0]),
            },
            parts.error,
            rows,
            **ONE,
        )

        assert len(result) == (1 + 2 + 1) * 2
        assert result.count(State.COMPLETE) == len(result)
        assert {trial.params["shift_1"] for trial in result} == {"shift_1", "shift_2", "none"}
        assert (toys.count("first"), toys.count("other")) == (1, 2)

    def test_start_with(self, rows, parts, tune):
        """Points to begin with are keyed as the space is."""
        space = {parts.first: Choice([parts.first, None]), parts.last.value: Float(0, 1)}
        result = tune(
            parts.pipeline,
            space,
            parts.error,
            rows,
            n_trials=1,
            validation=0.5,
            start_with=[{parts.first: None, parts.last.value: 0.25}],
        )

        assert result[0].params == {"shift_1": "none", "constant.value": 0.25}

    def test_the_pipeline_as_it_is(self, rows, parts, tune):
        """Nothing else being said, the first trial is the pipeline with the values it has."""
        parts.last.set(parts.last.value, 0.625)
        space = {parts.first: Choice([None, parts.first]), parts.last.value: Float(0, 1)}
        arguments = (parts.pipeline, space, parts.error, rows)
        first, other = (
            tune(*arguments, n_trials=1, validation=0.5, **options)[0].params
            for options in ({}, {"start_with": ()})
        )

        assert first == {"shift_1": "shift", "constant.value": 0.625}
        assert other != first


class TestArguments:
    def test_refused_before_anything_runs(self, rows, toys, parts, tune):
        """What breaks a rule is named, and nothing has run."""
        for given, message in [
            ({"folds": 1}, "folds must be a whole number, at least 2"),
            ({"folds": "nowhere"}, "a column that train doesn't have"),
            ({"folds": 2, "validation": 0.5}, "not both"),
            ({"validation": 1.0}, "between 0 and 1"),
            ({"validation": "rows"}, "between 0 and 1"),
            ({"cache": -5}, "cache must be"),
            ({"cache": 0.5}, "cache must be"),
            ({"parallelism": 0}, "parallelism"),
        ]:
            with pytest.raises(ArgumentError, match=message):
                tune(parts.pipeline, {parts.last.value: Float(0, 1)}, parts.error, rows, **given)
        assert toys.fits == []

    def test_evaluators(self, rows, toys, parts, tune):
        """None at all, no evaluator, or two of one name are refused."""
        space = {parts.last.value: Float(0, 1)}
        for given, message in [
            ([], "at least one"),
            ("rmse", "Spark ML's"),
            ([parts.error, toys.MeanError()], "two evaluators are called 'MeanError'"),
        ]:
            with pytest.raises(ArgumentError, match=message):
                tune(parts.pipeline, space, given, rows)

    def test_space(self, rows, toys, parts, tune):
        """Keys that belong to no stage, and stages that can't be chosen, are refused."""
        stranger = toys.Shift("stranger")
        for given, message in [
            ({stranger.by: Float(0, 1)}, "neither a param of one of this pipeline's stages"),
            ({"by": Float(0, 1)}, "neither a param"),
            ({parts.first: Choice([parts.first, "none"])}, "must be a stage or None"),
            ({parts.first: Float(0, 1)}, "must have a Choice of stages"),
            (
                {parts.first: Choice([stranger, None]), parts.first.by: Float(0, 1)},
                "its stage is none of the options",
            ),
        ]:
            with pytest.raises(SpaceError, match=message):
                tune(parts.pipeline, given, parts.error, rows)

    def test_no_estimator(self, rows, toys, parts, tune):
        """A model or a transformer can't be tuned."""
        with pytest.raises(ArgumentError, match="another estimator"):
            tune(toys.Doubled(), {parts.last.value: Float(0, 1)}, parts.error, rows)
