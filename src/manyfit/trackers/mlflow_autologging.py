"""What of MLflow's autologging is on in this process, for workers to switch on too."""

import json
import sys
from typing import Any

from manyfit.worker.autologging import AUTOLOGGING

# Set by MLflow for integrations that `mlflow.autolog` has switched on: that is passed on itself.
_BY_ALL = "globally_configured"


def for_workers() -> dict[str, str]:
    """Return the variable that says it; none where nothing is on, or MLflow isn't imported."""
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
