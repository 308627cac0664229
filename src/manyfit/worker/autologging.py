"""MLflow's autologging in processes that run trials: enabled as in the driver, or disabled.

Autologging is enabled per process. What a script enables before it tunes would otherwise have no
effect in the processes that run its objective.
"""

import contextlib
import inspect
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from manyfit._optional import load

logger = logging.getLogger("manyfit")

AUTOLOGGING = "MANYFIT_MLFLOW_AUTOLOGGING"  # JSON: integrations, each with its settings

_tried: set[str] = set()
_has_warned = False


def switch_on(env: Mapping[str, str]) -> None:
    """Enable the integrations that a task's variables name, once per process, unless enabled.

    A failure is logged as a warning; it doesn't fail the trial.
    """
    text = env.get(AUTOLOGGING, "{}")
    if text in _tried:
        return
    _tried.add(text)
    for name, given in json.loads(text).items():
        try:
            if load("mlflow.utils.autologging_utils").AUTOLOGGING_INTEGRATIONS.get(name) != given:
                _switch_on(name, given)
        except Exception as error:  # noqa: BLE001 - MLflow's or an integration's own
            logger.warning("MLflow's autologging (%s) is not on in this worker: %s", name, error)


def warn_of_threads() -> None:
    """Warn once, if autologging is enabled, that MLflow logs only one fit at a time per process."""
    global _has_warned
    module = sys.modules.get("mlflow.utils.autologging_utils")
    known = getattr(module, "AUTOLOGGING_INTEGRATIONS", {})
    if not _has_warned and any(each and not each.get("disable") for each in known.values()):
        _has_warned = True
        logger.warning(
            "MLflow autologs only one fit at a time per process, so it misses some trials that run "
            "in threads. Use executor='processes' to log all of them."
        )


@contextlib.contextmanager
def autologging_off() -> Iterator[None]:
    """Disable autologging in this process within the block, without changing its settings.

    For fits that are parts of a trial: MLflow would log the fits of all folds as one, save a model
    for each, and, worst, unpersist the rows of every Spark ML fit, which other trials still need.
    If MLflow hasn't been imported, there is no autologging to disable.
    """
    if "mlflow" not in sys.modules:
        yield
        return
    with load("mlflow.utils.autologging_utils").disable_autologging():
        yield


def _switch_on(name: str, given: Mapping[str, Any]) -> None:
    autolog = load("mlflow" if name == "mlflow" else f"mlflow.{name}").autolog
    known = inspect.signature(autolog).parameters
    autolog(**{key: value for key, value in given.items() if key in known})
