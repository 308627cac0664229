"""The samplers compared, behind one tiny protocol; each is asked and told as its own docs say.

The peers besides Optuna: pip install --group peers . (torch is what Optuna's GP needs).
"""

import logging
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from benchmarks.search import spaces
from benchmarks.search.peers import Ax, Hebo, Smac, SmacBlackBox

from manyfit import Space
from manyfit.metric import Metric
from manyfit.trial import Failed, Params


class Contender(Protocol):
    """A sampler in the middle of a study. Several trials may be in flight."""

    def ask(self, number: int) -> Params:
        """Return stored params for a trial, which starts now."""

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        """Take in the loss of a trial that ended; None if it failed."""


class Manyfit:
    """A word of Manyfit's, asked and told as the engine does it."""

    def __init__(
        self, word: str, space: Space, seed: int, n_trials: int, lag: int | None = None
    ) -> None:
        from manyfit.samplers.auto import make_sampler
        from manyfit.samplers.lagged import LaggedSampler

        self._space, self._seed, self._seen = space, seed, set[str]()
        sampler, _ = make_sampler(word, space, Metric("loss"), seed)
        self._sampler = sampler if lag is None else LaggedSampler(sampler, lag)

    def ask(self, number: int) -> Params:
        from manyfit.samplers.distinct import distinct_params
        from manyfit.testing.samplers import trial

        params = distinct_params(self._sampler, self._space, number, self._seen, self._seed)
        if params is None:
            raise LookupError("the sampler has nothing more to propose")
        self._seen.add(self._space.key(params))
        self._sampler.tell(trial(number, params))
        return params

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        from manyfit.testing.samplers import finished, trial

        if loss is None:
            self._sampler.tell(trial(number, params, Failed("it failed", "ValueError")))
        else:
            self._sampler.tell(finished(number, params, loss))


class Optuna:
    """A sampler of Optuna's with the settings it comes with."""

    def __init__(self, sampler: str, space: Space, seed: int, n_trials: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed))
        self._space = space
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self, number: int) -> Params:
        self._trials[number] = self._study.ask()
        return spaces.suggested(self._space, self._trials[number])

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        from optuna.trial import TrialState

        state = TrialState.FAIL if loss is None else TrialState.COMPLETE
        self._study.tell(self._trials.pop(number), loss, state)


class Hyperopt:
    """Hyperopt's TPE with the settings it comes with."""

    def __init__(self, space: Space, seed: int, n_trials: int) -> None:
        import hyperopt
        import numpy as np

        logging.getLogger("hyperopt").setLevel(logging.ERROR)
        self._space = space
        self._domain = hyperopt.base.Domain(lambda params: 0.0, spaces.to_hyperopt(space))
        self._trials = hyperopt.Trials()
        self._rng = np.random.default_rng(seed)

    def ask(self, number: int) -> Params:
        from hyperopt import tpe

        seed = int(self._rng.integers(2**31 - 1))
        (number_there,) = self._trials.new_trial_ids(1)
        self._trials.refresh()
        documents = tpe.suggest([number_there], self._domain, self._trials, seed, verbose=False)
        self._trials.insert_trial_docs(documents)
        self._trials.refresh()
        return spaces.from_hyperopt(self._space, documents[0]["misc"]["vals"])

    def tell(self, number: int, params: Params, loss: float | None) -> None:
        from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK

        document = next(each for each in self._trials.trials if each["tid"] == number)
        document["state"] = JOB_STATE_DONE
        document["result"] = (
            {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        )
        self._trials.refresh()


# What starts each, by name: of a space, a seed and the number of trials, which SMAC plans with.
CONTENDERS: Mapping[str, Callable[[Space, int, int], Contender]] = {
    "random": partial(Manyfit, "random"),
    "optuna-tpe": partial(Optuna, "TPESampler"),
    "hyperopt-tpe": Hyperopt,
    "optuna-gp": partial(Optuna, "GPSampler"),
    "smac": Smac,
    "smac-gp": SmacBlackBox,
    "hebo": Hebo,
    "ax": Ax,
    "manyfit": partial(Manyfit, "auto"),
    # One in flight with a lag of 8 proposes what 8 in flight with that lag would.
    "manyfit-lag8": partial(Manyfit, "auto", lag=8),
    "manyfit-gp": partial(Manyfit, "gp"),
    "manyfit-tpe": partial(Manyfit, "tpe"),
}
