"""Param maps as configurations of a pipeline: labels that last, and an order that shares."""

import json
import math

import pytest

pytest.importorskip("pyspark.ml")

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression, OneVsRest, RandomForestClassifier
from pyspark.ml.feature import IDF, MinMaxScaler, VectorAssembler
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import ParamGridBuilder

from manyfit.errors import ArgumentError
from manyfit.spark_ml.maps import Listed, Maps

pytestmark = pytest.mark.integration


def labels(maps):
    """Return the labels of each param."""
    return {name: list(choice.labels) for name, choice in maps.space.params.items()}


def kinds(stages):
    return [type(stage.stage).__name__ for stage in stages]


class TestLabels:
    """What stands for a value in the record."""

    def test_of_plain_values(self, text):
        """Plain values stand for themselves, and a param that a map lacks is its default."""
        _, tf, lr = text
        maps = Maps(Pipeline(stages=list(text)), [{lr.regParam: 0, tf.binary: True}, {}])

        assert labels(maps) == {
            "logisticRegression.regParam": [0.0, "default"],
            "hashingTF.binary": [True, "default"],
        }
        assert [type(label) for label in labels(maps)["logisticRegression.regParam"]] == [
            float,
            str,
        ]

    def test_of_what_is_called_default(self, text):
        """A value that is called default keeps its name; the lack of one gets another."""
        lr = text[2]
        maps = Maps(lr, [{}, {lr.predictionCol: "default"}])

        assert labels(maps) == {"logisticRegression.predictionCol": ["default_2", "default"]}
        assert [s.stage.getPredictionCol() for p in maps.given for s in maps.stages(p)] == [
            "prediction",
            "default",
        ]

    def test_of_vectors_and_lists(self, text):
        """What is no JSON goes by its text, a long one by its beginning and a number."""
        lr = text[2]
        long = [Vectors.dense([float(i)] * 99) for i in (0, 0, 1)]
        long[2] = Vectors.dense([0.0] * 98 + [1.0])
        maps = Maps(
            lr,
            [
                *({lr.upperBoundsOnIntercepts: value} for value in long),
                {lr.thresholds: (0.5, 1.0)},
                {lr.thresholds: [0.5, 1.0]},
            ],
        )
        found = labels(maps)

        assert found["logisticRegression.thresholds"] == ["[0.5, 1.0]", "default"] or found[
            "logisticRegression.thresholds"
        ] == ["default", "[0.5, 1.0]"]
        one, other, _ = found["logisticRegression.upperBoundsOnIntercepts"]
        assert one.startswith("DenseVector([0.0, 0.0")
        assert other == f"{one}_2"
        assert len(one) < 110
        assert len(maps.points) == 3

    def test_of_stages(self, text):
        """Stages go by their class, lists of them by all; copies of one stage get a number."""
        tokenizer, tf, lr = text
        forest = RandomForestClassifier(featuresCol="tf")
        again = lr.copy({lr.maxIter: 1})
        pipeline = Pipeline(stages=[])
        maps = Maps(
            pipeline,
            [
                {pipeline.stages: [tokenizer, tf, lr]},
                {pipeline.stages: [tokenizer, tf, IDF(), forest]},
                {pipeline.stages: [tokenizer, tf, again]},
            ],
        )

        assert labels(maps) == {
            "pipeline.stages": [
                "tokenizer, hashingTF, logisticRegression",
                "tokenizer, hashingTF, iDF, randomForestClassifier",
                "tokenizer, hashingTF, logisticRegression_2",
            ]
        }
        assert [len(maps.stages(point)) for point in maps.given] == [3, 4, 3]
        assert maps.stages(maps.given[2])[2].stage.getMaxIter() == 1

    def test_they_last(self, text):
        """The same maps of other objects have the same space, and it is plain JSON."""

        def make():
            scaler = MinMaxScaler()
            lrs = [LogisticRegression(), LogisticRegression()]
            pipeline = Pipeline(stages=[scaler, lrs[0]])
            return Maps(
                pipeline,
                [{pipeline.stages: [scaler, lr], lr.regParam: 0.5, scaler.max: 2.0} for lr in lrs],
            )

        one, other = make(), make()
        assert one.space == other.space
        assert one.given == other.given
        assert json.loads(json.dumps(one.given)) == one.given


class TestPoints:
    """Which configurations there are, and in which order."""

    def test_order(self, text):
        """Maps that share the front follow one another, in the order of their first; all once."""
        _, tf, lr = text
        grid = (
            ParamGridBuilder()
            .addGrid(lr.regParam, [0.0, 0.1])
            .addGrid(tf.numFeatures, [16, 32])
            .build()
        )
        maps = Maps(Pipeline(stages=list(text)), [*grid, grid[1]])
        sizes = [point["hashingTF.numFeatures"] for point in maps.points]

        assert sizes == [16, 16, 32, 32]
        assert maps.given[4] == maps.given[1]
        assert maps.forks == (1, 2)
        assert math.isinf(maps.variants(1))

    def test_forks(self, text):
        """A fork is where listed pipelines part, also where one ends and another goes on."""
        tokenizer, tf, lr = text
        pipeline = Pipeline(stages=[tokenizer, tf, lr])
        shorter, longer = [tokenizer, tf], [tokenizer, tf, lr]
        last = Maps(pipeline, [{lr.regParam: 0.0}, {lr.regParam: 0.1}])
        first = Maps(pipeline, [{tokenizer.inputCol: "a"}, {tokenizer.inputCol: "b"}])
        ends = Maps(pipeline, [{pipeline.stages: shorter}, {pipeline.stages: longer}])

        assert last.forks == (2,)
        assert first.forks == ()
        assert ends.forks == (2,)

    def test_keys(self, text):
        """Stages have one key if they are the same object with equal params, and only then."""
        tokenizer, tf, lr = text
        twin = tf.copy()
        pipeline = Pipeline(stages=[tokenizer, tf, lr])
        maps = Maps(
            pipeline,
            [{}, {lr.regParam: 0.5}, {tf.binary: False}, {pipeline.stages: [tokenizer, twin, lr]}],
        )
        one, reg, same, other = ([s.key for s in maps.stages(p)] for p in maps.given)

        assert one == same
        assert one[:2] == reg[:2]
        assert one[2] != reg[2]
        assert one[1] != other[1]

    def test_nested_stages(self, text):
        """Params of a stage in a stage, and of a pipeline in a pipeline, are set where they are."""
        tokenizer, tf, lr = text
        rest = OneVsRest(classifier=lr, featuresCol="tf")
        inner = Pipeline(stages=[tokenizer, tf])
        outer = Pipeline(stages=[inner, rest])
        maps = Maps(outer, [{lr.regParam: 0.5, tf.numFeatures: 16}, {inner.stages: [tokenizer]}])
        one, other = (maps.stages(point) for point in maps.given)

        assert kinds(one) == ["Tokenizer", "HashingTF", "OneVsRest"]
        assert kinds(other) == ["Tokenizer", "OneVsRest"]
        assert one[2].stage.getClassifier().getRegParam() == 0.5
        assert one[1].stage.getNumFeatures() == 16
        assert one[2].key != other[1].key
        assembled = maps.assemble(maps.given[0]).getStages()[1].getClassifier()
        assert assembled.getRegParam() == 0.5
        assert lr.getRegParam() == 0.0
        assert set(labels(maps)) == {
            "logisticRegression.regParam",
            "hashingTF.numFeatures",
            "pipeline_2.stages",
        }

    def test_barriers(self, text, wide):
        """Slots are those of the neediest stage, and None where no stage says."""
        lr = text[2]
        pipeline = Pipeline(stages=[lr])
        maps = Maps(pipeline, [{}, {pipeline.stages: [wide], wide.num_workers: 3}])

        assert maps.has_barriers
        assert [maps.slots(point) for point in maps.given] == [None, 3]
        assert not Maps(pipeline, [{}]).has_barriers


class TestRefused:
    """What is no list of param maps for an estimator."""

    def test_arguments(self, text):
        """The error names what is wrong, and what maps are."""
        lr, other = text[2], VectorAssembler()
        for maps, said in [
            ([], "at least one"),
            (lr.regParam, "at least one"),
            ({lr.regParam: 1.0}, "at least one"),
            ([{"regParam": 1.0}], "from params to values"),
            ([{other.inputCols: ["a"]}], "inputCols in estimatorParamMaps is not a param"),
            ([{lr.regParam: "much"}], "logisticRegression.regParam can't be 'much'"),
        ]:
            with pytest.raises(ArgumentError, match=said):
                Maps(lr, maps)
        with pytest.raises(ArgumentError, match="estimator must be"):
            Maps("lr", [{}])

    def test_a_pipeline_without_stages(self, text):
        """A pipeline may get its stages from the maps, but from each of them."""
        pipeline = Pipeline()

        assert len(Maps(pipeline, [{pipeline.stages: list(text)}]).points) == 1
        with pytest.raises(ArgumentError, match="a map gives it none"):
            Maps(pipeline, [{pipeline.stages: list(text)}, {}])


def test_listed_points_are_proposed_once(text):
    """A sampler of listed points gives each, in order, until it was told of all."""
    from types import SimpleNamespace

    lr = text[2]
    maps = Maps(lr, [{lr.regParam: value} for value in (0.1, 0.2, 0.3)])
    sampler = Listed(maps.space, maps.points)
    sampler.tell(SimpleNamespace(params=maps.points[1]))
    first = sampler.ask(0)
    sampler.tell(SimpleNamespace(params=first))

    assert first == maps.points[0]
    assert sampler.ask(1) == maps.points[2]
    sampler.tell(SimpleNamespace(params=maps.points[2]))
    assert sampler.ask(2) is None
