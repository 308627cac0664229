"""What tuning groups found: a row a group, and each group's model at work on new rows."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cloudpickle

from manyfit._redact import redact_value
from manyfit.errors import ArgumentError, NoResultError
from manyfit.groups.apply import apply
from manyfit.groups.record.keys import key_text
from manyfit.groups.record.models import fetch
from manyfit.groups.record.row import COMPLETE, NO_MODEL, Table, has_failed, keys_in
from manyfit.groups.result import plots
from manyfit.groups.result.advice import compare
from manyfit.groups.result.summary import Summary, sentences
from manyfit.groups.result.table import Key, frame_of, keys_of, label, localised, stored_params
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import gist

if TYPE_CHECKING:
    import pandas as pd

_FEW = 10  # so many keys say which groups are meant
# Of very many groups, this many are looked through for a key that was mistyped.
_MOST_COMPARED = 20_000


@dataclass(frozen=True, slots=True)
class GroupFailure:
    """Groups that failed alike.

    Attributes:
        reason: What happened to the first of them, in one line.
        count: How many they are.
        keys: The first ten, as `params_of` takes them.
        traceback: The first one's, and below it the end of what that trial printed; empty where
            there is neither.
    """

    reason: str
    count: int
    keys: tuple[Key, ...]
    traceback: str


@dataclass(frozen=True, repr=False)
class GroupsResult:
    """The groups of a call of `tune_groups`, as they stood when it ended.

    Attributes:
        name: The call's name.
        folder: Where its record is.
        metric: What was tuned.
        space: What was searched.
        by: The key columns.
        mode: `"independent"`, `"shared"` or `"transfer"`.
        reason: Why it ended, in one line.
        rows: An Arrow table, a row a group in the order of their keys; with models, where these are
            kept, tracebacks and histories.
        notes: What the figures advise, in sentences.
        output: Where rows were written with their models, which `rows` are without then.
        model_outputs: By `rows`' `group`, the output that its model was kept in and nowhere else.
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
        """A row a group, in the order of their keys; each time a copy.

        Columns: the key columns, with `key_` before a name that one of the others has; `state`
        (COMPLETE; BASELINE: what the group has is its baseline; FAIL), `reason`, `rows`, `value`,
        `baseline` and `gain` (by how much tuning beat it, in the metric's unit); `params_*` by
        label, `metrics_*`, and `baseline_*` for the baseline's; `trials`, of them `pruned` and
        `failed`, `seconds` in the worker and of these `fit_seconds` in the objective, `worker`,
        `error`, `model_path`. What a group lacks is NaN, NA or None.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        frame: pd.DataFrame = self._frame.copy()
        return frame

    @cached_property
    def _frame(self) -> Any:
        return frame_of(self.rows, self.by, self.space)

    def count(self, state: str) -> int:
        """Return how many groups are `"COMPLETE"`, `"BASELINE"` or `"FAIL"`."""
        return self.summary.states.get(state, 0)

    def worst(self, n: int = 10) -> "pd.DataFrame":
        """Return the groups with the worst values, worst first; what `failures` tells is left out.

        A group that has only its baseline stands where that puts it.
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
        """Return the groups that failed, or whose trials all did, most frequent cause first.

        Those whose reasons differ only in numbers are together. A group too small to be tuned has
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
        """Say whether params for each group, as here, were worth it over those of another result.

        Groups are compared in pairs: the verdict is of their mean difference and its standard
        error. On the rows by which params were chosen, it favours the groups' own, since these are
        the best of many trials on just those rows; so have the objective return a metric of rows
        that it keeps out, and name it here.

        Args:
            other: The same groups tuned jointly, or in any other way.
            metric: A metric that both have, good in the same direction as the tuned one; by default
                the tuned one.
        """
        return compare(self, other, metric)

    # ── one group ─────────────────────────────────────────────────────────────────────────────

    def params_of(self, key: Key) -> dict[str, Any]:
        """Return the best params of a group, as the objective received them.

        Args:
            key: The value of the key column, or a tuple of several; None where it is missing. A
                time without a zone is in the column's; of two that look alike it is the first,
                unless it has `fold=1`.

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
            key: As for `params_of`.

        Raises:
            ArgumentError: There is no such group.
            NoResultError: No model of it is kept.
            OSError: Its file is not where it was put.
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
            return "There are none"
        close = difflib.get_close_matches(key_text(values), known, n=3)
        found = [self._places[text] for text in close or known[:3]]
        names = [_shown(key) for key in keys_of(self.rows.take(found), self.by)]
        if close:
            return f"Did you mean {' or '.join(names)}?"
        return f"There are {len(self)}, such as {', '.join(names)}"

    # ── new rows ──────────────────────────────────────────────────────────────────────────────

    def predict(self, data: Any, *, on_missing: Literal["null", "raise"] = "null") -> Any:
        """Return new rows with a column `prediction`: of each group's rows by its own model.

        A model is called as `model.predict(rows)`, or `model(rows)` if it has no such method. It
        gets the group's rows the way the objective got them, with all columns and numbered from 0;
        a model that names the columns it was fitted on (`feature_names_in_`, as scikit-learn's do)
        gets just these. It must give one value a row.

        On Spark predictions are doubles, made where the rows are when the DataFrame that is
        returned is used; its rows may come in another order. `apply` can do other things.

        Args:
            data: A pandas or Spark DataFrame with the key columns.
            on_missing: What to do about rows of groups that have no model, or that are unknown:
                `"null"` has nothing predicted for them and warns, `"raise"` raises.

        Returns:
            For pandas: the same rows, order and index, and one more column.

        Raises:
            ArgumentError: A key column is missing, there is a column `prediction` already, a model
                gave something else than a value a row, or `on_missing` says so.
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
            function: `function(rows, params, model) -> DataFrame`. Rows are as the objective got
                them; params as it received them, or None where the group has its baseline only;
                the model is None if none is kept.
            data: A pandas or Spark DataFrame with the key columns.
            schema: On Spark, the schema of what comes back: a DDL string or StructType.
            on_missing: What to do about rows of groups that have neither params nor a model:
                `"null"` leaves them out and warns, `"raise"` raises.

        Returns:
            What the function returned, group after group. In pandas, if it returned a row for each
            row, these are in the order of `data` and have its index.

        Raises:
            ArgumentError: A key column is missing, the function returned no DataFrame, or
                `on_missing` says so.
        """
        return apply.apply(self, function, data, schema, on_missing)

    # ── pictures ──────────────────────────────────────────────────────────────────────────────

    def plot_gains(self) -> Any:
        """Return a plotly figure: what each group gained over its baseline, sorted.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        return plots.gains(self)

    def plot_params(self, name: str | None = None) -> Any:
        """Return a plotly figure: how the best params are spread over the groups.

        Args:
            name: One param; all of them by default.

        Raises:
            ArgumentError: There is no such param.
            MissingExtraError: plotly is not installed.
        """
        return plots.params(self, name)

    def plot_slowest(self, n: int = 20) -> Any:
        """Return a plotly figure: the groups that took longest, and how much of it were fits.

        Raises:
            MissingExtraError: plotly is not installed.
        """
        return plots.slowest(self, n)

    # ── in words ──────────────────────────────────────────────────────────────────────────────

    @cached_property
    def summary(self) -> Summary:
        """The figures of all groups together."""
        return Summary.of(self.rows, self.metric)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __repr__(self) -> str:
        count = "1 group" if len(self) == 1 else f"{len(self):,} groups"
        return f"<GroupsResult {self.name}: {count}, {self.reason}>"

    def __str__(self) -> str:
        lines = [f"Groups {self.name} ({self.mode}): {self.reason}"]
        lines += [f"  {word:7} {text}" for word, text in sentences(self.summary, self.metric)]
        slow = self.summary.slowest
        if slow is not None and len(self) > 1:
            (key,) = keys_of(self.rows.slice(slow, 1), self.by)
            share = f"{self.summary.slowest_share:.1%}"
            lines.append(f"  {'slowest':7} {label(key)}, with {share} of that time")
        lines.append(f"  {'record':7} {self.folder}")
        lines += [f"  {'note':7} {note}" for note in self.notes]
        return "\n".join(lines)


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
            f"what is kept of it is the column model of {output}; the same call with "
            "keep_models=<a folder> tunes it again, and models are found from here, too"
        )
    return "tune_groups keeps models with keep_models=True, of an objective that returns them"
