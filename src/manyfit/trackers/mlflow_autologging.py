"""Finds the MLflow autologging that is enabled in this process, to enable it in workers."""

import json
import sys
from typing import Any

from manyfit.worker.autologging import AUTOLOGGING

# Set by MLflow for integrations enabled by `mlflow.autolog`, which is passed on itself.
_BY_ALL = "globally_configured"


def for_workers() -> dict[str, str]:
    """Return a variable for workers; empty if nothing is enabled or MLflow isn't imported."""
    module = sys.modules.get("mlflow.utils.autologging_utils")
    known: dict[str, dict[str, Any]] = getattr(module, "AUTOLOGGING_INTEGRATIONS", {})
    on = {
        name: settings
        for name, settings in known.items()
        if settings and not settings.get("disable") and not settings.get(_BY_ALL)
    }
    try:
        return {AUTOLOGGING: json.dumps(on)} if on else {}
    except TypeError:  # settings that are objects
        return {AUTOLOGGING: json.dumps({name: {} for name in on})}
