"""The search that learns: `algo=tpe.suggest`, the default.

Manyfit's Gaussian process serves it, because it finds better points in as many trials. With
settings of TPE, in a `functools.partial`, Optuna's TPE serves it, with these settings.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from manyfit._checks import check_number
from manyfit._optional import load
from manyfit.hyperopt.algorithms import Algorithm

__all__ = ["suggest"]

_SETTINGS = ("n_startup_jobs", "n_EI_candidates", "gamma", "verbose")
# At most this many trials are good ones.
_MOST_GOOD = 25


def _sampler(settings: Mapping[str, Any], seed: int | None) -> Any:
    """Return the sampler: TPE, if it has settings, with Hyperopt's defaults for the others."""
    if not settings.keys() - {"verbose"}:
        return "auto"
    startup = check_number(
        "n_startup_jobs", settings.get("n_startup_jobs", 20), least=0, whole=True
    )
    candidates = check_number(
        "n_EI_candidates", settings.get("n_EI_candidates", 24), least=1, whole=True
    )
    good = {"gamma": _share(settings["gamma"])} if "gamma" in settings else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Optuna 6 will have no gamma
        return load("optuna.samplers").TPESampler(
            n_startup_trials=startup, n_ei_candidates=candidates, seed=seed, **good
        )


def _share(gamma: Any) -> Callable[[int], int]:
    """Return the number of good ones among n trials, as Hyperopt counts them."""
    share = check_number("gamma", gamma, above=0)
    return lambda n: min(math.ceil(share * math.sqrt(n)), _MOST_GOOD)


suggest = Algorithm("tpe.suggest", _sampler, _SETTINGS)
