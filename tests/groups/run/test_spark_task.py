"""Streams of groups, as tasks of Spark get them."""

import datetime
import itertools
import math

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from manyfit.groups.run.spark_task import edges, gathered, naive

MOST_ROWS, MOST_GROUPS = 20_000, 64


@st.composite
def streams(draw):
    """Sizes of groups, and where the stream of their rows is cut into batches."""
    sizes = draw(st.lists(st.integers(1, 9_000), min_size=1, max_size=12))
    small = draw(st.integers(0, 150))
    sizes = draw(st.permutations([*sizes, *[1] * small]))
    rows = sum(sizes)
    cuts = sorted(draw(st.sets(st.integers(0, rows), max_size=8)))
    return sizes, [0, *cuts, rows]


@given(streams())
def test_groups_stay_whole(stream):
    """However a stream is cut: each group is in one table, in order, and tables are small."""
    sizes, bounds = stream
    keys = [None if place == 0 else place for place, size in enumerate(sizes) for _ in range(size)]
    whole = pa.table({"g": pa.array(keys, pa.int64()), "y": range(len(keys))})
    batches = [
        batch
        for begin, end in itertools.pairwise(bounds)
        for batch in whole.slice(begin, end - begin).combine_chunks().to_batches()
    ]
    found = list(gathered(iter(batches), ["g"]))
    assert pa.concat_tables(found).column("y").to_pylist() == list(range(len(keys)))
    seen = [key for table in found for key in dict.fromkeys(table.column("g").to_pylist())]
    assert len(seen) == len(set(seen)) == len(sizes)
    for table in found:
        groups = len(set(table.column("g").to_pylist()))
        assert groups <= MOST_GROUPS
        assert groups == 1 or len(table) < MOST_ROWS + 9_000


def test_nothing_comes():
    """A partition may be empty, and so may a batch."""
    empty = pa.RecordBatch.from_pydict({"g": pa.array([], pa.int64())})
    assert list(gathered(iter([]), ["g"])) == []
    assert list(gathered(iter([empty]), ["g"])) == []


def test_missing_keys_are_alike():
    """NULL is one key, and so is NaN; both differ from all others."""
    table = pa.table({"a": pa.array([None, None, 1.0, math.nan, math.nan, 2.0])})
    assert edges(table) == [2, 3, 5]


def test_times_lose_their_zone():
    """They become what clocks there show, and others stay."""
    at = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.UTC)
    zoned = pa.array([at], pa.timestamp("us", "Europe/Berlin"))
    found = naive(pa.table({"at": zoned, "n": [1]}))
    assert found.to_pylist() == [{"at": datetime.datetime(2024, 7, 1, 14), "n": 1}]
