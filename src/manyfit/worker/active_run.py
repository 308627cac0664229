"""Sets a task's environment variables and MLflow run while its objective runs.

What the objective logs (`mlflow.log_*`, autologging, `with mlflow.start_run():`) goes to that run;
see `adoption`. This module uses MLflow only through environment variables and if the objective has
imported it: a worker doesn't need MLflow.
"""

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping

from manyfit.errors import TrialStopped
from manyfit.worker.adoption import (
    EXPERIMENT_ID,
    EXPERIMENT_NAME,
    KEY,
    RUN_ID,
    TRACKING_URI,
    Adoption,
    active_id,
    adopting,
    imported,
)
from manyfit.worker.autologging import switch_on, warn_of_threads

logger = logging.getLogger("manyfit")

# The variables that locate a study's runs; all its trials have the same values.
_PLACE = (TRACKING_URI, EXPERIMENT_ID, EXPERIMENT_NAME)

# MLflow sets the tags in this variable, which is JSON, on each run that it starts.
_TAGS = "MLFLOW_RUN_CONTEXT"

_lock = threading.Lock()
_shared: dict[str, str] = {}
_sharers = contextlib.ExitStack()
_count = 0


@contextlib.contextmanager
def active_run(env: Mapping[str, str], *, threaded: bool) -> Iterator[None]:
    """Set a task's environment while its objective runs, and end the runs that it leaves active.

    Threads share one environment. With threads, only the variables that are the same for all trials
    of a study are set: the server and the experiment.

    Errors in MLflow don't fail the trial. If the trial's own run is left active it ends as FINISHED
    for the time being; the tracker sets its final status.

    Args:
        env: Variables for the objective, which may include those of an MLflow run.
        threaded: Whether other objectives run in this process at the same time.
    """
    with _shared_environment(env) if threaded else environment(env):
        if threaded:
            warn_of_threads()
        else:
            switch_on(env)
        outer = active_id()
        has_run = RUN_ID in env or KEY in env
        try:
            with (
                adopting(Adoption(env, outer, threaded=threaded))
                if has_run
                else contextlib.nullcontext()
            ):
                yield
        finally:
            _end_runs(outer)


@contextlib.contextmanager
def own_runs() -> Iterator[None]:
    """End the MLflow runs that the block leaves active in this thread.

    They end as FAILED if it raised, and otherwise as FINISHED; if the block was told to stop, with
    the tag `manyfit.state` PRUNED.
    """
    outer, status, state = active_id(), "FAILED", ""
    try:
        yield
        status = "FINISHED"
    except TrialStopped:
        status, state = "FINISHED", "PRUNED"
        raise
    finally:
        _end_runs(outer, status, state)


@contextlib.contextmanager
def tagged(tags: Mapping[str, str]) -> Iterator[None]:
    """Set tags on the MLflow runs that the block starts; its own tags take precedence."""
    with contextlib.closing(Tags()) as own:
        own.set(tags)
        yield


class Tags:
    """Tags of the MLflow runs that start while it is open; its own take precedence over others."""

    def __init__(self) -> None:
        self._before = os.environ.get(_TAGS)
        known: object = {}
        with contextlib.suppress(ValueError):
            known = json.loads(self._before or "{}")
        self._others = known if isinstance(known, dict) else {}

    def set(self, tags: Mapping[str, str]) -> None:
        """Set the tags of runs that start from now on, in place of those set before."""
        os.environ[_TAGS] = json.dumps({**self._others, **tags})

    def close(self) -> None:
        """Restore the tags from before."""
        if self._before is None:
            os.environ.pop(_TAGS, None)
        else:
            os.environ[_TAGS] = self._before


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


@contextlib.contextmanager
def _shared_environment(env: Mapping[str, str]) -> Iterator[None]:
    """Set the location of runs while any trial of a study runs.

    If trials of another study run at the same time, their location is not set.
    """
    global _count
    place = {name: env[name] for name in _PLACE if name in env and TRACKING_URI in env}
    with _lock:
        if not _count:
            _shared.update(place)
            _sharers.enter_context(environment(place))
        shares = place == _shared
        _count += shares
    try:
        yield
    finally:
        with _lock:
            _count -= shares
            if not _count:
                _shared.clear()
                _sharers.close()


def _end_runs(outer: str | None, status: str = "FINISHED", state: str = "") -> None:
    """End the active runs of this thread, down to the one that was active before."""
    while (active := active_id()) not in (None, outer):
        try:
            if state:
                imported().set_tag("manyfit.state", state)
            imported().end_run(status)
        except Exception as error:  # noqa: BLE001 - as above
            logger.debug("an MLflow run can't be ended: %s", error)
        if active_id() == active:
            return  # it would stay active, and be found again
