"""MLflow's autologging of Spark ML, kept away from fits that are parts of a trial."""

import contextlib
import sys
from collections.abc import Iterator

from manyfit._optional import load


@contextlib.contextmanager
def autologging_off() -> Iterator[None]:
    """Switch MLflow's autologging off in this process within the block; all its settings stay.

    It would log the fits of all folds as one, save a model for each, and, worst, release the rows
    of every fit when that is done, which other trials still need. Who has not imported MLflow has
    no autologging either.
    """
    if "mlflow" not in sys.modules:
        yield
        return
    with load("mlflow.utils.autologging_utils").disable_autologging():
        yield
