"""The report of a call of `tune_groups`."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from manyfit._redact import REDACTED, is_secret_name
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL, key_names
from manyfit.groups.result import plots
from manyfit.groups.result.summary import Summary, sentences
from manyfit.groups.result.table import TunedGroups, keys_of, label, stored_params
from manyfit.plots.chart import Role
from manyfit.reports.page import Report, Trouble, html_of
from manyfit.reports.recorded import facts, moment
from manyfit.reports.table import Table
from manyfit.trackers.progress import duration, number

_ROLES: tuple[tuple[str, Role], ...] = (
    (COMPLETE, "complete"),
    (BASELINE, "quiet"),
    (FAIL, "failed"),
)
_BEFORE = ("state", "rows", "value", "baseline", "gain")
_AFTER = ("trials", "pruned", "failed", "seconds", "fit_seconds", "worker", "reason")


class Alike(Protocol):
    """Groups that failed alike."""

    @property
    def reason(self) -> str:
        """The reason, in one line."""

    @property
    def count(self) -> int:
        """The number of groups."""

    @property
    def keys(self) -> tuple[Any, ...]:
        """The keys of the first ones."""

    @property
    def traceback(self) -> str:
        """The traceback of the first one."""


class ReportedGroups(TunedGroups, Protocol):
    """The part of a `GroupsResult` that a report shows."""

    @property
    def folder(self) -> Path:
        """The folder of its record."""

    @property
    def mode(self) -> str:
        """How groups were tuned."""

    @property
    def reason(self) -> str:
        """Why the call ended, in one line."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Advice and notes, in sentences."""

    @property
    def summary(self) -> Summary:
        """The figures of all groups together."""

    def failures(self) -> Sequence[Alike]:
        """Return the groups that failed, by cause."""


def groups_html(result: ReportedGroups, refresh: float | None = None) -> str:
    """Return the report of a call as HTML.

    Args:
        result: The call's result, which may be that of a running call, or without any group.
        refresh: The seconds after which a browser loads the page again; None for never.
    """
    states = result.summary.states
    return html_of(
        Report(
            name=result.name,
            lead=list(_lead(result)),
            counts=[(role, states[s], s) for s, role in _ROLES if states.get(s)],
            best=_typical(result),
            params=[],
            advice=result.notes,
            charts=[plots.gains(result), plots.params(result), plots.slowest(result)],
            table=_table(result),
            troubles=[
                Trouble(alike.reason, _whom(alike), alike.traceback) for alike in result.failures()
            ],
            facts=facts(result.folder),
            refresh=refresh,
        )
    )


def _lead(result: ReportedGroups) -> Iterator[str]:
    goal = f"The goal is to {result.metric.direction} {result.metric.name}"
    yield (
        f"{goal} of each group by {', '.join(result.by)}, in mode {result.mode}. "
        f"State of the call: {result.reason}."
    )
    for word, text in sentences(result.summary, result.metric):
        if word not in ("groups", result.metric.name, "gain"):
            yield f"{text[0].upper()}{text[1:]}."
    yield f"This page was made on {moment(time.time())}."


def _typical(result: ReportedGroups) -> tuple[str, str, list[str]]:
    """Return the median group, and how sure the gains are."""
    summary, name = result.summary, result.metric.name
    if not len(summary.values):
        return f"{name} of the median group", "none yet", ["No group has a value."]
    low, high = np.quantile(summary.values, [0.1, 0.9])
    words = [f"Four groups in five are from {number(low)} to {number(high)}."]
    if len(summary.gains):
        words.append(
            f"{summary.gained:,} of {plots.counted_groups(len(summary.gains))} did better than "
            f"their baseline; the median gain is {number(float(np.median(summary.gains)))}."
        )
        words.append(
            "How sure: these are values of the rows by which params were chosen, which favours "
            "them. A metric on rows kept out tells more."
        )
    slow = summary.slowest
    if slow is not None:
        (key,) = keys_of(result.rows.slice(slow, 1), result.by)
        took = duration(float(summary.seconds[slow]))
        words.append(f"The slowest group, {label(key)}, took {took}.")
    return f"{name} of the median group", number(float(np.median(summary.values))), words


def _table(result: ReportedGroups) -> Table:
    rows, space = result.rows, result.space
    found = [each or {} for each in stored_params(rows)]
    names = list(dict.fromkeys(space.params) | {n: None for each in found for n in each})
    keys = key_names(result.by)
    before = [rows.column(name).to_pylist() for name in (*keys, *_BEFORE)]
    after = [rows.column(name).to_pylist() for name in _AFTER]
    metrics = [dict(pairs or ()) for pairs in rows.column("metrics").to_pylist()]
    measured = list(dict.fromkeys(name for each in metrics for name in each))
    columns = [*keys, *_BEFORE, *(f"params_{name}" for name in names)]
    columns += [*(f"metrics_{name}" for name in measured), *_AFTER]
    hidden = {name for name in names if is_secret_name(name)}
    lines = (
        [
            *(column[n] for column in before),
            *(REDACTED if name in hidden else found[n].get(name) for name in names),
            *(metrics[n].get(name) for name in measured),
            *(column[n] for column in after),
        ]
        for n in range(rows.num_rows)
    )
    return Table.of("Groups", columns, lines, [state for state, _ in _ROLES])


def _whom(alike: Alike) -> str:
    first = ", ".join(map(label, alike.keys))
    more = alike.count - len(alike.keys)
    return f"{plots.counted_groups(alike.count)}: {first}{f' and {more:,} more' if more else ''}"
