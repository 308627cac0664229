"""Optuna's samplers.

An in-memory Optuna study mirrors the trials told to the sampler, through Optuna's public API alone.
It is updated when a proposal is due, so replaying a long journal takes one pass. ::

    tell ─► news ─┐
                  ├─► mirror: running, complete, pruned, failed ─► suggest_* ─► params
    ask ──────────┘
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from manyfit.domain import Float, Int
from manyfit.errors import ArgumentError
from manyfit.layout import Layout, is_whole
from manyfit.metric import Direction, Metric
from manyfit.open_space import OpenSpace
from manyfit.space import Choice, Domain, Space
from manyfit.trial import Params, State, Trial

Distribution: TypeAlias = FloatDistribution | IntDistribution | CategoricalDistribution

# When TPE repeats itself, it is asked again with another seed, up to this often in all: a point
# that it prefers beats a random one.
_TRIES = 5


class OptunaSampler:
    """Proposes what a sampler of Optuna suggests: by default, TPE.

    TPE (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011) models where good
    trials lie, after 10 random ones. A new one is made for each trial and seeded by (seed, number),
    so a resumed study gets the proposals it would have got. TPE avoids the neighbourhood of pending
    trials, ignores failed ones, and ranks pruned ones below complete ones.

    A sampler passed in is used as it is. Its random state is its own, so a resumed study continues
    with other random numbers. When it asks to stop the study (a grid that is done), nothing more is
    proposed.

    Optuna has no weights for options: those of a Choice are ignored. In an open space, values are
    proposed for all params that trials have asked for; a trial that asked for others than those is
    a trial that was added, to Optuna's sampler.

    Args:
        space: The space to search.
        metric: The metric to tune.
        seed: The study's seed.
        sampler: Any `optuna.samplers` instance; None for TPE.

    Example:
        >>> sampler = OptunaSampler(Space({"x": Float(0, 1)}), Metric("loss"), seed=0)
        >>> 0 <= sampler.ask(0)["x"] <= 1
        True
    """

    def __init__(
        self,
        space: Space,
        metric: Metric,
        seed: int,
        sampler: optuna.samplers.BaseSampler | None = None,
    ) -> None:
        if isinstance(space, OpenSpace) and isinstance(sampler, optuna.samplers.BruteForceSampler):
            raise ArgumentError(
                "BruteForceSampler must see in which order each trial asks for params, but here "
                "values are proposed for all of them. Leave sampler out, or pass another one"
            )
        # Optuna has no public name for it.
        if getattr(sampler, "_constraints_func", None) is not None:
            raise ArgumentError(
                f"{type(sampler).__name__} has a constraints_func, but constraints are not "
                "supported. Leave it out; in the objective, return a bad value for what is not "
                "allowed"
            )
        self._space = space
        self._metric = metric
        self._seed = seed
        self._tries = _TRIES if sampler is None else 1
        self._given = sampler
        self._news: dict[int, Trial] = {}
        self._mirror = _Mirror(space, metric, sampler)
        self._layout = Layout() if isinstance(space, OpenSpace) else None
        self._tried: set[str] = set()

    def tell(self, trial: Trial) -> None:
        """Record a pending or an ended trial; the mirror is updated at the next proposal."""
        self._news[trial.number] = trial
        self._tried.add(self._space.key(trial.params))

    def ask(self, number: int) -> Params | None:
        """Propose params for trial `number`; None once the given sampler has asked to stop."""
        if not self._news and (open_params := self._mirror.proposed(number)) is not None:
            return dict(open_params)  # asked again, with nothing new told
        for trial in self._news.values():
            self._mirror.take(trial)
            if self._layout is not None and is_whole(trial):
                self._layout.take(trial.params, trial.domains)
        self._news.clear()
        if self._mirror.stopped:
            return None
        if self._layout is not None:
            if not self._layout.space.params:
                return {}
            self._mirror.search(self._layout.space)
        for attempt in range(self._tries):
            if self._given is None:
                self._mirror.use(_tpe(self._seed, number, attempt))
            params = self._mirror.suggest(number)
            if self._space.key(params) not in self._tried:
                break
        return dict(params)


@dataclass(frozen=True, slots=True)
class _Open:
    """A proposal not told yet: the engine may still use another point instead."""

    number: int
    trial: optuna.Trial
    params: Params


class _Mirror:
    """An in-memory Optuna study with the trials that the sampler was told."""

    def __init__(
        self, space: Space, metric: Metric, sampler: optuna.samplers.BaseSampler | None
    ) -> None:
        self.stopped = False
        self._metric = metric
        self.search(space)
        self._study = quiet_study(metric.direction, sampler)
        # A sampler that is exhausted calls `study.stop`, which raises outside of `optimize`.
        self._study.stop = self._stop  # type: ignore[method-assign]
        self._open: _Open | None = None
        self._known: set[int] = set()
        self._running: dict[int, optuna.Trial] = {}

    def _stop(self) -> None:
        self.stopped = True

    def search(self, space: Space) -> None:
        """Search this space from now on."""
        self._space = space
        self._distributions = {n: distribution_of(each) for n, each in space.params.items()}

    def use(self, sampler: optuna.samplers.BaseSampler) -> None:
        self._study.sampler = sampler

    def proposed(self, number: int) -> Params | None:
        """Return the open proposal for trial `number`, or None."""
        is_open = self._open is not None and self._open.number == number
        return self._open.params if self._open is not None and is_open else None

    def suggest(self, number: int) -> Params:
        """Return suggested params, the active ones only; an open proposal is discarded."""
        if self._open is not None:
            self._study.tell(self._open.trial, state=TrialState.FAIL)
        trial = self._study.ask()
        params: dict[str, Any] = {}
        for name, domain in self._space.walk(params):
            distribution = self._distributions[name]
            params[name] = _from_optuna(domain, distribution, _suggest(trial, name, distribution))
        self._open = _Open(number, trial, params)
        return params

    def take(self, trial: Trial) -> None:
        """Update the mirror with a trial."""
        if trial.number not in self._known:
            self._known.add(trial.number)
            is_own = bool(trial.domains) or trial.params == self.proposed(trial.number)
            if self._open is not None and self._open.number == trial.number and is_own:
                self._running[trial.number] = self._open.trial
                self._open = None
            elif trial.state.is_finished:
                self._study.add_trial(self._frozen(trial))
                return
            else:
                self._running[trial.number] = self._started(self._known_params(trial))
        if trial.state.is_finished:
            self._finish(self._running.pop(trial.number), trial)

    def _started(self, params: dict[str, Any]) -> optuna.Trial:
        self._study.enqueue_trial(params)
        started = self._study.ask()
        for name in params:
            _suggest(started, name, self._distributions[name])
        return started

    def _known_params(self, trial: Trial) -> dict[str, Any]:
        return {
            name: to_optuna(self._space.params[name], self._distributions[name], value)
            for name, value in trial.params.items()
            if name in self._distributions
        }

    def _finish(self, running: optuna.Trial, trial: Trial) -> None:
        if trial.domains and params_of(trial)[0] != running.params:
            self._study.tell(running, state=TrialState.FAIL)
            self._study.add_trial(self._frozen(trial))
            return
        if trial.state is State.PRUNED:
            for step, value in self._last_report(trial).items():
                running.report(value, step)
        self._study.tell(running, trial.value, TrialState[trial.state.name])

    def _frozen(self, trial: Trial) -> optuna.trial.FrozenTrial:
        pruned = self._last_report(trial) if trial.state is State.PRUNED else {}
        finite = [value for value in pruned.values() if not math.isnan(value)]
        params = self._known_params(trial)
        distributions: dict[str, BaseDistribution] = {n: self._distributions[n] for n in params}
        if trial.domains:
            params, distributions = params_of(trial)
        return optuna.trial.create_trial(
            state=TrialState[trial.state.name],
            value=finite[0] if finite else trial.value,
            params=params,
            distributions=distributions,
            intermediate_values=pruned,
        )

    def _last_report(self, trial: Trial) -> dict[int, float]:
        """Return the last report of the tuned metric, the only one that samplers use."""
        for measurement in reversed(trial.measurements):
            value = measurement.metrics.get(self._metric.name)
            if value is not None and measurement.step >= 0:
                return {measurement.step: value}
        return {}


def params_of(trial: Trial) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Return the params of a trial that has asked for them, and their distributions, in Optuna."""
    domains = {name: each for name, each in trial.domains.items() if isinstance(each, Domain)}
    distributions = {name: distribution_of(domain) for name, domain in domains.items()}
    params = {n: to_optuna(domains[n], distributions[n], trial.params[n]) for n in domains}
    return params, dict(distributions)


def distribution_of(domain: Domain) -> Distribution:
    """Return the distribution that has a domain's values, or places that stand for them."""
    match domain:
        case Float(prior=prior) | Int(prior=prior) if prior is not None:
            return FloatDistribution(0.0, 1.0)  # its quantiles
        case Float(low, high, step=None):
            return FloatDistribution(low, high, log=domain.log)
        case Float():
            return _stepped(domain)
        case Int(low, high, step=step):
            return IntDistribution(low, high - (high - low) % step, log=domain.log, step=step)
        case Choice():
            # Labels, so that a sampler made for this space recognises them. If two labels are
            # equal, as 1 == True, their indices are used.
            labels = domain.labels
            return CategoricalDistribution(
                labels if len(set(labels)) == len(labels) else range(len(labels))
            )


def _stepped(domain: Float) -> FloatDistribution | IntDistribution:
    """Return a stepped distribution, or the steps' indices where Optuna would warn of rounding."""
    count = domain.size or 1
    low, high, step = (Fraction(repr(x)) for x in (domain.low, domain.at(count - 1), domain.step))
    if (high - low) % step:
        return IntDistribution(0, count - 1)
    return FloatDistribution(domain.low, float(high), step=domain.step)


def to_optuna(domain: Domain, distribution: Distribution, value: Any) -> Any:
    """Return a stored value as the value of the distribution that stands for its domain."""
    if isinstance(distribution, CategoricalDistribution) and isinstance(domain, Choice):
        place = domain.place(value)
        return None if place is None else distribution.choices[place]
    if isinstance(domain, Float | Int) and domain.prior is not None:
        return domain.encode(value)
    if isinstance(distribution, IntDistribution) and isinstance(domain, Float):
        return domain.place(value)
    return value


def _from_optuna(domain: Domain, distribution: Distribution, value: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution) and isinstance(domain, Choice):
        return domain.labels[distribution.choices.index(value)]
    if isinstance(domain, Float | Int) and domain.prior is not None:
        return domain.decode(value)
    if isinstance(distribution, IntDistribution) and isinstance(domain, Float):
        return domain.at(value)
    # Optuna's steps accumulate rounding errors.
    return domain.snap(value) if isinstance(domain, Float) else value


def _suggest(trial: optuna.Trial, name: str, distribution: Distribution) -> Any:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)


def quiet_study(
    direction: Direction,
    sampler: optuna.samplers.BaseSampler | None = None,
    name: str | None = None,
) -> optuna.Study:
    """Return a study, made without Optuna's log line; the user's verbosity is restored."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
    try:
        return optuna.create_study(direction=direction, sampler=sampler, study_name=name)
    finally:
        optuna.logging.set_verbosity(verbosity)


def _tpe(seed: int, number: int, attempt: int) -> optuna.samplers.TPESampler:
    state = np.random.SeedSequence((seed, number, attempt)).generate_state(1)
    return optuna.samplers.TPESampler(seed=int(state[0]))


def is_optuna_sampler(value: object) -> bool:
    """Return whether this is an instance of one of Optuna's samplers."""
    return isinstance(value, optuna.samplers.BaseSampler)
