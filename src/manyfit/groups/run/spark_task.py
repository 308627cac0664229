"""Tunes the groups of a Spark partition: the part that runs in Spark's Python worker."""

import atexit
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manyfit._optional import load
from manyfit.groups.job import GroupJob
from manyfit.groups.record.keys import texts_of
from manyfit.groups.record.row import Table, key_names, row_schema, to_table
from manyfit.groups.run.batch import Portion
from manyfit.groups.run.batch_runner import BatchRunner, GroupBatch, run_batch
from manyfit.metric import Metric
from manyfit.remote.remote_slot import RemoteSlot
from manyfit.remote.sealed import opened
from manyfit.remote.setup import unpacked

# The most that is sent to the worker process at once; more gains nothing.
_MOST_ROWS = 20_000
_MOST_GROUPS = 64

# One for each setup, shared by all tasks of this Python worker, so that imports happen once.
_remote_slots: dict[str, RemoteSlot] = {}


def tune(batches: Iterator[Any], settings: Mapping[str, Any]) -> Iterator[Any]:
    """Tune the groups in a stream of Arrow record batches; yields record batches of rows.

    Args:
        batches: Rows, sorted, with those of a group adjacent.
        settings: Parcels of the packed `setup` and of the `points` (None if there are none), the
            setup's `token`, `broadcasts` by digest, `place`, `by`, `shared_by`, `dropped` columns,
            the `metric`, and what `GroupJob.without_objective` takes of the `job`.
    """
    runner: BatchRunner | None = None
    points = settings["points"]
    settings = {**settings, "points": None if points is None else opened(points)}
    by = tuple(settings["by"])
    job = GroupJob.without_objective(Metric(*settings["metric"]), **settings["job"])
    for table in gathered(batches, by):
        if runner is None:
            remote_slot = _remote_slot_of(settings)
            runner = BatchRunner(remote_slot.slot, remote_slot.folder, job)
        yield from _tuned(runner, job.metric, table, settings)


def _remote_slot_of(settings: Mapping[str, Any]) -> RemoteSlot:
    token = settings["token"]
    if token not in _remote_slots:
        close_all()
        setup = unpacked(*opened(settings["setup"]))
        _remote_slots[token] = RemoteSlot(setup, settings["place"], settings["broadcasts"])
    return _remote_slots[token]


@atexit.register
def close_all() -> None:
    """End the worker processes of setups that are no longer used."""
    while _remote_slots:
        _remote_slots.popitem()[1].close()


def _tuned(
    runner: BatchRunner, metric: Metric, table: Table, settings: Mapping[str, Any]
) -> Iterator[Any]:
    """Tune the groups of a table."""
    by = settings["by"]
    keys = table.select(list(by))
    starts = [0, *edges(keys), len(table)]
    firsts = keys.take(starts[:-1])
    clusters = texts_of(table.take(starts[:-1]), settings["shared_by"])
    portions = tuple(map(Portion, texts_of(firsts, by), starts[:-1], starts[1:], clusters))
    data = naive(table.drop_columns(settings["dropped"]))
    rows = list(run_batch(runner, GroupBatch(portions, data, settings["points"])))
    arrow = load("pyarrow")
    outcome = to_table([()] * len(rows), rows, metric, row_schema(arrow.schema([])))
    whole = arrow.Table.from_arrays(
        [*firsts.columns, *outcome.columns], names=[*key_names(by), *outcome.schema.names]
    )
    yield from whole.combine_chunks().to_batches()


# ── streams of groups ─────────────────────────────────────────────────────────────────────────────


def gathered(batches: Iterator[Any], by: Sequence[str]) -> Iterator[Table]:
    """Yield tables of whole groups: many small ones, or a single large one.

    Besides the yielded table, at most one group and one batch of the stream are in memory.
    """
    arrow = load("pyarrow")
    held: list[Any] = []  # tables, of which the last may end in the middle of a group
    for batch in batches:
        if not batch.num_rows:
            continue
        held.append(arrow.Table.from_batches([batch]))
        if sum(map(len, held)) < _MOST_ROWS:
            continue
        table = arrow.concat_tables(held)
        cuts = edges(table.select(list(by)))
        held = [table.slice(cuts[-1]) if cuts else table]
        if cuts:
            yield from _split(table.slice(0, cuts[-1]), cuts[:-1])
    if held:
        table = arrow.concat_tables(held)
        yield from _split(table, edges(table.select(list(by))))


def _split(table: Table, cuts: Sequence[int]) -> Iterator[Table]:
    """Yield tables of complete groups, limited in groups and, for more than one, in rows."""
    bounds = [0, *cuts, len(table)]
    begin = 0
    for place in range(1, len(bounds)):
        is_full = place - begin >= _MOST_GROUPS or bounds[place] - bounds[begin] >= _MOST_ROWS
        if is_full or place == len(bounds) - 1:
            yield table.slice(bounds[begin], bounds[place] - bounds[begin])
            begin = place


def edges(keys: Table) -> list[int]:
    """Return the indices where a new key begins, without the first.

    Missing values are equal, and so are NaN.

    Example:
        >>> import pyarrow
        >>> edges(pyarrow.table({"a": [1, 1, None, None, 2], "b": ["x", "y", "y", "y", "y"]}))
        [1, 2, 4]
    """
    arrow, compute = load("pyarrow"), load("pyarrow.compute")
    if len(keys) < 2:
        return []
    differs = None
    for column in keys.columns:
        one, other = column.slice(0, len(keys) - 1), column.slice(1)
        same = compute.fill_null(compute.equal(one, other), False)
        same = compute.or_(same, compute.and_(compute.is_null(one), compute.is_null(other)))
        if arrow.types.is_floating(column.type):
            nan = compute.and_(compute.is_nan(one), compute.is_nan(other))
            same = compute.or_(same, compute.fill_null(nan, False))
        change = compute.invert(same)
        differs = change if differs is None else compute.or_(differs, change)
    places = compute.indices_nonzero(differs)
    return [place + 1 for place in places.to_pylist()]


def naive(table: Table) -> Table:
    """Return a table with naive times in the session's zone, as `toPandas` returns them.

    When daylight saving ends, two instants have the same naive time. Keys therefore keep their
    zone, and rows are sorted before this.
    """
    arrow, compute = load("pyarrow"), load("pyarrow.compute")
    for place, field in enumerate(table.schema):
        if arrow.types.is_timestamp(field.type) and field.type.tz is not None:
            column = compute.local_timestamp(table.column(place))
            table = table.set_column(place, field.name, column)
    return table
