"""Mirrors a study to MLflow: one run for the study, and under it one for each trial.

The only file that imports mlflow, which takes seconds: on the courier's thread, in `connect`.
"""

import contextlib
import getpass
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manyfit._optional import expect, require
from manyfit._redact import redact
from manyfit.events import Event
from manyfit.trackers import mlflow_settings as settings
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow_copy import AwayError, RefusedError
from manyfit.trackers.mlflow_courier import Courier
from manyfit.trackers.mlflow_ledger import Run
from manyfit.trackers.mlflow_relay import Relay
from manyfit.trackers.mlflow_rows import Batch, Status, milliseconds
from manyfit.trackers.mlflow_uris import absolute, artifact_root, is_folder, is_local
from manyfit.trial import Trial

if TYPE_CHECKING:
    import mlflow

logger = logging.getLogger("manyfit.mlflow")

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


class MlflowTracker:
    """Mirrors a study to MLflow while it runs, and never makes a trial wait for it.

    What `mlflow.log_*`, autologging and `with mlflow.start_run():` write inside the objective lands
    in the trial's run. A server that is slow or away costs trials nothing: what it misses is
    written when it is back, and what it still misses at the end when the study is next opened;
    `mlflow.jsonl` in the study's folder knows what is written.

    Runs go where plain MLflow code in this process would put them: to the server and experiment of
    `mlflow.set_tracking_uri` and `mlflow.set_experiment`, or of the environment, else to
    `sqlite:///mlflow.db` in the working folder and its experiment "Default"; under the run that is
    active, if there is one. In a Databricks notebook, set an experiment.

    On a cluster, a database or folder of this machine is held out to workers by an MLflow server,
    which starts and ends with the study; that, or a server of yours at localhost, they reach by way
    of this process.

    Args:
        tracking_uri: Another server.
        experiment: The name of another experiment, created if need be.

    Raises:
        MissingExtraError: MLflow is not installed.

    Example:
        >>> tracker = MlflowTracker("http://127.0.0.1:5000", experiment="fashion")
    """

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        expect("mlflow", extra="mlflow", purpose="tracking with MLflow")
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._courier: Courier | None = None

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Begin to connect, in the background."""
        connect = self.connector(study.folder, remote=study.remote)
        settings.hold()
        self._courier = Courier(study, history, connect)

    def connector(self, folder: Path, *, remote: bool = False) -> "Callable[[], Server]":
        """Return what connects to the server that is chosen as of now; it may take seconds.

        Args:
            folder: Where a socket may go, by which workers reach a database of this machine.
            remote: Whether there are workers on other machines.
        """
        return _connector(self._tracking_uri, self._experiment, folder, remote=remote)

    def prepare(self, trial: Trial) -> Mapping[str, str]:
        """Return what makes the trial's run MLflow's active one in its worker.

        Waits a second at most for a server that has answered in time before, else not at all.
        Without an answer the trial's run is created later, and what the objective logs itself goes
        to a run of its own under the study's.
        """
        if self._courier is None:
            return {}
        run = self._courier.start(trial)
        copy = self._courier.copy
        if copy is None or not isinstance(copy.server, Server):
            return {}
        return copy.server.env(run.id if run else None, copy.parent_id)

    def record(self, event: Event, trial: Trial | None) -> None:  # noqa: ARG002 - the trial says all
        """Hand the trial to the courier."""
        if self._courier is not None and trial is not None:
            self._courier.update(trial)

    def close(self, reason: str, trials: Sequence[Trial]) -> None:
        """Write what is left: within 30 s, and 5 s without an answer."""
        if self._courier is None:
            return
        courier, self._courier = self._courier, None
        try:
            courier.close(reason, trials)
        finally:
            settings.release()


class Server:
    """An MLflow server, or the database of one, behind `MlflowClient`.

    Args:
        uri: The tracking URI, absolute.
        choose: Returns the experiment's id, given a client.
        outer: The run that was active when the study was opened.
        relay: Holds the database out to workers that can't reach it.
        remote: Whether workers are on other machines.
    """

    def __init__(
        self,
        uri: str,
        choose: "Callable[[mlflow.MlflowClient], str]",
        outer: str | None,
        relay: Relay | None = None,
        *,
        remote: bool = False,
    ) -> None:
        self.uri = uri
        self.is_local = is_local(uri)
        self.experiment_id = ""
        self.experiment_name = ""
        self._choose = choose
        self._outer = {"mlflow.parentRunId": outer} if outer else {}
        self._relay = relay
        self._remote = remote
        self._mlflow = _import_mlflow()
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
        with self._answers():
            experiment = self.client.get_experiment(self._choose(self.client))
            self.experiment_id, self.experiment_name = experiment.experiment_id, experiment.name
        self._hold_out(experiment.artifact_location)
        if parent is not None:
            try:
                return self._reopen(parent, tags)
            except RefusedError:
                pass  # deleted, or its database was: begin anew
        return self.create(name, {**tags, **self._outer}, started_at)

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
        with self._answers():
            run = self.client.create_run(
                self.experiment_id,
                start_time=milliseconds(started_at),
                tags={**source, **tags},
                run_name=name,
            )
        return Run(run.info.run_id, run.info.artifact_uri)

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

    def upload(self, run: Run, files: Mapping[str, str]) -> None:
        """Store artifacts, without asking the server where: it said so when the run was created."""
        registry = "mlflow.store.artifact.artifact_repository_registry"
        with tempfile.TemporaryDirectory(prefix="manyfit-") as folder, self._answers():
            for name, text in files.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            if self.uri.startswith("databricks"):  # its artifact URIs lack the profile
                self.client.log_artifacts(run.id, folder)
            else:
                find = require(
                    registry, extra="mlflow", purpose="artifacts"
                ).get_artifact_repository
                find(run.artifacts, tracking_uri=self.uri).log_artifacts(folder)

    def children(self, parent: str) -> list[tuple[int, Run]]:
        """Return the runs of trials under the parent."""
        found: list[tuple[int, Run]] = []
        token: str | None = None
        query = f"tags.mlflow.parentRunId = '{parent}'"
        while True:
            with self._answers():
                page = self.client.search_runs(
                    [self.experiment_id], query, max_results=1000, page_token=token
                )
            for run in page:
                number = run.data.tags.get("manyfit.trial", "")
                if number.isdigit():
                    found.append((int(number), Run(run.info.run_id, run.info.artifact_uri)))
            token = page.token
            if not token:
                return found

    def delete(self, run: str) -> None:
        """Delete a run."""
        with self._answers():
            self.client.delete_run(run)

    def env(self, run: str | None, parent: str | None) -> dict[str, str]:
        """Return what a worker needs; no credentials, which it has or hasn't by other ways."""
        env = settings.for_workers()
        if (run or parent) and "MLFLOW_RUN_CONTEXT" not in os.environ:
            # A run that the objective starts once its trial's run has been ended goes below it.
            env["MLFLOW_RUN_CONTEXT"] = json.dumps({"mlflow.parentRunId": run or parent})
        if self.experiment_id:
            env["MLFLOW_EXPERIMENT_ID"] = self.experiment_id
            env["MLFLOW_EXPERIMENT_NAME"] = self.experiment_name
        if self._relay is not None:
            if not self._relay.is_open:
                return env
            env["MLFLOW_TRACKING_URI"] = self._relay.uri
        elif redact(self.uri) == self.uri:
            env["MLFLOW_TRACKING_URI"] = self.uri
        elif os.environ.get("MLFLOW_TRACKING_URI") != self.uri:
            return env
        if run is not None:
            env["MLFLOW_RUN_ID"] = run
        return env

    @contextlib.contextmanager
    def _answers(self) -> Iterator[None]:
        """Turn what a client, a database driver or an artifact store raises into two errors."""
        refusal = self._mlflow.exceptions.MlflowException
        try:
            with contextlib.nullcontext() if self.is_local else settings.impatient():
                yield
        except refusal as error:
            if error.error_code in _FINAL:
                raise RefusedError(str(error)) from error
            raise AwayError(str(error)) from error
        except OSError as error:  # connections, timeouts, disks; requests derives its own from it
            raise AwayError(f"{type(error).__name__}: {error}") from error
        except Exception as error:  # plugins for stores and artifacts raise what they like
            raise RefusedError(f"{type(error).__name__}: {error}") from error


def _connector(
    tracking_uri: str | None, experiment: str | None, home: Path, *, remote: bool
) -> Callable[[], Server]:
    """Look at what is set now, on the driver's thread; connect later, on the courier's."""
    folder = Path.cwd()
    active = None
    if "mlflow" in sys.modules:
        active = _import_mlflow().active_run()
    chosen = experiment, active.info.experiment_id if active else None

    def connect() -> Server:
        uri = absolute(tracking_uri or _import_mlflow().get_tracking_uri(), folder)
        outer = active.info.run_id if active and experiment is None else None
        relay = Relay(uri, home) if remote and is_local(uri) else None
        return Server(
            uri,
            lambda client: _choose_experiment(client, *chosen),
            outer,
            relay,
            remote=remote,
        )

    return connect


def _import_mlflow() -> Any:
    return require("mlflow", extra="mlflow", purpose="tracking with MLflow")


def _choose_experiment(client: "mlflow.MlflowClient", name: str | None, active: str | None) -> str:
    """Return the experiment's id: by name, the active run's, the environment's, or the default."""
    if name is None:
        known = active or os.environ.get("MLFLOW_EXPERIMENT_ID")  # also `mlflow.set_experiment`'s
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
        if known:
            return known
        if not name:
            return "0"
    found = client.get_experiment_by_name(name)
    return client.create_experiment(name) if found is None else found.experiment_id


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
