"""Optuna's objectives run unchanged, in processes and on Spark; and a sampler for Optuna's studies.

`optimize` is for `def objective(trial): ...`. `GPSampler` is for `optuna.create_study`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manyfit.optuna.optimizing import optimize
    from manyfit.optuna.sampler import GPSampler

__all__ = ["GPSampler", "optimize"]

# On first use: a worker, which loads `manyfit.optuna.objective`, needs neither of them.
_HOMES = {"GPSampler": "sampler", "optimize": "optimizing"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'manyfit.optuna' has no attribute {name!r}")
    return getattr(importlib.import_module(f"manyfit.optuna.{_HOMES[name]}"), name)
