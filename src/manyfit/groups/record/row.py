"""The result of a group: a dataclass in the worker, and a row of an Arrow table elsewhere."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

from manyfit._optional import load, require
from manyfit.group_events import GroupEnded
from manyfit.groups.record.keys import texts_of
from manyfit.metric import Metric

# Of pyarrow, which has no types.
Schema: TypeAlias = Any
Table: TypeAlias = Any

COMPLETE = "COMPLETE"
BASELINE = "BASELINE"  # not tuned, or to no avail: the baseline is the group's result
FAIL = "FAIL"
# In the reason of a group that is complete despite a problem.
MOST_FAILED = "trials failed, most with"
NO_MODEL = "its model can't be"


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The result of tuning one group.

    Attributes:
        group: The group's key, as `keys.key_text` writes it.
        state: `COMPLETE`; `BASELINE` where there are too few rows to tune, or all trials failed but
            the baseline; `FAIL` where nothing can be said for the group.
        reason: Why it isn't complete, in one line; or, if it is, what went wrong all the same: at
            least half of its trials failed, its baseline did, or its model can't be kept.
        rows: How many rows it has.
        params: The best trial's, in stored form; None where none completed.
        value: The tuned metric of the best trial; None where none completed.
        metrics: All metrics of the best trial.
        baseline: The tuned metric of the baseline; None where that failed.
        baseline_metrics: All metrics of the baseline.
        trials: How many trials ended; of them `pruned` and `failed`.
        seconds: Wall time in the worker.
        fit_seconds: Of these, the time in the user's functions.
        worker: Where it ran.
        error: The class of the exception that made it fail; empty if there was none.
        traceback: That exception's, and below it the end of what the trial printed.
        model: The best trial's model, pickled; None if none is kept, or kept elsewhere.
        model_path: Where the model is kept, if not here.
        history: All trials as JSON, `[[params, value or null, state], ...]`; None unless asked for.
    """

    group: str
    state: str
    reason: str = ""
    rows: int = 0
    params: dict[str, Any] | None = None
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    baseline: float | None = None
    baseline_metrics: dict[str, float] = field(default_factory=dict)
    trials: int = 0
    pruned: int = 0
    failed: int = 0
    seconds: float = 0.0
    fit_seconds: float = 0.0
    worker: str = ""
    error: str = ""
    traceback: str = ""
    model: bytes | None = field(default=None, repr=False)
    model_path: str | None = None
    history: str | None = field(default=None, repr=False)

    def because(self, also: str) -> "GroupRow":
        """Return the row with one more reason."""
        return replace(self, reason=f"{self.reason}; {also}" if self.reason else also)

    def to_json(self) -> str:
        """Return the row as a line of JSON, without its model."""
        return json.dumps({**asdict(self), "model": None})


def from_json(line: str) -> GroupRow:
    """Return the row from a line that `GroupRow.to_json` wrote."""
    return GroupRow(**json.loads(line))


# Names, and types as Spark writes them.
_COLUMNS = (
    ("group", "string"),
    ("state", "string"),
    ("reason", "string"),
    ("rows", "bigint"),
    ("params", "string"),
    ("value", "double"),
    ("metrics", "map<string,double>"),
    ("baseline", "double"),
    ("baseline_metrics", "map<string,double>"),
    ("gain", "double"),
    ("trials", "int"),
    ("pruned", "int"),
    ("failed", "int"),
    ("seconds", "double"),
    ("fit_seconds", "double"),
    ("worker", "string"),
    ("error", "string"),
    ("traceback", "string"),
    ("model", "binary"),
    ("model_path", "string"),
    ("history", "string"),
)
COLUMN_NAMES = tuple(name for name, _ in _COLUMNS)
CALL = "call"  # in an output, the column that names the call: several may write to one place
# The prefixes of params and metrics in the table that users see.
_FAMILIES = ("params_", "metrics_", "baseline_")
# The columns that follow the keys, as Spark writes types.
SPARK_COLUMNS = ", ".join(f"`{name}` {kind}" for name, kind in _COLUMNS)


def key_names(by: Sequence[str]) -> tuple[str, ...]:
    """Return the names that the key columns of the data have in rows.

    A name that rows have themselves, in whatever case, since Spark sees none, begins with `key_`.

    Example:
        >>> key_names(["shop", "state", "Group"])
        ('shop', 'key_state', 'key_Group')
    """
    return tuple(f"key_{name}" if _is_taken(name.lower()) else name for name in by)


def _is_taken(name: str) -> bool:
    return name in (*COLUMN_NAMES, CALL) or name.startswith(_FAMILIES)


def keys_in(rows: Table, by: Sequence[str]) -> Table:
    """Return the key columns of rows, with the names that they have in the data."""
    return rows.select(list(key_names(by))).rename_columns(list(by))


def as_moments(rows: Table, schema: Schema) -> Table:
    """Return rows in a schema, with the texts of keys that go with its columns.

    Times on Spark had no zone once, and their texts were what the session's clocks showed.
    """
    arrow, compute = load("pyarrow"), load("pyarrow.compute")
    by = schema.names[: schema.names.index("group")]
    zoned = [name for name in by if getattr(schema.field(name).type, "tz", None)]
    for name in zoned:
        column, kind = rows.column(name), schema.field(name).type
        if arrow.types.is_timestamp(column.type) and column.type.tz is None:
            column = compute.assume_timezone(
                column, kind.tz, ambiguous="earliest", nonexistent="earliest"
            )
            rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    rows = rows.cast(schema)
    if zoned:
        texts = arrow.array(texts_of(rows, by), arrow.string())
        rows = rows.set_column(rows.schema.get_field_index("group"), "group", texts)
    return rows


def has_failed(state: str, error: str | None) -> bool:
    """Whether a group had a problem other than being too small to be tuned."""
    return state == FAIL or (state != COMPLETE and bool(error))


def settled(rows: Table) -> Table:
    """Return the rows of groups that have not failed, which later calls don't tune again."""
    arrow = require("pyarrow", extra="arrow", purpose="tune_groups")
    pairs = zip(rows.column("state").to_pylist(), rows.column("error").to_pylist(), strict=True)
    return rows.filter(arrow.array([not has_failed(*pair) for pair in pairs], arrow.bool_()))


def row_schema(keys: Schema) -> Schema:
    """Return the Arrow schema of rows whose key columns have the given schema in the data."""
    arrow = require("pyarrow", extra="arrow", purpose="tune_groups")
    types = {
        "string": arrow.string(),
        "bigint": arrow.int64(),
        "int": arrow.int32(),
        "double": arrow.float64(),
        "binary": arrow.binary(),
        "map<string,double>": arrow.map_(arrow.string(), arrow.float64()),
    }
    names = key_names(keys.names)
    return arrow.schema(
        [
            *(arrow.field(name, field.type) for field, name in zip(keys, names, strict=True)),
            *(arrow.field(name, types[kind]) for name, kind in _COLUMNS),
        ]
    )


def to_table(
    keys: Sequence[Sequence[Any]], rows: Sequence[GroupRow], metric: Metric, schema: Schema
) -> Table:
    """Return rows as an Arrow table.

    Args:
        keys: The key values of each row.
        rows: As many rows.
        metric: What was tuned: the gain depends on its direction.
        schema: Of `row_schema`.
    """
    count = len(schema) - len(COLUMN_NAMES)
    columns = list(zip(*keys, strict=True)) if keys else [()] * count
    return table_of(columns, rows, metric, schema)


def table_of(
    keys: Sequence[Any], rows: Sequence[GroupRow | GroupEnded], metric: Metric, schema: Schema
) -> Table:
    """Return rows, or events with the same fields, as an Arrow table.

    Args:
        keys: The values of each key column.
        rows: As many rows.
        metric: What was tuned: the gain depends on its direction.
        schema: Of `row_schema`.
    """
    arrow = require("pyarrow", extra="arrow", purpose="tune_groups")
    columns = [*keys, *(_column(name, rows, metric) for name in COLUMN_NAMES)]
    arrays = [
        each if isinstance(each, arrow.Array) else arrow.array(each, kind)
        for each, kind in zip(columns, schema.types, strict=True)
    ]
    return arrow.table(arrays, schema=schema)


def _column(name: str, rows: Sequence[GroupRow | GroupEnded], metric: Metric) -> list[Any]:
    if name == "gain":
        return [_finite(gain(row, metric)) for row in rows]
    values = [getattr(row, name) for row in rows]
    if name == "params":
        return [None if each is None else json.dumps(each, ensure_ascii=False) for each in values]
    if name in ("metrics", "baseline_metrics"):
        return [list(each.items()) for each in values]
    if name == "model":
        return [each if isinstance(each, bytes) else None for each in values]
    return values


def gain(row: GroupRow | GroupEnded, metric: Metric) -> float | None:
    """Return by how much tuning beat the baseline, in the metric's unit; negative: it lost."""
    if row.value is None or row.baseline is None:
        return None
    return metric.loss(row.baseline) - metric.loss(row.value)


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
