"""A study's result as a study of Optuna."""

import datetime
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from manyfit._labels import constant_to_json
from manyfit.errors import SpaceError
from manyfit.metric import Metric
from manyfit.plots.study import Studied
from manyfit.samplers.optuna import Distribution, distribution_of, quiet_study, to_optuna
from manyfit.space import Domain, Float, Int, Space
from manyfit.trial import Params, State, Trial


def optuna_study(result: Studied) -> optuna.Study:
    """Return a result as a study in memory; see `StudyExports.to_optuna`."""
    study = quiet_study(result.metric.direction, name=result.name)
    study.set_user_attr("metric", result.metric.name)
    if constants := result.space.constants:
        shown = {name: constant_to_json(name, value) for name, value in constants.items()}
        study.set_user_attr("constants", shown)
    points = {trial.number: _point(trial, result.space) for trial in _shown(result)}
    distributions = _distributions(result.space, points.values())
    for trial in _shown(result):
        known = _known(trial, distributions)
        params, places = _params(points[trial.number], known)
        repeats = [each for each in result.trials if each.repeat_of == trial.number]
        frozen = _frozen(trial, result.metric, params, places, repeats)
        if trial.number != len(study.get_trials(deepcopy=False)):
            frozen.set_user_attr("number", trial.number)
        study.add_trial(frozen)
    return study


def _shown(result: Studied) -> list[Trial]:
    return [
        trial
        for trial in result.trials
        if trial.attempts and trial.repeat_of is None and trial.number not in result.outside
    ]


# ── params ────────────────────────────────────────────────────────────────────────────────────


def _point(trial: Trial, space: Space) -> Params:
    """Return a trial's tuned params in stored form."""
    if trial.domains:
        return trial.params
    tuned = {name: value for name, value in trial.params.items() if name in space.params}
    try:
        return space.store(tuned)
    except SpaceError:  # of an objective that was killed before it had asked for all
        return {}


def _distributions(
    space: Space, points: Iterable[Params]
) -> dict[str, tuple[Domain, Distribution]]:
    """Return the domains of a space with their distributions; a prior's has the values tried."""
    tried: dict[str, list[float]] = {}
    for point in points:
        for name, value in point.items():
            tried.setdefault(name, []).append(value)
    return {
        name: (domain, _bounded(domain, tried.get(name, [0.0])) or distribution_of(domain))
        for name, domain in space.params.items()
    }


def _bounded(domain: Domain, tried: list[float]) -> Distribution | None:
    """Return a range in the place of a prior, which Optuna doesn't have."""
    if not isinstance(domain, Float | Int) or domain.prior is None:
        return None
    low = domain.low if math.isfinite(domain.low) else min(tried)
    high = domain.high if math.isfinite(domain.high) else max(tried)
    kind = IntDistribution if isinstance(domain, Int) else FloatDistribution
    return kind(low, high)  # type: ignore[arg-type] # an Int's are whole


def _known(
    trial: Trial, distributions: Mapping[str, tuple[Domain, Distribution]]
) -> dict[str, tuple[Any, Distribution]]:
    """Return the domains and distributions of a trial's params."""
    own = {
        name: (each, distribution_of(each) if isinstance(each, Domain) else _single(each))
        for name, each in trial.domains.items()
    }
    return {**distributions, **own}


def _single(value: Any) -> Distribution:
    return CategoricalDistribution((value,))


def _params(
    point: Params, known: Mapping[str, tuple[Any, Distribution]]
) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for name, value in point.items():
        domain, distribution = known[name]
        is_place = isinstance(domain, Domain) and getattr(domain, "prior", None) is None
        params[name] = to_optuna(domain, distribution, value) if is_place else value
        distributions[name] = distribution
    return params, distributions


# ── trials ────────────────────────────────────────────────────────────────────────────────────


def _frozen(
    trial: Trial,
    metric: Metric,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    repeats: list[Trial],
) -> FrozenTrial:
    reports = _reports(trial, metric)
    is_pruned = trial.state is State.PRUNED
    # A trial that waits for another attempt counts as running: it isn't a point to be tried.
    state = TrialState.RUNNING if trial.state is State.WAITING else TrialState[trial.state.name]
    frozen = optuna.trial.create_trial(
        state=state,
        value=_last_finite(reports) if is_pruned else trial.value,
        params=params,
        distributions=distributions,
        user_attrs=_user_attrs(trial, metric, repeats),
        intermediate_values=reports,
    )
    last = trial.attempts[-1]
    frozen.datetime_start = _moment(last.started_at)
    frozen.datetime_complete = _moment(last.ended_at) if state.is_finished() else None
    return frozen


def _user_attrs(trial: Trial, metric: Metric, repeats: Iterable[Trial]) -> dict[str, Any]:
    """Return what is known of a trial besides its params, value and reports, as JSON values."""
    others = {name: each for name, each in trial.metrics.items() if name != metric.name}
    reason = {"reason": trial.reason} if trial.reason else {}
    values = [each.value for each in repeats]
    repeated = {"repeats": values} if values else {}
    return {**others, **{n: _parsed(text) for n, text in trial.notes.items()}, **reason, **repeated}


def _parsed(note: str) -> Any:
    """Return a note as the value that it is JSON of; otherwise as the text that it is."""
    try:
        return json.loads(note)
    except ValueError:
        return note


def _reports(trial: Trial, metric: Metric) -> dict[int, float]:
    return {
        measurement.step: measurement.metrics[metric.name]
        for measurement in trial.measurements
        if metric.name in measurement.metrics and measurement.step >= 0
    }


def _last_finite(values: Mapping[int, float]) -> float | None:
    return next((v for _, v in sorted(values.items(), reverse=True) if math.isfinite(v)), None)


def _moment(at: float | None) -> datetime.datetime | None:
    """Return a time as Optuna has it: local, without a zone."""
    return None if at is None else datetime.datetime.fromtimestamp(at)
