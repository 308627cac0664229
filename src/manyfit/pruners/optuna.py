"""Optuna's pruners: an in-memory Optuna study mirrors the trials, through Optuna's public API.

::

    report ─► mirror: trial.report, trial.should_prune ─► reason
    end ────► mirror: study.tell
"""

import copy
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from manyfit.metric import Metric
from manyfit.pruners.base import Pruner
from manyfit.trial import State, Trial

# Hyperband assigns a trial to a bracket by the names of study and trial.
_NAME = "manyfit"


@dataclass(frozen=True, slots=True)
class OptunaPruner:
    """Ends the trials that a pruner of Optuna ends.

    It sees trials in the order in which they first report, each with its reports and its value, and
    with its stored params as the user attribute `params`. A trial that failed or whose worker died
    is forgotten. `tune(pruner=...)` makes it of any instance of `optuna.pruners`, or of a class
    derived from `BasePruner`; each study has a copy.

    Args:
        pruner: The pruner.

    Example:
        >>> OptunaPruner(optuna.pruners.NopPruner()).bind(Metric("loss")).report(Trial(0, {}), 0, 1)
    """

    pruner: optuna.pruners.BasePruner

    def bind(self, metric: Metric) -> Pruner:
        return _Mirror(copy.deepcopy(self.pruner), metric)


class _Storage(optuna.storages.InMemoryStorage):
    """A storage that hides trials: successive halving would compare others with failed ones."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[int] = set()

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        found = super().get_all_trials(study_id, deepcopy, states)
        return [trial for trial in found if trial.number not in self.hidden]


@dataclass(slots=True)
class _Shown:
    """What Optuna sees of a trial's current attempt."""

    attempt: int
    trial: optuna.Trial
    last_step: int = -1


class _Mirror:
    def __init__(self, pruner: optuna.pruners.BasePruner, metric: Metric) -> None:
        self._metric = metric
        self._name = type(pruner).__name__
        self._storage = _Storage()
        self._study = _quiet_study(self._storage, metric, pruner)
        self._running: dict[int, _Shown] = {}

    def report(self, trial: Trial, step: int, value: float) -> str | None:
        shown = self._shown(trial)
        if step <= shown.last_step:
            return None  # a repeated or earlier step, which `manyfit.report` doesn't allow
        shown.trial.report(value, step)
        shown.last_step = step
        if not shown.trial.should_prune():
            return None
        return f"{self._metric.name} {value:.4g} at step {step}: {self._name} of Optuna ends it"

    def end(self, trial: Trial) -> None:
        shown = self._running.get(trial.number)
        if shown is None and trial.value is None:
            return
        shown = self._shown(trial)
        if trial.state is State.COMPLETE:
            self._study.tell(shown.trial, trial.value)
        elif trial.state is State.PRUNED:
            self._study.tell(shown.trial, state=TrialState.PRUNED)
        else:
            self._forget(shown.trial)
        del self._running[trial.number]

    def _shown(self, trial: Trial) -> _Shown:
        """Return the current attempt in Optuna's study; an earlier attempt is forgotten."""
        attempt = len(trial.attempts)
        shown = self._running.get(trial.number)
        if shown is not None and shown.attempt == attempt:
            return shown
        if shown is not None:
            self._forget(shown.trial)
        asked = self._study.ask()
        asked.set_user_attr("params", dict(trial.params))
        self._running[trial.number] = found = _Shown(attempt, asked)
        return found

    def _forget(self, trial: optuna.Trial) -> None:
        self._study.tell(trial, state=TrialState.FAIL)
        self._storage.hidden.add(trial.number)


def _quiet_study(
    storage: optuna.storages.InMemoryStorage, metric: Metric, pruner: optuna.pruners.BasePruner
) -> optuna.Study:
    """Return a study, made without Optuna's log line; the user's verbosity is restored."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
    try:
        return optuna.create_study(
            study_name=_NAME,
            storage=storage,
            direction=metric.direction,
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=pruner,
        )
    finally:
        optuna.logging.set_verbosity(verbosity)


def is_optuna_pruner(value: Any) -> bool:
    """Return whether this is an instance of one of Optuna's pruners."""
    return isinstance(value, optuna.pruners.BasePruner)
