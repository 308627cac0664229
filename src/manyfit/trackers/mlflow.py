"""Mirrors a study, or a call over groups, to MLflow: a run, with a child per trial or group."""

import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from manyfit._checks import check_number
from manyfit._optional import expect
from manyfit._redact import redact
from manyfit.events import Event
from manyfit.group_events import GroupEnded
from manyfit.trackers import mlflow_settings as settings
from manyfit.trackers.base import Outcome, StudyInfo
from manyfit.trackers.mlflow_copy import Copy
from manyfit.trackers.mlflow_courier import Courier
from manyfit.trackers.mlflow_ledger import Ledger
from manyfit.trackers.mlflow_relay import Relay
from manyfit.trackers.mlflow_server import Experiment, Server, import_mlflow
from manyfit.trackers.mlflow_uris import absolute, is_local, without_user
from manyfit.trial import Trial

logger = logging.getLogger("manyfit.mlflow")


class Mirror(NamedTuple):
    """The location of a study in MLflow.

    Attributes:
        tracking_uri: Its server or database, without credentials.
        experiment: The experiment's name.
        table: The address of the table of trials; empty if there is none, or no server.
    """

    tracking_uri: str
    experiment: str
    table: str = ""


class MlflowTracker:
    """Mirrors a study to MLflow while it runs, and never makes a trial wait for it.

    A call of `tune_groups` is one run, with its progress every few seconds, and figures, tables and
    plots at the end; `child_runs=True` adds a run for each group.

    What an objective logs with `mlflow.log_*`, autologging and `with mlflow.start_run():` goes to
    the trial's run unchanged: credentials in it are not redacted. A second run that the objective
    starts becomes its child. A server that is slow or unreachable costs trials nothing. What it has
    missed is written when it is back, or when the study is next opened, or by `manyfit sync NAME`;
    `mlflow.jsonl` in the study's folder notes what is written.

    Params are written when a trial has ended, and are in the tag `manyfit.params` before. An
    objective may therefore log params of the same names, which take precedence.

    Runs go where plain MLflow code in this process would put them: to the server and experiment of
    `mlflow.set_tracking_uri` and `mlflow.set_experiment`, or of the environment, or otherwise to
    `sqlite:///mlflow.db` in the working folder and its experiment "Default". They are children of
    the active run, if there is one. In a Databricks notebook, set an experiment.

    On a cluster, an MLflow server that starts and ends with the study serves a database or folder
    of this machine to workers. They reach it, or your own server at localhost, through this
    process.

    Args:
        tracking_uri: Another server. A URI with a user or password isn't sent to workers: set
            `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD` instead.
        experiment: The name of another experiment, which is created if necessary.
        wait: The seconds for which the end of a study waits until everything is written, whatever
            the server does; `math.inf` for no limit. By default 30 s, and 5 s without an answer.

    Raises:
        MissingExtraError: MLflow is not installed.
        ArgumentError: `wait` isn't a number of at least 0.

    Example:
        >>> tracker = MlflowTracker("http://127.0.0.1:5000", experiment="fashion")
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str | None = None,
        *,
        wait: float | None = None,
    ) -> None:
        expect("mlflow", extra="mlflow", purpose="tracking with MLflow")
        if wait is not None and wait != math.inf:
            wait = check_number("wait", wait, least=0, unit="seconds", also="math.inf or None")
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._wait = wait
        self._courier: Courier | None = None
        self._files: Callable[[], Mapping[str, str]] = dict

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Begin to connect, in the background."""
        # Runs of a groups' objective are not children of the call's run.
        serves = study.remote and study.groups is None
        connect = _connector(self._tracking_uri, self._experiment, study.folder, remote=serves)
        settings.hold()
        self._files = study.files
        self._courier = Courier(study, history, connect, self._wait)

    def prepare(self, trial: Trial) -> Mapping[str, str]:
        """Return variables that make the trial's run MLflow's active one in its worker.

        For the first trial, it waits at most a second for the server, or until a local database is
        set up. The run itself is created when the trial runs; its worker finds it by a key.
        """
        if self._courier is None:
            return {}
        self._courier.start(trial)
        copy = self._courier.copy
        if not isinstance(copy, Copy) or not isinstance(copy.server, Server):
            return {}
        if not self._courier.works:
            return {}
        key = copy.key(trial.number, len(trial.attempts) + 1)
        return copy.server.env(copy.parent_id, key)

    def record(self, event: Event, trial: Trial | None) -> None:
        """Pass the trial, or the group, to the courier."""
        if self._courier is None:
            return
        if isinstance(event, GroupEnded):
            self._courier.count(event)
        elif trial is not None and not self._courier.has_groups:  # a trial of all groups has no run
            self._courier.update(trial)

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """Write what is missing, for as long as `wait` says; then warn of the rest."""
        self.finish(reason, trials, outcome)

    def finish(
        self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None
    ) -> Mirror | None:
        """Close; returns the location of the mirror, or None if something is not written."""
        if self._courier is None:
            return None
        courier, self._courier = self._courier, None
        if outcome is None and not courier.has_groups:
            outcome = Outcome(files=self._files)
        if outcome is not None:
            files = _texts(outcome)  # now, so that the wait is the server's alone
            outcome = replace(outcome, files=lambda: files)
        try:
            is_written = courier.close(reason, trials, outcome)
        finally:
            settings.release()
        if courier.copy is None or not is_written:
            return None
        server = courier.copy.server
        uri, link = without_user(server.uri), courier.copy.link
        is_page = uri.startswith("http") and link
        return Mirror(uri, server.experiment_name, f"{uri.rstrip('/')}/{link}" if is_page else "")


def _texts(outcome: Outcome) -> Mapping[str, str]:
    """Return the files of an outcome; none, with a warning, if they can't be made."""
    try:
        return outcome.files()
    except Exception as error:  # noqa: BLE001 - no page is worth the rest of a mirror
        logger.warning(
            "MLflow gets no report and no tables (%s: %s); all else is written, and the record is "
            "complete.",
            type(error).__name__,
            redact(str(error)),
        )
        return {}


def _connector(
    tracking_uri: str | None, experiment: str | None, home: Path, *, remote: bool
) -> Callable[[], Server]:
    """Read the settings now, on the driver's thread; connect later, on the courier's."""
    folder = Path.cwd()
    active = None
    if "mlflow" in sys.modules:
        active = import_mlflow().active_run()
    chosen = Experiment.choose(experiment, active.info.experiment_id if active else None)

    def connect() -> Server:
        uri = absolute(tracking_uri or import_mlflow().get_tracking_uri(), folder)
        outer = active.info.run_id if active and experiment is None else None
        with closing(Ledger(home, uri)) as ledger:
            ledger.aim(chosen.name, chosen.known_id)
        relay = Relay(uri, home) if remote and is_local(uri) else None
        return Server(uri, chosen, outer, relay, remote=remote)

    return connect
