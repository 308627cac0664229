"""The text of a group's key."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.groups.record.keys import group_seed, key_text

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.text())


@given(st.lists(PLAIN, max_size=3), st.lists(PLAIN, max_size=3))
def test_different_keys_have_different_texts(one, other):
    """No two keys share a text, and each is JSON."""
    same = key_text(one) == key_text(other)
    assert same == ([(type(v), v) for v in one] == [(type(v), v) for v in other])
    assert json.loads(key_text(one)) == one


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "ns")])
def test_missing_values_are_one_key(value):
    """Whatever a library writes for a missing value, it is null."""
    assert key_text([value]) == "[null]"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([3, np.int64(3), np.int8(3)], "[3]"),
        ([1.5, np.float32(1.5)], "[1.5]"),
        ([0.0, -0.0, np.float32(-0.0)], "[0.0]"),
        ([True, np.bool_(True)], "[true]"),
        (["ö, \U0001f600"], '["ö, \U0001f600"]'),
        (
            [
                datetime.datetime(2020, 1, 2, 3),
                pd.Timestamp(2020, 1, 2, 3),
                np.datetime64("2020-01-02T03:00:00", "ns"),
            ],
            '["2020-01-02T03:00:00"]',
        ),
        ([datetime.date(2020, 1, 2)], '["2020-01-02"]'),
        ([decimal.Decimal("1.50"), decimal.Decimal("1.5")], '["1.5"]'),
        ([float("inf")], '["inf"]'),
        ([b"\x01"], '["01"]'),
    ],
)
def test_a_value_has_one_text(values, text):
    """It doesn't matter which library a value comes from."""
    assert {key_text([value]) for value in values} == {text}


def test_times_with_a_zone_are_moments():
    """The same moment in two zones is one key."""
    utc = pd.Timestamp("2020-01-01T12:00", tz="UTC")
    assert key_text([utc]) == key_text([utc.tz_convert("Asia/Tokyo")])


def test_seeds_differ():
    """Groups, and calls, have seeds of their own; text that isn't valid Unicode has one, too."""
    seeds = {group_seed(seed, text) for seed in (0, 1) for text in ("a", "b", "\ud800")}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)
