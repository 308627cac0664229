"""Converts rows of groups (an Arrow table) to events and back."""

import base64
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from manyfit._optional import load
from manyfit.errors import JournalError
from manyfit.group_events import GroupEnded
from manyfit.groups.record.row import COLUMN_NAMES, Schema, Table, row_schema, table_of
from manyfit.metric import Metric

# Columns that events have in another form or lack.
_OTHER = ("params", "metrics", "baseline_metrics", "gain", "model")
_PLAIN = tuple(name for name in COLUMN_NAMES if name not in _OTHER)
# Types that are not written as the alias that pyarrow reads.
_DECIMAL = re.compile(r"(decimal\d+)\((\d+), (-?\d+)\)")
_ZONED = re.compile(r"timestamp\[(\w+), tz=(.+)\]")
# The values of newer columns in rows that an older Manyfit wrote.
DEFAULTS = {
    each.name: None if each.default is MISSING else each.default
    for each in fields(GroupEnded)
    if each.default is not MISSING or each.default_factory is not MISSING
} | {"gain": None}


def types_of(keys: Schema) -> dict[str, str]:
    """Return the types of key columns by name, in words.

    Example:
        >>> import pyarrow
        >>> types_of(pyarrow.schema([("day", pyarrow.timestamp("us", "Asia/Tokyo"))]))
        {'day': 'timestamp[us, tz=Asia/Tokyo]'}
    """
    return {field.name: str(field.type) for field in keys}


def keys_schema(types: Mapping[str, str]) -> Schema:
    """Return the schema of key columns whose types are given in words.

    Raises:
        JournalError: A type is none of those that this version knows.
    """
    arrow = load("pyarrow")
    return arrow.schema([(name, _type_of(arrow, name, kind)) for name, kind in types.items()])


def _type_of(arrow: Any, name: str, kind: str) -> Any:
    if found := _DECIMAL.fullmatch(kind):
        return getattr(arrow, found[1])(int(found[2]), int(found[3]))
    if found := _ZONED.fullmatch(kind):
        return arrow.timestamp(*found.groups())
    try:
        return arrow.type_for_alias(kind)
    except ValueError as error:
        raise JournalError(
            f"the key {name!r} is of the type {kind!r}, which this Manyfit doesn't know: "
            "`pip install -U manyfit pyarrow`"
        ) from error


def events_of(rows: Table, models: Sequence[Sequence[int] | None] = ()) -> list[GroupEnded]:
    """Return rows as events.

    Args:
        rows: As `row.row_schema` has them.
        models: Where the record has the model of each; by default nowhere.
    """
    at, models = time.time(), models or [None] * len(rows)
    by = rows.schema.names[: -len(COLUMN_NAMES)]
    keys = zip(*(_to_json(rows.column(name)) for name in by), strict=True)
    lines = rows.select([name for name in COLUMN_NAMES if name not in ("gain", "model")])
    return [
        GroupEnded(
            key=list(key),
            at=at,
            params=None if line["params"] is None else json.loads(line["params"]),
            metrics=dict(line["metrics"] or ()),
            baseline_metrics=dict(line["baseline_metrics"] or ()),
            model=model,
            **{name: line[name] for name in _PLAIN},
        )
        for key, line, model in zip(keys, lines.to_pylist(), models, strict=True)
    ]


def rows_of(events: Sequence[GroupEnded], keys: Schema, metric: Metric) -> Table:
    """Return events as rows, whose models are null.

    Args:
        events: Of groups that have ended.
        keys: The schema of their key columns, as it was then.
        metric: What was tuned.
    """
    columns = zip(*(event.key for event in events), strict=True) if events else [()] * len(keys)
    values = [_of_json(list(each), key.type) for each, key in zip(columns, keys, strict=True)]
    return table_of(values, events, metric, row_schema(keys))


def _to_json(column: Any) -> list[Any]:
    """Return the values of a key column in a JSON form that is read back without loss."""
    arrow = load("pyarrow")
    kind, types = column.type, arrow.types
    if types.is_temporal(kind):
        column = column.combine_chunks().view(_whole(kind))
    elif types.is_decimal(kind):
        column = column.cast(arrow.string())
    values: list[Any] = column.to_pylist()
    if types.is_floating(kind):
        finite = (None if each is None else float(each) for each in values)
        return [each if each is None or math.isfinite(each) else str(each) for each in finite]
    if types.is_binary(kind) or types.is_large_binary(kind):
        return [None if each is None else base64.b64encode(each).decode() for each in values]
    return values


def _of_json(values: list[Any], kind: Any) -> Any:
    arrow = load("pyarrow")
    types = arrow.types
    if types.is_temporal(kind):
        return arrow.array(values, _whole(kind)).view(kind)
    if types.is_decimal(kind):
        return arrow.array(values, arrow.string()).cast(kind)
    if types.is_floating(kind):
        values = [None if each is None else float(each) for each in values]
    elif types.is_binary(kind) or types.is_large_binary(kind):
        values = [None if each is None else base64.b64decode(each) for each in values]
    return arrow.array(values, kind)


def _whole(kind: Any) -> Any:
    """Return the integer type that a time or a duration is stored as."""
    arrow = load("pyarrow")
    return arrow.int32() if kind.bit_width == 32 else arrow.int64()


def completed(rows: Table, schema: Schema) -> Table:
    """Add the newer columns to rows that an older Manyfit wrote.

    Args:
        rows: Rows with key columns.
        schema: Of rows as they are now, with these key columns.

    Raises:
        JournalError: A newer Manyfit wrote them: they have other columns.
    """
    arrow = load("pyarrow")
    if news := [name for name in rows.schema.names if name not in schema.names]:
        raise JournalError(
            f"rows of groups were written by a newer Manyfit: this one doesn't know "
            f"{', '.join(news)}. Upgrade with `pip install -U manyfit`, or use another name"
        )
    columns = []
    for field in schema:
        value, has = DEFAULTS.get(field.name), field.name in rows.schema.names
        column = rows.column(field.name) if has else arrow.nulls(len(rows), field.type)
        fill = value is not None and column.null_count
        columns.append(column.fill_null(value) if fill else column)
    found = arrow.table(columns, names=schema.names)
    return found if found.schema == schema else found.cast(schema)
