"""Manyfit's Gaussian process for studies of Optuna.

A study of Optuna has no space: each trial asks for params as it runs. The space is therefore
rebuilt, with its branches, from the params of earlier trials whenever a trial begins. ::

    trials ─► layout: space, distributions ─► samplers.gp ─► params of the next trial
       └────────────► facts ────────────────────┘
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from manyfit.errors import ArgumentError
from manyfit.layout import Layout, completed
from manyfit.metric import Metric
from manyfit.optuna.distributions import domain_of
from manyfit.samplers import gp
from manyfit.space import Choice, Domain, Space
from manyfit.trial import Attempt, End, Failed, Finished, Measurement, Params, Pruned, Trial

_METRIC = "value"
# Trials in these states have asked for all their params; others may have been cut short.
_WHOLE = (TrialState.COMPLETE, TrialState.PRUNED)
_NEWS = (*_WHOLE, TrialState.FAIL, TrialState.RUNNING)
# For trials in threads, which share a sampler. It isn't an attribute, because those are pickled.
_LOCK = threading.Lock()


class GPSampler(optuna.samplers.BaseSampler):
    """Manyfit's Gaussian process as a sampler for a study of Optuna.

    It learns from complete, pruned and failed trials, and avoids the neighbourhood of running ones,
    in threads too. A param that was asked for only with some options of a categorical param is
    assumed to depend on these. Params that no trial has asked for are drawn at random: all params
    of the first trial, and later any new ones. If the range of a param changes, those of the latest
    20 trials that asked for it are searched, taken together, or that of the latest five if it is
    the same in these.

    It supports one objective; constraints are ignored. Two options that Optuna considers equal,
    such as 1 and True, count as one. Except for random draws, proposals are a function of the
    trials, the seed and the trial's number.

    Args:
        seed: Makes proposals repeatable; None draws a new one each time.

    Raises:
        ValueError: The seed is not in `range(2**32)`.

    Example:
        >>> import optuna
        >>> from manyfit.optuna import GPSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=GPSampler(seed=0))
        >>> study.optimize(lambda trial: (trial.suggest_float("x", -9, 9) - 2) ** 2, n_trials=20)
        >>> round(study.best_params["x"], 1)
        2.0
    """

    def __init__(self, *, seed: int | None = None) -> None:
        drawn = int(np.random.SeedSequence().generate_state(1)[0])
        self._seed = drawn if seed is None else seed
        self._independent = optuna.samplers.RandomSampler(seed=self._seed)
        self._model: _Model | None = None
        self._proposed: dict[tuple[str, int], dict[str, Any]] = {}  # by study and trial

    def reseed_rng(self) -> None:
        """Reseed independent draws; proposals already differ by the trial's number."""
        self._independent.reseed_rng()

    def infer_relative_search_space(
        self,
        study: optuna.Study,
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        """Return all params that trials have asked for, whether or not this one will.

        Raises:
            ValueError: The study has several objectives.
        """
        _check_one_objective(study)
        return dict(_layout(study).distributions)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose params; empty while there are no trials to learn from.

        Params that an enclosing sampler, such as `PartialFixedSampler`, has removed from the search
        space are kept fixed; only the others are chosen.
        """
        with _LOCK:
            layout = _layout(study)
            if not layout.space.params or not search_space:
                return {}
            model = self._brought_up_to_date(study, layout, trial.number)
            given = _given(study, trial, layout, search_space)
            stored = model.sampler.ask(trial.number, given) or {}
            params = {
                name: _from_stored(layout.distributions[name], value)
                for name, value in stored.items()
                if name in search_space
            }
            self._proposed[study.study_name, trial.number] = params
            return params

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a param at random that was not proposed.

        Raises:
            ValueError: The study has several objectives.
        """
        _check_one_objective(study)
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _brought_up_to_date(self, study: optuna.Study, layout: "_Layout", number: int) -> "_Model":
        """Return the study's model, after telling it all trials but the one that asks."""
        trials = study.get_trials(deepcopy=False, states=_NEWS)
        model = self._model
        if model is None or not model.fits(study, layout, trials):
            metric = Metric(_METRIC, _direction(study))
            model = _Model(
                study.study_name, layout.space, gp.GPSampler(layout.space, metric, self._seed)
            )
            self._model = model
        for trial in trials:
            if trial.number == number or trial.number in model.told:
                continue
            # A running trial will ask for the rest of the params proposed to it.
            key = study.study_name, trial.number
            params = self._proposed.get(key, {})
            if trial.state.is_finished():
                params = {}
                model.told.add(trial.number)
                self._proposed.pop(key, None)
            if params := {**params, **_comparable(trial, layout.distributions)}:
                model.sampler.tell(_fact(trial, layout.stored(params)))
        return model


@dataclass(frozen=True, slots=True)
class _Model:
    """A sampler, and the ended trials that it was told."""

    study: str
    space: Space
    sampler: gp.GPSampler
    told: set[int] = field(default_factory=set)

    def fits(self, study: optuna.Study, layout: "_Layout", trials: Sequence[FrozenTrial]) -> bool:
        """Return whether it can be reused: same space, and no trial that this study lacks.

        Hyperband shows each trial only a part of the study.
        """
        is_same = self.study == study.study_name and self.space == layout.space
        return is_same and self.told <= {trial.number for trial in trials}


def _given(
    study: optuna.Study,
    trial: FrozenTrial,
    layout: "_Layout",
    search_space: Mapping[str, BaseDistribution],
) -> dict[str, Any]:
    """Return the params, in stored form, that an enclosing sampler keeps fixed."""
    given: dict[str, Any] = {}
    if isinstance(study.sampler, GPSampler):
        return given
    for name in layout.space.params:
        if name not in search_space:
            distribution = layout.distributions[name]
            # This is Optuna's only way to learn the fixed values.
            value = study.sampler.sample_independent(study, trial, name, distribution)
            given[name] = _to_stored(distribution, value)
    return given


# ── the space of a study ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Layout:
    """The params that trials have asked for, as a space; options are named by index, as text.

    Optuna tells options apart by index, and considers some equal that Manyfit doesn't.
    """

    space: Space
    distributions: Mapping[str, BaseDistribution]

    def stored(self, params: Mapping[str, Any]) -> Params:
        """Return a trial's params in stored form; the middle for params that it didn't ask for."""
        known = {n: _to_stored(self.distributions[n], v) for n, v in params.items()}
        return completed(self.space, known)


def _layout(study: optuna.Study) -> _Layout:
    layout = Layout()
    last: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False, states=_WHOLE):
        domains = {name: _domain(trial.distributions[name]) for name in sorted(trial.distributions)}
        params = {
            name: _to_stored(trial.distributions[name], trial.params[name]) for name in domains
        }
        layout.take(params, domains)
        last.update(trial.distributions)
    space = layout.space
    return _Layout(space, {name: last[name] for name in sorted(last) if name in space.params})


def _comparable(
    trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Return a trial's params, without those whose distribution is of another kind by now."""
    then = trial.distributions
    return {
        name: value
        for name, value in trial.params.items()
        if name in distributions and _is_alike(then[name], distributions[name])
    }


def _is_alike(one: BaseDistribution, other: BaseDistribution) -> bool:
    """Return whether two distributions are of one kind, and have the same options."""
    if isinstance(one, CategoricalDistribution):
        return one == other
    return type(one) is type(other)


def _domain(distribution: BaseDistribution) -> Domain | None:
    if isinstance(distribution, CategoricalDistribution) and not distribution.single():
        places = {int(distribution.to_internal_repr(option)) for option in distribution.choices}
        return Choice([str(place) for place in sorted(places)])
    return domain_of(distribution)


def _to_stored(distribution: BaseDistribution, value: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return str(int(distribution.to_internal_repr(value)))
    return value


def _from_stored(distribution: BaseDistribution, value: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(value)]
    return value


# ── trials ────────────────────────────────────────────────────────────────────────────────────


def _fact(trial: FrozenTrial, params: Params) -> Trial:
    """Return a trial of Optuna as a trial of Manyfit."""
    ends: dict[TrialState, End] = {TrialState.PRUNED: Pruned("pruned"), TrialState.FAIL: Failed("")}
    end = ends.get(trial.state)
    if trial.state is TrialState.COMPLETE and trial.value is not None:
        end = Finished(trial.value, {_METRIC: trial.value})
    measurements = tuple(
        Measurement(step, {_METRIC: value}, 0.0)
        for step, value in sorted(trial.intermediate_values.items())
    )
    attempts = () if end is None else (Attempt(1, "", 0.0, measurements, end=end),)
    return Trial(trial.number, params, attempts=attempts)


def _direction(study: optuna.Study) -> Any:
    is_minimized = study.direction is optuna.study.StudyDirection.MINIMIZE
    return "minimize" if is_minimized else "maximize"


def _check_one_objective(study: optuna.Study) -> None:
    if len(study.directions) != 1:
        raise ArgumentError(
            f"GPSampler is for studies of one objective, but this one has {len(study.directions)}. "
            "Combine them into one, or use optuna.samplers.NSGAIISampler"
        )
