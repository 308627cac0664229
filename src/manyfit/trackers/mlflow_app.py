"""What runs in the server of `mlflow_relay`: MLflow's app, with artifacts where workers see them.

A run in a database of this machine keeps its artifacts in a folder of this machine, and MLflow's
clients write to it themselves: on another machine they would make a folder of that name, and nobody
would find what is in there. So what this server says has `mlflow-artifacts:` in place of the
folder, which means "send it to the server you have this from"; and the server has the folder. In
the database nothing changes, and what workers have logged is found by everybody who looks there.
"""

import functools
import json
import os
from typing import Any

from manyfit._optional import require

NAME = "manyfit"  # of the entry point in MLflow's group of apps, `mlflow.app`
ROOT = "MANYFIT_ARTIFACT_ROOT"
PROXIED = "mlflow-artifacts:"


def serve() -> Any:
    """Return the app for uvicorn; `mlflow server --app-name manyfit` calls this."""
    server = require("mlflow.server", extra="mlflow", purpose="an MLflow server")
    whole = require("mlflow.server.fastapi_app", extra="mlflow", purpose="an MLflow server")
    if root := os.environ.get(ROOT):
        server.app.after_request(functools.partial(_relocate, root))
    return whole.app


def relocated(value: Any, root: str) -> Any:
    """Return JSON with every text that is a place below the root turned into one at the server.

    Example:
        >>> relocated({"uri": "/mlruns/0/a1/artifacts", "name": "/mlruns2"}, "/mlruns")
        {'uri': 'mlflow-artifacts:/0/a1/artifacts', 'name': '/mlruns2'}
    """
    match value:
        case str() if value.startswith(f"{root}/"):
            return PROXIED + value.removeprefix(root)
        case list():
            return [relocated(each, root) for each in value]
        case dict():
            return {key: relocated(each, root) for key, each in value.items()}
    return value


def _relocate(root: str, response: Any) -> Any:
    if response.is_json and not response.direct_passthrough:
        response.set_data(json.dumps(relocated(response.get_json(), root)))
    return response
