"""Rows of groups for users: as a pandas DataFrame, and keys as labels."""

import datetime
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from manyfit._optional import load, require
from manyfit._redact import redact_value
from manyfit.domain import Float, Int
from manyfit.groups.record.row import Table, key_names, keys_in
from manyfit.metric import Metric
from manyfit.space import Space

# The value of the key column, or a tuple of values for several columns.
Key: TypeAlias = Any

_OUTCOME = ("state", "reason", "rows", "value", "baseline", "gain")
_SHOWN = ("state", "value", "baseline", "gain", "trials", "seconds")  # in tables for people
_WORK = ("trials", "pruned", "failed", "seconds", "fit_seconds", "worker", "error", "model_path")


class TunedGroups(Protocol):
    """The part of a `GroupsResult` that plots, comparisons and predictions need."""

    @property
    def name(self) -> str:
        """The name of the call."""

    @property
    def metric(self) -> Metric:
        """The tuned metric."""

    @property
    def space(self) -> Space:
        """The space searched."""

    @property
    def by(self) -> tuple[str, ...]:
        """The key columns."""

    @property
    def rows(self) -> Table:
        """An Arrow table with a row for each group."""


def frame_of(rows: Table, by: Sequence[str], space: Space) -> Any:
    """Return rows as a DataFrame, without models, tracebacks and histories.

    Columns: the keys, named as by `row.key_names`; `state`, `reason`, `rows`, `value`, `baseline`,
    `gain`, `params_*` in stored form, `metrics_*`, `baseline_*` (of the baseline), then counts and
    times. Missing values are NaN, or NA in columns of integers.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    pandas = require("pandas", extra="pandas", purpose="the table of groups")
    columns = [(name, _plain(rows.column(name))) for name in (*key_names(by), *_OUTCOME)]
    columns += [(f"params_{name}", each) for name, each in _params(pandas, rows, space)]
    columns += [(f"metrics_{name}", each) for name, each in _metrics(rows.column("metrics"))]
    columns += [
        (f"baseline_{name}", each) for name, each in _metrics(rows.column("baseline_metrics"))
    ]
    columns += [(name, _plain(rows.column(name))) for name in _WORK]
    return pandas.DataFrame(dict(columns))


def keys_of(rows: Table, by: Sequence[str]) -> list[Key]:
    """Return each row's key: a value, or a tuple for several key columns."""
    columns = [column.to_pylist() for column in keys_in(rows, by).columns]
    return columns[0] if len(by) == 1 else list(zip(*columns, strict=True))


def first_groups(rows: Table, by: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the columns and the rows of a table for people; a missing value is None.

    The columns are the keys, state, value, baseline, gain, trials, seconds and the params as JSON.
    """
    columns = [rows.column(name).to_pylist() for name in _SHOWN]
    params = map(_as_text, stored_params(rows))
    keys = [key if isinstance(key, tuple) else (key,) for key in keys_of(rows, by)]
    found = zip(keys, zip(*columns, strict=True), params, strict=True)
    return (*by, *_SHOWN, "params"), [(*key, *values, text) for key, values, text in found]


def _as_text(params: dict[str, Any] | None) -> str | None:
    if params is None:
        return None
    shown = {name: redact_value(name, value) for name, value in params.items()}
    return json.dumps(shown, ensure_ascii=False)


def localised(value: Any, kind: Any) -> Any:
    """Give a naive time the zone of a type, if that has one; any other value is returned as is."""
    arrow, compute = load("pyarrow"), load("pyarrow.compute")
    zone = getattr(kind, "tz", None)
    if not zone or not isinstance(value, datetime.datetime | np.datetime64):
        return value
    if getattr(value, "tzinfo", None) is not None or value != value:  # noqa: PLR0124 - NaT
        return value
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    which = "latest" if getattr(value, "fold", 0) else "earliest"
    plain = arrow.scalar(value, arrow.timestamp("us"))
    return compute.assume_timezone(plain, zone, ambiguous=which, nonexistent=which).as_py()


def label(key: Key) -> str:
    """Return a key as a label, for a line of text or an axis.

    Example:
        >>> label("north"), label(("north", 3, None))
        ('north', 'north · 3 · missing')
    """
    parts = key if isinstance(key, tuple) else (key,)
    return " · ".join("missing" if part is None else str(part) for part in parts)


def stored_params(rows: Table) -> list[dict[str, Any] | None]:
    """Return each row's params in stored form; None if it has none."""
    texts = rows.column("params").to_pylist()
    return [None if text is None else json.loads(text) for text in texts]


def _plain(column: Any) -> Any:
    """Return a column for pandas; integers stay integers even if some are missing."""
    if not column.null_count:
        return column.to_pandas(date_as_object=True)
    types = load("pyarrow").types
    pandas = load("pandas")
    if types.is_integer(column.type):
        return column.to_pandas(types_mapper=lambda _: pandas.Int64Dtype())
    if types.is_boolean(column.type):
        return column.to_pandas(types_mapper=lambda _: pandas.BooleanDtype())
    return column.to_pandas(date_as_object=True)


def _params(pandas: Any, rows: Table, space: Space) -> Iterator[tuple[str, Any]]:
    found = [params or {} for params in stored_params(rows)]
    names = dict.fromkeys(space.params) | dict.fromkeys(name for each in found for name in each)
    for name in names:
        values = [each.get(name) for each in found]
        yield name, pandas.Series(values, dtype=_dtype(space, name, values))


def _dtype(space: Space, name: str, values: Sequence[Any]) -> str | None:
    """Return the pandas dtype of a param; None to infer it from the values."""
    domain = space.params.get(name)
    if isinstance(domain, Int):
        return "Int64"
    if isinstance(domain, Float):
        return "float64"
    return "object" if not values or None in values else None


def _metrics(column: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys in a column of maps, in order of appearance, each with its numbers."""
    found: dict[str, Any] = {}
    for place, pairs in enumerate(column.to_pylist()):
        for name, value in pairs or ():
            if name not in found:
                found[name] = np.full(len(column), math.nan)
            found[name][place] = math.nan if value is None else value
    yield from found.items()
