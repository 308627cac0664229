"""Shared values on disk: what comes back, and what it costs in memory."""

import string
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as npst
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from manyfit.data.formats import FORMATS, kind_of, lend


def back(value: Any) -> Any:
    """What a worker gets for a value."""
    form = FORMATS[kind_of(value)]
    with tempfile.TemporaryDirectory() as folder:  # a mapped file may be deleted
        path = Path(folder) / f"value{form.suffix}"
        form.write(value, path)
        return form.open(path)


def anonymous() -> int:
    """Bytes of this process that belong to no file."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        pytest.skip("needs Linux")
    (line,) = (line for line in rollup.read_text().splitlines() if line.startswith("Anonymous"))
    return int(line.split()[1]) * 1024


SCALARS = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?"),
    npst.complex_number_dtypes(),
    npst.unicode_string_dtypes(max_len=4),
    npst.byte_string_dtypes(max_len=4),
    npst.datetime64_dtypes(),
    npst.timedelta64_dtypes(),
)
NUMBERS = st.one_of(  # of this machine's byte order, as pandas wants them
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="="),
    npst.floating_dtypes(endianness="="),
)
ARRAYS = npst.arrays(
    st.one_of(SCALARS, npst.array_dtypes(SCALARS, max_size=3), npst.nested_dtypes(SCALARS)),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@given(ARRAYS, st.sampled_from(["as it is", "Fortran", "reversed"]))
def test_arrays_come_back(array: Any, order: str) -> None:
    """Of whatever type, shape and layout, an array's type, shape and bytes survive, read-only."""
    if order == "Fortran":
        array = np.asfortranarray(array)
    if order == "reversed" and array.ndim:
        array = array[tuple(slice(None, None, -1) for _ in array.shape)]
    found = back(array)

    assert type(found) is np.ndarray
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tobytes() == array.tobytes()
    assert not found.flags.writeable


@given(ARRAYS)
def test_arrays_within_objects_come_back(array: Any) -> None:
    """An array inside of something else survives in the same way."""
    found = back({"deep": [array, array.T]})["deep"]

    for before, after in zip([array, array.T], found, strict=True):
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        assert after.tobytes() == before.tobytes()


def test_read_only_for_good() -> None:
    """Nobody can make a mapped array writable, so no trial can change another one's data."""
    array = back(np.arange(3.0))

    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


@pytest.mark.parametrize(
    "value",
    [
        np.array([{"a": 1}, None, "x"], dtype=object),
        np.ma.masked_array([1, 2], mask=[False, True]),
        np.array(["short", "a longer string than that"], dtype=np.dtypes.StringDType()),
    ],
    ids=["objects", "masked", "strings"],
)
def test_arrays_that_are_more_than_memory(value: Any) -> None:
    """Arrays of objects, subclasses, and strings of variable length keep what they are."""
    found = back(value)

    assert type(found) is type(value)
    assert found.tolist() == value.tolist()
    assert found.dtype == value.dtype


FRAME = pd.DataFrame(
    {
        "float": [1.5, float("nan"), -0.0, 2.0],
        "int": np.array([1, 2, 3, 4], dtype="int8"),
        "bool": [True, False, True, True],
        "text": ["a", None, "c", "ä"],
        "category": pd.Categorical(["x", "y", None, "x"], categories=["y", "x"], ordered=True),
        "time": pd.date_range("2030-01-01", periods=4, freq="h", tz="Europe/Berlin"),
        "span": pd.to_timedelta([1, 2, 3, None], unit="s"),
        "nullable": pd.array([1, None, 3, 4], dtype="Int64"),
        "arrow": pd.array(["a", "b", None, "d"], dtype="string[pyarrow]"),
        "period": pd.period_range("2030", periods=4, freq="M"),
        "interval": pd.interval_range(0, 4),
        "objects": [{"a": 1}, [2], None, (3,)],
        7: [1, 2, 3, 4],
    },
    index=pd.date_range("2030-01-01", periods=4, freq="D", name="day"),
)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.iloc[::2, :3],
        FRAME.iloc[:0],
        FRAME[[]],
        FRAME.reset_index(drop=True),
        FRAME.set_index(["int", "text"]),
        pd.DataFrame([[1, 2]], columns=["same", "same"]),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])),
        pd.DataFrame({"sparse": pd.arrays.SparseArray([0.0, 0.0, 1.0])}),
    ],
    ids=["all", "cut", "no-rows", "no-columns", "range", "multi", "twice", "levels", "sparse"],
)
def test_frames_come_back(frame: pd.DataFrame) -> None:
    """Types, categories, index with its name and frequency, and columns survive exactly."""
    pd.testing.assert_frame_equal(back(frame), frame, check_exact=True, check_flags=True)


@pytest.mark.parametrize("name", [column for column in FRAME.columns if column != "objects"])
def test_series_and_indexes_come_back(name: Any) -> None:
    """A column alone, or as an index, is what it was."""
    pd.testing.assert_series_equal(back(FRAME[name]), FRAME[name], check_exact=True)
    pd.testing.assert_index_equal(back(pd.Index(FRAME[name])), pd.Index(FRAME[name]), exact=True)


@given(
    st.dictionaries(
        st.text(string.ascii_letters, max_size=3),
        npst.arrays(NUMBERS, 5),
        max_size=4,
    )
)
def test_any_numbers_in_a_frame(columns: dict[str, Any]) -> None:
    """Whatever numbers a frame's columns hold, they survive."""
    frame = pd.DataFrame(columns)

    pd.testing.assert_frame_equal(back(frame), frame, check_exact=True)


def test_tables_come_back() -> None:
    """A pyarrow table keeps its schema, metadata and chunks, and lies in mapped memory."""
    table = pa.table({"a": [1, None], "b": ["x", "y"]}).replace_schema_metadata({"k": "v"})
    table = pa.concat_tables([table, table])
    before = pa.total_allocated_bytes()
    found = back(table)

    assert found.equals(table, check_metadata=True)
    assert found["a"].num_chunks == 2
    assert pa.total_allocated_bytes() - before < 1000


@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.ones(n),
        lambda n: {"x": [np.ones(n // 2), np.ones((n // 4, 4))[:, ::2]]},
        lambda n: scipy.sparse.csr_matrix(np.ones((n, 1))),
        lambda n: pd.DataFrame({"x": np.full(n // 2, np.nan), "y": range(n // 2)}),
        lambda n: pd.DataFrame({"x": np.ones(n), "y": 1.0, "z": "z"}).iloc[:, :2],
        lambda n: pd.Series(pd.date_range("2030", periods=n, freq="s", tz="UTC")),
        lambda n: pd.Series(pd.Categorical(["a"] * n)),
        lambda n: pd.Series(["text"] * n, dtype="string[pyarrow]"),
        lambda n: pa.table({"x": np.ones(n)}),
    ],
    ids=["array", "dict", "sparse", "frame", "cut", "times", "categories", "strings", "table"],
)
def test_memory_is_shared(make: Any) -> None:
    """An opened value lies in pages of its file, which all processes share."""
    value = make(4_000_000)
    form = FORMATS[kind_of(value)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "value"
        form.write(value, path)
        size = path.stat().st_size
        del value
        before = anonymous()
        found = form.open(path)
        grown = anonymous() - before

    assert found is not None
    assert grown < size // 8


def test_a_lent_frame_is_ones_own_outside() -> None:
    """Columns that a trial adds to a frame are not in the next one's; values it can't change."""
    opened = back(FRAME[["float", "int"]])
    lent = lend(opened)
    lent["new"] = 1

    assert list(lend(opened).columns) == ["float", "int"]
    with pytest.raises(ValueError, match="read-only"):
        lent["float"].to_numpy()[0] = 5
