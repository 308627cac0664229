"""`ManyfitValidator` in place of Spark's own validators."""

import math
import os
import re
import signal
from functools import lru_cache, partial
from types import SimpleNamespace

import pytest

pytest.importorskip("pyspark.ml")

from pyspark.ml import Pipeline, PipelineModel, UnaryTransformer
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier
from pyspark.ml.evaluation import BinaryClassificationEvaluator, RegressionEvaluator
from pyspark.ml.feature import MinMaxScaler, StandardScaler, VectorAssembler
from pyspark.ml.linalg import Matrices, Vectors
from pyspark.ml.regression import LinearRegression
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder, TrainValidationSplit
from pyspark.sql.types import DoubleType

from manyfit.choice import Choice
from manyfit.domain import Float, Int
from manyfit.errors import ArgumentError, NoResultError
from manyfit.spark_ml.validator import ManyfitValidator, ManyfitValidatorModel
from manyfit.trial import State

pytestmark = pytest.mark.integration


# What takes few jobs: a fit by a formula, and a metric by one sum.
linear = partial(LinearRegression, solver="normal", standardization=False)
explained = partial(RegressionEvaluator, metricName="r2")


@pytest.fixture
def spark(classic):
    """The session of all tests of this process."""
    return classic.on("local[2]")


@pytest.fixture
def rows(spark):
    """Two hundred rows of two classes that overlap."""
    return rows_of(spark)


@lru_cache(maxsize=1)
def rows_of(spark):
    drawn = ("label + randn(1) AS a", "2 * randn(2) - label AS b", "rand(3) AS c")
    numbers = spark.range(0, 200, 1, 1)
    labelled = numbers.selectExpr("double(id % 2) AS label", "int(id div 2 % 2) AS fold")
    return labelled.selectExpr(*drawn, "label", "fold").cache()


@pytest.fixture
def parts(spark):
    """The stages of a pipeline."""
    return stages_of()


def stages_of():
    return (
        VectorAssembler(inputCols=["a", "b", "c"], outputCol="raw"),
        StandardScaler(inputCol="raw", outputCol="features"),
        linear(),
    )


@pytest.fixture
def make(tmp_path):
    """Return a validator whose studies leave nothing behind."""

    return partial(validator_in, tmp_path)


def validator_in(folder, **settings):
    settings = {"evaluator": RegressionEvaluator(), "parallelism": 2} | settings
    return ManyfitValidator(folder=folder, tracking=False, **settings)


def close(one, other):
    return one == pytest.approx(other, abs=1e-9)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Spark's pool
class TestAsSparks:
    """What Spark's validators find, this one finds."""

    def test_random_folds(self, rows, parts, make):
        """Folds, metrics and the best model are those of CrossValidator with the same seed."""
        assembler, scaler, lr = parts
        settings = {
            "estimator": Pipeline(stages=[assembler, scaler, lr]),
            "estimatorParamMaps": [
                {lr.regParam: 0.5, scaler.withStd: True},
                {lr.regParam: 0.5, scaler.withStd: False},
                {lr.regParam: 0.1, scaler.withStd: True},
            ],
            "evaluator": explained(),
            "numFolds": 2,
            "seed": -7,
        }
        theirs = CrossValidator(parallelism=2, **settings).fit(rows)
        ours = make(**settings).fit(rows)

        assert close(ours.avgMetrics, theirs.avgMetrics)
        assert close(ours.stdMetrics, theirs.stdMetrics)
        assert len({*theirs.avgMetrics}) == 3
        mine, yours = ours.bestModel.stages[-1], theirs.bestModel.stages[-1]
        assert close(mine.coefficients.toArray(), yours.coefficients.toArray())
        assert mine.getRegParam() == yours.getRegParam()
        assert ours.result.savings.hits > 0
        assert ours.getNumFolds() == 2
        assert ours.transform(rows).count() == 200

    @pytest.mark.soak("contracts")
    def test_folds_of_a_column_and_a_seeded_forest(self, rows, parts, make):
        """A random stage with a seed gives what it gives in CrossValidator, fold by fold."""
        forest = RandomForestClassifier(featuresCol="raw", numTrees=2, seed=5)
        settings = {
            "estimator": Pipeline(stages=[parts[0], forest]),
            "estimatorParamMaps": ParamGridBuilder().addGrid(forest.maxDepth, [1, 2]).build(),
            "evaluator": BinaryClassificationEvaluator(),
            "foldCol": "fold",
            "numFolds": 2,
            "collectSubModels": True,
        }
        theirs = CrossValidator(**settings).fit(rows)
        ours = make(**settings).fit(rows)

        assert close(ours.avgMetrics, theirs.avgMetrics)
        assert close(ours.stdMetrics, theirs.stdMetrics)
        for mine, yours in zip(ours.subModels, theirs.subModels, strict=True):
            for one, other in zip(mine, yours, strict=True):
                assert one.stages[-1].toDebugString == other.stages[-1].toDebugString.replace(
                    other.stages[-1].uid, one.stages[-1].uid
                )
        assert ours.bestModel.stages[-1].getMaxDepth() == (
            theirs.bestModel.stages[-1].getMaxDepth()
        )

    def test_one_split(self, rows, parts, make):
        """With trainRatio the split, the metrics and the sub-models are TrainValidationSplit's."""
        assembler, _, _ = parts
        lr = linear(featuresCol="raw")
        prepared = assembler.transform(rows)
        settings = {
            "estimator": lr,
            "estimatorParamMaps": ParamGridBuilder().addGrid(lr.regParam, [0.0, 0.5]).build(),
            "evaluator": explained(),
            "trainRatio": 0.7,
            "seed": 3,
            "collectSubModels": True,
        }
        theirs = TrainValidationSplit(**settings).fit(prepared)
        ours = make(**settings).fit(prepared)

        assert close(ours.validationMetrics, theirs.validationMetrics)
        assert ours.stdMetrics == []
        assert close(
            [model.intercept for model in ours.subModels],
            [model.intercept for model in theirs.subModels],
        )
        assert close(ours.bestModel.intercept, theirs.bestModel.intercept)

    def test_equal_scores(self, rows, parts, make):
        """Of equal settings the first of the maps wins, in whatever order they were tried."""
        assembler, scaler, lr = parts
        settings = {
            "estimator": Pipeline(stages=[assembler, scaler, lr]),
            "estimatorParamMaps": [
                {scaler.withStd: True, lr.maxIter: 1},
                {scaler.withStd: False, lr.maxIter: 2},
                {scaler.withStd: True, lr.maxIter: 3},
                {scaler.withStd: True, lr.maxIter: 1},
            ],
            "evaluator": explained(),
            "trainRatio": 0.5,
        }
        model = make(**settings).fit(rows)
        first = max(range(4), key=model.avgMetrics.__getitem__)

        assert len(model.result) == 3
        assert model.avgMetrics[0] == model.avgMetrics[2] == model.avgMetrics[3]
        assert model.bestModel.stages[-1].getMaxIter() == (1, 2)[first]


class TestFailures:
    """A setting that fails is out of the race, and nothing more."""

    def test_a_metric_that_is_nan(self, rows, toys, make):
        """It never wins, even where larger is better."""
        last, error = toys.Constant(), toys.MeanError()
        error.seen = lambda value: math.nan if value > 5 else value
        error.isLargerBetter = lambda: True
        model = make(
            estimator=last,
            estimatorParamMaps=[{last.value: 9.0}, {last.value: 0.0}],
            evaluator=error,
            numFolds=2,
        ).fit(rows.withColumnRenamed("a", "x"))

        assert math.isnan(model.avgMetrics[0])
        assert math.isnan(model.stdMetrics[0])
        assert model.bestModel.value == 0.0

    def test_many_settings_that_fail(self, rows, toys, make):
        """Each is tried, however many have failed before it, or had a metric of NaN."""
        last, error = toys.Constant(), toys.MeanError()
        error.seen = lambda value: math.nan if value > 5 else value

        def gate(_, value):
            if value < 0:
                raise ValueError("no such constant")

        toys.gate = gate
        maps = [{last.value: value} for value in (9.0, 8.0, 7.0, 6.5, -1.0, -2.0, -3.0, -4.0, 0.5)]
        model = make(
            estimator=last,
            estimatorParamMaps=maps,
            evaluator=error,
            trainRatio=0.5,
            parallelism=1,
        ).fit(rows.withColumn("x", rows.a))

        assert [math.isnan(value) for value in model.avgMetrics] == [True] * 8 + [False]
        assert len(model.result) == 9

    def test_ctrl_c(self, rows, toys, make):
        """It raises KeyboardInterrupt, which says how to go on; and so it does."""
        last = toys.Constant()
        toys.gate = lambda *_: os.kill(os.getpid(), signal.SIGINT)
        validator = make(
            estimator=last,
            estimatorParamMaps=[{last.value: value} for value in (0.5, 1.0)],
            evaluator=toys.MeanError(),
            trainRatio=0.5,
            parallelism=1,
        )
        rows = rows.withColumn("x", rows.a)
        with pytest.raises(KeyboardInterrupt, match="fit again with studyName='") as raised:
            validator.fit(rows)
        toys.gate = None
        name = re.search("studyName='(.*?)'", str(raised.value))[1]
        model = validator.setStudyName(name).fit(rows)
        assert not any(map(math.isnan, model.avgMetrics))
        assert model.result.name == name

    def test_all_fail(self, rows, parts, make):
        """When nothing is left, the error says how the first one failed."""
        lr = parts[2]
        validator = make(
            estimator=Pipeline(stages=[*parts]),
            estimatorParamMaps=[{lr.regParam: -1.0}],
            trainRatio=0.5,
        )

        with pytest.raises(NoResultError, match="regParam"):
            validator.fit(rows)

    def test_wrong_arguments(self, rows, parts, make, tmp_path):
        """They are refused by name before anything is on disk."""
        maps = {"estimatorParamMaps": [{}]}
        for settings, said in [
            ({}, "neither"),
            ({"space": {}, **maps}, "both"),
            ({"estimatorParamMaps": []}, "at least one map"),
            ({**maps, "numTrials": 3}, "numTrials goes with space"),
            ({**maps, "trainRatio": 1.5}, "between 0 and 1"),
            ({**maps, "trainRatio": 0.5, "foldCol": "fold"}, "not both"),
            ({**maps, "evaluator": None}, "evaluator must be given"),
            ({**maps, "numFolds": 1}, "folds"),
            ({**maps, "parallelism": 0}, "parallelism"),
            ({**maps, "cache": 0}, "cache"),
        ]:
            with pytest.raises(ArgumentError, match=said):
                make(estimator=parts[2], **settings).fit(rows)
        assert list(tmp_path.iterdir()) == []

    def test_an_endless_space(self, rows, parts, make):
        """A space with infinitely many points needs a number of trials."""
        validator = make(estimator=parts[2], space={parts[2].regParam: Float(0, 1)})

        with pytest.raises(ArgumentError, match="numTrials"):
            validator.fit(rows)


class TestSpaces:
    """In place of maps, a space."""

    def test_a_space(self, rows, parts, make):
        """A sampler proposes trials, whole stages among them; several evaluators are on record."""
        assembler, scaler, lr = parts
        other = MinMaxScaler(inputCol="raw", outputCol="features")
        model = make(
            estimator=Pipeline(stages=[assembler, scaler, lr]),
            space={scaler: Choice([scaler, other]), lr.regParam: Float(0, 1)},
            evaluator={"r2": explained(), "rmse": RegressionEvaluator()},
            numTrials=2,
            trainRatio=0.5,
            trainMetrics=True,
        ).fit(rows)

        assert len(model.avgMetrics) == len(model.result) == 2
        assert {"val_r2", "train_rmse"} <= model.result.best.metrics.keys()
        assert max(model.avgMetrics) == model.result.best.value

    def test_params_of_a_fit(self, rows, toys, make):
        """Params that `fit` is given hold in every trial, and where the space has the stage too."""
        last, other = toys.Constant(), toys.Constant()
        validator = make(
            estimator=Pipeline(stages=[last]),
            evaluator=toys.MeanError(),
            space={last: Choice([last, other])},
            trainRatio=0.5,
        )
        given = [{last.value: 0.5, other.value: 0.5}, {validator.trainRatio: 0.6}]
        one, two = validator.fit(rows.withColumnRenamed("a", "x"), given)

        assert [trial.state for trial in one.result] == [State.COMPLETE] * 2
        assert one.getTrainRatio() == 0.5
        assert two.getTrainRatio() == 0.6
        assert toys.fits.count(("constant", 0.5)) == 2 + 1
        assert one.bestModel.stages[0].value == 0.5
        assert two.bestModel.stages[0].value == 0.0
        assert validator.getEstimator().getStages()[0].getOrDefault("value") == 0.0

    def test_no_pruning_of_maps(self, rows, toys, make):
        """Every map is tried on every fold, unless pruning is asked for."""
        last = toys.Constant()
        settings = {
            "estimator": last,
            "estimatorParamMaps": [{last.value: v} for v in (0.0, 0.1, 0.2, 0.3, 99.0)],
            "evaluator": toys.MeanError(),
            "foldCol": "fold",
            "parallelism": 1,
        }
        renamed = rows.withColumnRenamed("a", "x")
        every = make(**settings).fit(renamed)
        pruned = make(pruning=True, **settings).fit(renamed)

        assert not any(map(math.isnan, every.avgMetrics))
        assert math.isnan(pruned.avgMetrics[-1])
        assert pruned.result.trials[-1].state is State.PRUNED

    def test_nothing_to_choose(self, rows, toys, make):
        """One map that changes nothing is a way to validate a pipeline."""
        last = toys.Constant()
        model = make(
            estimator=last, estimatorParamMaps=[{}], evaluator=toys.MeanError(), numFolds=2
        ).fit(rows.withColumnRenamed("a", "x"))

        assert len(model.avgMetrics) == 1
        assert model.bestModel.value == 0.0


class TestParams:
    """Its params are read and set as those of Spark's."""

    def test_copies(self, spark, parts):
        """A copy's stages, maps, evaluators and sub-models are its own; the study is the same."""
        scaler, lr = parts[1:]
        maps = [{lr.regParam: 0.5}]
        validator = ManyfitValidator(
            estimator=lr, estimatorParamMaps=maps, evaluator=[RegressionEvaluator()]
        )
        sub_models = [[PipelineModel([scaler]), None]]
        model = ManyfitValidatorModel(PipelineModel([scaler]), [1.0, 2.0], [], sub_models)
        model.set(model.estimator, lr)
        one, other = validator.copy(), model.copy({scaler.withMean: True})

        one.getEstimator().setMaxIter(77)
        one.getEstimatorParamMaps()[0].clear()
        one.getEvaluator()[0].setMetricName("mae")
        other.getEstimator().setMaxIter(77)
        other.subModels[0][0].stages.clear()
        other.avgMetrics.clear()
        assert lr.getMaxIter() == 100
        assert maps == [{lr.regParam: 0.5}]
        assert validator.getEvaluator()[0].getMetricName() == "rmse"
        assert sub_models[0][0].stages == [scaler]
        assert other.subModels[0][1] is None
        assert model.avgMetrics == [1.0, 2.0]
        assert other.bestModel.stages[0].getWithMean()
        assert not scaler.getWithMean()

    def test_setters(self, spark, parts, tmp_path):
        """Each param has a setter that returns the validator, and a getter."""
        given = {
            "Estimator": parts[2],
            "EstimatorParamMaps": [{}],
            "Evaluator": BinaryClassificationEvaluator(),
            "NumFolds": 4,
            "FoldCol": "fold",
            "TrainRatio": 0.5,
            "Seed": 9,
            "Parallelism": 3,
            "CollectSubModels": True,
            "Space": {},
            "NumTrials": 5,
            "Pruning": True,
            "TrainMetrics": True,
            "Cache": 1 << 20,
            "StudyName": "mine",
            "Folder": str(tmp_path),
            "Tracking": False,
        }
        validator = ManyfitValidator()
        assert {param.name for param in validator.params} == {
            name[0].lower() + name[1:] for name in given
        }
        for name, value in given.items():
            assert getattr(validator, f"set{name}")(value) is validator
            assert getattr(validator, f"get{name}")() == value

    def test_none_is_the_default(self, spark):
        """None takes a value back."""
        validator = ManyfitValidator(numTrials=3, numFolds=5, pruning=None)

        assert validator.setNumTrials(None).getNumTrials() is None
        assert validator.setParams(numFolds=None).getNumFolds() == 3

    def test_the_seed(self, spark):
        """Its default is the same in every process."""
        assert ManyfitValidator().getSeed() == 0

    @pytest.mark.soak("contracts")
    def test_as_a_stage(self, rows, parts, make, tmp_path):
        """It is a stage of a pipeline, which is saved and loaded with it."""
        assembler, _, lr = parts
        maps = ParamGridBuilder().addGrid(lr.regParam, [0.0, 0.5]).build()
        lr.setFeaturesCol("raw")
        inner = make(estimator=lr, estimatorParamMaps=maps, trainRatio=0.5)
        outer = Pipeline(stages=[assembler, inner])
        model = outer.fit(rows)
        outer.save(str(tmp_path / "outer"))
        model.save(str(tmp_path / "model"))

        stage = Pipeline.load(str(tmp_path / "outer")).getStages()[1]
        assert stage.getEstimatorParamMaps() == maps
        loaded = PipelineModel.load(str(tmp_path / "model"))
        assert loaded.stages[1].avgMetrics == model.stages[1].avgMetrics
        assert loaded.stages[1].bestModel.coefficients == model.stages[1].bestModel.coefficients


class Plus(UnaryTransformer):
    """A stage that can't be saved."""

    def createTransformFunc(self):  # noqa: N802
        return lambda value: value + 1.0

    def outputDataType(self):  # noqa: N802
        return DoubleType()

    def validateInputType(self, inputType):  # noqa: N802, N803
        pass


class TestConnect:
    """Through Spark Connect."""

    @pytest.mark.soak("contracts")
    def test_fit_and_files(self, connect_spark, make, tmp_path, monkeypatch):
        """It fits, is saved over what was there, and loaded, as in a classic session."""
        monkeypatch.setenv("SPARK_CONNECT_MODE_ENABLED", "1")
        data = [(Vectors.dense([i % 7, i % 3]), float(i % 7 > 2)) for i in range(60)]
        rows = connect_spark.createDataFrame(data, ["features", "label"]).coalesce(1)
        lr = linear()
        model = make(
            estimator=Pipeline(stages=[lr]),
            estimatorParamMaps=[{lr.regParam: -1.0}, {lr.regParam: 0.1}],
            trainRatio=0.5,
            collectSubModels=True,
        ).fit(rows)
        path = tmp_path / "model"
        path.mkdir()
        model.write().overwrite().save(str(path))
        found = ManyfitValidatorModel.load(str(path))

        assert math.isnan(model.avgMetrics[0])
        assert model.subModels[0] is None
        assert model.subModels[1].stages[0].getRegParam() == 0.1
        assert found.avgMetrics[1] == model.avgMetrics[1]
        assert found.subModels[0] is None
        mine, yours = found.subModels[1].stages[0], model.subModels[1].stages[0]
        assert mine.coefficients == yours.coefficients
        assert (path / "subModels" / "1" / "metadata").is_dir()
        assert found.transform(rows).count() == 60


@pytest.fixture(scope="module")
def saved(classic, tmp_path_factory):
    """A model one of whose settings failed, its rows, and the folder where it was saved."""
    folder, rows = tmp_path_factory.mktemp("saved"), rows_of(classic.on("local[2]"))
    assembler, _, lr = stages_of()
    lr.setFeaturesCol("raw")
    settings = {
        "estimator": Pipeline(stages=[assembler, lr]),
        "estimatorParamMaps": [{lr.regParam: -1.0}, {lr.regParam: 0.0}],
        "numFolds": 2,
        "collectSubModels": True,
    }
    model = validator_in(folder / "studies", **settings).fit(rows)
    path = folder / "model"
    model.save(str(path))
    found = ManyfitValidatorModel.load(str(path))
    return SimpleNamespace(model=model, rows=rows, path=path, found=found)


class TestFiles:
    """What is saved comes back."""

    def test_a_setting_that_fails(self, spark, saved):
        """It is NaN in the metrics, and out of the race; the others are tried."""
        model = saved.model
        assert math.isnan(model.avgMetrics[0])
        assert 0 < model.avgMetrics[1] < 0.7
        assert model.bestModel.stages[-1].getRegParam() == 0.0

    def test_a_model(self, spark, saved):
        """A model keeps its metrics, NaN included, and transforms as before."""
        found, model, rows = saved.found, saved.model, saved.rows
        assert found.uid == model.uid
        assert str(found.avgMetrics) == str(model.avgMetrics)
        assert str(found.stdMetrics) == str(model.stdMetrics)
        assert found.getEstimatorParamMaps() == model.getEstimatorParamMaps()
        assert found.result is None
        assert found.transform(rows).collect() == model.transform(rows).collect()
        with pytest.raises(
            ArgumentError, match=r"not a manyfit\.spark_ml\.validator\.ManyfitValidator"
        ):
            ManyfitValidator.load(str(saved.path))

    def test_sub_models(self, spark, saved):
        """Those there are come back where they were, as with Spark's own."""
        for found, fitted in zip(saved.found.subModels, saved.model.subModels, strict=True):
            (failed, mine), (_, yours) = found, fitted
            assert failed is None
            assert mine.stages[-1].coefficients == yours.stages[-1].coefficients
        assert (saved.path / "subModels" / "fold1" / "1" / "metadata").is_dir()

    def test_what_is_there_already(self, spark, saved):
        """It is replaced only on request; and sub-models are left out on request."""
        path = str(saved.path.with_name("again"))
        part = ManyfitValidatorModel(PipelineModel([]), [1.0], [], [PipelineModel([])])
        part.save(path)
        with pytest.raises(Exception, match="exists"):
            part.save(path)
        part.write().overwrite().option("persistSubModels", "False").save(path)
        assert ManyfitValidatorModel.load(path).subModels is None

    def test_options_of_the_writer(self, spark, tmp_path):
        """What can't be done is refused before anything is written, or removed."""
        model = ManyfitValidatorModel(PipelineModel([]))
        path = tmp_path / "model"
        model.save(str(path))
        for key, value, message in (
            ("persistSubModels", "true", "needs sub-models.* collectSubModels=True"),
            ("persistSubModels", "maybe", "must be true or false, but got 'maybe'"),
            ("persistSubModel", "true", "no option persistsubmodel: it has persistSubModels only"),
        ):
            with pytest.raises(ArgumentError, match=message):
                model.write().overwrite().option(key, value).save(str(path))
        assert ManyfitValidatorModel.load(str(path)).subModels is None
        with pytest.raises(ArgumentError, match="no option persistsubmodels: it has none"):
            ManyfitValidator().write().option("persistSubModels", "true").save(str(path))

    def test_maps_with_values_of_all_kinds(self, spark, parts, tmp_path):
        """Maps keep vectors, matrices, lists, and stages: those of the estimator as they are."""
        assembler, scaler, _ = parts
        lr, forest = LogisticRegression(), RandomForestClassifier(seed=5)
        pipeline = Pipeline(stages=[assembler, scaler, lr])
        maps = [
            {
                pipeline.stages: [assembler, scaler, lr],
                lr.lowerBoundsOnCoefficients: Matrices.dense(1, 3, [0.0, 1.0, 2.0]),
                lr.upperBoundsOnIntercepts: Vectors.dense([0.5]),
                lr.thresholds: [0.5, 0.6],
            },
            {
                pipeline.stages: [assembler, forest],
                forest.maxDepth: 3,
                lr.lowerBoundsOnIntercepts: Vectors.sparse(2, [1], [0.5]),
            },
        ]
        path = str(tmp_path / "validator")
        ManyfitValidator(
            estimator=pipeline,
            estimatorParamMaps=maps,
            evaluator=[BinaryClassificationEvaluator(metricName="areaUnderPR")],
            seed=4,
        ).save(path)
        found = ManyfitValidator.load(path)

        one, other = found.getEstimatorParamMaps()
        assert one.keys() == maps[0].keys()
        assert one[lr.lowerBoundsOnCoefficients] == maps[0][lr.lowerBoundsOnCoefficients]
        assert one[lr.upperBoundsOnIntercepts] == Vectors.dense([0.5])
        assert one[pipeline.stages] == found.getEstimator().getStages()
        assert other[lr.lowerBoundsOnIntercepts] == Vectors.sparse(2, [1], [0.5])
        assert other[pipeline.stages][0] is found.getEstimator().getStages()[0]
        assert other[pipeline.stages][1].getSeed() == 5
        assert found.getEvaluator()[0].getMetricName() == "areaUnderPR"
        assert found.getSeed() == 4
        assert not found.isSet(found.numFolds)

    def test_a_space(self, rows, parts, make, tmp_path):
        """A space keeps domains of all kinds, stages and None, and can be searched again."""
        assembler, scaler, lr = parts
        other = MinMaxScaler(inputCol="raw", outputCol="features")
        space = {
            scaler: Choice([scaler, other], weights=[1, 3]),
            other.max: Choice([1.0, 2.0]),
            scaler.withStd: Choice([True, False]),
            lr.regParam: Float(0.001, 1.0, log=True),
            lr.maxIter: Int(1, 3),
            lr.loss: "squaredError",
        }
        path = str(tmp_path / "validator")
        settings = {"estimator": Pipeline(stages=[assembler, scaler, lr]), "numTrials": 1}
        make(space=space, trainRatio=0.5, **settings).save(path)
        found = ManyfitValidator.load(path)

        loaded = found.getSpace()
        assert {str(key) for key in loaded} == {str(key) for key in space}
        assert loaded[lr.regParam] == space[lr.regParam]
        assert loaded[scaler.withStd] == space[scaler.withStd]
        (choice,) = (value for key, value in loaded.items() if str(key) == scaler.uid)
        assert choice.weights == (1.0, 3.0)
        assert choice.options[0] is found.getEstimator().getStages()[1]
        assert found.fit(rows).result.best.state is State.COMPLETE

    def test_a_stage_that_may_be_left_out(self, spark, parts, tmp_path):
        """None comes back as an option."""
        scaler, lr = parts[1:]
        path = str(tmp_path / "validator")
        ManyfitValidator(
            estimator=Pipeline(stages=[scaler, lr]), space={scaler: Choice([scaler, None])}
        ).save(path)

        (choice,) = ManyfitValidator.load(path).getSpace().values()
        assert choice.options[1] is None

    def test_what_cannot_be_saved(self, spark, parts, tmp_path):
        """It is named, and nothing is written."""
        lr = parts[2]
        path = tmp_path / "validator"
        odd = ManyfitValidator(estimator=lr, estimatorParamMaps=[{lr.regParam: {1, 2}}])
        with pytest.raises(ArgumentError, match=r"estimatorParamMaps, .*regParam.*\{1, 2\}"):
            odd.save(str(path))
        plus = Pipeline(stages=[Plus(), lr])
        with pytest.raises(ArgumentError, match="estimator can't be saved, since Plus_"):
            ManyfitValidator(estimator=plus).save(str(path))
        assert not path.exists()
