"""The rows of groups on disk: appended as they arrive, and found again by the next driver.

Each driver appends to a file of its own, an Arrow stream; what a killed one left torn at the end of
its file costs no row before it. Of two rows of a group, the later one counts.
"""

import io
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from manyfit._names import from_file_name
from manyfit._optional import load
from manyfit.archive import GROUPS_FILE, check_kind
from manyfit.errors import (
    JournalCorruptError,
    JournalError,
    StudyChangedError,
    StudyLockedError,
)
from manyfit.groups.record.row import Schema, Table, as_moments
from manyfit.journal.copy import Copy, saved_folder, state_of
from manyfit.journal.lock import StudyLock

logger = logging.getLogger("manyfit")

# How long a row may wait for the disk: what a crash of the machine, not of the driver, may cost.
_SYNC = 1.0
# What a call under the same name must have in common with the first one.
_FIXED = (
    "metric",
    "direction",
    "space",
    "by",
    "shared_by",
    "order_by",
    "holdout",
    "mode",
    "aggregate",
    "group_timeout",
)
_WORK = b"manyfit.work"  # in the schema of a file: what the call that wrote it did
Work: TypeAlias = Mapping[str, Any]


class GroupRecord:
    """The record of one call, held by this process until `close`.

    Args:
        folder: The call's folder; made when missing.
        header: What the call does, as JSON values. Under a name that is known, it must fit.
        work: What may differ from call to call: kept with the rows that this one appends.

    Raises:
        ArgumentError: The folder has a study of `tune`.
        StudyLockedError: Another process holds it.
        StudyChangedError: The record is of a call that did something else.
        JournalError: The folder can't be written.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], work: Work | None = None) -> None:
        check_kind(folder, groups=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"can't make the folder {folder}: {error.strerror}") from error
        self.folder = folder
        self.name = from_file_name(folder.name)
        self._work = dict(work or {})
        self._lock = StudyLock(folder / "lock")
        self._writers: dict[str, _Writer] = {}
        try:
            self._sweep()
            self.header = self._agreed({**header, "outputs": []})
        except BaseException:
            self._lock.release()
            raise

    def _sweep(self) -> None:
        """Remove what worker processes exchanged and printed, also those of a driver that died."""
        for name in ("scratch", "logs"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _agreed(self, header: dict[str, Any]) -> dict[str, Any]:
        """Return the header on disk, if there is one and it fits, else put this one there."""
        path = self.folder / GROUPS_FILE
        if not path.exists():
            self._put(header)
            return header
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        changed = [name for name in _FIXED if known.get(name) != header.get(name)]
        if changed:
            lines = "\n".join(f"  {n}: {known.get(n)!r} became {header.get(n)!r}" for n in changed)
            raise StudyChangedError(
                f"{self.name!r} was tuned otherwise:\n{lines}\nGive this call another name"
            )
        return known

    def _put(self, header: Mapping[str, Any], folder: Path | None = None) -> None:
        path = (folder or self.folder) / GROUPS_FILE
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(header, indent=1), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise JournalError(f"can't write {path}: {error.strerror}") from error

    def has_output(self, place: str) -> bool:
        """Whether rows of this call's name at a place are its own.

        Records that are older than this question have not noted their places, and trust the name.
        """
        return place in self.header.get("outputs", (place,))

    def note_output(self, place: str) -> None:
        """Note that this call writes to a place; before it does.

        Raises:
            JournalError: The disk refuses.
        """
        known = self.header.get("outputs", [])
        if place not in known:
            self.header["outputs"] = [*known, place]
            self._put(self.header)

    def note_work(self, work: Work) -> None:
        """Note what this call does, unless an earlier one has."""
        if "work" not in self.header:
            self.header["work"] = work
            self._put(self.header)

    def work_of(self, stage: str) -> dict[str, Work]:
        """Return, by group, what the call did that its row is from; empty if that isn't known."""
        found: dict[str, Work] = {}
        for table in map(_read, self._files(stage)):
            if table is not None:
                work = json.loads((table.schema.metadata or {}).get(_WORK, b"{}"))
                found.update(dict.fromkeys(table.column("group").to_pylist(), work))
        return found

    def rows(self, stage: str, schema: Schema) -> Table:
        """Return what is on record of a stage, one row a group, in the order of their keys.

        Raises:
            JournalCorruptError: The key columns on record are not those of the schema.
        """
        self._keep(to_the_byte=True)  # all is read anyway
        arrow = load("pyarrow")
        tables = [_read(path) for path in self._files(stage)]
        batches = [table for table in tables if table is not None and len(table)]
        if any(table.schema.names != schema.names for table in batches):
            raise JournalCorruptError(
                f"the columns on record in {self.folder} are not those of the data"
            )
        if not batches:
            return schema.empty_table()
        return latest(arrow.concat_tables([as_moments(table, schema) for table in batches]))

    def _files(self, stage: str) -> list[Path]:
        return sorted(self.folder.glob(f"{stage}-*.arrows"))

    def append(self, stage: str, rows: Table) -> None:
        """Put rows on record.

        Raises:
            JournalError: The disk refuses.
        """
        if stage not in self._writers:
            number = len(self._files(stage)) + 1
            path = self.folder / f"{stage}-{number:04}.arrows"
            schema = rows.schema.with_metadata({_WORK: json.dumps(self._work).encode()})
            self._writers[stage] = _Writer(path, schema)
        self._writers[stage].append(rows)
        self._keep()

    def _keep(self, *, to_the_byte: bool = False) -> None:
        """Write again what has gone away since this call wrote it, and say so.

        Args:
            to_the_byte: Also look for damage, which takes reading all of it.

        Raises:
            JournalError: The folder is somebody else's now; says where this call's rows are.
        """
        states = {writer.state(to_the_byte) for writer in self._writers.values()}
        states -= {"whole"}
        if not states:
            return
        if "taken" not in states and self._hold_again():
            self._write_again(self.folder)
            logger.warning(
                "%s was %s while groups were tuned. What this call has put on record was written "
                "again; rows of earlier calls, if there were any, are not",
                *(self.folder, " and ".join(sorted(states))),
            )
            return
        saved = saved_folder(self.folder)
        self._write_again(saved)
        self._let_go()
        raise JournalError(
            f"{self.folder} was changed by somebody else while groups were tuned, so this call has "
            f"ended. Its rows are in {saved}: the same call with name={saved.name!r} goes on"
        )

    def _hold_again(self) -> bool:
        """Have the folder again, as far as it is gone; returns whether nobody else has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock.release()
        try:
            self._lock = StudyLock(self.folder / "lock")
        except StudyLockedError:
            return False
        return True

    def _write_again(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for writer in self._writers.values():
            writer.write_again(folder)
        if not (folder / GROUPS_FILE).exists():
            self._put(self.header, folder)

    def close(self) -> None:
        """Give the record up. Safe to call twice."""
        try:
            self._keep(to_the_byte=True)  # raises where the folder is somebody else's now
            self._let_go()
            self._sweep()
        finally:
            self._lock.release()

    def _let_go(self) -> None:
        while self._writers:
            self._writers.popitem()[1].close()


class _Writer:
    """Appends to a file, and can write all of it again."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path = path
        path.touch(exist_ok=False)
        self._file = path.open("ab")  # so that one that is cut short meanwhile gets no hole
        self._made = io.BytesIO()  # what the stream has made, on its way to the file
        self._copy = Copy()
        self._stream = load("pyarrow").ipc.new_stream(self._made, schema)
        self._sync_at = 0.0

    def state(self, to_the_byte: bool) -> str:
        """Say what has become of the file: what `state_of` does, or that it is damaged."""
        state = state_of(self._file.fileno(), self._path, self._copy.size)
        if state == "whole" and to_the_byte:
            with self._path.open("rb") as file:
                return "whole" if self._copy.is_in(file.fileno()) else "damaged"
        return state

    def append(self, rows: Table) -> None:
        self._stream.write_table(rows)
        self._save()

    def _save(self, *, sync: bool = False) -> None:
        self._copy.add(self._made.getvalue())
        try:
            self._file.write(self._made.getvalue())
            self._file.flush()
            if sync or time.monotonic() >= self._sync_at:
                os.fsync(self._file.fileno())
                self._sync_at = time.monotonic() + _SYNC
        except OSError as error:
            raise JournalError(f"can't write {self._path}: {error.strerror}") from error
        self._made.seek(0)
        self._made.truncate()

    def write_again(self, folder: Path) -> None:
        self._file.close()
        self._path = folder / self._path.name
        self._path.write_bytes(b"")
        self._file = self._path.open("ab")
        for part in self._copy:
            self._file.write(part)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._stream.close()
        self._save(sync=True)
        self._file.close()


def latest(rows: Table) -> Table:
    """Return the last row of each group, in the order of their keys."""
    groups = rows.column("group").to_pylist()
    places = {group: place for place, group in enumerate(groups)}
    return rows.take([places[group] for group in sorted(places)])


def _read(path: Path) -> Table | None:
    """Return the whole batches of a stream; a torn one ends it."""
    arrow = load("pyarrow")
    batches = []
    with path.open("rb") as file:
        try:
            with arrow.ipc.open_stream(file) as stream:
                schema = stream.schema
                for batch in stream:
                    batches.append(batch)  # noqa: PERF402 - what came before a torn one counts
        except (arrow.ArrowInvalid, OSError):
            if not batches:
                return None
    return arrow.Table.from_batches(batches, schema)
