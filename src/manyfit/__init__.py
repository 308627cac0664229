"""Tune ML models: on a laptop, and with the same code on an Apache Spark cluster."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from manyfit._version import __version__

if sys.platform == "win32":
    raise ImportError("Manyfit runs on Linux and macOS; on Windows, use it in WSL")

if TYPE_CHECKING:
    from manyfit.advice.advice import Advice
    from manyfit.advice.suggest import suggest_space
    from manyfit.archive import load_study, study_names
    from manyfit.budget import NoImprovement, Target
    from manyfit.data.references import Delta, NumpyFile, Parquet, TFRecord
    from manyfit.data.shared import Shared, share
    from manyfit.errors import (
        ArgumentError,
        ExecutorError,
        FatalError,
        JournalCorruptError,
        JournalError,
        ManyfitError,
        MetricError,
        MissingExtraError,
        NoResultError,
        ObjectiveError,
        SpaceError,
        StudyChangedError,
        StudyLockedError,
        TrialStopped,
        UndefinedMetricError,
    )
    from manyfit.executors.dask import DaskExecutor
    from manyfit.groups.loading import load_groups
    from manyfit.groups.result.result import GroupsResult
    from manyfit.groups.tuning import tune_groups
    from manyfit.metric import Metric
    from manyfit.pruners.asha import AshaPruner
    from manyfit.pruners.baseline import BaselinePruner
    from manyfit.pruners.folds import FoldPruner
    from manyfit.pruners.median import MedianPruner
    from manyfit.repeats import Repeated
    from manyfit.replaying import Replay, replay_trial
    from manyfit.result import Failure, StudyResult
    from manyfit.reviewing import review
    from manyfit.ship.listing import ShippingList, shipping_list
    from manyfit.space import Choice, Float, Int, Space
    from manyfit.spark.driver.executor import DriverExecutor
    from manyfit.spark.executor import SparkExecutor
    from manyfit.study import Study
    from manyfit.trackers.mlflow import MlflowTracker
    from manyfit.trial import State, Trial
    from manyfit.tuning import tune
    from manyfit.worker.context import current_trial, note, report

__all__ = [
    "Advice",
    "ArgumentError",
    "AshaPruner",
    "BaselinePruner",
    "Choice",
    "DaskExecutor",
    "Delta",
    "DriverExecutor",
    "ExecutorError",
    "Failure",
    "FatalError",
    "Float",
    "FoldPruner",
    "GroupsResult",
    "Int",
    "JournalCorruptError",
    "JournalError",
    "ManyfitError",
    "MedianPruner",
    "Metric",
    "MetricError",
    "MissingExtraError",
    "MlflowTracker",
    "NoImprovement",
    "NoResultError",
    "NumpyFile",
    "ObjectiveError",
    "Parquet",
    "Repeated",
    "Replay",
    "Shared",
    "ShippingList",
    "Space",
    "SpaceError",
    "SparkExecutor",
    "State",
    "Study",
    "StudyChangedError",
    "StudyLockedError",
    "StudyResult",
    "TFRecord",
    "Target",
    "Trial",
    "TrialStopped",
    "UndefinedMetricError",
    "__version__",
    "current_trial",
    "load_groups",
    "load_study",
    "note",
    "replay_trial",
    "report",
    "review",
    "share",
    "shipping_list",
    "study_names",
    "suggest_space",
    "tune",
    "tune_groups",
]

# Names are imported on first use: `import manyfit` is light, and workers load only what they need.
_HOMES = {
    "advice.advice": ("Advice",),
    "advice.suggest": ("suggest_space",),
    "archive": ("load_study", "study_names"),
    "budget": ("NoImprovement", "Target"),
    "data.references": ("Delta", "NumpyFile", "Parquet", "TFRecord"),
    "data.shared": ("Shared", "share"),
    "errors": (
        "ArgumentError",
        "ExecutorError",
        "FatalError",
        "JournalCorruptError",
        "JournalError",
        "ManyfitError",
        "MetricError",
        "MissingExtraError",
        "NoResultError",
        "ObjectiveError",
        "SpaceError",
        "StudyChangedError",
        "StudyLockedError",
        "TrialStopped",
        "UndefinedMetricError",
    ),
    "executors.dask": ("DaskExecutor",),
    "spark.executor": ("SparkExecutor",),
    "spark.driver.executor": ("DriverExecutor",),
    "groups.loading": ("load_groups",),
    "groups.result.result": ("GroupsResult",),
    "groups.tuning": ("tune_groups",),
    "metric": ("Metric",),
    "pruners.asha": ("AshaPruner",),
    "pruners.baseline": ("BaselinePruner",),
    "pruners.folds": ("FoldPruner",),
    "pruners.median": ("MedianPruner",),
    "repeats": ("Repeated",),
    "replaying": ("Replay", "replay_trial"),
    "reviewing": ("review",),
    "result": ("Failure", "StudyResult"),
    "ship.listing": ("ShippingList", "shipping_list"),
    "space": ("Choice", "Float", "Int", "Space"),
    "study": ("Study",),
    "trackers.mlflow": ("MlflowTracker",),
    "trial": ("State", "Trial"),
    "tuning": ("tune",),
    "worker.context": ("current_trial", "note", "report"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}
# These, or what is in them, need optional packages.
_FRONT_DOORS = ("callbacks", "hyperopt", "optuna", "sklearn", "spark_ml", "testing")


def __getattr__(name: str) -> Any:
    if name in _FRONT_DOORS:
        return importlib.import_module(f"manyfit.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module 'manyfit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"manyfit.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
