"""Data that lie in storage already."""

import datetime
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manyfit.data.references import Delta, NumpyFile, Parquet, Reference, TFRecord
from manyfit.data.shared import share
from manyfit.errors import ArgumentError

DAY = datetime.date(2030, 1, 1)


@pytest.fixture
def table() -> pa.Table:
    """A hundred rows."""
    return pa.table(
        {
            "i": range(100),
            "x": np.linspace(0, 1, 100),
            "text": [f"row {i}" for i in range(100)],
            "day": [DAY + datetime.timedelta(days=i) for i in range(100)],
        }
    )


@pytest.fixture
def folder(table: pa.Table, tmp_path: Path) -> Path:
    """The hundred rows in two partitions, of which each has five row groups."""
    for half in (0, 1):
        part = tmp_path / "train" / f"half={half}"
        part.mkdir(parents=True)
        pq.write_table(table.slice(half * 50, 50), part / "part.parquet", row_group_size=10)
    return tmp_path / "train"


# ── Parquet ───────────────────────────────────────────────────────────────────────────────────────


def test_a_parquet_file(table: pa.Table, tmp_path: Path) -> None:
    """A file arrives as the table that was written, in mapped memory."""
    pq.write_table(table, tmp_path / "train.parquet")
    data = share(train=Parquet(str(tmp_path / "train.parquet")))

    assert data["train"].equals(table)
    assert data.size < 1000


def test_a_folder_of_parquet(table: pa.Table, folder: Path) -> None:
    """A folder's files arrive as one table, with the folders' names as a column."""
    train = share(train=Parquet(str(folder)))["train"].sort_by("i")

    assert train.drop_columns("half").equals(table)
    assert train["half"].to_pylist() == [0] * 50 + [1] * 50


@pytest.mark.parametrize(
    "filters",
    [
        [("i", ">=", 20), ("half", "=", 0)],
        [[("i", ">=", 20), ("i", "<", 50)]],
        [("day", ">=", DAY + datetime.timedelta(days=20)), ("i", "<", 50)],
        (pc.field("i") >= 20) & (pc.field("half") == 0),
    ],
    ids=["all", "any", "date", "expression"],
)
def test_columns_and_rows(folder: Path, filters: Any) -> None:
    """Only the columns asked for arrive, in that order, and only the rows that pass the filters."""
    train = share(train=Parquet(str(folder), columns=["x", "i"], filters=filters))["train"]

    assert train.column_names == ["x", "i"]
    assert train["i"].to_pylist() == list(range(20, 50))


def test_it_is_read_once(folder: Path) -> None:
    """A machine reads it when it is first needed; what happens to the files later is not seen."""
    data = share(train=Parquet(str(folder)))
    assert data["train"].num_rows == 100
    for part in folder.rglob("*.parquet"):
        part.unlink()
    program = "import sys, pickle; print(pickle.load(sys.stdin.buffer)['train'].num_rows)"
    run = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(data), capture_output=True, check=False
    )

    assert run.stdout == b"100\n", run.stderr


def test_a_path_of_this_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means what it meant when it was shared."""
    monkeypatch.chdir(folder.parent)
    data = share(train=Parquet("train"))
    monkeypatch.chdir("/")

    assert data["train"].num_rows == 100


@pytest.mark.parametrize("scheme", ["file", "local", "memory"])
def test_urls(table: pa.Table, tmp_path: Path, scheme: str) -> None:
    """What pyarrow knows of URLs is read by it, the others by fsspec."""
    fsspec = pytest.importorskip("fsspec")
    url = f"{scheme}://{tmp_path}/train.parquet"
    with fsspec.open(url, "wb") as file:
        pq.write_table(table, file)

    assert share(train=Parquet(url))["train"].equals(table)


def test_no_rows(folder: Path) -> None:
    """Filters that let nothing pass give an empty table with its columns."""
    train = share(train=Parquet(str(folder), filters=[("i", "<", 0)]))["train"]

    assert train.num_rows == 0
    assert train.column_names == ["i", "x", "text", "day", "half"]


# ── batches ───────────────────────────────────────────────────────────────────────────────────────


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 14), st.integers(1, 60), st.sampled_from([None, [("i", ">=", 25)]]))
def test_shards_hold_each_row_once(folder: Path, world: int, rows: int, filters: Any) -> None:
    """However many shards and rows a batch, all shards together hold each row exactly once."""
    source = Parquet(str(folder), columns=["i", "half"], filters=filters)
    batches = [batch for rank in range(world) for batch in source.batches(rank, world, rows)]
    found = [row for batch in batches for row in batch.to_pylist()]

    assert sorted(row["i"] for row in found) == list(range(25 if filters else 0, 100))
    assert all(row["half"] == (row["i"] >= 50) for row in found)
    assert all(0 < batch.num_rows <= rows for batch in batches)


def test_shards_are_even(folder: Path) -> None:
    """Row groups are dealt out in turn, whatever files they are in."""
    shards = [Parquet(str(folder)).batches(rank, 5) for rank in range(5)]

    assert [sum(batch.num_rows for batch in shard) for shard in shards] == [20] * 5


@pytest.mark.parametrize(("rank", "world"), [(-1, 2), (2, 2), (0, 0)])
def test_no_such_shard(folder: Path, rank: int, world: int) -> None:
    """A shard that doesn't exist is refused."""
    with pytest.raises(ArgumentError, match=f"below world={world}, but got {rank}"):
        next(Parquet(str(folder)).batches(rank, world))


# ── Delta ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def delta(table: pa.Table, tmp_path: Path) -> Path:
    """A Delta table: at version 0 the first half, at version 1 all of the rows."""
    deltalake = pytest.importorskip("deltalake")
    path = tmp_path / "delta"
    deltalake.write_deltalake(path, table.slice(0, 50))
    deltalake.write_deltalake(path, table.slice(50), mode="append")
    return path


def test_a_delta_table(table: pa.Table, delta: Path) -> None:
    """It arrives as a table of its newest version, or of the one asked for."""
    data = share(new=Delta(str(delta)), old=Delta(str(delta), version=0))

    assert data["new"].sort_by("i").to_pylist() == table.to_pylist()
    assert data["old"].sort_by("i").to_pylist() == table.slice(0, 50).to_pylist()


def test_delta_is_pinned(table: pa.Table, delta: Path) -> None:
    """All machines read the version that was the newest when it was shared."""
    deltalake = pytest.importorskip("deltalake")
    data = share(train=Delta(str(delta)))
    deltalake.write_deltalake(delta, table, mode="overwrite")
    deltalake.write_deltalake(delta, table, mode="append")

    assert data["train"].num_rows == 100


def test_delta_columns_and_rows(delta: Path) -> None:
    """Columns and rows are selected as for Parquet."""
    filters = [("i", ">=", 40), ("i", "<", 60)]
    train = share(train=Delta(str(delta), columns=["i"], filters=filters))["train"]

    assert sorted(train["i"].to_pylist()) == list(range(40, 60))
    assert train.column_names == ["i"]


def test_delta_shards(delta: Path) -> None:
    """Shards of a Delta table hold each of its rows once."""
    shards = [Delta(str(delta), columns=["i"]).batches(rank, 2) for rank in range(2)]
    found = [batch["i"].to_pylist() for shard in shards for batch in shard]

    assert sorted(i for batch in found for i in batch) == list(range(100))


def test_no_delta_table(tmp_path: Path) -> None:
    """A table that isn't there is an error at once, and not on every worker."""
    deltalake = pytest.importorskip("deltalake")

    with pytest.raises(deltalake.exceptions.TableNotFoundError):
        share(train=Delta(str(tmp_path / "nowhere")))


# ── NumPy ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", ["", "local://"])
def test_a_numpy_file(tmp_path: Path, scheme: str) -> None:
    """It arrives as a read-only array, and doesn't change with the file."""
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    data = share(x=NumpyFile(f"{scheme}{tmp_path}/x.npy"))
    assert data["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    np.save(tmp_path / "x.npy", np.zeros(6))

    assert data["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not data["x"].flags.writeable


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04", b"\x93NUMPY\x01"])
def test_not_a_numpy_file(tmp_path: Path, content: bytes) -> None:
    """Another file is refused by name each time, and never kept as if it were one."""
    (tmp_path / "x.npy").write_bytes(content)
    data = share(x=NumpyFile(str(tmp_path / "x.npy")))

    for _ in range(2):
        with pytest.raises(ArgumentError, match=r"x.npy is not a .npy file of an array"):
            data["x"]


def test_numpy_files_of_others_kinds(tmp_path: Path) -> None:
    """Several arrays in one file are refused, and so are objects, which are code from storage."""
    np.savez(tmp_path / "several.npz", a=np.ones(2))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)

    for name in ("several.npz", "objects.npy"):
        with pytest.raises(ArgumentError, match=f"{name} is not a .npy file of an array"):
            share(x=NumpyFile(str(tmp_path / name)))["x"]


# ── TFRecord ──────────────────────────────────────────────────────────────────────────────────────


def test_a_feature_of_a_strange_type() -> None:
    """A type that examples can't have is refused when it is named."""
    with pytest.raises(ArgumentError, match=r"feature 'x' must be of type .*, but got 'float64'"):
        TFRecord("train", {"x": ("float64", ())})


WRITE = """
import sys
import tensorflow as tf
def feature(**kind):
    return tf.train.Feature(**kind)
for part in range(2):
    with tf.io.TFRecordWriter(f"{sys.argv[1]}/train-{part}") as file:
        for i in range(part * 5, part * 5 + 5):
            file.write(tf.train.Example(features=tf.train.Features(feature={
                "label": feature(int64_list=tf.train.Int64List(value=[i])),
                "x": feature(float_list=tf.train.FloatList(value=[i, i / 2])),
                "image": feature(bytes_list=tf.train.BytesList(value=[b"a\\0" * i])),
            })).SerializeToString())
from manyfit.data.references import TFRecord
from manyfit.data.shared import share
features = {"label": ("int64", ()), "x": ("float32", (2,)), "image": ("bytes", ())}
read = share(train=TFRecord(f"{sys.argv[1]}/train-*", features))["train"]
assert read["label"].tolist() == list(range(10))
assert read["x"].tolist() == [[i, i / 2] for i in range(10)]
assert read["image"].tolist() == [b"a\\0" * i for i in range(10)]
assert (read["label"].dtype, read["x"].dtype) == ("int64", "float32")
assert not read["x"].flags.writeable
open(f"{sys.argv[1]}/none", "w")
empty = share(train=TFRecord(f"{sys.argv[1]}/none", features))["train"]
assert (empty["x"].shape, empty["x"].dtype) == ((0, 2), "float32")
try:
    share(train=TFRecord(f"{sys.argv[1]}/nowhere", features))["train"]
except FileNotFoundError as error:
    assert "there is no file at" in str(error)
else:
    raise AssertionError
"""


@pytest.mark.integration
@pytest.mark.soak("tensorflow")
def test_tfrecords(tmp_path: Path) -> None:
    """Files that TensorFlow wrote arrive as an array for each feature, of all files in order."""
    pytest.importorskip("tensorflow")
    run = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path)], capture_output=True, check=False
    )

    assert run.returncode == 0, run.stderr.decode()


# ── all of them ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "reference",
    [
        Parquet("s3://bucket/train", columns=["x"], filters=[("x", ">", 1)]),
        Delta("s3://bucket/train", version=3),
        NumpyFile("s3://bucket/x.npy"),
        TFRecord("gs://bucket/train-*", {"x": ("float32", ())}),
    ],
    ids=lambda reference: type(reference).__name__,
)
def test_references_are_values(reference: Reference) -> None:
    """A reference can be compared and pickled, and a URL stays as it is."""
    assert pickle.loads(pickle.dumps(reference)) == reference
    if not isinstance(reference, Delta):  # which would have to look for the newest version
        assert reference.pinned() == reference
