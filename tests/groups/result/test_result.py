"""What users see of tuned groups: the table, failures, single groups, and words."""

import datetime
import math
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from manyfit import Choice, Float, Int, Metric, Space
from manyfit.errors import ArgumentError, NoResultError
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.models import store
from manyfit.groups.record.row import BASELINE, FAIL, GroupRow, row_schema, to_table
from manyfit.groups.result.result import GroupsResult

METRIC = Metric("mase")
SPACE = Space(
    {
        "alpha": Float(1e-3, 10.0, log=True),
        "lags": Int(1, 48),
        "model": Choice({"ridge": {}, "trees": {"rate": Float(0.1, 0.5)}}),
        "constant": "kept",
    }
)


class Model:
    """Travels by value, as a class of a notebook does."""

    def predict(self, rows):
        return np.zeros(len(rows))


def params(**given):
    return {"alpha": 0.1, "lags": 24, "model": "ridge", **given}


def row(key, state="COMPLETE", value=0.9, baseline=1.0, **given):
    known = {"value": value, "baseline": baseline, "rows": 10, "trials": 20, "seconds": 2.0}
    if state != "COMPLETE":
        known["value"] = None
    if state == FAIL:
        known["baseline"] = None
    if state == "COMPLETE":
        known |= {"params": params(), "metrics": {"mase": value, "smape": 12.0}}
    return GroupRow(key_text(key), state, **{**known, "fit_seconds": 1.5, **given})


def result(keys, rows, schema=None, metric=METRIC, **given):
    schema = schema or pa.schema([("series", pa.string())])
    table = to_table(keys, rows, metric, row_schema(schema))
    settings = {"mode": "independent", "reason": "all groups are done", **given}
    name = settings.pop("name", "m4")
    return GroupsResult(
        name=name,
        folder=Path("there"),
        metric=metric,
        space=SPACE,
        by=tuple(schema.names),
        rows=table,
        **settings,
    )


def simple(*rows):
    keys = [(f"s{n}",) for n in range(len(rows))]
    return result(keys, [make(key) for make, key in zip(rows, keys, strict=True)])


class TestTable:
    """One row a group."""

    def test_columns(self):
        """Keys come first, then how it went, params, metrics, the baseline's, and what it took."""
        found = simple(lambda key: row(key, baseline_metrics={"mase": 1.0}))
        assert list(found.table.columns) == [
            *("series", "state", "reason", "rows", "value", "baseline", "gain"),
            *("params_alpha", "params_lags", "params_model", "params_rate"),
            *("metrics_mase", "metrics_smape", "baseline_mase"),
            *("trials", "pruned", "failed", "seconds", "fit_seconds"),
            *("worker", "error", "model_path"),
        ]

    def test_whole_numbers_stay_whole(self):
        """An Int param is a whole number also where other groups have none."""
        found = simple(row, lambda key: row(key, FAIL, reason="no")).table
        assert found["params_lags"].tolist()[0] == 24
        assert isinstance(found["params_lags"].tolist()[0], int)
        assert found["params_lags"].isna().tolist() == [False, True]

    def test_missing_numbers(self):
        """What a group lacks is missing, and no zero."""
        found = simple(row, lambda key: row(key, FAIL, reason="no")).table
        assert found[["value", "baseline", "gain", "metrics_mase"]].isna().iloc[1].all()
        assert not found[["value", "baseline", "gain", "metrics_mase"]].isna().iloc[0].any()

    def test_is_a_copy(self):
        """What is done to the table changes neither the result nor the next table."""
        found = simple(row)
        found.table["value"] = 7.0
        assert found.table["value"].tolist() == [0.9]

    def test_metric_that_some_groups_have(self):
        """A metric that a group did not return is NaN there."""
        odd = {"mase": 0.5, "extra": float("inf")}
        found = simple(row, lambda key: row(key, metrics=odd)).table
        assert math.isnan(found["metrics_extra"][0])
        assert found["metrics_extra"][1] == math.inf
        assert math.isnan(found["metrics_smape"][1])

    def test_odd_keys(self):
        """Missing, foreign and dated keys are in their columns; whole numbers stay whole."""
        schema = pa.schema([("g", pa.string()), ("n", pa.int64()), ("at", pa.timestamp("us"))])
        keys = [("ö ☃", 2**60 + 1, datetime.datetime(2020, 1, 2)), (None, None, None)]
        found = result(keys, [row(key) for key in keys], schema).table
        assert found["g"].tolist() == ["ö ☃", None]
        assert found["n"].tolist()[0] == 2**60 + 1
        assert found["at"][0] == pd.Timestamp("2020-01-02")
        assert found[["g", "n", "at"]].isna().iloc[1].all()

    def test_key_column_with_the_name_of_another_column(self):
        """A key column that is named like a column of params hides nothing, and isn't hidden."""
        schema = pa.schema([("params_alpha", pa.string())])
        found = result([("x",)], [row(("x",))], schema).table
        assert found["key_params_alpha"].tolist() == ["x"]
        assert found["params_alpha"].tolist() == [0.1]

    def test_no_groups(self):
        """An empty result has an empty table with its columns."""
        found = result([], [])
        assert len(found) == 0
        assert len(found.table) == 0
        assert "params_alpha" in found.table.columns
        assert found.failures() == ()
        assert len(found.worst()) == len(found.slowest()) == 0
        assert "none" in str(found)

    def test_models_and_tracebacks_are_left_out(self):
        """The table has neither models nor tracebacks."""
        found = simple(lambda key: row(key, model=b"x" * 100, traceback="Traceback"))
        assert not {"model", "traceback", "history"} & set(found.table.columns)


class TestViews:
    """The groups that one looks at first."""

    def test_worst(self):
        """The worst come first; a group with its baseline only stands by that, failures nowhere."""
        found = simple(
            lambda key: row(key, value=0.5),
            lambda key: row(key, value=2.0),
            lambda key: row(key, BASELINE, baseline=3.0),
            lambda key: row(key, FAIL, reason="no"),
        )
        assert found.worst(2)["series"].tolist() == ["s2", "s1"]
        assert found.worst()["series"].tolist() == ["s2", "s1", "s0"]

    def test_worst_where_large_is_good(self):
        """The worst of a metric that is maximized are the smallest."""
        keys = [("a",), ("b",)]
        rows = [row(keys[0], value=0.5), row(keys[1], value=0.9)]
        found = result(keys, rows, metric=Metric("auc", "maximize"))
        assert found.worst(1)["series"].tolist() == ["a"]
        assert found.table["gain"].tolist() == [-0.5, pytest.approx(-0.1)]

    def test_slowest(self):
        """The slowest come first."""
        found = simple(*(lambda key, s=s: row(key, seconds=s) for s in (1.0, 9.0, 5.0)))
        assert found.slowest(2)["series"].tolist() == ["s1", "s2"]

    def test_failures(self):
        """Groups that failed alike are together, the most frequent cause first."""
        found = simple(
            row,
            lambda key: row(key, FAIL, reason="ValueError: 3 rows", error="ValueError"),
            lambda key: row(key, FAIL, reason="killed", traceback=""),
            lambda key: row(
                key, BASELINE, reason="ValueError: 4 rows", error="ValueError", traceback="T"
            ),
            lambda key: row(key, BASELINE, reason="1 row: too few"),
        )
        first, second = found.failures()
        assert (first.reason, first.count) == ("ValueError: 3 rows", 2)
        assert first.keys == ("s1", "s3")
        assert (second.reason, second.count, second.keys) == ("killed", 1, ("s2",))

    def test_failures_of_many_groups(self):
        """Only the first ten groups are named."""
        found = simple(*(lambda key: row(key, FAIL, reason="no") for _ in range(30)))
        (failure,) = found.failures()
        assert failure.count == 30
        assert len(failure.keys) == 10

    def test_several_key_columns(self):
        """Keys of several columns are tuples, which find the group again."""
        schema = pa.schema([("g", pa.string()), ("n", pa.int64())])
        keys = [("a", None), ("b", 2)]
        rows = [row(keys[0], FAIL, reason="no"), row(keys[1])]
        found = result(keys, rows, schema)
        assert found.failures()[0].keys == (("a", None),)
        assert found.params_of(("b", 2))["alpha"] == 0.1


class TestOneGroup:
    """The params and the model of one group."""

    def test_params(self):
        """Params are what the objective received, constants included."""
        assert simple(row).params_of("s0") == {**params(), "constant": "kept"}

    @pytest.mark.parametrize("key", [None, float("nan"), pd.NaT, (None,)])
    def test_missing_key(self, key):
        """None, NaN and NaT all name the group whose key is missing."""
        found = result([(None,)], [row((None,))])
        assert found.params_of(key)["lags"] == 24

    @pytest.mark.parametrize(
        "key",
        [datetime.datetime(2020, 1, 2), pd.Timestamp("2020-01-02"), np.datetime64("2020-01-02")],
    )
    def test_time_key(self, key):
        """A time is found however it is given."""
        schema = pa.schema([("at", pa.timestamp("us"))])
        found = result(
            [(datetime.datetime(2020, 1, 2),)], [row((datetime.datetime(2020, 1, 2),))], schema
        )
        assert found.params_of(key)["lags"] == 24

    def test_unknown_key(self):
        """An unknown key is refused, with the keys that are like it."""
        found = result([("north",), ("south",)], [row(("north",)), row(("south",))])
        with pytest.raises(ArgumentError, match=r"no group 'nort'. Did you mean 'north'"):
            found.params_of("nort")
        with pytest.raises(ArgumentError, match=r"There are 2, such as 'north', 'south'"):
            found.model_of(12345)

    def test_unknown_key_of_no_groups(self):
        """An empty result says that it has no groups."""
        with pytest.raises(ArgumentError, match="There are no groups"):
            result([], []).params_of("x")

    def test_key_of_the_wrong_length(self):
        """A key needs a value for each column."""
        with pytest.raises(ArgumentError, match=r"a tuple of \(series\)"):
            simple(row).params_of(("s0", 1))

    def test_no_params(self):
        """A failed group has no params, and the error says why."""
        found = simple(lambda key: row(key, FAIL, reason="all 3 trials failed"))
        with pytest.raises(NoResultError, match="'s0' has no params: FAIL, all 3 trials failed"):
            found.params_of("s0")

    def test_model_in_the_row(self):
        """A model in the row comes back."""
        found = simple(lambda key: row(key, model=cloudpickle.dumps(Model())))
        assert found.model_of("s0").predict([1, 2]).tolist() == [0.0, 0.0]

    def test_model_in_a_folder(self, tmp_path):
        """A model in a folder comes back, or says which file is gone."""
        path = store(str(tmp_path), '["s0"]', cloudpickle.dumps({"a": 1}))
        found = simple(lambda key: row(key, model_path=path))
        assert found.model_of("s0") == {"a": 1}
        Path(path).unlink()
        with pytest.raises(FileNotFoundError, match=r"\.pkl"):
            found.model_of("s0")

    def test_no_model(self):
        """Without a model the error says how to have one, or what befell it."""
        found = simple(row, lambda key: row(key, reason="its model can't be kept: no"))
        with pytest.raises(NoResultError, match="keep_models=True"):
            found.model_of("s0")
        with pytest.raises(NoResultError, match="can't be kept: no"):
            found.model_of("s1")


class TestWords:
    """The result in words."""

    def test_summary(self):
        """The summary counts states, says what was gained, and what it took."""
        found = simple(
            lambda key: row(key, value=0.5, seconds=6.0),
            lambda key: row(key, value=1.1),
            lambda key: row(key, FAIL, reason="no"),
        )
        text = str(found)
        assert "2 COMPLETE, 1 FAIL" in text
        assert "gain    median 0.2, mean 0.2; 1 of 2 groups gained" in text
        assert "60 trials in 10 s of worker time, 45% of it in your functions" in text
        assert "slowest s0, with 60.0% of that time" in text
        assert repr(found) == text

    def test_a_notebook_shows_a_table(self):
        """The first groups, as text that is never taken for HTML."""
        found = simple(
            lambda key: row(key, value=0.5),
            lambda key: row(key, FAIL, reason="no"),
            *[lambda key: row(key, value=1.0)] * 9,
        )
        page = found._repr_html_()
        assert "<td>s0</td><td>COMPLETE</td><td>0.5</td>" in page
        assert "  1 more groups: table has all" in page

    def test_notes(self):
        """Notes are told."""
        assert "advice!" in str(result([], [], notes=("advice!",)))

    def test_all_failed(self):
        """A result whose groups all failed tells so without figures."""
        found = simple(*(lambda key: row(key, FAIL, reason="no", seconds=0.0) for _ in range(3)))
        assert "3 FAIL" in str(found)
        assert "gain" not in str(found)
        assert found.count("FAIL") == 3
        assert found.count("COMPLETE") == 0
