"""SMAC, HEBO and Ax, behind the protocol of contenders. A suggestion takes them CPU seconds."""

import logging
import math
import random
import tempfile
import warnings
from typing import Any

import numpy as np
from benchmarks.search import spaces

from manyfit import Space
from manyfit.trial import Params


class Smac:
    """SMAC's facade for tuning, its forest fitted anew after each trial.

    As it comes, it is fitted after every eight proposals, on all cores, each tree with room for a
    million leaves. Here that is one trial, one core and the leaves there can be: the proposals are
    as good or better, at a fraction of the time.
    """

    def __init__(self, space: Space, seed: int, n_trials: int) -> None:
        from smac import Scenario

        warnings.simplefilter("ignore")
        self._space, self._worst = space, -math.inf
        self._infos: dict[int, Any] = {}
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            spaces.to_config_space(space, seed),
            deterministic=True,
            n_trials=n_trials,
            seed=seed,
            output_directory=self._folder.name,
        )
        self._smac = self._facade(scenario, logging_level=logging.ERROR, overwrite=True)

    def _facade(self, scenario: Any, **settings: Any) -> Any:
        from smac import HyperparameterOptimizationFacade as Facade

        selector = Facade.get_config_selector(scenario, retrain_after=1)
        forest = _forest(scenario)
        return Facade(scenario, _never, model=forest, config_selector=selector, **settings)

    def ask(self, number: int) -> Params:
        import joblib

        with joblib.parallel_config("sequential"):  # its forest would use all cores, and wait
            self._infos[number] = self._smac.ask()
        return spaces.from_config(self._space, dict(self._infos[number].config))

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        from smac.runhistory import StatusType, TrialValue

        if loss is None:
            # Its models take finite costs only.
            worst = self._worst if math.isfinite(self._worst) else 0.0
            value = TrialValue(worst, status=StatusType.CRASHED)
        else:
            self._worst = max(self._worst, loss)
            value = TrialValue(loss)
        self._smac.tell(self._infos.pop(number), value, save=False)


class SmacBlackBox(Smac):
    """SMAC's facade for black boxes, with a Gaussian process, as it comes."""

    def _facade(self, scenario: Any, **settings: Any) -> Any:
        from smac import BlackBoxFacade

        return BlackBoxFacade(scenario, _never, **settings)


def _never(config: Any, seed: int) -> float:
    """Stand for the objective, which isn't called: trials are asked for and told."""
    raise NotImplementedError


def _forest(scenario: Any) -> Any:
    """Return the forest of SMAC's facade for tuning, with fewer leaves allowed."""
    from smac.model.random_forest import RandomForest

    return RandomForest(
        scenario.configspace,
        log_y=True,
        n_trees=10,
        ratio_features=1.0,
        min_samples_split=2,
        min_samples_leaf=1,
        max_leaf_nodes=scenario.n_trials,
        seed=scenario.seed,
    )


class Hebo:
    """HEBO as it comes. It doesn't know which trials are in flight, and drops failed ones."""

    def __init__(self, space: Space, seed: int, n_trials: int) -> None:
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        for start in (random.seed, np.random.seed, torch.manual_seed):  # it draws from all three
            start(seed)
        self._space = space
        self._hebo = HEBO(DesignSpace().parse(spaces.to_hebo(space)), scramble_seed=seed)
        self._rows: dict[int, Any] = {}

    def ask(self, number: int) -> Params:
        self._rows[number] = row = self._hebo.suggest(n_suggestions=1)
        return spaces.from_config(self._space, row.iloc[0].to_dict())

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        value = math.nan if loss is None else loss
        self._hebo.observe(self._rows.pop(number), np.array([[value]]))


class Ax:
    """Ax's client as it comes: quasi-random trials, then BoTorch's Gaussian process."""

    def __init__(self, space: Space, seed: int, n_trials: int) -> None:
        import torch
        from ax.api.client import Client
        from ax.utils.common.logger import set_ax_logger_levels

        warnings.simplefilter("ignore")
        set_ax_logger_levels(logging.ERROR)
        torch.set_num_threads(1)
        self._space, self._places = space, dict[int, int]()
        self._client = Client(random_seed=seed)
        self._client.configure_experiment(parameters=spaces.to_ax(space))
        self._client.configure_optimization(objective="-loss")

    def ask(self, number: int) -> Params:
        ((place, values),) = self._client.get_next_trials(max_trials=1).items()
        self._places[number] = place
        return spaces.from_config(self._space, values)

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        place = self._places.pop(number)
        if loss is None:
            self._client.mark_trial_failed(trial_index=place)
        else:
            self._client.complete_trial(trial_index=place, raw_data={"loss": loss})
