"""The state of a call: the events of its journal, folded."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from manyfit._optional import load
from manyfit.archive import GROUPS_FILE, NOT_ENDED, NOT_STARTED, metric_of
from manyfit.errors import JournalCorruptError, NoResultError
from manyfit.group_events import (
    CallCreated,
    CallEnded,
    CallStarted,
    ClusterDescribed,
    GroupEnded,
    GroupEvaluated,
    GroupsDescribed,
    TrialScored,
)
from manyfit.groups.record.arrow_files import read_files
from manyfit.groups.record.ended import completed, keys_schema, rows_of
from manyfit.groups.record.models import Place
from manyfit.groups.record.row import Schema, Table, as_moments, row_schema
from manyfit.journal.file import FILE_NAME, read_events
from manyfit.metric import Metric

# Events of groups are converted, this many at a time, to a table: a tenth of the memory.
_AT_ONCE = 5_000
_KEPT = 2  # scored trials of a cluster: the last may be recorded but not told yet
MODEL_AT, CALL_AT = "model_at", "call_at"  # columns of `CallState.located` beside those of rows


class CallState:
    """The state of a call, from its record.

    Attributes:
        calls: What each driver that took the call over asked for.
        reason: Why the last one ended, in one line.
        notes: What people should know of the result since.
        digests: By group, of the rows that it was tuned on.
        clusters: What the trials of each cluster are judged on, by group; in the order in which
            clusters came, which names their studies.
        scored: By cluster, its last trials that were better than all before.
        excluded: Groups that fail whatever the params.
        evaluated: By group, its trials at what was best for others.
    """

    def __init__(self) -> None:
        self._created: CallCreated | None = None
        self.calls: list[CallStarted] = []
        self.reason = NOT_STARTED
        self.notes: tuple[str, ...] = ()
        self.digests: dict[str, str] = {}
        self.clusters: dict[str | None, dict[str, str]] = {}
        self.scored: dict[str, list[TrialScored]] = {}
        self.excluded: set[str] = set()
        self.evaluated: dict[str, str | None] = {}
        self._ended: list[GroupEnded] = []  # of the last driver, not in a table yet
        self._tables: list[Table] = []

    @classmethod
    def of(cls, items: Iterable[Any]) -> "CallState":
        """Fold all events of a record.

        Raises:
            JournalCorruptError: It doesn't begin as the record of a call does.
        """
        state = cls()
        for item in items:
            state.apply(item)
        return state

    def apply(self, event: Any) -> None:
        """Fold an event, or a table of rows that stands for several events.

        Raises:
            JournalCorruptError: It can't have happened.
        """
        if not self.is_begun:
            self._begin(event)
        match event:
            case GroupEnded():
                self._ended.append(event)
                if len(self._ended) >= _AT_ONCE:
                    self._gather()
            case CallStarted():
                self._gather()
                self.calls.append(event)
                self.reason = NOT_ENDED
            case CallEnded(reason):
                self.reason, self.notes = reason, tuple(event.notes)
            case GroupEvaluated(group, history):
                self.evaluated[group] = history
            case GroupsDescribed(digests):
                self.digests.update(digests)
            case ClusterDescribed() | TrialScored():
                self._apply_shared(event)
            case CallCreated():
                pass
            case _:
                self.add(event)

    def _begin(self, event: Any) -> None:
        if not isinstance(event, CallCreated):
            raise JournalCorruptError(
                "the journal's first line is missing: the one that says what is tuned. It has "
                f"{type(event).__name__} in its place. Restore the journal from a backup",
                line=1,
            )
        self._created = event

    def _apply_shared(self, event: ClusterDescribed | TrialScored) -> None:
        if isinstance(event, ClusterDescribed):
            self.clusters.setdefault(event.cluster, {}).update(event.digests)
        else:
            self.excluded.update(event.excluded)
            found = self.scored.get(event.cluster, ())
            self.scored[event.cluster] = [*found, event][-_KEPT:]

    def add(self, rows: Table, located: Any = None) -> None:
        """Add rows of the last driver, which may have been an older Manyfit.

        Args:
            rows: Rows that have ended.
            located: Where the model of each is; None where rows have their models themselves.
        """
        self._gather()
        arrow = load("pyarrow")
        rows = completed(rows, row_schema(self._keys))
        places = arrow.nulls(len(rows), _place_type()) if located is None else located
        calls = arrow.array([len(self.calls) - 1] * len(rows), arrow.int32())
        self._tables.append(rows.append_column(MODEL_AT, places).append_column(CALL_AT, calls))

    def _gather(self) -> None:
        if self._ended:
            events, self._ended = self._ended, []
            located = places_of([event.model for event in events])
            self.add(rows_of(events, self._keys, self.metric), located)

    @property
    def is_begun(self) -> bool:
        """Whether the journal has its first line."""
        return self._created is not None

    @property
    def created(self) -> CallCreated:
        """The first line.

        Raises:
            NoResultError: There is none: the first driver died before it was written.
        """
        if self._created is None:
            raise NoResultError("the call was never begun: its journal is empty")
        return self._created

    @property
    def metric(self) -> Metric:
        """What is tuned."""
        return metric_of(self.created)

    @property
    def _keys(self) -> Schema:
        return keys_schema(self.calls[-1].keys)

    @property
    def schema(self) -> Schema:
        """The schema of rows of the last driver."""
        arrow = load("pyarrow")
        return row_schema(self._keys if self.calls else arrow.schema([]))

    def located(self, schema: Schema | None = None) -> Table:
        """Return the last row of each group, in the order of their keys.

        Args:
            schema: What rows are to have; by default that of the last driver.

        Returns:
            Columns as in the schema, and two more: where in the file of models a row's model is,
            and which driver's it is.

        Raises:
            JournalCorruptError: The key columns on record are others.
        """
        self._gather()
        arrow = load("pyarrow")
        schema = self.schema if schema is None else schema
        whole = arrow.schema(
            [*schema, arrow.field(MODEL_AT, _place_type()), arrow.field(CALL_AT, arrow.int32())]
        )
        if any(table.schema.names != whole.names for table in self._tables):
            raise JournalCorruptError(
                f"the columns on record of {self.created.name!r} are not those of the data"
            )
        tables = [as_moments(table, whole) for table in self._tables]
        return _latest(arrow.concat_tables(tables)) if tables else whole.empty_table()

    def calls_of(self, rows: Table) -> dict[str, CallStarted]:
        """Return, by group of `located` rows, what the driver asked for that they are from."""
        places = zip(*(rows.column(name).to_pylist() for name in ("group", CALL_AT)), strict=True)
        return {group: self.calls[place] for group, place in places}


def plain(rows: Table) -> Table:
    """Return `located` rows without the columns that say where they are from."""
    return rows.drop_columns([MODEL_AT, CALL_AT])


def read_state(folder: Path) -> CallState:
    """Return what is on record in a call's folder, without holding it, also while it is written.

    Raises:
        JournalCorruptError: It is damaged.
        JournalError: It can't be read, or a newer Manyfit wrote it.
    """
    if (folder / GROUPS_FILE).exists():
        return CallState.of(read_files(folder))
    return CallState.of(read_events(folder / FILE_NAME))


def _latest(rows: Table) -> Table:
    """Return the last row of each group, in the order of their keys: 9 before 10, missing last."""
    arrow, compute = load("pyarrow"), load("pyarrow.compute")
    places = {group: place for place, group in enumerate(rows.column("group").to_pylist())}
    if len(places) < len(rows):
        rows = rows.take(list(places.values()))
    names = rows.schema.names[: rows.schema.get_field_index("group")]
    if not names:
        return rows
    columns = [rows.column(name) for name in names]
    plain = [each.cast(_plain_type(arrow, each.type)) for each in columns]
    keys = arrow.table(plain, names=list(map(str, range(len(names)))))
    order = compute.sort_indices(keys, [(name, "ascending") for name in keys.schema.names])
    return rows if order.to_pylist() == list(range(len(rows))) else rows.take(order)


def _plain_type(arrow: Any, kind: Any) -> Any:
    """Return the type of a category's values, since Arrow doesn't sort categories."""
    return kind.value_type if arrow.types.is_dictionary(kind) else kind


def places_of(places: Sequence[Place | None]) -> Any:
    """Return the positions of models as an Arrow array."""
    return load("pyarrow").array(places, _place_type())


def _place_type() -> Any:
    arrow = load("pyarrow")
    return arrow.list_(arrow.int64())
