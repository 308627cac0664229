"""Tune ML models: on a laptop, and with the same code on an Apache Spark cluster."""

from manyfit._version import __version__
from manyfit.archive import load_study, study_names
from manyfit.budget import NoImprovement, Target
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
)
from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.pruners.baseline import BaselinePruner
from manyfit.pruners.median import MedianPruner
from manyfit.result import Failure, StudyResult
from manyfit.space import Choice, Float, Int, Space
from manyfit.study import Study
from manyfit.trial import State, Trial
from manyfit.tuning import tune
from manyfit.worker.context import current_trial, report

__all__ = [
    "ArgumentError",
    "AshaPruner",
    "BaselinePruner",
    "Choice",
    "ExecutorError",
    "Failure",
    "FatalError",
    "Float",
    "Int",
    "JournalCorruptError",
    "JournalError",
    "ManyfitError",
    "MedianPruner",
    "Metric",
    "MetricError",
    "MissingExtraError",
    "NoImprovement",
    "NoResultError",
    "ObjectiveError",
    "Space",
    "SpaceError",
    "State",
    "Study",
    "StudyChangedError",
    "StudyLockedError",
    "StudyResult",
    "Target",
    "Trial",
    "TrialStopped",
    "__version__",
    "current_trial",
    "load_study",
    "report",
    "study_names",
    "tune",
]
