"""A study as it stands in MLflow, and what it takes to bring it up to date: no threads in here.

Every method may be repeated after it failed half-way, and then writes what is missing: that is how
a server that was away catches up, and how a study resumes.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from manyfit._redact import redact
from manyfit.trackers import mlflow_rows as rows
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow_ledger import Ledger, Run
from manyfit.trackers.mlflow_rows import Batch, Status
from manyfit.trial import Trial, log_name

logger = logging.getLogger("manyfit.mlflow")

# Of a longer log, this many bytes from its end are kept.
MAX_LOG = 4_000_000
# A request that took longer may have been repeated on the way, by MLflow's client or by a proxy.
_SLOW = 1.0


class AwayError(Exception):
    """The server did not answer, or can't at the moment: worth trying again."""


class RefusedError(Exception):
    """The server said no, and will say so again."""


class Remote(Protocol):
    """An MLflow server or database. Methods raise `AwayError` or `RefusedError`, and nothing else.

    Attributes:
        uri: Its tracking URI, absolute; may hold credentials.
        is_local: Whether it is on this machine's disk, so that waiting for it always pays.
        experiment_id: Where runs go; known once `begin` has returned.
        experiment_name: Its name.
    """

    uri: str
    is_local: bool
    experiment_id: str
    experiment_name: str

    def begin(
        self, parent: str | None, name: str, tags: Mapping[str, str], started_at: float
    ) -> Run:
        """Return the parent run, RUNNING: `parent` where that still exists, else a new one."""

    def create(self, name: str, tags: Mapping[str, str], started_at: float) -> Run:
        """Create a run."""

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
        self._status: dict[int, Status] = {}
        self._with_params: set[int] = set()
        self._in_doubt = False  # a run may exist that nobody has noted
        self._was_slow = False

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
        tags = rows.study_tags(self._study)
        parent = self.remote.begin(known, self._study.name, tags, self._opened_at)
        self._ledger.begin(self.remote.experiment_id, parent.id)
        self.page = self._ledger.page
        self.parent_id = parent.id
        if parent.id != known:
            self._upload(parent, {"space.json": rows.space_file(self._study)})
        elif any(trial.number not in self.page.runs for trial in history):
            self._adopt()

    def start(self, trial: Trial) -> Run:
        """Give a trial a run that is RUNNING."""
        run = self._run_of(trial)
        if self._status.get(trial.number) != "RUNNING":
            self.remote.set_status(run.id, "RUNNING")
            self.remote.write(run.id, Batch(tags=rows.next_tags(trial)))
            self._status[trial.number] = "RUNNING"
        return run

    def follow(self, trial: Trial) -> None:
        """Write the params of a running trial, and what it has reported since the last time."""
        self._write(self._run_of(trial), trial, {})

    def settle(self, trial: Trial) -> None:
        """Write all of a trial that doesn't run: metrics, tags, status, output, traceback."""
        run, status = self._run_of(trial), rows.status(trial)
        if self._status.get(trial.number) != status:
            self._write(run, trial, rows.last_tags(trial))
            self.remote.set_status(run.id, status, _end_of(trial))
            self._status[trial.number] = status
        self._upload(run, self._files(trial))
        if trial.state.is_finished:
            self._ledger.done(trial.number)
            self._with_params.discard(trial.number)

    def end(self, reason: str, trials: Sequence[Trial]) -> None:
        """End the parent run, and what a trial that never started has left RUNNING."""
        if self._in_doubt or self._was_slow:
            self._adopt()
        for trial in trials:
            if self._status.get(trial.number) == "RUNNING" and rows.status(trial) != "RUNNING":
                self.settle(trial)
        tags = rows.summary(self._study, trials, reason)
        for batch in rows.batches(rows.best_so_far(self._study, trials), tags=tags):
            self.remote.write(self._parent, batch)
        self.remote.set_status(self._parent, "FINISHED", time.time())

    def close(self) -> None:
        """Let go of the ledger and the server."""
        self._ledger.close()
        self.server.close()

    @property
    def _parent(self) -> str:
        if self.parent_id is None:
            raise AwayError("the study has no run yet")
        return self.parent_id

    def _run_of(self, trial: Trial) -> Run:
        if self._in_doubt:
            self._adopt()
        return self.page.runs.get(trial.number) or self._create(trial)

    def _create(self, trial: Trial) -> Run:
        study, number = self._study, trial.number
        tags = rows.first_tags(study, trial, self._parent)
        started_at = trial.attempts[0].started_at if trial.attempts else time.time()
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
        for number, run in self.remote.children(self._parent):
            noted = self.page.runs.get(number)
            if noted is None:
                self._ledger.created(number, run)
            elif noted.id != run.id:
                self.remote.delete(run.id)
        self._in_doubt = self._was_slow = False

    def _write(self, run: Run, trial: Trial, tags: Mapping[str, str]) -> None:
        """Write what is not written yet, with these tags.

        A step that is written is not written again, neither by a later attempt: that one has the
        same seed, and repeats the first.
        """
        number = trial.number
        until = self.page.until.get(number)
        points = rows.reports(trial.measurements, until)
        points += rows.finals(trial, until or 0) if trial.attempts else []
        params = {} if number in self._with_params else rows.params(self._study, trial)
        for batch in rows.batches(points, params, tags):
            self._write_batch(run, batch)
        self._with_params.add(number)
        if trial.measurements and not trial.state.is_finished:
            last = trial.measurements[-1].step
            if until is None or last > until:
                self._ledger.wrote(number, last)

    def _write_batch(self, run: Run, batch: Batch) -> None:
        """Write a batch, or what can be of it: the objective logs to the run too, and may clash."""
        try:
            self.remote.write(run.id, batch)
        except RefusedError as refusal:
            pieces = [Batch(params={key: value}) for key, value in batch.params.items()]
            pieces += [Batch(tags={key: value}) for key, value in batch.tags.items()]
            for key in dict.fromkeys(point.key for point in batch.points):
                pieces.append(Batch(points=[point for point in batch.points if point.key == key]))
            if not self._write_pieces(run, pieces):
                raise
            logger.debug("MLflow refused a part of a batch: %s", refusal)

    def _write_pieces(self, run: Run, pieces: Sequence[Batch]) -> int:
        taken = 0
        for piece in pieces:
            try:
                self.remote.write(run.id, piece)
            except RefusedError as refusal:
                logger.debug("MLflow refused %s: %s", piece, refusal)
            else:
                taken += 1
        return taken

    def _upload(self, run: Run, files: Mapping[str, str]) -> None:
        """Store artifacts; where their store refuses, all the rest is worth having."""
        if not files:
            return
        try:
            self.remote.upload(run, files)
        except RefusedError as refusal:
            logger.warning("MLflow took no artifacts: %s", redact(str(refusal)))

    def _files(self, trial: Trial) -> dict[str, str]:
        files = {}
        for attempt in trial.attempts:
            log = self._study.folder / "logs" / log_name(trial.number, attempt.number)
            suffix = "" if len(trial.attempts) == 1 else f"-{attempt.number}"
            text = _tail(log)
            if text:
                files[f"output{suffix}.log"] = redact(text)
        if trial.traceback:
            files["traceback.txt"] = redact(trial.traceback)
        return files


def _end_of(trial: Trial) -> float:
    ended_at = trial.attempts[-1].ended_at if trial.attempts else None
    return time.time() if ended_at is None else ended_at


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - MAX_LOG))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return text if size <= MAX_LOG else f"[the first {size - MAX_LOG} bytes are left out]\n{text}"
