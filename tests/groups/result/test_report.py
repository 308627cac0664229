"""The report of a call of `tune_groups`."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from manyfit import Choice, Float, Metric, Space
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.row import FAIL, GroupRow, row_schema, to_table
from manyfit.groups.result.report import groups_html
from manyfit.groups.result.result import GroupsResult

SPACE = Space({"rate": Float(0.1, 10.0, log=True), "api_key": Choice(["abcd1234", "b"])})


def result(keys, rows, **given):
    metric = Metric("mase")
    schema = row_schema(pa.schema([("shop", pa.string())]))
    table = to_table([(key,) for key in keys], rows, metric, schema)
    given = {"reason": "all groups are done", **given}
    return GroupsResult("m4", Path(), metric, SPACE, ("shop",), "independent", rows=table, **given)


def tuned(key, value=0.5, **given):
    params = {"rate": 1.0, "api_key": "abcd1234"}
    known = {"params": params, "value": value, "baseline": 1.0, "metrics": {"mase": value}}
    return GroupRow(key_text([key]), "COMPLETE", rows=9, trials=5, seconds=1.0, **known, **given)


def data_of(page):
    text = page.split('id="data">')[1].split("</script>")[0]
    found = json.loads(text)
    return [column["name"] for column in found["columns"]], found["rows"]


def test_figures_pictures_and_rows():
    """The median group, the gains, notes, and a row for each group with its key and params."""
    keys = ["a", "b", "c"]
    rows = [tuned(key, 0.2 * n) for n, key in enumerate(keys, start=1)]
    page = groups_html(result(keys, rows, notes=("Shop c is slow.",)))
    assert "3 of 3 groups did better than their baseline" in page
    assert "Shop c is slow." in page
    assert page.count("<svg viewBox") > 3
    names, data = data_of(page)
    assert [row[0] for row in data] == keys
    assert data[2][names.index("value")] == pytest.approx(0.6)
    assert data[0][names.index("params_rate")] == 1.0


def test_nothing_runs_and_nothing_secret_is_shown():
    """Keys and reasons with markup are text, and an option of a secret param is hidden."""
    hostile = "</script><script>alert(1)</script>"
    failed = GroupRow(key_text([hostile]), FAIL, reason=hostile, error="E", traceback=hostile)
    page = groups_html(result([hostile, "b"], [failed, tuned("b")]))
    assert page.count("<script") == 2
    assert "abcd1234" not in page


@pytest.mark.parametrize("count", [0, 1])
def test_no_groups_and_groups_that_all_failed(count):
    """Each is a page that says so."""
    rows = [GroupRow(key_text(["a"]), FAIL, reason="no data", error="E", traceback="T")] * count
    page = groups_html(result(["a"][:count], rows, reason="not started"))
    assert "No group has a value." in page
    assert ("no data" in page) == bool(count)


def test_ten_thousand_groups():
    """The page stays under three megabytes, with every group in its table."""
    keys = [f"shop {n}" for n in range(10_000)]
    page = groups_html(result(keys, [tuned(key, n / 10_000) for n, key in enumerate(keys)]))
    assert len(page) < 3_000_000
    assert len(data_of(page)[1]) == 10_000
