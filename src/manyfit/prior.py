"""Turns what a user passes as `prior_from` into results in this study's space."""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from manyfit.archive import load_study
from manyfit.errors import ArgumentError, SpaceError
from manyfit.metric import Metric
from manyfit.result import StudyResult
from manyfit.samplers.earlier import FEWEST, Earlier
from manyfit.space import Choice, Domain, Space
from manyfit.trial import State

logger = logging.getLogger("manyfit")


def earlier_studies(
    prior_from: object, space: Space, metric: Metric, folder: str | Path
) -> list[Earlier]:
    """Return the results of other studies that fit this study's space.

    A trial without a finite value of the metric, or with a param outside the space, is left out. A
    trial that lacks some params is used: it is informative about the others. A study with too few
    usable trials is skipped, with a warning.

    Args:
        prior_from: A list of studies, each a `StudyResult`, an object with a method `result` that
            returns one, the name of a study in `folder`, or a table as returned by MLflow's
            `search_runs` or `StudyResult.table` (columns `params.x`, `metrics.y`; or with `_`).
        space: The space of the study that will learn from them.
        metric: The metric of that study, which is looked up by name in the others; its direction
            applies to all.
        folder: The folder that contains studies.

    Raises:
        ArgumentError: `prior_from` isn't a list of these, or one has no such metric.
    """
    if isinstance(prior_from, str | Mapping | StudyResult) or not isinstance(prior_from, Iterable):
        raise ArgumentError(f"prior_from must be a list of studies, but got {prior_from!r:.200}")
    found = []
    for place, given in enumerate(prior_from):
        name = f"prior_from[{place}]"
        records = list(_records(given, name, metric.name, folder))
        study = fitting(records, space, metric)
        if len(study.losses) >= FEWEST:
            found.append(study)
            continue
        fit = f"{len(study.losses)} of its {len(records)} trials fit this space"
        logger.warning("%s is ignored: %s, and at least %d are needed.", name, fit, FEWEST)
    return found


def _records(
    given: Any, name: str, metric: str, folder: str | Path
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield the recorded params and metric of each trial; NaN for a missing metric."""
    if hasattr(given, "columns") and hasattr(given, "to_dict"):
        yield from _rows(given, name, metric)
        return
    result = load_study(given, folder=folder) if isinstance(given, str) else given
    if callable(read := getattr(given, "result", None)):
        result = read()
    if not isinstance(result, StudyResult):
        raise ArgumentError(
            f"{name} must be a StudyResult, a Study, the name of a study in {folder}, or a table "
            f"with columns params.* and metrics.*, but got {given!r:.200}"
        )
    completed = [trial for trial in result.trials if trial.state is State.COMPLETE]
    known = sorted({key for trial in completed for key in trial.metrics})
    if completed and metric not in known:
        raise ArgumentError(_without_metric(name, metric, known))
    for trial in completed:
        yield result.space.flat(trial.params), float(trial.metrics.get(metric, math.nan))


def _rows(table: Any, name: str, metric: str) -> Iterator[tuple[dict[str, Any], float]]:
    columns = [str(column) for column in table.columns]
    values = [column for column in columns if column in (f"metrics.{metric}", f"metrics_{metric}")]
    if not values:
        known = [column[8:] for column in columns if column.startswith(("metrics.", "metrics_"))]
        raise ArgumentError(_without_metric(name, metric, known))
    for row in table.to_dict("records"):
        if (
            row.get("status", "FINISHED") != "FINISHED"
            or row.get("state", "COMPLETE") != "COMPLETE"
            or row.get("tags.manyfit.state") == "PRUNED"
        ):
            continue
        params = {
            key[7:]: value
            for key, value in row.items()
            if str(key).startswith(("params.", "params_")) and not _is_missing(value)
        }
        value = row[values[0]]
        yield params, math.nan if value is None else float(value)


def _without_metric(name: str, metric: str, known: list[str]) -> str:
    return f"{name} has no metric {metric!r}; it has: {', '.join(known) or 'none'}"


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def fitting(
    records: Iterable[tuple[Mapping[str, Any], float]], space: Space, metric: Metric
) -> Earlier:
    """Return the trials that fit a space, of which `records` have params and values."""
    params, losses = [], []
    for recorded, value in records:
        stored = _stored(recorded, space)
        if stored and math.isfinite(value):
            params.append(stored)
            losses.append(metric.loss(value))
    return Earlier(params, losses)


def _stored(recorded: Mapping[str, Any], space: Space) -> dict[str, Any] | None:
    """Return the params that this space also has, in stored form; None if a value is outside."""
    stored: dict[str, Any] = {}
    try:
        for name, domain in space.walk(stored):
            if name in recorded:
                stored[name] = _read(name, domain, recorded[name])
    except SpaceError:
        return None
    return stored


def _read(name: str, domain: Domain, value: Any) -> Any:
    """Return a value in stored form; a string is parsed as a number or an option if needed.

    Raises:
        SpaceError: The value is not in the domain.
    """
    if not isinstance(value, str):
        return domain.store(name, value)
    if isinstance(domain, Choice):
        named = [label for label in domain.labels if str(label) == value]
        return named[0] if named else domain.store(name, value)
    try:
        return domain.store(name, float(value))
    except ValueError:
        return domain.store(name, value)
