"""Callbacks for training libraries: they report each round, and end a hopeless trial's training.

Each is imported on first use, so none of the libraries is needed for another's callback.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manyfit.callbacks.catboost import CatBoostCallback
    from manyfit.callbacks.keras import KerasCallback
    from manyfit.callbacks.lightgbm import LightGBMCallback
    from manyfit.callbacks.lightning import LightningCallback
    from manyfit.callbacks.partial_fit import PartialFitRounds
    from manyfit.callbacks.sklearn import SklearnCallback
    from manyfit.callbacks.transformers import TransformersCallback
    from manyfit.callbacks.xgboost import XGBoostCallback

__all__ = [
    "CatBoostCallback",
    "KerasCallback",
    "LightGBMCallback",
    "LightningCallback",
    "PartialFitRounds",
    "SklearnCallback",
    "TransformersCallback",
    "XGBoostCallback",
]

_MODULES = {
    "CatBoostCallback": "catboost",
    "KerasCallback": "keras",
    "LightGBMCallback": "lightgbm",
    "LightningCallback": "lightning",
    "PartialFitRounds": "partial_fit",
    "SklearnCallback": "sklearn",
    "TransformersCallback": "transformers",
    "XGBoostCallback": "xgboost",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'manyfit.callbacks' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"manyfit.callbacks.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
