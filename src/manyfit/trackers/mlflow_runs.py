"""A run on a server and its child runs: found, created and written, whatever happened before.

Every method may be repeated after a failure, and then writes what is missing. This is how a server
catches up, and how a study resumes. Several threads may work on different runs.
"""

import contextlib
import logging
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from manyfit._redact import redact
from manyfit.trackers import mlflow_rows as rows
from manyfit.trackers.base import Outcome, StudyInfo
from manyfit.trackers.mlflow_ledger import Key, Ledger, Run
from manyfit.trackers.mlflow_remote import AwayError, RefusedError, Remote
from manyfit.trackers.mlflow_rows import Batch, Status
from manyfit.trial import Trial
from manyfit.worker.adoption import KEY_TAG

logger = logging.getLogger("manyfit.mlflow")

# A slower request may have been repeated by MLflow's client or by a proxy.
_SLOW = 1.0
# If this many uploads in a row fail while the server takes all else, the artifact store is broken.
_MAX_UPLOADS = 3
# MLflow's message if the objective has logged another value under a param's name.
_OWN_VALUE = "Changing param values"


class Runs(ABC):
    """The runs of a study, or of a call over groups, on a server.

    Args:
        study: The study.
        remote: The server.
        ledger: What is written already.
        is_wanted: Whether these runs are still in use; once given up, none is added.
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
        self.parent_id: str | None = None
        self._study = study
        self._opened_at = time.time() if opened_at is None else opened_at
        self._ledger = ledger
        self._is_wanted = is_wanted
        self._key = uuid.uuid4().hex
        self._status: dict[Key, Status] = {}
        self._new_parent: Run | None = None  # its space is yet to be stored
        self._clashing: set[str] = set()  # params of which the objective has its own values
        self._told: set[str] = set()
        self._uploads_left = _MAX_UPLOADS
        self._refuses_files = False
        self._is_summed_up = False
        self._adopting = threading.Lock()
        self._in_doubt = False  # a run may exist that nobody has noted
        self._was_slow = False

    # ── what is mirrored ──────────────────────────────────────────────────────────────────────

    @abstractmethod
    def begin(self, history: Sequence[Trial]) -> None:
        """Find or create the parent run; find runs that a killed driver created and didn't note."""

    @abstractmethod
    def stand(self, trials: Sequence[Trial]) -> None:
        """Write the progress of the study or call to the parent run."""

    @abstractmethod
    def settle(self, item: Any) -> bool:
        """Write everything about an item that doesn't run; returns whether it is complete."""

    @abstractmethod
    def end(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None) -> None:
        """End the parent run."""

    # ── the server ────────────────────────────────────────────────────────────────────────────

    @property
    def remote(self) -> Remote:
        """The server, for as long as these runs are in use.

        Raises:
            AwayError: They have been given up.
        """
        if not self._is_wanted():
            raise AwayError("given up")
        return self.server

    def close(self) -> None:
        """Close the ledger and the server."""
        self._ledger.close()
        self.server.close()

    @property
    def link(self) -> str:
        """The link to a table of the runs below the parent, if there is one."""
        return ""

    # ── the parent ────────────────────────────────────────────────────────────────────────────

    def _open(self, known: str | None, tags: Mapping[str, str], *, adopt: bool) -> Run:
        """Open the parent run.

        Args:
            known: The run of earlier drivers, if there is one.
            tags: Its tags.
            adopt: Whether children of `known` may exist that are not noted.
        """
        tags = {**tags, KEY_TAG: self._key}
        parent = self.remote.begin(known, self._study.name, tags, self._opened_at)
        self._ledger.begin(self.remote.experiment_id, parent.id)
        self.page = self._ledger.page
        self.parent_id = parent.id
        if parent.id != known:
            self._new_parent = parent
            with contextlib.suppress(AwayError):  # the end of the study tries again
                self._store_space()
        elif adopt:
            self._adopt()
        return parent

    @property
    def _parent(self) -> str:
        if self.parent_id is None:
            raise AwayError("the study has no run yet")
        return self.parent_id

    def _store_space(self) -> None:
        if self._new_parent is not None:
            self._upload(self._new_parent, {"space.json": rows.space_file(self._study)})
            self._new_parent = None

    def _sum_up(self, batches: Iterable[Batch]) -> None:
        if not self._is_summed_up:
            for batch in batches:
                self._write_batch(self._parent, batch, "the study")
            self._is_summed_up = True

    # ── runs below it ─────────────────────────────────────────────────────────────────────────

    def _create(self, key: Key, name: str, tags: Mapping[str, str], started_at: float) -> Run:
        begun = time.monotonic()
        try:
            run = self.remote.create(name, tags, started_at)
        except AwayError:
            self._in_doubt = True  # it may have been created all the same: only the answer is lost
            raise
        if not self._is_wanted():
            self.server.delete(run.id)
            raise AwayError("given up")
        self._was_slow |= time.monotonic() - begun > _SLOW
        self._ledger.created(key, run)
        self._status[key] = "RUNNING"
        return run

    def _known(self, key: Key) -> Run | None:
        if self._in_doubt:
            self._adopt()
        return self.page.runs.get(key)

    def _adopt_doubtful(self) -> None:
        if self._in_doubt or self._was_slow:
            self._adopt()

    def _adopt(self) -> None:
        """Note runs that exist but are not noted; delete duplicates."""
        with self._adopting:
            self._in_doubt = self._was_slow = False
            try:
                for key, run in self.remote.children(self._parent):
                    noted = self.page.runs.get(key)
                    if noted is None:
                        self._ledger.created(key, run)
                    elif noted.id != run.id:
                        self.remote.delete(run.id)
            except AwayError:
                self._in_doubt = True
                raise

    def _leave_behind(self, key: Key, tag: str, why: str) -> None:
        """Make a new run if the old one has params, because MLflow accepts no second value.

        The old run is kept, but no longer found by its tag.
        """
        run = self.page.runs.get(key)
        if run is not None and self.remote.has_params(run.id):
            self.remote.write(run.id, Batch(tags={tag: f"{key} ({why})"}))
            del self.page.runs[key]

    # ── writing ───────────────────────────────────────────────────────────────────────────────

    def _write_batch(self, run: str, batch: Batch, whose: str) -> None:
        """Write a batch, or as much as possible: values of the objective may clash with it."""
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
        """Warn of what is not written, once for each name."""
        if not self._told.issuperset(names):
            self._told.update(names)
            logger.warning(
                "%s. The record is complete. If this happens again, it is not said again.",
                redact(sentence).rstrip("."),
            )

    def _upload(self, run: Run, files: Mapping[str, str]) -> bool:
        """Store artifacts; an error of their store doesn't affect the rest.

        Returns whether nothing remains to be tried when the study is next opened.
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
