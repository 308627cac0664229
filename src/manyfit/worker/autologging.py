"""Switches MLflow's autologging on in a worker, where it is on in the driver.

Autologging belongs to a process, so what a script has switched on before it tunes would not be on
where its objective runs.
"""

import inspect
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

from manyfit._optional import load

logger = logging.getLogger("manyfit")

AUTOLOGGING = "MANYFIT_MLFLOW_AUTOLOGGING"  # JSON: integrations, each with its settings

_tried: set[str] = set()
_has_warned = False


def switch_on(env: Mapping[str, str]) -> None:
    """Switch on what a task's variables name; once in a process, and nothing that is on already.

    That it can't be is said, and no reason to fail a trial.
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
    """Say once that MLflow autologs one fit at a time in a process, if it autologs here."""
    global _has_warned
    module = sys.modules.get("mlflow.utils.autologging_utils")
    known = getattr(module, "AUTOLOGGING_INTEGRATIONS", {})
    if not _has_warned and any(each and not each.get("disable") for each in known.values()):
        _has_warned = True
        logger.warning(
            "MLflow autologs one fit at a time in a process: of trials in threads, it logs some "
            "and leaves others out. Use executor='processes' to have all of them."
        )


def _switch_on(name: str, given: Mapping[str, Any]) -> None:
    autolog = load("mlflow" if name == "mlflow" else f"mlflow.{name}").autolog
    known = inspect.signature(autolog).parameters
    autolog(**{key: value for key, value in given.items() if key in known})
