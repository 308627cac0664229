"""An MLflow server, or the database of one, as the mirror sees it: requests, answers, errors."""

import contextlib
import errno
import getpass
import json
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manyfit._optional import require
from manyfit.trackers import mlflow_autologging
from manyfit.trackers import mlflow_settings as settings
from manyfit.trackers.mlflow_ledger import Key, Run
from manyfit.trackers.mlflow_relay import Relay
from manyfit.trackers.mlflow_remote import AwayError, BusyError, DeniedError, RefusedError
from manyfit.trackers.mlflow_rows import Batch, Status, key_of, milliseconds
from manyfit.trackers.mlflow_uris import artifact_root, is_folder, is_local, without_user
from manyfit.worker.adoption import EXPERIMENT_ID, EXPERIMENT_NAME, KEY, KEY_TAG, TRACKING_URI

if TYPE_CHECKING:
    import mlflow

logger = logging.getLogger("manyfit.mlflow")

# Credentials, or none: others may be given later, as when a token has run out.
_DENIED = frozenset({"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"})
# A server that has too much to do, as MLflow's client puts it.
_BUSY = re.compile(
    r"too many (429|503) error|error code (429|503)|REQUEST_LIMIT|RESOURCE_EXHAUSTED"
)
# What a folder that can't be written says, today and tomorrow.
_PERMANENT = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError)
_PERMANENT_NUMBERS = frozenset({errno.EROFS, errno.EISDIR, errno.ENAMETOOLONG})
# Trying again won't change these answers.
_FINAL = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "RESOURCE_DOES_NOT_EXIST",
        "RESOURCE_ALREADY_EXISTS",
        "BAD_REQUEST",
        "INVALID_STATE",
        "FEATURE_DISABLED",
    }
)


class Server:
    """An MLflow server, or the database of one, behind `MlflowClient`.

    Args:
        uri: The tracking URI, absolute.
        experiment: The experiment.
        outer: The run that was active when the study was opened.
        relay: Holds the database out to workers that can't reach it.
        remote: Whether workers are on other machines.
    """

    def __init__(
        self,
        uri: str,
        experiment: "Experiment",
        outer: str | None,
        relay: Relay | None = None,
        *,
        remote: bool = False,
    ) -> None:
        self.uri = uri
        self.is_local = is_local(uri)
        self.experiment_id = ""
        self.experiment_name = ""
        self.on_answer: Callable[[], None] = _nothing
        self._experiment = experiment
        self._is_in_doubt = False  # whether a run of the study may exist that nobody has noted
        self._has_told = False
        self._outer = {"mlflow.parentRunId": outer} if outer else {}
        self._relay = relay
        self._remote = remote
        self._mlflow = import_mlflow()
        self._client: mlflow.MlflowClient | None = None

    @property
    def client(self) -> "mlflow.MlflowClient":
        """The client; made at first use, since that creates the database where there is none."""
        if self._client is None:
            with _hush("mlflow.store.db.utils", "alembic"):
                self._client = self._mlflow.MlflowClient(self.uri)
        return self._client

    def begin(
        self, parent: str | None, name: str, tags: Mapping[str, str], started_at: float
    ) -> Run:
        """Return the parent run, RUNNING."""
        if not self.experiment_id:
            with self._answers():
                found = self._experiment.find(self.client)
            if found is None:
                with self._answers():
                    found = self._experiment.create(self.client)
            self.experiment_id, self.experiment_name = found.experiment_id, found.name
            self._hold_out(found.artifact_location)
        if parent is not None:
            try:
                return self._reopen(parent, tags)
            except RefusedError:
                pass  # deleted, or its database was: begin anew
        return self._find_in_doubt(tags) or self._begin_anew(name, tags, started_at)

    def _begin_anew(self, name: str, tags: Mapping[str, str], started_at: float) -> Run:
        self._is_in_doubt = True
        run = self.create(name, {**tags, **self._outer}, started_at)
        self._is_in_doubt = False
        return run

    def _find_in_doubt(self, tags: Mapping[str, str]) -> Run | None:
        """Find a parent run that was created, perhaps, when the answer was lost."""
        if not self._is_in_doubt:
            return None
        query = f"tags.{KEY_TAG} = '{tags[KEY_TAG]}'"
        with self._answers():
            found = self.client.search_runs([self.experiment_id], query, max_results=1)
        return Run(found[0].info.run_id, found[0].info.artifact_uri) if found else None

    def _hold_out(self, artifacts: str) -> None:
        """Let workers on other machines reach the database, and the artifacts beside it."""
        if self._relay is not None:
            self._relay.start(artifact_root(artifacts, self.experiment_id))
        elif self._remote and is_folder(artifacts):
            logger.warning(
                "MLflow's experiment %s keeps artifacts in %s: what objectives log as artifacts "
                "stays on their workers, unless that folder is the same on all machines. Choose an "
                "experiment whose artifacts are in storage or with the server (mlflow-artifacts:).",
                self.experiment_name,
                artifacts,
            )

    def close(self) -> None:
        """Let workers reach the database no longer."""
        if self._relay is not None:
            self._relay.close()

    def _reopen(self, parent: str, tags: Mapping[str, str]) -> Run:
        with self._answers():
            self.client.update_run(parent, status="RUNNING")
        with self._answers():
            run = self.client.get_run(parent)
        self.write(parent, Batch(tags=tags))
        return Run(parent, run.info.artifact_uri)

    def create(self, name: str, tags: Mapping[str, str], started_at: float) -> Run:
        """Create a run."""
        source = {
            "mlflow.user": _user(),
            "mlflow.source.name": Path(sys.argv[0] if sys.argv else "").name or "python",
            "mlflow.source.type": "LOCAL",
        }
        with self._answers(repeats=False):
            run = self.client.create_run(
                self.experiment_id,
                start_time=milliseconds(started_at),
                tags={**source, **tags},
                run_name=name,
            )
        return Run(run.info.run_id, run.info.artifact_uri)

    def has_params(self, run: str) -> bool:
        """Whether anybody has logged params to a run."""
        with self._answers():
            return bool(self.client.get_run(run).data.params)

    def write(self, run: str, batch: Batch) -> None:
        """Write a batch."""
        entities = self._mlflow.entities
        with self._answers():
            self.client.log_batch(
                run,
                metrics=[entities.Metric(p.key, p.value, p.at, p.step) for p in batch.points],
                params=[entities.Param(key, value) for key, value in batch.params.items()],
                tags=[entities.RunTag(key, value) for key, value in batch.tags.items()],
            )

    def set_status(self, run: str, status: Status, ended_at: float | None = None) -> None:
        """Set a run's status; RUNNING costs a read, which only trials that start again need."""
        with self._answers():
            if status == "RUNNING":
                self.client.update_run(run, status=status)
            else:
                end = None if ended_at is None else milliseconds(ended_at)
                self.client.set_terminated(run, status=status, end_time=end)

    def tag_experiment(self, name: str, value: str) -> None:
        """Set a tag of the experiment."""
        with self._answers():
            self.client.set_experiment_tag(self.experiment_id, name, value)

    def upload(self, run: Run, files: Mapping[str, str]) -> None:
        """Store artifacts, without asking the server where: it said so when the run was created."""
        registry = "mlflow.store.artifact.artifact_repository_registry"
        with (
            tempfile.TemporaryDirectory(prefix="manyfit-") as folder,
            self._answers(artifacts=True),
        ):
            for name, text in files.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            if self.uri.startswith("databricks"):  # its artifact URIs lack the profile
                self.client.log_artifacts(run.id, folder)
            else:
                find = require(
                    registry, extra="mlflow", purpose="artifacts"
                ).get_artifact_repository
                find(run.artifacts, tracking_uri=self.uri).log_artifacts(folder)

    def children(self, parent: str) -> list[tuple[Key, Run]]:
        """Return the runs of trials and groups under the parent."""
        found: list[tuple[Key, Run]] = []
        token: str | None = None
        query = f"tags.mlflow.parentRunId = '{parent}'"
        while True:
            with self._answers():
                page = self.client.search_runs(
                    [self.experiment_id], query, max_results=1000, page_token=token
                )
            for run in page:
                key = key_of(run.data.tags)
                if key is not None:
                    found.append((key, Run(run.info.run_id, run.info.artifact_uri)))
            token = page.token
            if not token:
                return found

    def delete(self, run: str) -> None:
        """Delete a run."""
        with self._answers():
            self.client.delete_run(run)

    def env(self, parent: str | None, key: str) -> dict[str, str]:
        """Return what a worker needs; no credentials, which it has or hasn't by other ways.

        Args:
            parent: The study's run, if it exists already.
            key: What finds the trial's run, once it exists.
        """
        env, reach = settings.for_workers(), self._reach()
        if reach is None:
            return env
        env |= reach | mlflow_autologging.for_workers()
        env |= self._experiment_for_workers()
        if parent and "MLFLOW_RUN_CONTEXT" not in os.environ:
            # A run that a process of the objective's starts goes below the study's.
            env["MLFLOW_RUN_CONTEXT"] = json.dumps({"mlflow.parentRunId": parent})
        return {**env, KEY: key}

    def _reach(self) -> dict[str, str] | None:
        """Return what leads workers to the server, or None where nothing may."""
        if self._relay is not None:
            return {TRACKING_URI: self._relay.uri} if self._relay.is_open else None
        if without_user(self.uri) == self.uri:
            return {TRACKING_URI: self.uri}
        if os.environ.get(TRACKING_URI) == self.uri:
            return {}  # they know it already
        self._say_kept_from_workers()
        return None

    def _experiment_for_workers(self) -> dict[str, str]:
        if self.experiment_id:
            return {EXPERIMENT_ID: self.experiment_id, EXPERIMENT_NAME: self.experiment_name}
        name, known = self._experiment.name, self._experiment.known_id
        return {EXPERIMENT_NAME: name} if name else {EXPERIMENT_ID: known}

    def _say_kept_from_workers(self) -> None:
        if not self._has_told:
            self._has_told = True
            logger.warning(
                "the tracking URI holds credentials, which are kept from workers: what objectives "
                "log to MLflow themselves does not go to their trials' runs, but where it goes "
                "without a study. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and "
                "leave them out of the URI."
            )

    @contextlib.contextmanager
    def _answers(self, *, repeats: bool = True, artifacts: bool = False) -> Iterator[None]:
        """Turn what a client, a database driver or an artifact store raises into two errors.

        Args:
            repeats: Whether the request may be repeated at once, as after a wait that the server
                asked for.
            artifacts: Whether it is one to the artifact store, which may be out of order by itself.
        """
        refusal = self._mlflow.exceptions.MlflowException
        begun = time.monotonic()
        try:
            quick = settings.impatient(repeats=repeats)
            with contextlib.nullcontext() if self.is_local else quick:
                yield
        except refusal as error:
            raise _judged(error, time.monotonic() - begun) from error
        except _PERMANENT as error:
            raise RefusedError(f"{type(error).__name__}: {error}") from error
        except OSError as error:  # connections, timeouts, disks; requests derives its own from it
            if error.errno in _PERMANENT_NUMBERS:
                raise RefusedError(f"{type(error).__name__}: {error}") from error
            raise AwayError(f"{type(error).__name__}: {error}") from error
        except Exception as error:  # plugins for stores and artifacts raise what they like
            raise RefusedError(f"{type(error).__name__}: {error}") from error
        if not artifacts:
            self.on_answer()


def _nothing() -> None:
    pass


def _judged(error: "mlflow.MlflowException", took: float) -> AwayError | RefusedError:
    """Tell what may be tried again from what may not."""
    text = str(error)
    if error.error_code in _FINAL:
        return RefusedError(text)
    if error.error_code in _DENIED:
        return DeniedError(text)
    if _BUSY.search(text):
        # The client has waited for as long as the server told it to, and was sent away again.
        return BusyError(text, wait=took)
    return AwayError(text)


@dataclass(frozen=True, slots=True)
class Experiment:
    """Where runs go: a name, or an id where there is none."""

    name: str
    known_id: str

    @classmethod
    def choose(cls, name: str | None, active: str | None) -> "Experiment":
        """By name, the active run's, the environment's, or the default."""
        known = active or os.environ.get(EXPERIMENT_ID)  # also `mlflow.set_experiment`'s
        named = "" if known else os.environ.get(EXPERIMENT_NAME, "")
        return cls(name or named, known or "0")

    def find(self, client: "mlflow.MlflowClient") -> Any:
        """Return the experiment, or None where it is yet to be created."""
        if not self.name:
            return client.get_experiment(self.known_id)
        return client.get_experiment_by_name(self.name)

    def create(self, client: "mlflow.MlflowClient") -> Any:
        """Create it, unless somebody else has in the meantime."""
        try:
            client.create_experiment(self.name)
        except import_mlflow().exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return client.get_experiment_by_name(self.name)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"


@contextlib.contextmanager
def _hush(*names: str) -> Iterator[None]:
    """Keep loggers that nobody has set a level for from telling how a database is made."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(max(each.level, logging.WARNING))
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


def import_mlflow() -> Any:
    """Return the package, which takes seconds to import."""
    return require("mlflow", extra="mlflow", purpose="tracking with MLflow")
