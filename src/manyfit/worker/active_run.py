"""Makes the trial's MLflow run the active one while the objective runs.

What the objective logs (`mlflow.log_*`, autologging, `with mlflow.start_run():`) lands there.
Knows MLflow by its environment variables and by what has been imported: a worker needs no MLflow.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

logger = logging.getLogger("manyfit")

_RUN_ID = "MLFLOW_RUN_ID"
_TRACKING_URI = "MLFLOW_TRACKING_URI"


@contextlib.contextmanager
def active_run(env: Mapping[str, str], *, threaded: bool) -> Iterator[None]:
    """Set a task's environment around its objective, and end the runs that it leaves active.

    In a process of its own the run's id waits in the environment, and the first thing the objective
    logs, or its `mlflow.start_run()`, adopts it. Runs that it starts later go below that one.
    Threads share one environment, so there the run is active from the beginning if MLflow has been
    imported and logs to the same server, and a further `mlflow.start_run()` has to say
    `nested=True`; so has one where the user had a run active in this process before.

    MLflow's own errors fail no trial here. That a run left active ends as FINISHED is provisional
    for the trial's own: the tracker sets its final status.

    Args:
        env: Variables for the objective; those of an MLflow run among them, perhaps.
        threaded: Whether other objectives run in this process at the same time.
    """
    with contextlib.nullcontext() if threaded else environment(env):
        outer = _active_id()
        if _RUN_ID in env and (threaded or _mlflow() is not None):
            _enter(env, explicitly=threaded or outer is not None)
        try:
            yield
        finally:
            _end_runs(outer)


@contextlib.contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process within the block."""
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


def _mlflow() -> Any:
    """Return MLflow if this process has imported it (and not only a part of it), else None."""
    module = sys.modules.get("mlflow")
    return module if hasattr(module, "active_run") and hasattr(module, "end_run") else None


def _active_id() -> str | None:
    mlflow = _mlflow()
    run = mlflow.active_run() if mlflow is not None else None
    return run.info.run_id if run is not None else None


def _enter(env: Mapping[str, str], *, explicitly: bool) -> None:
    """Leave the run to be adopted, enter it, or keep away from it.

    It is kept away from an objective that logs to another server, where nobody knows it.
    """
    mlflow = _mlflow()
    if mlflow is None:
        return
    same = _location(mlflow.get_tracking_uri()) == _location(env.get(_TRACKING_URI, ""))
    if _TRACKING_URI in env and not same:
        os.environ.pop(_RUN_ID, None)
    elif explicitly:
        # Out of the environment first: `start_run(nested=True)` would adopt it once more.
        if os.environ.get(_RUN_ID) == env[_RUN_ID]:
            del os.environ[_RUN_ID]
        try:
            mlflow.start_run(run_id=env[_RUN_ID], nested=True)
        except Exception as error:  # noqa: BLE001 - a server's or a plugin's, and no reason to fail a trial
            logger.debug("the trial's MLflow run can't be entered: %s", error)


def _location(uri: str) -> str:
    scheme, found, path = uri.partition(":///")
    return f"{scheme}:///{Path(path).resolve()}" if found and scheme == "sqlite" else uri


def _end_runs(outer: str | None) -> None:
    """End what is active in this thread, down to the run that was active before."""
    while (active := _active_id()) not in (None, outer):
        try:
            _mlflow().end_run()
        except Exception as error:  # noqa: BLE001 - as above
            logger.debug("an MLflow run can't be ended: %s", error)
        if _active_id() == active:
            return  # it won't go
