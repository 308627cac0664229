"""A study as it stands in MLflow, and what it takes to bring it up to date.

Every method may be repeated after it failed half-way, and then writes what is missing: that is how
a server that was away catches up, and how a study resumes. Several threads may work on different
trials; starts no thread itself.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from manyfit._redact import redact
from manyfit.trackers import mlflow_rows as rows
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow_files import files_of
from manyfit.trackers.mlflow_ledger import Ledger, Run
from manyfit.trackers.mlflow_rows import Batch, Status
from manyfit.trial import Trial
from manyfit.worker.adoption import KEY_TAG

logger = logging.getLogger("manyfit.mlflow")

# A request that took longer may have been repeated on the way, by MLflow's client or by a proxy.
_SLOW = 1.0


# So many uploads that fail in a row, while the server takes all else, are their store's doing.
_MAX_UPLOADS = 3


# What MLflow says where the objective has logged another value under a param's name.
_OWN_VALUE = "Changing param values"


class AwayError(Exception):
    """The server did not answer, or can't at the moment: worth trying again."""

    wait = 0.0  # seconds for which it wants to be left alone


class BusyError(AwayError):
    """The server has said that it has too much to do, and for how long to leave it alone."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class DeniedError(AwayError):
    """The server refuses the credentials it was given; it may take others later."""


class RefusedError(Exception):
    """The server said no, and will say so again."""


class Remote(Protocol):
    """An MLflow server or database. Methods raise `AwayError` or `RefusedError`, and nothing else.

    Attributes:
        uri: Its tracking URI, absolute; may hold credentials.
        is_local: Whether it is on this machine's disk, so that waiting for it always pays.
        experiment_id: Where runs go; known once `begin` has returned.
        experiment_name: Its name.
        on_answer: Called whenever it has answered a request.
    """

    uri: str
    is_local: bool
    experiment_id: str
    experiment_name: str
    on_answer: Callable[[], None]

    def begin(
        self, parent: str | None, name: str, tags: Mapping[str, str], started_at: float
    ) -> Run:
        """Return the parent run, RUNNING: `parent` where that still exists, else a new one."""

    def create(self, name: str, tags: Mapping[str, str], started_at: float) -> Run:
        """Create a run."""

    def has_params(self, run: str) -> bool:
        """Whether anybody has logged params to a run."""

    def write(self, run: str, batch: Batch) -> None:
        """Write a batch to a run."""

    def set_status(self, run: str, status: Status, ended_at: float | None = None) -> None:
        """Set a run's status; an end time belongs to every status but RUNNING."""

    def upload(self, run: Run, files: Mapping[str, str]) -> None:
        """Store texts as artifacts."""

    def children(self, parent: str) -> list[tuple[int, Run]]:
        """Return the runs of the study's trials that exist, by trial number."""

    def delete(self, run: str) -> None:
        """Delete a run."""

    def close(self) -> None:
        """Let go of what it holds."""


class Copy:
    """The study's runs on a server.

    Args:
        study: The study.
        remote: The server.
        ledger: What is written already.
        is_wanted: Whether this copy is still in use; one that was given up adds no run.
        opened_at: When the study was opened, if not now.
    """

    def __init__(
        self,
        study: StudyInfo,
        remote: Remote,
        ledger: Ledger,
        is_wanted: Callable[[], bool] = lambda: True,
        opened_at: float | None = None,
    ) -> None:
        self.server = remote
        self.page = ledger.page
        self._study = study
        self._opened_at = time.time() if opened_at is None else opened_at
        self._ledger = ledger
        self._is_wanted = is_wanted
        self.parent_id: str | None = None
        self._key = uuid.uuid4().hex
        self._status: dict[int, Status] = {}
        self._written: set[int] = set()  # of those that are finished: all but status and artifacts
        self._new_parent: Run | None = None  # its space is yet to be stored
        self._clashing: set[str] = set()  # params of which the objective has its own values
        self._told: set[str] = set()
        self._uploads_left = _MAX_UPLOADS
        self._refuses_files = False
        self._is_summed_up = False
        self._adopting = threading.Lock()
        self._in_doubt = False  # a run may exist that nobody has noted
        self._was_slow = False

    def key(self, number: int, attempt: int) -> str:
        """Return what an attempt finds its trial's run by: its id may be known later."""
        return f"{self._key}-{number}-{attempt}"

    @property
    def remote(self) -> Remote:
        """The server, for as long as this copy is in use.

        Raises:
            AwayError: It has been given up.
        """
        if not self._is_wanted():
            raise AwayError("given up")
        return self.server

    def begin(self, history: Sequence[Trial]) -> None:
        """Find or create the parent run; find runs that a killed driver created and didn't note."""
        known = self.page.parent
        tags = {**rows.study_tags(self._study), KEY_TAG: self._key}
        parent = self.remote.begin(known, self._study.name, tags, self._opened_at)
        self._ledger.begin(self.remote.experiment_id, parent.id)
        self.page = self._ledger.page
        self.parent_id = parent.id
        if parent.id != known:
            self._new_parent = parent
            with contextlib.suppress(AwayError):  # the end of the study tries again
                self._store_space()
        elif any(trial.number not in self.page.runs for trial in history):
            self._adopt()

    def start(self, trial: Trial, prepared_at: float | None = None) -> Run:
        """Give a trial a run that is RUNNING.

        Args:
            trial: The trial.
            prepared_at: When it started, where nothing more of it is known before its end.
        """
        self._leave_behind(trial)
        run = self._run_of(trial, prepared_at)
        if self._status.get(trial.number) != "RUNNING":
            self.remote.set_status(run.id, "RUNNING")
            self.remote.write(run.id, Batch(tags={**rows.next_tags(trial), **self._key_tag(trial)}))
            self._status[trial.number] = "RUNNING"
        return run

    def _key_tag(self, trial: Trial) -> dict[str, str]:
        return {KEY_TAG: self.key(trial.number, rows.attempt_now(trial))}

    def _leave_behind(self, trial: Trial) -> None:
        """Have a trial that starts again make a new run, where a lost attempt has logged params.

        Else the next one could not log others under their names. The old run stays, KILLED.
        """
        run = self.page.runs.get(trial.number)
        if run is None or self._status.get(trial.number) == "RUNNING":
            return
        if self.remote.has_params(run.id):
            self.remote.write(run.id, Batch(tags={"manyfit.trial": f"{trial.number} (lost)"}))
            del self.page.runs[trial.number]

    def follow(self, trial: Trial) -> None:
        """Write what a running trial has reported since the last time."""
        self._write(self._run_of(trial), trial, {})

    def settle(self, trial: Trial) -> None:
        """Write all of a trial that doesn't run: params, metrics, tags, status, output, traceback.

        Params come last of all that a trial has, since MLflow takes no second value: what the
        objective logs under their names while it runs is its own business.
        """
        number, status = trial.number, rows.status(trial)
        run = self._run_of(trial)
        if number not in self._written:
            self._write(run, trial, rows.last_tags(trial))
            if trial.state.is_finished:
                self._written.add(number)
        if self._status.get(number) != status:
            self.remote.set_status(run.id, status, _end_of(trial))
            self._status[number] = status
        is_stored = self._upload(run, files_of(trial, self._study.folder))
        if trial.state.is_finished and is_stored:
            self._ledger.done(number)
            self._written.discard(number)

    def end(self, reason: str, trials: Sequence[Trial]) -> None:
        """End the parent run, and what a trial that never started has left RUNNING."""
        if self._in_doubt or self._was_slow:
            self._adopt()
        for trial in trials:
            if self._status.get(trial.number) == "RUNNING" and rows.status(trial) != "RUNNING":
                self.settle(trial)
        self._store_space()
        if not self._is_summed_up:
            tags = rows.summary(self._study, trials, reason)
            for batch in rows.batches(rows.best_so_far(self._study, trials), tags=tags):
                self._write_batch(self._parent, batch, "the study")
            self._is_summed_up = True
        self.remote.set_status(self._parent, rows.study_status(trials, reason), time.time())

    def _store_space(self) -> None:
        if self._new_parent is not None:
            self._upload(self._new_parent, {"space.json": rows.space_file(self._study)})
            self._new_parent = None

    def close(self) -> None:
        """Let go of the ledger and the server."""
        self._ledger.close()
        self.server.close()

    @property
    def _parent(self) -> str:
        if self.parent_id is None:
            raise AwayError("the study has no run yet")
        return self.parent_id

    def _run_of(self, trial: Trial, prepared_at: float | None = None) -> Run:
        if self._in_doubt:
            self._adopt()
        return self.page.runs.get(trial.number) or self._create(trial, prepared_at)

    def _create(self, trial: Trial, prepared_at: float | None) -> Run:
        study, number = self._study, trial.number
        tags = {**rows.first_tags(study, trial, self._parent), **self._key_tag(trial)}
        started_at = trial.attempts[0].started_at if trial.attempts else prepared_at or time.time()
        begun = time.monotonic()
        try:
            run = self.remote.create(rows.run_name(study, number), tags, started_at)
        except AwayError:
            self._in_doubt = True  # it may have been created all the same: only the answer is lost
            raise
        if not self._is_wanted():
            self.server.delete(run.id)
            raise AwayError("given up")
        self._was_slow |= time.monotonic() - begun > _SLOW
        self._ledger.created(number, run)
        self._status[number] = "RUNNING"
        return run

    def _adopt(self) -> None:
        """Note runs that exist without being noted; delete a trial's second run."""
        with self._adopting:
            self._in_doubt = self._was_slow = False
            try:
                for number, run in self.remote.children(self._parent):
                    noted = self.page.runs.get(number)
                    if noted is None:
                        self._ledger.created(number, run)
                    elif noted.id != run.id:
                        self.remote.delete(run.id)
            except AwayError:
                self._in_doubt = True
                raise

    def _write(self, run: Run, trial: Trial, tags: Mapping[str, str]) -> None:
        """Write what is not written yet, with these tags.

        A step that is written is not written again, neither by a later attempt: that one has the
        same seed, and repeats the first.
        """
        number = trial.number
        until = self.page.until.get(number)
        points = rows.reports(trial.measurements, until)
        points += rows.finals(trial, until or 0) if trial.attempts else []
        params = rows.params(self._study, trial) if trial.state.is_finished else {}
        apart = {key: params.pop(key) for key in self._clashing & params.keys()}
        for batch in (*rows.batches(points, params, tags), *rows.batches(params=apart)):
            self._write_batch(run.id, batch, f"trial {number}")
        if trial.measurements and not trial.state.is_finished:
            last = trial.measurements[-1].step
            if until is None or last > until:
                self._ledger.wrote(number, last)

    def _write_batch(self, run: str, batch: Batch, whose: str) -> None:
        """Write a batch, or what can be of it: the objective logs to the run too, and may clash."""
        try:
            self.remote.write(run, batch)
        except RefusedError as refusal:
            pieces = list(rows.pieces(batch))
            refused = [name for name, piece in pieces if not self._write_piece(run, name, piece)]
            if batch.tags and len(refused) == len(pieces):
                raise  # tags never clash: the run is gone, or closed to us
            names = ", ".join(refused)[:200]
            if _OWN_VALUE in str(refusal):
                self._tell(refused, f"MLflow keeps what the objective of {whose} logged as {names}")
            else:
                self._tell(refused, f"MLflow refused {names} of {whose}: {refusal}")

    def _write_piece(self, run: str, name: str, piece: Batch) -> bool:
        try:
            self.remote.write(run, piece)
        except RefusedError as refusal:
            logger.debug("MLflow refused %s: %s", name, refusal)
            self._clashing.update(piece.params)
            return False
        return True

    def _tell(self, names: Sequence[str], sentence: str) -> None:
        """Say what is not written, once for each name: the record has it, other trials alike."""
        if not self._told.issuperset(names):
            self._told.update(names)
            logger.warning(
                "%s. The study's record is complete. For other trials this is not said again.",
                redact(sentence).rstrip("."),
            )

    def _upload(self, run: Run, files: Mapping[str, str]) -> bool:
        """Store artifacts; where their store refuses, all the rest is worth having.

        Returns whether there is nothing to try again when the study is next opened.
        """
        if not files or self._refuses_files:
            return True
        if not self._uploads_left:
            return False
        try:
            self.remote.upload(run, files)
        except RefusedError as refusal:
            self._refuses_files = True
            self._say_no_artifacts(refusal)
        except AwayError as error:
            self._uploads_left -= 1
            if self._uploads_left:
                raise
            self._say_no_artifacts(error)
            return False
        else:
            self._uploads_left = _MAX_UPLOADS
        return True

    def _say_no_artifacts(self, error: Exception) -> None:
        logger.warning(
            "MLflow takes no artifacts: %s. All else is written; output and tracebacks are in the "
            "study's folder, %s.",
            redact(str(error))[:300].rstrip("."),
            self._study.folder,
        )


def _end_of(trial: Trial) -> float:
    ended_at = trial.attempts[-1].ended_at if trial.attempts else None
    return time.time() if ended_at is None else ended_at
