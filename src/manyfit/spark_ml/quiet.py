"""Disables MLflow's autologging of Spark ML for fits that are parts of a trial."""

import contextlib
import sys
from collections.abc import Iterator

from manyfit._optional import load


@contextlib.contextmanager
def autologging_off() -> Iterator[None]:
    """Disable MLflow's autologging in this process within the block, without changing its settings.

    It would log the fits of all folds as one, save a model for each, and, worst, unpersist the rows
    of every fit, which other trials still need. If MLflow hasn't been imported, there is no
    autologging to disable.
    """
    if "mlflow" not in sys.modules:
        yield
        return
    with load("mlflow.utils.autologging_utils").disable_autologging():
        yield
