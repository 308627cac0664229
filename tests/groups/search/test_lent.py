"""Frames that are lent to one call after another."""

import numpy as np
import pandas as pd
import pytest

from manyfit.groups.search.lent import Lent


def frame(rows=4):
    """Columns of many kinds, with missing values."""
    return pd.DataFrame(
        {
            "x": np.arange(rows, dtype=float),
            "gap": [float("nan")] * rows,
            "n": range(rows),
            "ok": [True, False] * (rows // 2),
            "word": ["a", None] * (rows // 2),
            "at": pd.Timestamp("2024-01-01"),
        }
    )


def set_cell(lent):
    lent.loc[1, "x"] = 9.0


def set_word(lent):
    lent.loc[0, "word"] = "z"


def set_array(lent):
    lent["n"].to_numpy()[:] = 7


def fill(lent):
    lent.fillna(0.0, inplace=True)


def add_column(lent):
    lent["new"] = lent.pop("x")


def replace_column(lent):
    lent["x"] = 0


def name_columns(lent):
    lent.columns.name = "columns"


def name_index(lent):
    lent.index.name = "row"


def sort(lent):
    lent.sort_values("x", ascending=False, inplace=True)


def set_attribute(lent):
    lent.attrs["seen"] = [1]


CHANGES = [
    *(set_cell, set_word, set_array, fill, add_column, replace_column),
    *(name_columns, name_index, sort, set_attribute),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("rows", [4, 20_000], ids=["small", "large"])
def test_no_call_sees_what_another_has_changed(change, rows):
    """Each gets the original's rows, columns and names, whatever the one before has done."""
    lent = Lent(frame(rows))
    for _ in range(3):
        given = lent.lend()
        pd.testing.assert_frame_equal(given, frame(rows))
        assert given.columns.name is None
        assert given.index.name is None
        assert given.attrs == {}
        change(given)
        lent.take_back()


def test_a_small_frame_is_not_copied_for_calls_that_only_read():
    """They share memory, and each has a frame of its own."""
    lent = Lent(frame())
    one = lent.lend()
    assert one["x"].sum() == 6.0
    lent.take_back()
    other = lent.lend()
    assert other is not one
    assert np.shares_memory(one["x"].to_numpy(), other["x"].to_numpy())


@pytest.mark.parametrize(
    "columns",
    [
        {"list": [[1], [2]]},
        {"kind": pd.Categorical(["a", "b"])},
        {"maybe": pd.array([1, None], dtype="Int64")},
        {"zoned": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True)},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_other_columns_are_copied(columns):
    """Cells that can change, and columns of types that are pandas' own, are not shared."""
    original = pd.DataFrame({"x": [1.0, 2.0], **columns})
    lent = Lent(original.copy())
    one, other = lent.lend(), lent.lend()
    pd.testing.assert_frame_equal(one, original)
    assert not np.shares_memory(one["x"].to_numpy(), other["x"].to_numpy())
    if "list" in columns:
        one["list"].iloc[0].append(5)
        assert other["list"].tolist() == [[1], [2]]


def test_a_frame_without_rows_or_columns():
    """It is lent as it is."""
    for empty in (pd.DataFrame(), frame()[:0], frame()[[]]):
        lent = Lent(empty)
        pd.testing.assert_frame_equal(lent.lend(), empty)
        lent.take_back()
        pd.testing.assert_frame_equal(lent.lend(), empty)
