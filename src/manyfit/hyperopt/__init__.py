"""Hyperopt's names, on Manyfit: replace `from hyperopt import ...` by `from manyfit.hyperopt`."""

from typing import Any

from manyfit._version import __version__
from manyfit.errors import ArgumentError
from manyfit.hyperopt import anneal, early_stop, exceptions, hp, pyll, rand, tpe
from manyfit.hyperopt.base import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    JOB_STATES,
    STATUS_FAIL,
    STATUS_NEW,
    STATUS_OK,
    STATUS_RUNNING,
    STATUS_STRINGS,
    STATUS_SUSPENDED,
    Trials,
    trials_from_docs,
)
from manyfit.hyperopt.early_stop import no_progress_loss
from manyfit.hyperopt.exceptions import AllTrialsFailed, DuplicateLabel
from manyfit.hyperopt.fmin import (
    fmin,
    fmin_pass_expr_memo_ctrl,
    generate_trials_to_calculate,
    partial,
    space_eval,
)
from manyfit.hyperopt.pyll import scope
from manyfit.hyperopt.spark import SparkTrials

__all__ = [
    "JOB_STATES",
    "JOB_STATE_DONE",
    "JOB_STATE_ERROR",
    "JOB_STATE_NEW",
    "JOB_STATE_RUNNING",
    "STATUS_FAIL",
    "STATUS_NEW",
    "STATUS_OK",
    "STATUS_RUNNING",
    "STATUS_STRINGS",
    "STATUS_SUSPENDED",
    "AllTrialsFailed",
    "DuplicateLabel",
    "SparkTrials",
    "Trials",
    "__version__",
    "anneal",
    "early_stop",
    "exceptions",
    "fmin",
    "fmin_pass_expr_memo_ctrl",
    "generate_trials_to_calculate",
    "hp",
    "no_progress_loss",
    "partial",
    "pyll",
    "rand",
    "scope",
    "space_eval",
    "tpe",
    "trials_from_docs",
]

_MISSING = {
    "atpe": "use tpe.suggest",
    "mix": "use one algorithm, such as tpe.suggest",
    "Ctrl": "objectives take a point of the space, and manyfit.report sends values meanwhile",
    "Domain": "objectives take a point of the space",
    "FMinIter": "call fmin again with the same trials and more max_evals",
    "mongoexp": "use SparkTrials, or manyfit.tune with another executor",
    "MongoTrials": "use SparkTrials, or manyfit.tune with another executor",
    "plotting": "trials.result has plots: importances(), report() and others",
}


class _MissingNameError(ArgumentError, ImportError):
    """A name of Hyperopt that isn't here; `except ImportError` around an import works, too."""


def __getattr__(name: str) -> Any:
    if name in _MISSING:
        raise _MissingNameError(f"manyfit.hyperopt has no {name}: {_MISSING[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
