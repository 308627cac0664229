"""What can't travel is named with advice that fits it."""

import functools
import socket
import sqlite3
import threading
from pathlib import Path

import pytest

from manyfit.metric import Metric
from manyfit.space import Choice, Space
from manyfit.worker.blame import blame, kind_of, name_of, parts
from manyfit.worker.work import Work


def named(full_name):
    """Return an object of a class of this name, that refuses to be pickled."""
    module, _, name = full_name.rpartition(".")

    def refuse(self):
        raise TypeError("cannot pickle")

    return type(name, (), {"__module__": module, "__reduce__": refuse})()


def blamed(value):
    """Return what is said of an objective that has the value in its closure."""

    def objective(params):
        return value

    space = Space({"x": Choice([1, 2])})
    return blame(Work(objective, space, Metric("loss"), "s", Path("/x")), TypeError("no"))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("pyspark.sql.session.SparkSession", "exists on the driver only: read the data first"),
        ("pyspark.sql.connect.session.SparkSession", "exists on the driver only"),
        ("pyspark.sql.classic.dataframe.DataFrame", "toPandas(), and pass it with manyfit"),
        ("py4j.java_gateway.JavaObject", "exists on the driver only"),
        ("mlflow.tracking.client.MlflowClient", "or call mlflow.log_metric"),
        ("psycopg2.extensions.connection", "Connect inside the objective"),
        ("sqlalchemy.engine.base.Engine", "Connect inside the objective"),
        ("tensorflow.python.data.ops.dataset_ops.Dataset", "Build it inside the objective"),
        ("somebody.elses.Thing", "Create it inside the objective"),
        ("mlflowish.Thing", "Create it inside the objective"),
    ],
)
def test_advice_goes_by_the_name_of_the_type(name, advice):
    """Frequent culprits are known by name, and no package is imported to know them."""
    message = blamed(named(name))
    assert f"its closure variable 'value' is of type {name}, which can't be pickled" in message
    assert advice in message
    assert message.endswith("or use executor='threads' or 'inline'")


def test_advice_for_things_of_the_standard_library(tmp_path):
    """Locks, files, connections and generators have their own."""
    with (
        socket.socket() as listener,
        (tmp_path / "file").open("w") as file,
        sqlite3.connect(":memory:") as connection,
    ):
        assert "Connect inside" in blamed(listener)
        assert "Pass the path, and open it inside" in blamed(file)
        assert "Connect inside" in blamed(connection)
    connection.close()
    assert "works within one process only" in blamed(threading.Lock())
    assert "works within one process only" in blamed(threading.Event())
    assert "Make a list of it first" in blamed(x for x in ())


def test_what_derives_from_a_culprit_is_one():
    """A user's own client is advised like the one it extends."""
    client = type("Mine", (type(named("mlflow.client.MlflowClient")),), {})()
    assert "mlflow.log_metric" in blamed(client)


def test_the_trace_ends_at_what_people_know():
    """A session is blamed by its own name, not by the lock deep in it."""

    class Holder:
        pass

    Holder.__module__, Holder.__qualname__ = "pyspark.sql.session", "SparkSession"
    session = Holder()
    session.gateway = {"lock": threading.Lock()}
    message = blamed({"spark": session})
    assert "variable 'value' → its item 'spark' is of type pyspark.sql.session.Spark" in message
    assert "its attribute 'gateway'" not in message


def test_parts_are_named_for_people():
    """An object's parts bear the names that its author gave."""

    class Slotted:
        __slots__ = "one"  # noqa: PLC0205 - which Python allows

        def __init__(self):
            self.one = 1

    class Plain:
        half = property(len)
        whole = staticmethod(abs)

    assert list(parts(Slotted())) == [("attribute 'one'", 1)]
    assert list(parts(functools.partial(len, 1, a=2))) == [
        ("function", len), ("argument 0", 1), ("argument 'a'", 2),
    ]  # fmt: skip
    assert list(parts(vars(Plain)["half"])) == [("getter", len)]
    assert list(parts(vars(Plain)["whole"])) == [("function", abs)]
    assert list(parts({"k": 1})) == [("item 'k'", 1)]


def test_an_object_that_raises_has_no_parts():
    """What breaks when it is touched breaks nothing here."""

    class Proxy:
        @property
        def __dict__(self):
            raise RuntimeError("no context")

    assert list(parts(Proxy())) == []


def test_names_of_objectives_and_types():
    """An objective is called by its function, through partial, otherwise by its type."""
    assert name_of(functools.partial(functools.partial(name_of))) == "name_of"
    assert name_of(named("a.b.Trainer")) == "Trainer"
    assert kind_of(5) == "int"
    assert kind_of(named("a.b.Trainer")) == "a.b.Trainer"


@pytest.mark.integration
def test_a_real_session(spark):
    """Spark's own objects, whatever they raise when pickled, are told with advice."""
    rows = spark.range(3)
    for thing in (spark, spark.sparkContext, rows, rows.id, rows.rdd, {"a": [rows]}):
        assert "It exists on the driver only" in blamed(thing)
