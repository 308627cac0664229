"""The record of a call over groups: a journal of events, and a file of models.

Rows are written as they arrive and synced at least every second: that is what a crash of the
machine may cost, while the death of the driver costs nothing. What is acted on (the call itself,
what trials over groups gave) is synced at once.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import cast

from manyfit._names import from_file_name
from manyfit.archive import GROUPS_FILE, check_kind
from manyfit.errors import StudyChangedError
from manyfit.event_lines import decode, encode
from manyfit.group_events import CallCreated, CallStarted, GroupEnded, GroupsEvent
from manyfit.groups.record.arrow_files import read_files
from manyfit.groups.record.ended import completed, events_of, keys_schema
from manyfit.groups.record.models import ModelFile
from manyfit.groups.record.row import Schema, Table, row_schema
from manyfit.groups.record.state import CallState, plain
from manyfit.journal.file import FileJournal

_SYNC = 1.0
# The settings in which a later call of the same name may differ from the first.
_FREE = ("name", "seed", "manyfit", "at")
_IMPORTED = "groups-before.json"  # the new name of `groups.json`, once the journal has its contents


class GroupRecord:
    """The record of one call, held by this process until `close`.

    Args:
        folder: The call's folder; made when missing.
        created: What the call does. Under a name that is known, it must fit.
        now: Monotonic time.

    Attributes:
        folder: The call's folder.
        name: The call's name.
        state: What is on record.

    Raises:
        ArgumentError: The folder has a study of `tune`.
        StudyLockedError: Another process holds it.
        StudyChangedError: The record is of a call that did something else.
        JournalCorruptError: The record is damaged.
        JournalError: The folder can't be written, or a newer Manyfit wrote there.
    """

    def __init__(
        self, folder: Path, created: CallCreated, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        check_kind(folder, groups=True)
        created = cast("CallCreated", decode(encode(created)))  # sequences become lists, as in JSON
        self.folder = folder
        self.name = from_file_name(folder.name)
        self._now = now
        self._synced_at = -float("inf")
        self._journal = FileJournal(folder)
        self._models = ModelFile(folder)
        self._is_ours = True
        try:
            self._sweep()
            self.state = CallState.of(self._journal.read())
            self._import()
            if not self.state.is_begun:
                self.put(created, sync=True)
            self._check(created)
        except BaseException:
            self._journal.close()
            raise

    def _sweep(self) -> None:
        """Remove the temporary files and logs of workers, including those of a driver that died."""
        for name in ("scratch", "logs"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _import(self) -> None:
        """Import a record that an older Manyfit made; start over if an import was interrupted."""
        if not (self.folder / GROUPS_FILE).exists():
            return
        self.state = CallState()
        for item in read_files(self.folder):
            if isinstance(item, GroupsEvent):
                self.put(item)
            else:
                self.append(item)
        self.commit()
        (self.folder / GROUPS_FILE).rename(self.folder / _IMPORTED)

    def _check(self, created: CallCreated) -> None:
        names = [field.name for field in fields(CallCreated) if field.name not in _FREE]
        both = (self.state.created, created)
        pairs = {name: [getattr(each, name) for each in both] for name in names}
        changes = [f"  {name}: {a!r} became {b!r}" for name, (a, b) in pairs.items() if a != b]
        if changes:
            lines = "\n".join(changes)
            raise StudyChangedError(
                f"{self.name!r} was tuned otherwise:\n{lines}\nGive this call another name"
            )

    def put(self, event: GroupsEvent, *, sync: bool = False) -> None:
        """Put what has happened on record.

        Args:
            event: What has happened.
            sync: Whether it must survive a power cut from here on, as what is acted on must.

        Raises:
            JournalError: The disk refuses, or the folder is somebody else's by now.
        """
        self._journal.append(event)
        self.state.apply(event)
        if sync or self._now() - self._synced_at >= _SYNC:
            self.commit()

    def append(self, rows: Table) -> list[GroupEnded]:
        """Record rows of the driver that started last; returns them as events.

        Raises:
            JournalError: The disk refuses, or the folder is somebody else's by now.
        """
        rows = completed(rows, row_schema(keys_schema(self.state.calls[-1].keys)))
        models = rows.column("model").to_pylist()
        places = [None if model is None else self._models.add(model) for model in models]
        events = events_of(rows, places)
        for event in events:
            self.put(event)
        return events

    def commit(self) -> None:
        """Make everything recorded so far survive a power cut.

        Raises:
            JournalError: The disk refuses, or the folder is somebody else's by now.
        """
        self._is_ours = False
        self._journal.commit()  # raises if another process has taken the folder
        self._models.sync()
        self._is_ours = True
        self._synced_at = self._now()

    def rows(self, schema: Schema) -> Table:
        """Return the recorded rows, one per group, in the order of the keys, without models.

        Raises:
            JournalCorruptError: The key columns on record are not those of the schema.
        """
        return plain(self.state.located(schema))

    def has_output(self, place: str) -> bool:
        """Whether the rows with this call's name in an output are its own."""
        return any(call.output == place for call in self.state.calls)

    @property
    def first(self) -> CallStarted | None:
        """The settings of the first driver whose functions are known; None if there is none."""
        return next((call for call in self.state.calls if call.functions), None)

    def close(self) -> None:
        """Close the record. Safe to call twice."""
        try:
            if self._is_ours:
                self.commit()
                self._sweep()
        finally:
            self._is_ours = False
            self._models.close()
            self._journal.close()
