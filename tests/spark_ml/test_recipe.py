"""A recipe turns the params of a trial into the stages of a pipeline."""

import math

import pytest

pytest.importorskip("pyspark.ml")

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression, OneVsRest, RandomForestClassifier
from pyspark.ml.feature import IDF, HashingTF, Tokenizer
from pyspark.ml.linalg import Vectors

from manyfit.choice import Choice
from manyfit.domain import Float, Int
from manyfit.errors import ArgumentError, SpaceError
from manyfit.spark_ml.recipe import Recipe
from manyfit.spark_ml.stages import fingerprint

pytestmark = pytest.mark.integration


def kinds(stages):
    return [type(stage.stage).__name__ for stage in stages]


class TestGiven:
    """The pipeline as it is, as a point of the space."""

    def test_what_stages_have(self, text):
        """Values come from the stages, set or by default; the nearest where they are outside."""
        tokenizer, tf, lr = text
        lr.setElasticNetParam(0.3)
        recipe = Recipe(
            Pipeline(stages=[tokenizer, tf, lr]),
            {
                lr.elasticNetParam: Float(0, 1),
                lr.regParam: Float(1e-4, 1, log=True),  # 0.0 by default
                lr.maxIter: Int(10, 60, step=20),  # 100 by default
                lr.family: Choice(["binomial", "auto"]),
                lr.standardization: Choice([False, True]),
                lr.aggregationDepth: Choice([3, 4]),  # 2 by default: none of them
                lr.weightCol: Choice(["w"]),  # it has none
            },
        )

        assert {name.split(".")[1]: value for name, value in recipe.given.items()} == {
            "elasticNetParam": 0.3,
            "regParam": 1e-4,
            "maxIter": 50,
            "family": "auto",
            "standardization": True,
            "aggregationDepth": 3,
            "weightCol": "w",
        }
        recipe.space.check(recipe.given)

    def test_stages(self, text):
        """A stage that may be another is the one that is there, with its params only."""
        tokenizer, tf, lr = text
        forest = RandomForestClassifier(featuresCol="tf")
        recipe = Recipe(
            Pipeline(stages=[tokenizer, tf, lr]),
            {
                lr: Choice([forest, lr]),
                lr.maxIter: Int(1, 200),
                forest.maxDepth: Int(1, 9),
                tf: Choice([None, tf]),
            },
        )

        assert recipe.given == {
            "hashingTF": "hashingTF",
            "logisticRegression": "logisticRegression",
            "logisticRegression.maxIter": lr.getMaxIter(),
        }

    def test_no_option_is_there(self, text):
        """Where the stage itself is not among the options, the first of them stands for it."""
        tokenizer, tf, lr = text
        forest = RandomForestClassifier(featuresCol="tf")
        recipe = Recipe(
            Pipeline(stages=[tokenizer, tf, lr]),
            {lr: Choice([forest, None]), forest.maxDepth: Int(1, 9)},
        )

        assert recipe.given == {
            "logisticRegression": "randomForestClassifier",
            "randomForestClassifier.maxDepth": 5,
        }

    def test_a_copy(self, text):
        """A copy of the pipeline with another value has that."""
        tokenizer, tf, lr = text
        space = {lr.regParam: Float(0, 1)}
        copied = Pipeline(stages=[tokenizer, tf, lr]).copy({lr.regParam: 0.25})

        assert Recipe(copied, space).given == {"logisticRegression.regParam": 0.25}


class TestSpace:
    """The space by names that last."""

    def test_names(self, text):
        """Params go by their stage's class, with a number where there are several of it."""
        tokenizer, tf, lr = text
        other = HashingTF(inputCol="words", outputCol="more")
        recipe = Recipe(
            Pipeline(stages=[tokenizer, tf, other, lr]),
            {lr.regParam: Float(0, 1), tf.numFeatures: Int(1, 9), other.numFeatures: 16},
        )

        assert list(recipe.space.params) == [
            "hashingTF_1.numFeatures",
            "logisticRegression.regParam",
        ]
        assert recipe.space.constants == {"hashingTF_2.numFeatures": 16}

    def test_order_is_that_of_stages(self, text):
        """However the space is written, a grid changes the last stage first."""
        _, tf, lr = text
        recipe = Recipe(
            Pipeline(stages=list(text)),
            {lr.regParam: Choice([0.0, 0.1]), tf.numFeatures: Choice([16, 32])},
        )

        assert [point["hashingTF.numFeatures"] for point in recipe.space.grid()] == [16, 16, 32, 32]

    def test_a_stage_that_may_be_another(self, text):
        """Params of an option are active where it is chosen; None leaves the stage out."""
        tokenizer, tf, lr = text
        forest = RandomForestClassifier(featuresCol="tf")
        recipe = Recipe(
            Pipeline(stages=[tokenizer, tf, lr]),
            {
                lr: Choice([lr, forest]),
                lr.regParam: Choice([0.0, 0.1]),
                forest.maxDepth: Choice([1, 2, 3]),
                tf: Choice([tf, None]),
            },
        )
        space = recipe.space

        assert space.size == 2 * (2 + 3)
        assert space.active({"hashingTF": "none", "logisticRegression": "logisticRegression"}) == (
            "hashingTF",
            "logisticRegression",
            "logisticRegression.regParam",
        )
        stages = recipe.stages(
            {
                "hashingTF": "none",
                "logisticRegression": "randomForestClassifier",
                "randomForestClassifier.maxDepth": 2,
            }
        )
        assert kinds(stages) == ["Tokenizer", "NoneType", "RandomForestClassifier"]
        assert stages[2].stage.getMaxDepth() == 2
        assembled = recipe.assemble(
            {"hashingTF": "none", "logisticRegression": "logisticRegression"}
        )
        assert [type(stage) for stage in assembled.getStages()] == [Tokenizer, LogisticRegression]

    def test_a_stage_that_is_replaced_for_good(self, text):
        """The stage itself need not be among the options for its place."""
        tokenizer, tf, lr = text
        forest, other = RandomForestClassifier(), LogisticRegression()
        recipe = Recipe(Pipeline(stages=[tokenizer, tf, lr]), {lr: Choice([forest, other])})
        (name,) = recipe.space.params

        assert kinds(recipe.stages({name: "randomForestClassifier"}))[2] == "RandomForestClassifier"
        with pytest.raises(SpaceError, match="none of the options"):
            Recipe(Pipeline(stages=[lr]), {lr: Choice([forest, other]), lr.regParam: Float(0, 1)})

    def test_copies_of_an_estimator(self, text):
        """A space holds for a copy of its estimator, whose stages are other objects."""
        tokenizer, tf, lr = text
        pipeline = Pipeline(stages=[tokenizer, tf, lr])
        space = {tf: Choice([tf, None]), lr.regParam: Float(0, 1)}
        recipe = Recipe(pipeline.copy({lr.maxIter: 7}), space)
        stages = recipe.stages({"hashingTF": "hashingTF", "logisticRegression.regParam": 0.5})

        assert stages[2].stage.getMaxIter() == 7
        assert stages[2].stage.getRegParam() == 0.5
        assert recipe.stored({tf: None, lr.regParam: 0.5}) == {
            "hashingTF": "none",
            "logisticRegression.regParam": 0.5,
        }

    def test_what_is_refused(self, text):
        """A key that is of another pipeline, and options that are no stages, are errors."""
        tokenizer, tf, lr = text
        pipeline = Pipeline(stages=[tokenizer, tf])
        for space in (
            {lr.regParam: Float(0, 1)},
            {lr: Choice([lr, None])},
            {tf: Choice([tf, 3])},
            {tf: tf},
            {tf: Choice({"a": {}})},
            {"hashingTF.numFeatures": Int(1, 2)},
            [tf],
        ):
            with pytest.raises(SpaceError):
                Recipe(pipeline, space)
        with pytest.raises(ArgumentError, match="pipeline must be"):
            Recipe(tokenizer, {})


class TestStages:
    """The stages of a trial."""

    def test_nested(self, text):
        """Pipelines in a pipeline are flat, and params of a stage in a stage are set there."""
        tokenizer, tf, lr = text
        rest = OneVsRest(classifier=lr, featuresCol="tf")
        pipeline = Pipeline(stages=[Pipeline(stages=[tokenizer, tf]), rest])
        recipe = Recipe(pipeline, {lr.regParam: Float(0, 1)})
        stages = recipe.stages({"logisticRegression.regParam": 0.5})

        assert kinds(stages) == ["Tokenizer", "HashingTF", "OneVsRest"]
        assert stages[2].stage.getClassifier().getRegParam() == 0.5
        assert lr.getRegParam() == 0.0

    def test_a_single_estimator(self, text):
        """An estimator that is no pipeline is assembled as itself."""
        lr = text[2]
        recipe = Recipe(lr, {lr.regParam: Float(0, 1)})
        assembled = recipe.assemble({"logisticRegression.regParam": 0.5})

        assert isinstance(assembled, LogisticRegression)
        assert assembled.getRegParam() == 0.5
        assert recipe.forks == ()

    def test_keys(self, text):
        """Two trials have the same key for a stage whose params are equal."""
        _, tf, lr = text
        recipe = Recipe(
            Pipeline(stages=list(text)),
            {tf.numFeatures: Int(1, 99), lr.regParam: Float(0, 1)},
        )
        one, two, three = (
            [
                stage.key
                for stage in recipe.stages(
                    {"hashingTF.numFeatures": size, "logisticRegression.regParam": reg}
                )
            ]
            for size, reg in ((16, 0.0), (16, 0.5), (32, 0.5))
        )

        assert one[:2] == two[:2]
        assert one[2] != two[2]
        assert two[1] != three[1]
        assert two[2] == three[2]

    def test_fits_of_one_estimator_differ(self, spark, text):
        """Fitted stages that share their uid are told apart."""
        rows = spark.createDataFrame([(Vectors.dense([1.0]),), (Vectors.dense([0.0]),)], ["tf"])
        idf = IDF(inputCol="tf", outputCol="features")
        one, other = idf.fit(rows), idf.fit(rows.limit(1))
        assert one.uid == other.uid

        keys = {
            stage.key
            for model in (one, other)
            for stage in Recipe(Pipeline(stages=[model, text[2]]), {}).stages({})[:1]
        }
        assert len(keys) == 2

    def test_forks_and_variants(self, text):
        """A fork comes before each stage that is tuned, except the first; variants multiply."""
        tokenizer, tf, lr = text
        recipe = Recipe(
            Pipeline(stages=[tokenizer, tf, lr]),
            {
                tokenizer.inputCol: Choice(["a", "b"]),
                tf.numFeatures: Choice([16, 32, 64]),
                lr.regParam: Float(0, 1),
            },
        )

        assert recipe.forks == (1, 2)
        assert [recipe.variants(length) for length in (0, 1, 2)] == [1, 2, 6]
        assert math.isinf(recipe.variants(3))

    def test_slots(self, text, wide):
        """A trial needs as many slots as its neediest stage says."""

        lr = text[2]
        recipe = Recipe(
            Pipeline(stages=[lr]), {lr: Choice([lr, wide]), wide.num_workers: Choice([2, 4])}
        )

        assert recipe.has_barriers
        assert recipe.slots({"logisticRegression": "wide", "wide.num_workers": 4}) == 4
        assert recipe.slots({"logisticRegression": "logisticRegression"}) is None
        assert not Recipe(lr, {}).has_barriers


def test_fingerprints():
    """They are equal for equal values of equal type, whatever those are."""
    assert fingerprint(1) != fingerprint(True) != fingerprint(1.0)
    assert fingerprint([1, "a"]) == fingerprint([1, "a"])
    assert fingerprint(Vectors.dense([1, 2])) == fingerprint(Vectors.dense([1, 2]))
    assert fingerprint(Vectors.dense([1, 2])) != fingerprint(Vectors.dense([1, 3]))
    odd = (each for each in "ab")  # it can't be pickled
    assert fingerprint(odd) == fingerprint(odd)
