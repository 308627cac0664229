"""Each group's params and model at work on new rows, of pandas and Spark."""

import datetime
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from manyfit import Float, Metric, Space
from manyfit.errors import ArgumentError
from manyfit.groups.apply import calling
from manyfit.groups.apply.spark import packed
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.models import store
from manyfit.groups.record.row import FAIL, GroupRow, row_schema, to_table
from manyfit.groups.result.result import GroupsResult

SPACE = Space({"a": Float(0.0, 9.0)})
TEXT = pa.schema([("g", pa.string())])


def times(factor):
    """A model that is no method of a class, and travels by value."""

    def predict(rows):
        return rows["x"] * factor

    return predict


def by_length(rows):
    return np.full(len(rows), float(len(rows)))


def result(models, schema=TEXT, path=None):
    """Groups by key, each with params and its model, or failed where that is FAIL."""
    keys, rows = [], []
    for number, (key, model) in enumerate(models.items()):
        keys.append(key if isinstance(key, tuple) else (key,))
        text = key_text(keys[-1])
        if model is FAIL:
            rows.append(GroupRow(text, FAIL, "no"))
            continue
        data = None if model is None else cloudpickle.dumps(model)
        where = path and data and store(str(path), text, data)
        params = {"a": float(number)}
        kept = None if where else data
        rows.append(GroupRow(text, "COMPLETE", params=params, model=kept, model_path=where or None))
    metric = Metric("loss")
    table = to_table(keys, rows, metric, row_schema(schema))
    return GroupsResult(
        "r", Path(), metric, SPACE, tuple(schema.names), "independent", "done", table
    )


def data(**columns):
    columns = columns or {"g": ["b", "a", "b", "a"], "x": [1.0, 2.0, 3.0, 4.0]}
    count = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=[f"row{n}" for n in range(count)])


class TestPredict:
    """Predictions in pandas."""

    def test_each_group_by_its_model(self):
        """Rows keep their order and index, and each has its own group's prediction."""
        found = result({"a": times(10), "b": times(100)})
        predicted = found.predict(data())
        assert predicted["prediction"].tolist() == [100.0, 20.0, 300.0, 40.0]
        assert predicted.index.tolist() == ["row0", "row1", "row2", "row3"]
        assert predicted.drop(columns="prediction").equals(data())

    def test_the_data_are_left_alone(self):
        """What a model does to its rows, nobody else sees."""

        def spoil(rows):
            rows["x"] = 0.0
            return rows["x"]

        given = data()
        predicted = result({"a": spoil, "b": spoil}).predict(given)
        assert given.equals(data())
        assert predicted["x"].tolist() == [1.0, 2.0, 3.0, 4.0]

    def test_rows_are_as_in_tuning(self):
        """A model gets its group's rows whole, with all columns, numbered from 0."""

        def look(rows):
            assert rows.index.tolist() == [0, 1]
            assert rows.columns.tolist() == ["g", "x"]
            return by_length(rows)

        assert set(result({"a": look, "b": look}).predict(data())["prediction"]) == {2.0}

    def test_models_that_name_their_features(self):
        """A model that says which columns it was fitted on gets these, in its order."""

        class Fitted:
            feature_names_in_ = np.array(["z", "x"], dtype=object)

            def predict(self, rows):
                assert list(rows.columns) == ["z", "x"]
                return rows.to_numpy().sum(axis=1)

        predicted = result({"a": Fitted()}).predict(data(g=["a"], x=[1.0], z=[2.0]))
        assert predicted["prediction"].tolist() == [3.0]

    def test_scikit_learn(self):
        """A scikit-learn model fitted on some columns of a frame works as it is."""
        linear = pytest.importorskip("sklearn.linear_model")
        model = linear.LinearRegression().fit(data()[["x"]], [2.0, 4.0, 6.0, 8.0])
        predicted = result({"a": model, "b": model}).predict(data())
        assert predicted["prediction"].tolist() == pytest.approx([2.0, 4.0, 6.0, 8.0])

    def test_labels(self):
        """Predictions may be text, and a column of one is a column."""
        found = result({"a": lambda rows: np.full((len(rows), 1), "yes"), "b": FAIL})
        assert found.predict(data())["prediction"].tolist()[1:2] == ["yes"]
        assert found.predict(data())["prediction"].isna().tolist() == [True, False, True, False]

    def test_missing_groups(self, caplog):
        """Unknown groups and those without a model have no prediction, and are counted."""
        found = result({"a": times(10), "b": None})
        predicted = found.predict(data(g=["a", "b", "new", "b"], x=[1.0] * 4))
        assert predicted["prediction"].isna().tolist() == [False, True, True, True]
        assert '3 rows of 2 groups that have no model: ["b"], ["new"]' in caplog.text

    def test_missing_groups_refused(self):
        """They are an error where that is asked for."""
        with pytest.raises(ArgumentError, match=r'1 row of 1 group that have no model: \["b"\]'):
            result({"a": times(1)}).predict(data(g=["a", "b"], x=[1.0, 2.0]), on_missing="raise")

    def test_odd_keys(self):
        """Missing, foreign and dated keys, several columns and categories find their groups."""
        schema = pa.schema([("g", pa.string()), ("n", pa.int64()), ("at", pa.timestamp("us"))])
        day = datetime.datetime(2020, 1, 2)
        found = result({("ö", 1, day): times(1), (None, None, None): times(2)}, schema)
        frame = pd.DataFrame(
            {
                "g": pd.Categorical(["ö", None], categories=["ö", "unused"]),
                "n": [1, np.nan],  # a column of floats, since one is missing
                "at": pd.to_datetime(["2020-01-02", None]),
                "x": [1.0, 1.0],
            }
        )
        assert found.predict(frame)["prediction"].tolist() == [1.0, 2.0]

    def test_times_with_a_zone(self):
        """Keys tuned on Spark, which have a zone, are found by times that are in it."""
        schema = pa.schema([("at", pa.timestamp("us", "Europe/Berlin"))])
        at = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
        found = result({(at,): times(1)}, schema)
        local = pd.DataFrame({"at": pd.to_datetime(["2020-01-02 01:00"]), "x": [1.0]})
        assert found.predict(local)["prediction"].tolist() == [1.0]
        for key in (at, local["at"][0], local["at"][0].to_numpy()):
            assert found.model_of(key)(local).tolist() == [1.0]

    def test_times_that_clocks_show_twice(self):
        """Each moment has its own model; without a zone it is the first, or the one of `fold`."""
        zone = ZoneInfo("Europe/Berlin")
        first = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zone)
        both = [each.astimezone(datetime.UTC) for each in (first, first.replace(fold=1))]
        models = {(both[0],): times(1), (both[1],): times(2)}
        found = result(models, pa.schema([("at", pa.timestamp("us", "Europe/Berlin"))]))
        rows = pd.DataFrame({"at": pd.to_datetime(both).tz_convert(zone), "x": [1.0, 1.0]})
        assert found.predict(rows)["prediction"].tolist() == [1.0, 2.0]
        plain = first.replace(tzinfo=None)
        for key, factor in ((first, 1), (plain, 1), (plain.replace(fold=1), 2)):
            assert found.model_of(key)(rows).tolist() == [factor] * 2

    def test_models_in_a_folder(self, tmp_path):
        """Models in files are read for the groups that are there."""
        found = result({"a": times(10), "b": times(100)}, path=tmp_path)
        assert found.predict(data())["prediction"].tolist() == [100.0, 20.0, 300.0, 40.0]

    def test_no_rows(self):
        """No rows have no predictions, in a column all the same."""
        predicted = result({"a": times(1)}).predict(data().iloc[:0])
        assert list(predicted.columns) == ["g", "x", "prediction"]
        assert len(predicted) == 0

    def test_error_of_a_model(self):
        """What a model raises comes as it is, and names the group."""

        def fail(rows):
            raise ZeroDivisionError("no")

        with pytest.raises(ZeroDivisionError) as caught:
            result({"a": fail, "b": fail}).predict(data())
        assert caught.value.__notes__ == ['in group ["b"]']

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (lambda rows: 1.0, r"shape \(\) for 2 rows"),
            (lambda rows: np.zeros((len(rows), 2)), r"shape \(2, 2\) for 2 rows"),
            ({"a": 1}, "dict, has no predict"),
        ],
    )
    def test_models_that_predict_no_rows(self, model, message):
        """A model must give a value a row."""
        with pytest.raises(ArgumentError, match=message):
            result({"a": model, "b": model}).predict(data())

    def test_a_class_made_of_a_frame(self):
        """A subclass of a DataFrame is predicted as it is tuned."""

        class Frame(pd.DataFrame):
            pass

        rows = Frame(data(g=["a", "a"], x=[1.0, 2.0]))
        assert list(result({"a": times(3)}).predict(rows)["prediction"]) == [3.0, 6.0]

    def test_arguments(self):
        """What can't work is refused before any model is called."""
        found = result({"a": times(1)})
        with pytest.raises(ArgumentError, match="'g' is not a column of the data, which has x"):
            found.predict(data(x=[1.0]))
        with pytest.raises(ArgumentError, match="'prediction' already"):
            found.predict(data(g=["a"], prediction=[1.0]))
        with pytest.raises(ArgumentError, match="must be a pandas or a Spark DataFrame, but got"):
            found.predict([1, 2])
        with pytest.raises(ArgumentError, match="'null' or 'raise', but got 'ignore'"):
            found.predict(data(), on_missing="ignore")


class TestApply:
    """Functions in pandas."""

    def test_a_row_for_each_row(self):
        """Rows that come back one for one are in the data's order, with its index."""
        found = result({"a": None, "b": None})
        applied = found.apply(lambda rows, params, model: rows.assign(a=params["a"]), data())
        assert applied["a"].tolist() == [1.0, 0.0, 1.0, 0.0]
        assert applied.index.equals(data().index)

    def test_other_rows(self):
        """Rows of another number come group after group."""
        found = result({"a": times(1), "b": times(1)})
        applied = found.apply(
            lambda rows, params, model: pd.DataFrame({"sum": [model(rows).sum()]}), data()
        )
        assert applied["sum"].tolist() == [4.0, 6.0]

    def test_what_a_call_changes(self):
        """Cells of the data stay as they were, and a frame that is used again counts as it was."""
        used = pd.DataFrame({"n": [0]})

        def function(rows, params, model):
            rows["l"].iloc[0].append(1)
            used["n"] = len(rows["l"].iloc[0])
            return used

        rows = data(g=["b", "a", "a"], l=[[], [1, 2], []])
        found = result({"a": None, "b": None}).apply(function, rows)
        assert found["n"].tolist() == [1, 3]
        assert rows["l"].tolist() == [[], [1, 2], []]

    def test_missing_groups(self, caplog):
        """Groups that have neither params nor a model are left out, and counted."""
        found = result({"a": None, "b": FAIL})
        applied = found.apply(lambda rows, params, model: rows, data())
        assert applied["g"].tolist() == ["a", "a"]
        assert applied.index.tolist() == ["row1", "row3"]
        assert "2 rows of 1 group that have no params and no model" in caplog.text

    def test_no_frame(self):
        """A function that returns no DataFrame is refused."""
        with pytest.raises(ArgumentError, match="must return a DataFrame, but got 3"):
            result({"a": None, "b": None}).apply(lambda *_: 3, data())

    def test_nothing_to_do(self):
        """Without rows there is nothing."""
        assert len(result({}).apply(lambda *_: None, data().iloc[:0])) == 0


def test_workers_need_no_manyfit():
    """What goes to Spark's workers is complete without Manyfit there."""
    pickler = pytest.importorskip("pyspark.cloudpickle")
    sent = [
        pickler.dumps(packed(calling.adding_groups(["g"], TEXT))),
        pickler.dumps(packed(calling.predicting(strict=False))),
    ]
    program = f"""
import pickle, sys
sys.modules["manyfit"] = None
import pyarrow as pa
add, predict = (pickle.loads(each)() for each in {sent!r})
(batch,) = add([pa.RecordBatch.from_pydict({{"g": ["ö", None]}})])
assert batch["_manyfit_group"].to_pylist() == ['["ö"]', "[null]"], batch
known = pa.table({{"_manyfit_group": pa.array([], pa.string())}})
print(predict(pa.Table.from_batches([batch]), known)["prediction"].to_pylist())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.strip() == "[None, None]"


SPARK_ROWS = [
    ("ö", 1, 1.0, datetime.datetime(2020, 1, 1, 12), 2**60 + 1),
    (None, None, 2.0, datetime.datetime(2020, 7, 1, 12), None),
    ("ö", 1, 3.0, datetime.datetime(2020, 1, 1, 12), 3),
    ("no model", 7, 4.0, None, 4),
    ("unknown", 8, 5.0, None, 5),
]
PARTITIONS = "spark.sql.shuffle.partitions"
SPARK_SCHEMA = "g string, n int, x double, at timestamp, big bigint"
KEYS = pa.schema([("g", pa.string()), ("n", pa.int64())])


@pytest.fixture(
    params=["spark", pytest.param("connect_spark", marks=pytest.mark.soak("contracts"))]
)
def session(request):
    return request.getfixturevalue(request.param)


@pytest.mark.integration
class TestSpark:
    """New rows in Spark, classic and Connect."""

    def found(self):
        return result({("ö", 1): times(10), (None, None): times(2), ("no model", 7): None}, KEYS)

    def test_predict(self, session):
        """Predictions are those of pandas, and the other columns come back as they were."""
        frame = session.createDataFrame(SPARK_ROWS, SPARK_SCHEMA)
        rows = sorted(self.found().predict(frame).collect(), key=lambda row: row.x)
        assert [row.prediction for row in rows] == [10.0, 4.0, 30.0, None, None]
        assert [tuple(row)[:-1] for row in rows] == SPARK_ROWS

    @pytest.mark.soak("contracts")
    def test_is_parallel(self, session):
        """Adaptive execution doesn't put all groups into one task."""
        many = result({str(n): times(n) for n in range(40)})
        frame = session.range(40).selectExpr("string(id) AS g", "1D AS x")
        parts = many.predict(frame).selectExpr("spark_partition_id() AS part", "prediction")
        rows = parts.collect()
        assert len({row.part for row in rows}) == 2 == int(session.conf.get(PARTITIONS))
        assert sum(row.prediction for row in rows) == sum(range(40))

    def test_apply(self, session):
        """A function gets each group's rows and params; times are the session's."""

        def count(rows, params, model):
            import pandas

            made = {"g": [rows["g"].iloc[0]], "a": [params["a"]], "rows": [len(rows)]}
            return pandas.DataFrame({**made, "at": [rows["at"].max()]})

        frame = session.createDataFrame(SPARK_ROWS, SPARK_SCHEMA)
        schema = "g string, a double, rows int, at timestamp"
        rows = self.found().apply(count, frame, schema).collect()
        assert {(row.g, row.a, row.rows, row.at) for row in rows} == {
            ("ö", 0.0, 2, datetime.datetime(2020, 1, 1, 12)),
            (None, 1.0, 1, datetime.datetime(2020, 7, 1, 12)),
            ("no model", 2.0, 1, None),
        }

    def test_missing_groups(self, spark, caplog):
        """Groups without a model are told of; unknown ones fail the job where that is asked."""
        frame = spark.createDataFrame(SPARK_ROWS, SPARK_SCHEMA)
        found = self.found()
        found.predict(frame)
        assert "1 of 3 groups have no model" in caplog.text
        with pytest.raises(Exception, match="on_missing='raise'"):
            found.predict(frame, on_missing="raise").collect()

    def test_arguments(self, spark):
        """Spark must know what comes back."""
        frame = spark.createDataFrame(SPARK_ROWS, SPARK_SCHEMA)
        with pytest.raises(ArgumentError, match="needs the schema"):
            self.found().apply(lambda *_: None, frame)
        with pytest.raises(ArgumentError, match=r"can't pass the column 'a\.b' to Python"):
            self.found().predict(frame.withColumn("a.b", frame["g"]))
