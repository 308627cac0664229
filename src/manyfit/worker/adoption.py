"""Directs what an objective logs to MLflow into the run of its trial.

MLflow has one active run per thread, and starts a run if something is logged without one. While
trials run, its functions `start_run` and `active_run` are replaced by versions that know the
trial's run. Everything logged goes to that run. The first run that the objective starts itself is
that run; later ones become its children. The run is entered when the objective first logs, because
entering costs requests, which an objective that doesn't log should not pay for. The id of the run
may not be known yet when the trial starts; the run is then found by its key.

This module never imports MLflow: it waits until the objective does.
"""

import contextlib
import functools
import importlib.util
import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger("manyfit")

RUN_ID = "MLFLOW_RUN_ID"
TRACKING_URI = "MLFLOW_TRACKING_URI"
EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
KEY = "MANYFIT_MLFLOW_KEY"  # finds the run of a trial if its id is not known yet
KEY_TAG = "manyfit.key"  # the run's tag of the same value

# Seconds for which the first call waits for the trial's run, if the server answers.
_PATIENCE = 30.0
_PAUSES = (0.05, 1.0)  # between attempts to find it: the first, the longest

_lock = threading.RLock()
_active: "list[Adoption]" = []
_current: "ContextVar[Adoption | None]" = ContextVar("manyfit_mlflow_run", default=None)
_originals: dict[tuple[ModuleType, str], Any] = {}


class Adoption:
    """The MLflow run of one attempt, and how its objective has used it.

    Args:
        env: The task's variables.
        outer: The id of the run that was active in this thread before, if any.
        threaded: Whether other trials run in this process at the same time.

    Attributes:
        run_id: The id of the trial's run, once known.
    """

    def __init__(
        self, env: Mapping[str, str], outer: str | None, *, threaded: bool = False
    ) -> None:
        self._env = env
        self._is_threaded = threaded
        self.outer = outer
        self.run_id = env.get(RUN_ID)
        self._is_taken = False  # the objective has started this run itself
        self._is_loose = False  # entered by logging alone, and possibly still open
        self._gave_up = False
        self._elders = frozenset(threading.enumerate()) - {threading.current_thread()}

    def owns_this_thread(self) -> bool:
        """Return whether the objective started this thread: it is newer than the attempt."""
        return threading.current_thread() not in self._elders

    def enter(self, start: Callable[..., Any], **given: Any) -> Any:
        """Make the trial's run active in this thread.

        Returns None if that fails, and warns once. The objective's call then proceeds as it would
        without a study.
        """
        if self._gave_up:
            return None
        try:
            run = self._enter(functools.partial(start, run_id=self._id(), nested=True, **given))
        except Exception as error:  # noqa: BLE001 - a server's or a plugin's, and no reason to fail a trial
            self._gave_up = True
            logger.warning(
                "what the objective logs to MLflow does not go to the trial's run: %s", error
            )
            return None
        self._is_loose = not given
        return run

    def _enter(self, start: Callable[[], Any]) -> Any:
        """Start the trial's run, even if the objective has selected another experiment.

        MLflow refuses to start a run of an experiment that isn't the active one. With threads, the
        experiment is common to all, so it isn't changed.
        """
        ours, chosen = self._env.get(EXPERIMENT_ID), os.environ.get(EXPERIMENT_ID)
        try:
            return start()
        except Exception:
            if self._is_threaded or None in (ours, chosen) or ours == chosen:
                raise
        mlflow = sys.modules["mlflow"]
        mlflow.set_experiment(experiment_id=ours)
        try:
            return start()
        finally:
            mlflow.set_experiment(experiment_id=chosen)

    def start(self, start: Callable[..., Any], given: dict[str, Any]) -> Any:
        """Start a run for the objective: the trial's run the first time, then children of it."""
        top = _top()
        if "parent_run_id" in given:
            return start(**given)
        if top is None or top.info.run_id == self.outer:
            return self._start_first(start, given) or start(**self._below(given))
        if top.info.run_id != self.run_id or not self._is_loose or given.get("nested"):
            return start(**given)
        if self._is_taken:
            return start(**{**given, "nested": True})
        self._is_taken, self._is_loose = True, False
        if given.get("tags"):
            sys.modules["mlflow"].set_tags(given["tags"])
        return top

    def _start_first(self, start: Callable[..., Any], given: Mapping[str, Any]) -> Any:
        if self._is_taken:
            return None
        self._is_taken = True
        rest = {name: value for name, value in given.items() if name not in _CHOICES}
        run = self.enter(start, **rest)
        self._is_loose = False
        return run

    def _below(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if self._gave_up:
            return dict(given)
        tags = {"mlflow.parentRunId": self.run_id, **(given.get("tags") or {})}
        return {**given, "tags": tags, "nested": self.outer is not None}

    def _id(self) -> str:
        mlflow, place = sys.modules["mlflow"], self._env.get(TRACKING_URI)
        uri = mlflow.get_tracking_uri()
        if place is not None and _location(uri) != _location(place):
            raise LookupError("it logs to another MLflow server than the study is mirrored to")
        if self.run_id is None:
            self.run_id = self._look_for_run(mlflow.MlflowClient())
        return self.run_id

    def _look_for_run(self, client: Any) -> str:
        query = f"tags.{KEY_TAG} = '{self._env[KEY]}'"
        deadline, (pause, longest) = time.monotonic() + _PATIENCE, _PAUSES
        while True:
            found = client.search_runs(self._experiments(client), query, max_results=1)
            if found:
                return str(found[0].info.run_id)
            if time.monotonic() > deadline:
                raise LookupError(f"it was not there within {_PATIENCE:g} s")
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def _experiments(self, client: Any) -> list[str]:
        if EXPERIMENT_ID in self._env:
            return [self._env[EXPERIMENT_ID]]
        found = client.get_experiment_by_name(self._env[EXPERIMENT_NAME])
        return [] if found is None else [found.experiment_id]


# Arguments that select a run or its location, which the trial's run has already.
_CHOICES = frozenset({"run_id", "experiment_id", "nested"})


@contextlib.contextmanager
def adopting(adoption: Adoption) -> Iterator[None]:
    """Direct this thread, and those that the objective starts, to the trial's run.

    If a run of the user's own is active, the trial's run is entered at once; otherwise what is
    logged would go to the user's run.
    """
    with _lock:
        _active.append(adoption)
        _replace_or_wait()
    token = _current.set(adoption)
    try:
        if adoption.outer is not None and imported() is not None:
            adoption.enter(_originals[sys.modules["mlflow"], "start_run"])
        yield
    finally:
        _current.reset(token)
        with _lock:
            _active.remove(adoption)
            if not _active:
                _put_back()


def imported() -> Any:
    """Return MLflow if this process has imported all of it, or None."""
    module = sys.modules.get("mlflow")
    return module if hasattr(module, "active_run") and hasattr(module, "end_run") else None


def active_id() -> str | None:
    """Return the id of the run that is active in this thread, without entering one."""
    run = _top() if imported() is not None else None
    return None if run is None else str(run.info.run_id)


def _top() -> Any:
    """Return MLflow's active run; only the function at the package's root is replaced."""
    return sys.modules["mlflow.tracking.fluent"].active_run()


def _find() -> Adoption | None:
    found = _current.get()
    if found is not None:
        return found
    candidates = [each for each in tuple(_active) if each.owns_this_thread()]
    return candidates[0] if len(candidates) == 1 else None


def _location(uri: str) -> str:
    scheme, found, path = uri.partition(":///")
    return f"{scheme}:///{Path(path).resolve()}" if found and scheme == "sqlite" else uri


# ── in place of MLflow's functions ────────────────────────────────────────────────────────────────


def _replace_or_wait() -> None:
    """Replace MLflow's functions now, or as soon as MLflow is imported."""
    mlflow = imported()
    if mlflow is None:
        if "mlflow" not in sys.modules and not any(isinstance(f, _Import) for f in sys.meta_path):
            sys.meta_path.insert(0, _Import())
        return
    if not _originals:
        _replace(mlflow, sys.modules["mlflow.tracking.fluent"])
    if any(each.run_id == os.environ.get(RUN_ID) for each in _active):
        # Otherwise a run started within the trial's run would reuse the trial's id.
        os.environ.pop(RUN_ID, None)


def _replace(mlflow: ModuleType, fluent: ModuleType) -> None:
    start, active = fluent.start_run, fluent.active_run
    signature = inspect.signature(start)

    @functools.wraps(start)
    def start_to_log(*args: Any, **kwargs: Any) -> Any:
        """Start a run for `log_*`, which find `start_run` here and call it without arguments."""
        own = None if args or kwargs else _find()
        return (own.enter(start) if own is not None else None) or start(*args, **kwargs)

    @functools.wraps(start)
    def start_run(*args: Any, **kwargs: Any) -> Any:
        given = dict(signature.bind(*args, **kwargs).arguments)
        own = None if given.get("run_id") else _find()
        return start(**given) if own is None else own.start(start, given)

    @functools.wraps(active)
    def active_run() -> Any:
        run, own = active(), _find()
        return run if run is not None or own is None else own.enter(start)

    _originals.update({(mlflow, "start_run"): start, (mlflow, "active_run"): active})
    _originals[fluent, "start_run"] = start
    mlflow.start_run, mlflow.active_run = start_run, active_run  # type: ignore[attr-defined]
    fluent.start_run = start_to_log  # type: ignore[attr-defined]


def _put_back() -> None:
    for (module, name), original in _originals.items():
        setattr(module, name, original)
    _originals.clear()
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Import)]


class _Import(MetaPathFinder):
    """Replaces MLflow's functions as soon as MLflow is imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Let the other finders find MLflow, and wrap its loader."""
        if fullname != "mlflow":
            return None
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module with its own loader, then replace the functions."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        with _lock:
            if _active:
                _replace_or_wait()
