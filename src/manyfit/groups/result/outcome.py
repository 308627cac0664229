"""The outcome of a call of `tune_groups` for trackers: figures, words and files."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from manyfit._redact import redact
from manyfit.groups.record.ended import events_of
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL
from manyfit.groups.result.report import groups_html
from manyfit.groups.result.table import label
from manyfit.trackers.auto import is_installed
from manyfit.trackers.base import Outcome

if TYPE_CHECKING:
    from manyfit.groups.result.result import GroupsResult

_QUANTILES = (10, 25, 50, 75, 90)
_WORST = 100
# A table of more groups is too large for an artifact; the record has it.
_MOST_ROWS = 200_000


def outcome_of(result: "GroupsResult") -> Outcome:
    """Return the outcome of a result."""
    return Outcome(
        lines=str(result).splitlines(),
        metrics=_metrics(result),
        tags={f"manyfit.{state.lower()}": str(result.count(state)) for state in _STATES},
        files=lambda: {**_tables(result), **_failures(result), "report.html": groups_html(result)},
        groups=lambda: events_of(result.rows),
    )


_STATES = (COMPLETE, BASELINE, FAIL)


def _metrics(result: "GroupsResult") -> dict[str, float]:
    summary = result.summary
    parts = {"value": summary.values, "gain": summary.gains, "seconds": summary.seconds}
    found = {"groups": float(summary.groups), "trials": float(summary.trials)}
    for state in _STATES:
        found[f"groups_{state.lower()}"] = float(result.count(state))
    if len(summary.gains):
        found["gained_share"] = summary.gained / len(summary.gains)
    for name, data in parts.items():
        found.update(_distribution(name, data))
    total = float(summary.seconds.sum())
    if total:
        found["fit_share"] = summary.fit_seconds / total
    return found


def _distribution(name: str, data: NDArray[np.float64]) -> Iterator[tuple[str, float]]:
    if not len(data):
        return
    yield f"{name}_mean", float(data.mean())
    yield f"{name}_min", float(data.min())
    yield f"{name}_max", float(data.max())
    for percent in _QUANTILES:
        yield f"{name}_p{percent}", float(np.quantile(data, percent / 100))


def _tables(result: "GroupsResult") -> dict[str, str]:
    if not is_installed("pandas"):
        return {}
    files = {"worst.csv": redact(result.worst(_WORST).to_csv(index=False))}
    if len(result) <= _MOST_ROWS:
        files["table.csv"] = redact(result.table.to_csv(index=False))
    return files


def _failures(result: "GroupsResult") -> dict[str, str]:
    found = [
        {
            "reason": failure.reason,
            "groups": failure.count,
            "first": [label(key) for key in failure.keys],
            "traceback": failure.traceback,
        }
        for failure in result.failures()
    ]
    return {"failures.json": redact(json.dumps(found, indent=1, ensure_ascii=False))}
