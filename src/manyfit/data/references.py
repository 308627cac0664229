"""References to data in storage, which each machine reads once and then maps.

A reference among the values of `share` travels as a description of a few hundred bytes. The first
process of a machine that needs the data writes them next to the description, in one of the formats
of `data.formats`.
"""

import dataclasses
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import cloudpickle
import numpy as np

from manyfit._optional import load, require
from manyfit.data.formats import FORMATS, Format, write_batches
from manyfit.errors import ArgumentError
from manyfit.worker.node import make_once

_PARSED = 1024  # TFRecord examples at once
_SCALARS = {"bytes": object, "int64": np.int64, "float32": np.float32}


@dataclass(frozen=True)
class Reference:
    """Base of references to data in storage.

    Args:
        path: The location of the data: a path that is the same on all machines, or a URL.
    """

    path: str
    kind: ClassVar[str]  # the format of what is cached

    def pinned(self) -> Self:
        """Return a reference that means the same data on every machine."""
        return dataclasses.replace(self, path=absolute(self.path))

    def cache(self, path: Path) -> None:
        """Read the data and write them to a file in the format of `kind`."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Columns(Reference):
    """Columns and rows of data that pyarrow can read in batches."""

    columns: Sequence[str] | None = None
    filters: Any = None
    kind = "table"

    def cache(self, path: Path) -> None:
        """Write only the requested columns and rows, as an Arrow file."""
        scanner = self._dataset().scanner(columns=self._names(), filter=self._condition())
        write_batches(scanner.projected_schema, scanner.to_batches(), path)

    def batches(self, rank: int = 0, world: int = 1, rows: int = 65_536) -> Iterator[Any]:
        """Read data larger than memory, or one shard of them, in batches.

        The shards together contain each row exactly once, as long as the files don't change. They
        consist of whole row groups: if there are fewer of these than shards, some shards are empty.

        Args:
            rank: The index of the shard, from 0.
            world: The number of shards.
            rows: The largest number of rows in a batch.

        Yields:
            `pyarrow.RecordBatch`, never an empty one.

        Raises:
            ArgumentError: `rank` isn't below `world`.
        """
        if not 0 <= rank < world:
            raise ArgumentError(f"rank must be at least 0 and below world={world}, but got {rank}")
        dataset, condition = self._dataset(), self._condition()
        pieces = [
            piece
            for fragment in sorted(dataset.get_fragments(condition), key=lambda each: each.path)
            for piece in fragment.split_by_row_group(condition, dataset.schema)
        ]
        for piece in pieces[rank::world]:
            batches = piece.to_batches(
                schema=dataset.schema, columns=self._names(), filter=condition, batch_size=rows
            )
            yield from (batch for batch in batches if batch.num_rows)

    def _names(self) -> list[str] | None:
        return None if self.columns is None else list(self.columns)

    def _condition(self) -> Any:
        if isinstance(self.filters, list | tuple):
            return load("pyarrow.parquet").filters_to_expression(list(self.filters))
        return self.filters

    def _dataset(self) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Parquet(_Columns):
    """Refers to a Parquet file, or to a folder of them; arrives as a `pyarrow.Table`.

    Only the required columns and row groups are read. Folders named `key=value` become columns.

    Args:
        path: A path that is the same on all machines, or a URL: s3, gs, abfs, hdfs, or one of
            fsspec's (`manyfit[storage]`). Credentials are those of the worker's environment.
        columns: The columns to read, in order; by default all.
        filters: The rows to read: conditions such as `[("year", ">", 2020), …]`, all of which must
            hold; a list of such lists, one of which must hold; or a `pyarrow.dataset` expression.
            By default all.

    Example:
        >>> Parquet("s3://bucket/train", columns=["x", "y"], filters=[("year", ">", 2020)]).kind
        'table'
    """

    def _dataset(self) -> Any:
        datasets = require("pyarrow.dataset", extra="arrow", purpose="manyfit.Parquet")
        filesystem, path = filesystem_of(self.path)
        return datasets.dataset(path, filesystem=filesystem, format="parquet", partitioning="hive")


@dataclass(frozen=True)
class Delta(_Columns):
    """Refers to a Delta table; arrives as a `pyarrow.Table`. Needs `manyfit[delta]`.

    Tables with deletion vectors or column mapping are refused: the library can't read them as Arrow
    datasets.

    Args:
        path: The table's folder or URL. Credentials are those of the worker's environment.
        columns: The columns to read, in order; by default all.
        filters: The rows to read, as for `Parquet`; by default all.
        version: The version to read, the same on every machine; by default the newest one when
            `share` is called.
    """

    version: int | None = None

    def pinned(self) -> Self:
        """Return a reference to the version that is now the newest."""
        fixed = super().pinned()
        return dataclasses.replace(fixed, version=int(fixed._table().version()))

    def _table(self) -> Any:
        deltalake = require("deltalake", extra="delta", purpose="manyfit.Delta")
        return deltalake.DeltaTable(self.path, version=self.version)

    def _dataset(self) -> Any:
        return self._table().to_pyarrow_dataset()


@dataclass(frozen=True)
class NumpyFile(Reference):
    """Refers to a `.npy` file, not of objects; arrives as a read-only, mapped array.

    Args:
        path: A path that is the same on all machines, or a URL of fsspec's (`manyfit[storage]`).
    """

    kind = "numpy"

    def cache(self, path: Path) -> None:
        """Copy the file, after checking that it can be mapped."""
        with open_binary(self.path) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        try:
            FORMATS["numpy"].open(path)
        except ValueError as error:
            raise ArgumentError(
                f"{self.path} is not a .npy file of an array that can be mapped: {error}"
            ) from error


@dataclass(frozen=True)
class TFRecord(Reference):
    """Refers to TFRecord files of `tf.train.Example`; arrives as a dict of NumPy arrays.

    An array holds one feature of all examples, in the order of the files. Its shape is (examples,
    *shape). Arrays of `int64` and `float32` are mapped and read-only; `bytes` objects are in the
    memory of each process. Workers need TensorFlow to read the files, but not to use the arrays.

    Args:
        path: A path or pattern that TensorFlow reads, such as `gs://bucket/train-*`.
        features: The type and shape of each feature, as in `{"image": ("bytes", ()), "label":
            ("int64", ())}`. All examples must have them.

    Raises:
        ArgumentError: A type is none of these three.
    """

    features: Mapping[str, tuple[str, tuple[int, ...]]]
    kind = "object"

    def __post_init__(self) -> None:
        for name, (scalar, _) in self.features.items():
            if scalar not in _SCALARS:
                raise ArgumentError(
                    f"feature {name!r} must be of type {', '.join(_SCALARS)}, but got {scalar!r}"
                )

    def cache(self, path: Path) -> None:
        """Parse all examples and write an array for each feature."""
        tf = require("tensorflow", extra="tensorflow", purpose="manyfit.TFRecord")
        files = sorted(tf.io.gfile.glob(self.path))
        if not files:
            raise FileNotFoundError(f"there is no file at {self.path}")
        spec = {
            name: tf.io.FixedLenFeature(shape, tf.string if scalar == "bytes" else scalar)
            for name, (scalar, shape) in self.features.items()
        }
        batches = tf.data.TFRecordDataset(files).batch(_PARSED)
        parsed = batches.map(lambda batch: tf.io.parse_example(batch, spec))
        parts = list(parsed.as_numpy_iterator())
        FORMATS["object"].write({name: self._joined(name, parts) for name in spec}, path)

    def _joined(self, name: str, parts: Sequence[Mapping[str, Any]]) -> Any:
        scalar, shape = self.features[name]
        empty = np.empty((0, *shape), _SCALARS[scalar])
        return np.concatenate([empty, *(part[name] for part in parts)])


# ── where they lie ────────────────────────────────────────────────────────────────────────────────


def absolute(path: str | os.PathLike[str]) -> str:
    """Return a URL unchanged, and a path as an absolute one."""
    text = os.fspath(path)
    return text if "://" in text else str(Path(text).absolute())


def open_binary(path: str) -> Any:
    """Open a local path, or a URL of fsspec's, for reading."""
    if "://" not in path:
        return Path(path).open("rb")
    return require("fsspec", extra="storage", purpose=f"reading {path}").open(path, "rb").open()


def filesystem_of(path: str) -> tuple[Any, str]:
    """Return a file system for a path: pyarrow's own if it has one, otherwise fsspec's."""
    if "://" not in path:
        return None, path
    try:
        found: tuple[Any, str] = load("pyarrow.fs").FileSystem.from_uri(path)
    except ValueError:  # not one of its schemes
        fsspec = require("fsspec", extra="storage", purpose=f"reading {path}")
        found = fsspec.core.url_to_fs(path)
    return found


# ── as a format ───────────────────────────────────────────────────────────────────────────────────


def cached(path: Path) -> Path:
    """Return the file with the data of a reference, written by the first process that needs it."""
    return make_once(path.parent, f"{path.name}.cached", _read(path).cache)


def _read(path: Path) -> Reference:
    reference: Reference = pickle.loads(path.read_bytes())  # noqa: S301 - the driver's own
    return reference


def _write(reference: Reference, path: Path) -> None:
    path.write_bytes(cloudpickle.dumps(reference))


def _open(path: Path) -> Any:
    return FORMATS[_read(path).kind].open(cached(path))


REFERENCE = Format(".reference", _write, _open)
