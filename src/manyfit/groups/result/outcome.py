"""How a call of `tune_groups` ended, as mirrors keep it: figures, words and files."""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manyfit._redact import redact
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL
from manyfit.groups.result import plots
from manyfit.groups.result.table import keys_of, label, stored_params
from manyfit.trackers.auto import is_installed
from manyfit.trackers.groups import Child, Outcome

if TYPE_CHECKING:
    from manyfit.groups.result.result import GroupsResult

_QUANTILES = (10, 25, 50, 75, 90)
_WORST = 100
# A table of more groups than this is too large for an artifact: the record has it.
_MOST_ROWS = 200_000


def outcome_of(result: "GroupsResult") -> Outcome:
    """Return what mirrors keep of a result; pictures too, where plotly is installed."""
    return Outcome(
        reason=result.reason,
        lines=str(result).splitlines(),
        metrics=_metrics(result),
        tags={f"manyfit.{state.lower()}": str(result.count(state)) for state in _STATES},
        files={**_tables(result), **_failures(result), **_pictures(result)},
        children=_children(result),
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


def _pictures(result: "GroupsResult") -> dict[str, str]:
    """Return a page with all pictures: plotly's own code, four megabytes, is in it once."""
    if not is_installed("plotly") or not len(result):
        return {}
    return {"figures.html": plots.page(result)}


def _children(result: "GroupsResult") -> Iterator[Child]:
    rows = result.rows
    names = ("group", "state", "reason", "metrics", "baseline_metrics", "gain", "trials", "seconds")
    columns = [rows.column(name).to_pylist() for name in names]
    keys, params = keys_of(rows, result.by), stored_params(rows)
    for key, stored, values in zip(keys, params, zip(*columns, strict=True), strict=True):
        yield _child(label(key), stored or {}, dict(zip(names, values, strict=True)))


def _child(name: str, params: Mapping[str, Any], row: Mapping[str, Any]) -> Child:
    metrics = dict(row["metrics"] or ())
    metrics |= {f"baseline_{each}": value for each, value in row["baseline_metrics"] or ()}
    metrics |= {"gain": row["gain"]} if row["gain"] is not None else {}
    metrics |= {"trials": float(row["trials"]), "seconds": float(row["seconds"])}
    return Child(
        name=name[:200],
        params=params,
        metrics={each: value for each, value in metrics.items() if value is not None},
        tags={
            "manyfit.group": row["group"],
            "manyfit.state": row["state"],
            "manyfit.reason": row["reason"],
        },
        status="FAILED" if row["state"] == FAIL else "FINISHED",
    )
