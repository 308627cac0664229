"""Makes the trial's MLflow run the active one while the objective runs.

What the objective logs itself (`mlflow.log_*`, autologging, `with mlflow.start_run():`) then lands there.
Knows MLflow by its environment variables and by what the objective has imported: a worker needs no
MLflow to be installed.
"""

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

logger = logging.getLogger("manyfit")

RUN_ID = "MLFLOW_RUN_ID"
TRACKING_URI = "MLFLOW_TRACKING_URI"


@contextlib.contextmanager
def active_run(env: Mapping[str, str], *, threaded: bool) -> Iterator[None]:
    """Set a task's environment around its objective, and end the runs that it leaves active.

    In a process of its own the run's id waits in the environment: the first thing the objective logs,
    or its `mlflow.start_run()`, adopts it. What it starts after it has ended that run goes below it.
    Threads share one environment, so there the run is active from the beginning, and a further
    `mlflow.start_run()` has to say `nested=True`; so has one where a run is active already.

    An error of MLflow's fails no trial here: the objective then logs as it would without a tracker.

    Args:
        env: Variables for the objective, those of an MLflow run perhaps.
        threaded: Whether other objectives run in this process at the same time.
    """
    with contextlib.ExitStack() as stack:
        if not threaded:
            stack.enter_context(_environment(env))
        mlflow = sys.modules.get("mlflow")
        outer = _id(mlflow.active_run()) if mlflow else None
        if mlflow and RUN_ID in env:
            if not _is_same_server(mlflow, env):
                os.environ.pop(RUN_ID, None)
            elif threaded or outer is not None:
                _enter(mlflow, env[RUN_ID])
        status = "FAILED"
        try:
            yield
            status = "FINISHED"
        finally:
            _end_runs(outer, status)


@contextlib.contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
