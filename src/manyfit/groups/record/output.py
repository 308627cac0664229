"""Rows of groups, models included, in a Parquet folder or a Delta table, appended as they arrive.

The record keeps the rows without their models; so on Spark models never come to the driver.
"""

import dataclasses
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from manyfit._names import from_file_name
from manyfit._optional import load, require
from manyfit.data.references import Delta, Parquet, absolute, filesystem_of
from manyfit.errors import ArgumentError, JournalError
from manyfit.groups.record.ended import DEFAULTS, completed
from manyfit.groups.record.row import CALL, COLUMN_NAMES, Schema, Table

MODEL = "model"
DELTA_LOG = "_delta_log"

Place: TypeAlias = Parquet | Delta
Column: TypeAlias = tuple[str, str]  # name and type
# Small tables are collected until they have this many rows or bytes, or for this many seconds.
_MOST_ROWS, _MOST_BYTES, _LONGEST = 10_000, 64_000_000, 10.0


@dataclass(frozen=True, slots=True)
class Output:
    """The place that rows are written to.

    Attributes:
        place: The folder or table; its path is absolute.
        call: Names the call that writes.
    """

    place: Place
    call: str

    @classmethod
    def of(cls, given: str | Path | Place, home: Path) -> "Output":
        """Return the output that a user's argument means; a path means a Parquet folder.

        Args:
            given: The place.
            home: The record's folder, whose name is the call's.

        Raises:
            ArgumentError: It is none, or a part of a place, or is not apart from the record.
        """
        place = Parquet(os.fspath(given)) if isinstance(given, str | os.PathLike) else given
        if not isinstance(place, Parquet | Delta):
            raise ArgumentError(
                "output must be the path or URL of a Parquet folder, manyfit.Parquet(...) or "
                f"manyfit.Delta(...), but got {given!r:.200}"
            )
        if place != type(place)(place.path):
            raise ArgumentError(
                f"output must be a place to write to: a path and nothing else, but got {place}"
            )
        found = cls(
            dataclasses.replace(place, path=absolute(place.path)), from_file_name(home.name)
        )
        found._check_apart(home)
        return found

    @property
    def format(self) -> str:
        """The name of the format in Spark."""
        return "delta" if isinstance(self.place, Delta) else "parquet"

    def _check_apart(self, home: Path) -> None:
        """Check that rows and the record are in different folders."""
        path = self.place.path.removeprefix("file://")
        if "://" in path:
            return
        ours, place = home.resolve(), Path(path).resolve()
        if ours == place or ours in place.parents or place in ours.parents:
            raise ArgumentError(
                f"output={self.place.path!r} must be a folder of its own, but the record of this "
                f"call is at {home}"
            )

    def open(self, schema: Schema) -> None:
        """Make sure that rows of a schema can be written.

        Raises:
            ArgumentError: What is there already is something else.
            JournalError: It can't be read or written.
        """
        # Delta checks the types of its columns itself.
        keys = schema.names[: -len(COLUMN_NAMES)] if isinstance(self.place, Parquet) else []
        known = self._known(keys)
        if known is None:
            self.write(schema.empty_table())
            return
        self.check(known, [(CALL, ""), *_columns(schema, keys)])

    def check(self, known: Sequence[Column], wanted: Sequence[Column]) -> None:
        """Check that rows can go where others are: an older Manyfit's may have fewer columns.

        Args:
            known: The columns that are there.
            wanted: Those of rows.

        Raises:
            ArgumentError: They have other columns.
        """
        needed = {each for each in wanted if each[0] not in DEFAULTS}
        if not needed <= set(known) <= set(wanted):
            raise ArgumentError(self._refusal(known, wanted))

    def _refusal(self, known: Sequence[Column], wanted: Sequence[Column]) -> str:
        """Say why rows can't go where other columns are."""
        here, ours = [name for name, _ in known], [name for name, _ in wanted]
        if here == ours:
            pairs = [each for each in zip(known, wanted, strict=True) if each[0] != each[1]]
            here, ours = ([" ".join(pair[side]) for pair in pairs] for side in (0, 1))
        return (
            f"output={self.place.path!r} holds something else: its columns are "
            f"{', '.join(here):.300}, but rows of groups here have {', '.join(ours)}"
        )

    def unreadable(self, why: object) -> str:
        """Say why nothing can be added to what is there."""
        return (
            f"output={self.place.path!r} holds something else, or can't be read as {self.format}: "
            f"give a folder that is new, or that has rows of groups.\n{why}"
        )

    @property
    def delta_advice(self) -> str:
        """What to say where a Parquet folder is wanted and a Delta table is."""
        path = self.place.path
        return f"output={path!r} is a Delta table: pass output=manyfit.Delta({path!r})"

    def _known(self, keys: Sequence[str]) -> list[Column] | None:
        """Return the columns that are there, key columns with their types; None if nothing is.

        Raises:
            ArgumentError: It can't be read, or is of another format.
        """
        if isinstance(self.place, Delta):
            deltalake = require("deltalake", extra="delta", purpose="output=manyfit.Delta")
            if deltalake.DeltaTable.is_deltatable(self.place.path):
                fields = deltalake.DeltaTable(self.place.path).schema().fields
                return [(each.name, "") for each in fields]
        filesystem, path = filesystem_of(self.place.path)
        if isinstance(self.place, Parquet) and _exists(filesystem, f"{path}/{DELTA_LOG}"):
            raise ArgumentError(self.delta_advice)
        try:
            datasets = load("pyarrow.dataset")
            found = datasets.dataset(path, filesystem=filesystem, format="parquet").schema
        except FileNotFoundError:
            return None
        except (ValueError, OSError) as error:
            raise ArgumentError(self.unreadable(error)) from error
        if found.names and isinstance(self.place, Delta):
            raise ArgumentError(self.unreadable("it has files, and is no Delta table"))
        return _columns(found, keys) or None

    def rows(self, schema: Schema) -> Table:
        """Return the rows that this call has written, without models."""
        known = self._dataset(schema)
        names = [each for each in schema.names if each != MODEL and each in known.schema.names]
        ours = load("pyarrow.dataset").field(CALL) == self.call
        return completed(known.to_table(columns=names, filter=ours), schema)

    def _dataset(self, schema: Schema) -> Any:
        """Return what is there as a pyarrow dataset; columns that a file lacks are null in it."""
        if isinstance(self.place, Delta):
            deltalake = require("deltalake", extra="delta", purpose="output=manyfit.Delta")
            return deltalake.DeltaTable(self.place.path).to_pyarrow_dataset()
        filesystem, path = filesystem_of(self.place.path)
        found = load("pyarrow.dataset").dataset(path, filesystem=filesystem, format="parquet")
        new = [field for field in schema if field.name not in found.schema.names]
        return found.replace_schema(load("pyarrow").schema([*found.schema, *new]))

    def write(self, rows: Table) -> None:
        """Append rows, all of them or none.

        Raises:
            JournalError: It can't be written.
        """
        arrow = load("pyarrow")
        calls = arrow.array([self.call] * len(rows), arrow.string())
        whole = rows.add_column(0, arrow.field(CALL, arrow.string()), calls)
        try:
            self._append(whole)
        except OSError as error:
            raise JournalError(f"can't write to output={self.place.path!r}: {error}") from error

    def _append(self, table: Table) -> None:
        if isinstance(self.place, Delta):
            deltalake = require("deltalake", extra="delta", purpose="output=manyfit.Delta")
            deltalake.write_deltalake(self.place.path, table, mode="append", schema_mode="merge")
            return
        parquet = load("pyarrow.parquet")
        name = f"{self.call}-{secrets.token_hex(6)}.parquet"
        filesystem, path = filesystem_of(self.place.path)
        if filesystem is None:
            folder = Path(path)
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f".{name}"  # readers ignore names that begin with a dot
            with part.open("wb") as file:
                parquet.write_table(table, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(folder / name)
        else:
            _make_folder(filesystem, path)
            parquet.write_table(table, f"{path}/{name}", filesystem=filesystem)

    def through(self, tables: Iterator[Table], most_bytes: int = _MOST_BYTES) -> Iterator[Table]:
        """Write tables of rows, collected into larger ones; yields these without models."""
        held: list[Table] = []
        began = 0.0
        try:
            for table in tables:
                began = began if held else time.monotonic()
                held.append(table)
                many = sum(map(len, held)) >= _MOST_ROWS
                large = sum(each.nbytes for each in held) >= most_bytes
                if many or large or time.monotonic() - began >= _LONGEST:
                    yield self._gathered(held)
            if held:
                yield self._gathered(held)
        finally:
            if held:  # interrupted: the next call finds them in the output
                self._gathered(held)

    def _gathered(self, held: list[Table]) -> Table:
        rows = load("pyarrow").concat_tables(held)
        held.clear()
        self.write(rows)
        return without_model(rows)


def _columns(schema: Schema, keys: Sequence[str]) -> list[Column]:
    """Return the columns of a schema; those that aren't keys have no types, which never change."""
    return [(each.name, str(each.type) if each.name in keys else "") for each in schema]


def _exists(filesystem: Any, path: str) -> bool:
    """Whether something is at a path of a file system: pyarrow's, fsspec's, or this machine's."""
    if filesystem is None:
        return Path(path).exists()
    if hasattr(filesystem, "get_file_info"):
        return bool(filesystem.get_file_info(path).type)
    return bool(filesystem.exists(path))


def _make_folder(filesystem: Any, path: str) -> None:
    """Make a folder on a file system of pyarrow or fsspec; object stores have no folders."""
    if hasattr(filesystem, "create_dir"):
        filesystem.create_dir(path)
    else:
        filesystem.makedirs(path, exist_ok=True)


def without_model(rows: Table) -> Table:
    """Return rows whose models are null."""
    return rows.set_column(rows.schema.get_field_index(MODEL), *_no_models(len(rows)))


def _no_models(count: int) -> tuple[Any, Any]:
    """Return the field and `count` null values, for models that are elsewhere."""
    arrow = load("pyarrow")
    return arrow.field(MODEL, arrow.binary()), arrow.nulls(count, arrow.binary())
