"""The result of tuning groups: one row per group, and predictions with each group's model."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle

from manyfit._html import page_of
from manyfit._redact import redact_value
from manyfit.errors import ArgumentError, NoResultError
from manyfit.groups.apply import apply
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.models import fetch
from manyfit.groups.record.row import COMPLETE, NO_MODEL, Table, has_failed, keys_in
from manyfit.groups.result import plots
from manyfit.groups.result.advice import compare
from manyfit.groups.result.report import groups_html
from manyfit.groups.result.summary import Summary, sentences
from manyfit.groups.result.table import (
    Key,
    first_groups,
    frame_of,
    keys_of,
    label,
    localised,
    stored_params,
)
from manyfit.metric import Metric
from manyfit.plots.figure import figure
from manyfit.reports.writing import write
from manyfit.space import Space
from manyfit.trial import gist

if TYPE_CHECKING:
    import pandas as pd

_FEW = 10  # keys listed for a cause of failure, and groups that a notebook shows
# At most this many groups are searched for a key similar to a mistyped one.
_MOST_COMPARED = 20_000


@dataclass(frozen=True, slots=True)
class GroupFailure:
    """Groups that failed in the same way.

    Attributes:
        reason: The reason of the first group, in one line.
        count: The number of groups.
        keys: The keys of the first ten, as for `params_of`.
        traceback: The traceback of the first group, followed by the end of its trial's output;
            empty if there is neither.
    """

    reason: str
    count: int
    keys: tuple[Key, ...]
    traceback: str


@dataclass(frozen=True, repr=False)
class GroupsResult:
    """The groups of a call of `tune_groups`, at the time it ended.

    Attributes:
        name: The call's name.
        folder: The folder of its record.
        metric: The tuned metric.
        space: The space searched.
        by: The key columns.
        mode: `"independent"`, `"shared"` or `"transfer"`.
        reason: Why the call ended, in one line.
        rows: An Arrow table with one row per group, in the order of their keys, including models
            (if kept), tracebacks and histories.
        notes: Advice and notes, in sentences.
        output: The output to which rows were written with their models; `rows` then lack these.
        model_outputs: For each `group` of `rows` whose model is in an output only, that output.
    """

    name: str
    folder: Path
    metric: Metric
    space: Space
    by: tuple[str, ...]
    mode: str
    reason: str
    rows: Table
    notes: tuple[str, ...] = ()
    output: str | None = None
    model_outputs: Mapping[str, str] = field(default_factory=dict)

    # ── figures ───────────────────────────────────────────────────────────────────────────────

    @property
    def table(self) -> "pd.DataFrame":
        """One row per group, in the order of their keys; a new copy each time.

        Columns: the key columns (with the prefix `key_` if another column has that name); `state`
        (COMPLETE; BASELINE if the group has only its baseline; FAIL), `reason`, `rows`, `value`,
        `baseline` and `gain` (by how much tuning beat the baseline, in the metric's unit);
        `params_*` by label, `metrics_*`, and `baseline_*` for the baseline's metrics; `trials`, of
        which `pruned` and `failed`; `seconds` in the worker, of which `fit_seconds` in the
        objective; `worker`, `error`, `model_path`. Missing values are NaN, NA or None.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pd.DataFrame = self._frame.copy()
        return frame

    @cached_property
    def _frame(self) -> Any:
        return frame_of(self.rows, self.by, self.space)

    def count(self, state: str) -> int:
        """Return the number of groups that are `"COMPLETE"`, `"BASELINE"` or `"FAIL"`."""
        return self.summary.states.get(state, 0)

    def worst(self, n: int = 10) -> "pd.DataFrame":
        """Return the groups with the worst values, worst first, without those of `failures`.

        A group that has only its baseline is ranked by that.
        """
        frame = self.table
        stand = frame["value"].fillna(frame["baseline"]).dropna()
        order = stand.map(self.metric.loss).sort_values(ascending=False, kind="stable")
        return frame.loc[order.index[:n]]

    def slowest(self, n: int = 10) -> "pd.DataFrame":
        """Return the groups that took longest, longest first."""
        frame = self.table
        return frame.sort_values("seconds", ascending=False, kind="stable").head(n)

    def failures(self) -> tuple[GroupFailure, ...]:
        """Return the groups that failed, or all of whose trials did, most frequent cause first.

        Groups whose reasons differ only in numbers are together. A group too small to be tuned has
        not failed.
        """
        causes: dict[str, list[int]] = {}
        columns = [self.rows.column(name).to_pylist() for name in ("state", "error", "reason")]
        for place, (state, error, reason) in enumerate(zip(*columns, strict=True)):
            if has_failed(state, error):
                causes.setdefault(gist(reason), []).append(place)
        alike = sorted(causes.values(), key=len, reverse=True)
        return tuple(self._failure(places) for places in alike)

    def _failure(self, places: Sequence[int]) -> GroupFailure:
        first = places[0]
        return GroupFailure(
            self.rows.column("reason")[first].as_py(),
            len(places),
            tuple(keys_of(self.rows.take(list(places[:_FEW])), self.by)),
            self.rows.column("traceback")[first].as_py() or "",
        )

    def compare(self, other: "GroupsResult", metric: str | None = None) -> str:
        """Return a sentence on whether this result's params are better than those of another.

        Groups are compared in pairs, by their mean difference and its standard error. On the rows
        by which params were chosen, individual params are favoured, because they are the best of
        many trials on just those rows. Let the objective return a metric on rows that it keeps out,
        and name it here.

        Args:
            other: The result of tuning the same groups jointly, or in any other way.
            metric: A metric of both results, with the direction of the tuned one; by default the
                tuned one.
        """
        return compare(self, other, metric)

    # ── one group ─────────────────────────────────────────────────────────────────────────────

    def params_of(self, key: Key) -> dict[str, Any]:
        """Return the best params of a group, as the objective received them.

        Args:
            key: The value of the key column, or a tuple for several columns; None for a missing
                value. A time without a zone is in the column's zone; if it is ambiguous, `fold=1`
                selects the second instant.

        Raises:
            ArgumentError: There is no such group.
            NoResultError: None of its trials has completed.
        """
        row = self.rows.slice(self._place(key), 1)
        (params,) = stored_params(row)
        if params is None:
            raise NoResultError(f"group {_shown(key)} has no params: {_why(row)}")
        return self.space.materialize(params)

    def model_of(self, key: Key) -> Any:
        """Return the model of a group.

        Args:
            key: The group's key, as for `params_of`.

        Raises:
            ArgumentError: There is no such group.
            NoResultError: Its model wasn't kept.
            OSError: The file of its model is missing.
        """
        row = self.rows.slice(self._place(key), 1)
        data, path = row.column("model")[0].as_py(), row.column("model_path")[0].as_py()
        if data is None and path is None:
            output = self.model_outputs.get(row.column("group")[0].as_py())
            raise NoResultError(f"group {_shown(key)} has no model: {_why_no_model(row, output)}")
        return cloudpickle.loads(fetch(path) if data is None else data)

    def _place(self, key: Key) -> int:
        values = key if isinstance(key, tuple) else (key,)
        if len(values) != len(self.by):
            names = ", ".join(self.by)
            raise ArgumentError(f"a key here is a tuple of ({names}), but got {key!r:.200}")
        place = self._places.get(key_text(self._zoned(values)))
        if place is None:
            raise ArgumentError(f"there is no group {_shown(key)}. {self._hint(values)}")
        return place

    def _zoned(self, values: Sequence[Any]) -> list[Any]:
        """Return a key whose times have the zone of their column, if they say none."""
        kinds = keys_in(self.rows, self.by).schema.types
        return [localised(value, kind) for value, kind in zip(values, kinds, strict=True)]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {text: place for place, text in enumerate(self.rows.column("group").to_pylist())}

    def _hint(self, values: Sequence[Any]) -> str:
        known = list(self._places)[:_MOST_COMPARED]
        if not known:
            return "There are no groups"
        close = difflib.get_close_matches(key_text(values), known, n=3)
        found = [self._places[text] for text in close or known[:3]]
        names = [_shown(key) for key in keys_of(self.rows.take(found), self.by)]
        if close:
            return f"Did you mean {' or '.join(names)}?"
        return f"There are {len(self)}, such as {', '.join(names)}"

    # ── new rows ──────────────────────────────────────────────────────────────────────────────

    def predict(self, data: Any, *, on_missing: Literal["null", "raise"] = "null") -> Any:
        """Return new rows with a column `prediction`, by the model of each row's group.

        A model is called as `model.predict(rows)`, or `model(rows)` if it has no such method. It
        gets the group's rows as the objective did, with all columns and numbered from 0. A model
        with the attribute `feature_names_in_`, such as scikit-learn's, gets only those columns. It
        must return one value per row.

        On Spark, predictions are doubles, and computed where the rows are when the returned
        DataFrame is used; its rows may be in another order. `apply` is more general.

        Args:
            data: A pandas or Spark DataFrame with the key columns.
            on_missing: What to do with rows of groups that have no model or are unknown: `"null"`
                leaves their predictions empty and warns, `"raise"` raises.

        Returns:
            For pandas: the same rows, order and index, with one more column.

        Raises:
            ArgumentError: A key column is missing, there is already a column `prediction`, a model
                didn't return one value per row, or groups have no model and `on_missing` is
                `"raise"`.
        """
        return apply.predict(self, data, on_missing)

    def apply(
        self,
        function: Callable[[Any, dict[str, Any] | None, Any], Any],
        data: Any,
        schema: Any = None,
        *,
        on_missing: Literal["null", "raise"] = "null",
    ) -> Any:
        """Call a function with each group's new rows, its params and its model.

        Args:
            function: `function(rows, params, model) -> DataFrame`. Rows and params are as the
                objective received them; params are None if the group has only its baseline, and
                the model is None if it wasn't kept.
            data: A pandas or Spark DataFrame with the key columns.
            schema: On Spark, the schema of the function's result: a DDL string or StructType.
            on_missing: What to do with rows of groups that have neither params nor a model:
                `"null"` leaves them out and warns, `"raise"` raises.

        Returns:
            The results of the function, group after group. In pandas, if it returned one row per
            row, these have the order and the index of `data`.

        Raises:
            ArgumentError: A key column is missing, the function didn't return a DataFrame, or
                groups have nothing to apply and `on_missing` is `"raise"`.
        """
        return apply.apply(self, function, data, schema, on_missing)

    # ── pictures ──────────────────────────────────────────────────────────────────────────────

    def plot_gains(self) -> Any:
        """Return a plotly figure of each group's gain over its baseline, sorted.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        return figure(plots.gains(self))

    def plot_params(self, name: str | None = None) -> Any:
        """Return a plotly figure of the distribution of the best params over groups.

        Args:
            name: The name of a param; all of them by default.

        Raises:
            ArgumentError: There is no such param.
            MissingExtraError: plotly is not installed.
        """
        return figure(plots.params(self, name))

    def plot_slowest(self, n: int = 20) -> Any:
        """Return a plotly figure of the slowest groups, and the time of their fits.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        return figure(plots.slowest(self, n))

    def report(self, path: str | Path) -> Path:
        """Write a report as one HTML file, which needs no network; returns its path.

        It has figures over all groups, notes, pictures, a table of all groups, and causes of
        failure with tracebacks. It may be of a call that runs. Credentials are redacted.

        Args:
            path: The file, which is replaced.

        Raises:
            ArgumentError: `path` is a folder.
            OSError: The file can't be written.
        """
        return write(path, groups_html(self))

    # ── in words ──────────────────────────────────────────────────────────────────────────────

    @cached_property
    def summary(self) -> Summary:
        """The figures of all groups together."""
        return Summary.of(self.rows, self.metric)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __repr__(self) -> str:
        return "\n".join([self._title, *self._lines()])

    def _repr_html_(self) -> str:
        """Return the summary and the first ten groups, as a notebook shows them."""
        columns, rows = first_groups(self.rows.slice(0, _FEW), self.by)
        more = len(self) - len(rows)
        lines = [*self._lines(), *([f"  {more:,} more groups: table has all"] if more else [])]
        return page_of(self._title, lines, columns, rows)

    @property
    def _title(self) -> str:
        return f"Groups {self.name} ({self.mode}): {self.reason}"

    def _lines(self) -> list[str]:
        lines = [f"  {word:7} {text}" for word, text in sentences(self.summary, self.metric)]
        slow = self.summary.slowest
        if slow is not None and len(self) > 1:
            (key,) = keys_of(self.rows.slice(slow, 1), self.by)
            share = f"{self.summary.slowest_share:.1%}"
            lines.append(f"  {'slowest':7} {label(key)}, with {share} of that time")
        lines.append(f"  {'record':7} {self.folder}")
        return lines + [f"  {'note':7} {note}" for note in self.notes]


def _shown(key: Key) -> str:
    return str(redact_value("key", repr(key)))[:200]


def _why(row: Table) -> str:
    reason, state = row.column("reason")[0].as_py(), row.column("state")[0].as_py()
    return f"{state}, {reason}" if reason else str(state)


def _why_no_model(row: Table, output: str | None) -> str:
    state, reason = (row.column(name)[0].as_py() for name in ("state", "reason"))
    if state != COMPLETE or NO_MODEL in reason:
        return _why(row)
    if output is not None:
        return (
            f"it is only in the column model of {output}; the same call with "
            "keep_models=<a folder> tunes it again, and keeps the model where it is found"
        )
    return "tune_groups keeps models with keep_models=True, of an objective that returns them"
