"""Studies, calls and trials as plain rows, for tables, JSON and CSV; without credentials."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from manyfit._redact import redact_value
from manyfit.cli.page import Row
from manyfit.errors import NoResultError
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL, Table
from manyfit.groups.result.result import GroupsResult
from manyfit.groups.result.table import keys_of, label, stored_params
from manyfit.result import Failure, StudyResult
from manyfit.trial import Attempt, State, Trial
from manyfit.trial_table import row_of

# What is shown of each group. `row` has the meaning of each column.
_GROUP = ("state", "reason", "rows", "value", "baseline", "gain", "trials", "pruned", "failed")
_GROUP_WORK = ("seconds", "fit_seconds", "worker", "error", "model_path")


def best_of(result: StudyResult) -> Trial | None:
    """Return the best trial of a study; None if none has completed."""
    try:
        return result.best
    except NoResultError:
        return None


def study_row(result: StudyResult) -> dict[str, Any]:
    """Return a study in one row."""
    best = best_of(result)
    return {
        "name": result.name,
        "kind": "study",
        "metric": result.metric.name,
        "direction": result.metric.direction,
        "best": None if best is None else best.value,
        "trials": len(result),
        **{state.value.lower(): result.count(state) for state in State},
        "reason": result.reason,
    }


def groups_row(result: GroupsResult) -> dict[str, Any]:
    """Return a call of `tune_groups` in one row."""
    values = result.summary.values
    return {
        "name": result.name,
        "kind": "groups",
        "metric": result.metric.name,
        "direction": result.metric.direction,
        "median": float(np.median(values)) if len(values) else None,
        "groups": len(result),
        **{state.lower(): result.count(state) for state in (COMPLETE, BASELINE, FAIL)},
        "reason": result.reason,
    }


def counts(row: Row) -> str:
    """Return the counts of a row in words: `8 COMPLETE, 2 FAIL`.

    Example:
        >>> counts({"trials": 3, "complete": 2, "pruned": 0, "fail": 1, "reason": ""})
        '2 COMPLETE, 1 FAIL'
    """
    states = [*(state.value for state in State), BASELINE]
    return ", ".join(f"{row[s.lower()]} {s}" for s in states if row.get(s.lower())) or "none"


def trial_row(trial: Trial) -> dict[str, Any]:
    """Return a trial as a row of `StudyResult.table`."""
    return {name: redact_value(name, value) for name, value in row_of(trial).items()}


def trial_record(result: StudyResult, trial: Trial) -> dict[str, Any]:
    """Return all about a trial but its reports and its output."""
    return {
        "number": trial.number,
        "state": trial.state.value,
        "reason": trial.reason,
        "value": trial.value,
        "seconds": trial.seconds,
        "origin": trial.origin,
        "repeat_of": trial.repeat_of,
        "params": _redacted(result.space.flat(trial.params)),
        "metrics": trial.metrics,
        "notes": _redacted(trial.notes),
        "attempts": [_attempt(attempt) for attempt in trial.attempts],
        "traceback": trial.traceback,
        "log": result.log_of(trial),
    }


def report_rows(trial: Trial) -> list[dict[str, Any]]:
    """Return the reports of all attempts at a trial."""
    return [
        {
            "attempt": attempt.number,
            "step": measurement.step,
            "seconds": measurement.at - attempt.started_at,
            **measurement.metrics,
        }
        for attempt in trial.attempts
        for measurement in attempt.measurements
    ]


def study_record(result: StudyResult, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return all about a study, with some of its trials."""
    best = best_of(result)
    return {
        **study_row(result),
        "best": None if best is None else trial_record(result, best),
        "folder": result.folder,
        "trials": [trial_record(result, trial) for trial in trials],
        "repeated": [
            {"number": r.number, "trials": r.trials, "mean": r.mean, "low": r.low, "high": r.high}
            for r in result.repeated
        ],
        "failures": [_failure(failure) for failure in result.failures()],
        "losses": [_failure(loss) for loss in result.losses()],
    }


def group_rows(result: GroupsResult, rows: Table) -> list[dict[str, Any]]:
    """Return groups as rows of `GroupsResult.table`."""
    return [
        {
            **_key(result, record["key"]),
            **{name: record[name] for name in _GROUP},
            **_prefixed("params", record["params"] or {}),
            **_prefixed("metrics", record["metrics"]),
            **{name: record[name] for name in _GROUP_WORK},
        }
        for record in group_records(result, rows)
    ]


def group_records(result: GroupsResult, rows: Table) -> list[dict[str, Any]]:
    """Return all about groups but their models and histories."""
    names = (*_GROUP, *_GROUP_WORK, "traceback")
    columns = [rows.column(name).to_pylist() for name in (*names, "metrics")]
    keys, params = keys_of(rows, result.by), stored_params(rows)
    return [
        {
            "key": key if isinstance(key, tuple) else (key,),
            **dict(zip(names, values, strict=True)),
            "params": None if found is None else _redacted(found),
            "metrics": dict(metrics or ()),
        }
        for key, found, (*values, metrics) in zip(
            keys, params, zip(*columns, strict=True), strict=True
        )
    ]


def groups_record(result: GroupsResult, rows: Table) -> dict[str, Any]:
    """Return all about a call of `tune_groups`, with some of its groups."""
    return {
        **groups_row(result),
        "by": result.by,
        "mode": result.mode,
        "folder": result.folder,
        "notes": result.notes,
        "groups": group_records(result, rows),
        "failures": [
            {
                "reason": failure.reason,
                "groups": failure.count,
                "first": [label(key) for key in failure.keys],
                "traceback": failure.traceback,
            }
            for failure in result.failures()
        ],
    }


def _key(result: GroupsResult, parts: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(result.by, parts, strict=True))


def _prefixed(family: str, values: Row) -> dict[str, Any]:
    return {f"{family}_{name}": value for name, value in values.items()}


def _redacted(values: Row) -> dict[str, Any]:
    return {name: redact_value(name, value) for name, value in values.items()}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    end = attempt.end
    return {
        "number": attempt.number,
        "worker": attempt.worker,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "seconds": attempt.seconds,
        "end": None if end is None else type(end).__name__.lower(),
        "reason": getattr(end, "reason", ""),
        "reports": len(attempt.measurements),
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "reason": failure.reason,
        "trials": failure.numbers,
        "hosts": failure.hosts,
        "traceback": failure.traceback,
        "log": failure.log,
    }
