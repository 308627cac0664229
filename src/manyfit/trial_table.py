"""Trials as a table for people: the best first, without credentials."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from manyfit._redact import redact_value
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import State, Trial


def ranked(trials: Iterable[Trial], metric: Metric) -> list[Trial]:
    """Return trials: completed ones by value, then others by their last report, then repeats."""

    def rank(trial: Trial) -> tuple[bool, bool, float, int]:
        last = trial.metrics.get(metric.name, float("nan"))
        unfinished = trial.state is not State.COMPLETE
        return trial.repeat_of is not None, unfinished, metric.loss(last), trial.number

    return sorted(trials, key=rank)


def table_of(
    trials: Sequence[Trial], metric: Metric
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return the columns and the rows of a table of trials; a missing value is None.

    The columns are trial, state, the metric, seconds, the params, and reason if any trial has one.

    Example:
        >>> table_of([Trial(0, {"x": 0.5})], Metric("loss"))
        (('trial', 'state', 'loss', 'seconds', 'x'), [(0, 'WAITING', None, None, 0.5)])
    """
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    has_reasons = any(trial.reason for trial in trials)
    columns = ("trial", "state", metric.name, "seconds", *names, *["reason"] * has_reasons)
    rows = [
        (
            trial.number,
            trial.state.value,
            trial.metrics.get(metric.name),
            _seconds(trial.seconds),
            *(redact_value(name, trial.params.get(name)) for name in names),
            *[trial.reason] * has_reasons,
        )
        for trial in trials
    ]
    return columns, rows


def _seconds(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    return round(seconds, 1) if seconds >= 10 else float(f"{seconds:.3g}")


def flattened(trials: Iterable[Trial], space: Space) -> list[Trial]:
    """Return trials whose params inside dicts and lists are named by their paths."""
    return [replace(trial, params=space.flat(trial.params)) for trial in trials]


def row_of(trial: Trial) -> dict[str, Any]:
    """Return a trial as a row of `StudyResult.table`."""
    return {
        "number": trial.number,
        "state": trial.state.value,
        "reason": trial.reason,
        "value": trial.value,
        "seconds": trial.seconds,
        "attempt": len(trial.attempts),
        "origin": trial.origin,
        **{f"params_{name}": value for name, value in trial.params.items()},
        **{f"metrics_{name}": value for name, value in trial.metrics.items()},
        **{f"notes_{name}": value for name, value in trial.notes.items()},
    }


def ordered(columns: Iterable[str]) -> list[str]:
    """Return the columns of rows, params before metrics, even if the first row lacks some."""
    fixed = ["number", "state", "reason", "value", "seconds", "attempt", "origin"]
    params = [column for column in columns if column.startswith("params_")]
    metrics = [column for column in columns if column.startswith("metrics_")]
    notes = [column for column in columns if column.startswith("notes_")]
    return [*fixed, *params, *metrics, *notes]
