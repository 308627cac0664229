"""Rows, quick stages that count their fits, and what Spark holds: for the tests of pipelines."""

import json
import logging
import threading
import time
import urllib.request
from functools import lru_cache, partial

import pytest
from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.feature import HashingTF, Tokenizer
from pyspark.ml.param import Param, TypeConverters
from pyspark.sql import functions


@pytest.fixture(autouse=True)
def calm():
    """Keep py4j from telling of each of its connections."""
    logging.getLogger("py4j").setLevel(logging.ERROR)


@lru_cache(maxsize=1)
def rows_of(spark):
    """Return the rows of a session; in one part, since each shuffle takes longer than the rest."""
    rows = spark.range(0, 240, 1, 1).selectExpr(
        "(id * 37 % 100) / 100 AS x", "(id * 53 % 97) / 97 AS z", "int(id % 4) AS part"
    )
    return rows.selectExpr("*", "double(x + 0.3 * z > 0.6) AS label")


@pytest.fixture(scope="session")
def make_rows():
    """Makes the rows of a session, once."""
    return rows_of


@pytest.fixture
def rows(spark):
    """240 rows of two numbers, a label and a part from 0 to 3."""
    return rows_of(spark)


class Calls:
    """What stages did: they say so, and may be kept from it."""

    def __init__(self):
        self.fits = []
        self.gate = None  # called at each fit
        self._lock = threading.Lock()

    def fit(self, name, value):
        """Note a fit."""
        with self._lock:
            self.fits.append((name, value))
        if self.gate is not None:
            self.gate(name, value)

    def count(self, name):
        """How often stages of a name were fitted."""
        return sum(fitted == name for fitted, _ in self.fits)


class ShiftModel(Model):
    """Moves a column."""

    def __init__(self, column, by):
        super().__init__()
        self.column, self.by = column, by

    def _transform(self, dataset):
        return dataset.withColumn(self.column, functions.col(self.column) + self.by)


class Shift(Estimator):
    """Moves a column by its mean, and by `by`."""

    def __init__(self, calls, name="shift", column="x", by=0.0):
        super().__init__()
        self.by = Param(self, "by", "how far", TypeConverters.toFloat)
        self.calls, self.column, self.name = calls, column, name
        self._set(by=by)

    def _fit(self, dataset):
        by = self.getOrDefault(self.by)
        self.calls.fit(self.name, by)
        mean = dataset.select(functions.avg(self.column)).first()[0]
        return ShiftModel(self.column, by - mean)


class ConstantModel(Model):
    """Predicts x and a constant."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def _transform(self, dataset):
        return dataset.withColumn("prediction", functions.lit(self.value) + functions.col("x"))


class Constant(Estimator):
    """Makes a model of its value; needs no job."""

    def __init__(self, calls, value=0.0):
        super().__init__()
        self.value = Param(self, "value", "the constant", TypeConverters.toFloat)
        self.calls = calls
        self._set(value=value)

    def _fit(self, dataset):
        value = self.getOrDefault(self.value)
        self.calls.fit("constant", value)
        return ConstantModel(value)


class Doubled(Transformer):
    """Doubles a column."""

    def _transform(self, dataset):
        return dataset.withColumn("z", functions.col("z") * 2)


class MeanError(Evaluator):
    """The mean distance of predictions from the label."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls
        self.seen = None  # makes another value of each

    def _evaluate(self, dataset):
        far = functions.abs(functions.col("prediction") - functions.col("label"))
        value = dataset.select(functions.avg(far)).first()[0]
        return value if self.seen is None else self.seen(value)

    def isLargerBetter(self):  # noqa: N802 - Spark's name
        return False


class Toys(Calls):
    """Stages that take one quick job to fit, and count how often they were."""

    def __init__(self):
        super().__init__()
        self.Shift = partial(Shift, self)
        self.Constant = partial(Constant, self)
        self.MeanError = partial(MeanError, self)
        self.Doubled = Doubled


@pytest.fixture(scope="session")
def make_toys():
    """Makes quick stages, for what several tests look at."""
    return Toys


@pytest.fixture
def toys():
    """Quick stages."""
    return Toys()


class Wide(Estimator):
    """Needs slots at the same time."""

    def __init__(self):
        super().__init__()
        self.num_workers = Param(self, "num_workers", "slots", TypeConverters.toInt)
        self._set(num_workers=2)

    def _fit(self, dataset):
        raise NotImplementedError


@pytest.fixture
def wide(spark):
    """A stage that needs two slots at the same time."""
    return Wide()


@pytest.fixture
def text(spark):
    """The stages of a pipeline for text."""
    return (
        Tokenizer(inputCol="text", outputCol="words"),
        HashingTF(inputCol="words", outputCol="tf"),
        LogisticRegression(featuresCol="tf"),
    )


class Storage:
    """What Spark's storage status says."""

    def sizes(self, spark):
        """Return the bytes of each table that a session holds."""
        context = spark.sparkContext
        url = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/storage/rdd"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return [rdd["memoryUsed"] + rdd["diskUsed"] for rdd in json.load(answer)]

    def settled(self, spark, tables):
        """Return the same once there are as many tables as expected, or after 20 s."""
        deadline = time.monotonic() + 20
        while len(found := self.sizes(spark)) != tables and time.monotonic() < deadline:
            time.sleep(0.02)  # its listener is a little behind
        return found


@pytest.fixture(scope="session")
def storage():
    """Looks at Spark's storage."""
    return Storage()
