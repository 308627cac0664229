"""The app of the server of `mlflow_relay`: MLflow's own, with artifacts that workers can reach.

A run in a local database keeps its artifacts in a local folder, to which MLflow's clients write
directly. On another machine, they would make a folder of that name, where nobody would find them.
In the responses of this server, `mlflow-artifacts:` therefore replaces the folder, which makes
clients send artifacts to the server. The database itself is unchanged, so that all other clients
find what workers have logged.
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
    """Replace every path below the root in JSON by a URI of the server.

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
