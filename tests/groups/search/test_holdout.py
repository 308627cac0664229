"""Splits of a group's rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import ArgumentError
from manyfit.groups.search.holdout import Holdout, take

HOLDOUTS = st.one_of(
    st.integers(1, 50).map("last {}".format),
    st.integers(2, 10).map("{} folds".format),
    st.floats(0.01, 0.99),
).map(Holdout.of)


@given(HOLDOUTS, st.integers(0, 80), st.integers(0, 3))
def test_parts_are_disjoint_and_whole(holdout, extra, seed):
    """Each split has all rows, each on one side, in order, and neither side is empty."""
    rows = holdout.fewest + extra
    for fit, valid in holdout.splits(rows, seed):
        assert len(fit) > 0
        assert len(valid) > 0
        assert sorted([*fit, *valid]) == list(range(rows))
        assert list(fit) == sorted(fit)
        assert list(valid) == sorted(valid)


@given(HOLDOUTS, st.integers(0, 80))
def test_the_same_seed_splits_alike(holdout, extra):
    """All trials of a group have the same rows."""
    rows = holdout.fewest + extra
    pairs = zip(holdout.splits(rows, 7), holdout.splits(rows, 7), strict=True)
    assert all(
        np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True)
    )


def test_folds_cover_all_rows():
    """Each row is validated on once."""
    splits = list(Holdout.of("3 folds").splits(10, 0))
    assert sorted(row for _, valid in splits for row in valid) == list(range(10))


def test_last_rows_are_the_last():
    """They are validated on, whatever the seed."""
    ((fit, valid),) = Holdout.of("last 2").splits(5, 3)
    assert (fit.tolist(), valid.tolist()) == ([0, 1, 2], [3, 4])


@pytest.mark.parametrize(("text", "fewest"), [("last 48", 49), ("5 folds", 5), (0.2, 2)])
def test_too_small(text, fewest):
    """One row less than it takes is too few, and the reason says so."""
    holdout = Holdout.of(text)
    assert holdout.too_small(fewest) is None
    assert holdout.too_small(fewest - 1) == (
        f"{'1 row' if fewest == 2 else f'{fewest - 1} rows'}: "
        f"holdout={holdout} needs {fewest} at least"
    )


@pytest.mark.parametrize("wrong", ["last", "last 0", "1 folds", "48", 0.0, 1.0, 1, None, "last -1"])
def test_what_is_no_holdout(wrong):
    """Anything else is refused."""
    with pytest.raises(ArgumentError, match="holdout must be 'last N' rows"):
        Holdout.of(wrong)


def test_rows_are_numbered_anew():
    """A part is a frame of its own."""
    part = take(pd.DataFrame({"a": [1, 2, 3]}), np.array([0, 2]))
    assert part.to_dict("list") == {"a": [1, 3]}
    assert list(part.index) == [0, 1]
