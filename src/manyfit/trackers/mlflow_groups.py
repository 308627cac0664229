"""Mirrors a call of `tune_groups` to MLflow: one run, and below it one a group where asked for.

A thread of its own writes: the newest standing while groups are tuned, and all the rest at the end.
What a server missed in between it has missed; the record in the call's folder has it all, and the
same call again writes that to a new run.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from manyfit._redact import redact
from manyfit.errors import MissingExtraError
from manyfit.trackers import mlflow_settings as settings
from manyfit.trackers.groups import Child, GroupsInfo, Outcome, Standing
from manyfit.trackers.mlflow_copy import AwayError, RefusedError, Remote
from manyfit.trackers.mlflow_groups_rows import (
    child_params,
    child_tags,
    first_params,
    first_tags,
    last_points,
    last_tags,
    points,
    space_files,
)
from manyfit.trackers.mlflow_ledger import Run
from manyfit.trackers.mlflow_patience import Patience
from manyfit.trackers.mlflow_rows import Batch, batches
from manyfit.worker.adoption import KEY_TAG

logger = logging.getLogger("manyfit.mlflow")

_Answer = TypeVar("_Answer")

PERIOD = 5.0  # seconds between standings
_WITHOUT = "Groups go on; the end is written if it answers by then"
_CHILD = 0.5  # seconds a child may take at the end, on top of what all the rest may


class MlflowGroups:
    """Mirrors a call to MLflow while it runs, and never makes it wait.

    Args:
        connector: Given the call's folder and whether workers are remote, returns what connects:
            `MlflowTracker.connector`.
        child_runs: Whether each group has a run below the call's.
        period: Seconds between standings.
        wait: How long `close` waits, in seconds, whatever the server does; by default 30 s and half
            a second a child, and 5 s without an answer.
    """

    def __init__(
        self,
        connector: Callable[..., Callable[[], Remote]],
        *,
        child_runs: bool = False,
        period: float = PERIOD,
        wait: float | None = None,
    ) -> None:
        self._connector = connector
        self._child_runs = child_runs
        self._period = period
        self._wait = wait
        self._mirror: _Mirror | None = None

    def open(self, info: GroupsInfo) -> None:
        """Begin to connect, in the background."""
        connect = self._connector(info.folder)
        settings.hold()
        self._mirror = _Mirror(info, connect, self._period, self._wait)

    def say(self, sentence: str) -> None:
        """Nothing: it is for people who look on."""

    def progress(self, standing: Standing) -> None:
        """Hand over where the call stands."""
        if self._mirror is not None:
            self._mirror.progress(standing)

    def close(self, outcome: Outcome) -> None:
        """Write the rest: within 30 s, and half a second a child; within 5 s without an answer."""
        if self._mirror is None:
            return
        mirror, self._mirror = self._mirror, None
        try:
            mirror.close(outcome, list(outcome.children) if self._child_runs else [])
        finally:
            settings.release()


class _Mirror:
    """The thread that writes, and what it is to write."""

    def __init__(
        self, info: GroupsInfo, connect: Callable[[], Remote], period: float, wait: float | None
    ) -> None:
        self._info = info
        self._connect = connect
        self._period = period
        self._patience = Patience(wait, _WITHOUT)
        self._began_at = time.time()
        self._standing: Standing | None = None
        self._end: tuple[Outcome, list[Child]] | None = None
        self._is_over = threading.Event()
        self._given_up = threading.Event()
        self._remote: Remote | None = None
        self._left = 0  # children that are not written
        self._thread = threading.Thread(target=self._run, name="manyfit-mlflow", daemon=True)
        self._thread.start()

    # ── the side of the call ──────────────────────────────────────────────────────────────────

    def progress(self, standing: Standing) -> None:
        self._standing = standing

    def close(self, outcome: Outcome, children: list[Child]) -> None:
        self._end = outcome, children
        self._left = len(children)
        self._is_over.set()
        self._patience.hurry(outcome.reason)
        begun = time.monotonic()
        while self._thread.is_alive() and not self._is_lost(begun, _CHILD * len(children)):
            self._thread.join(0.1)
        self._given_up.set()
        self._patience.end()
        if self._thread.is_alive():
            left = f", {self._left} runs of groups among it" if self._left else ""
            logger.warning(
                "MLflow has not taken everything in time%s. The record has it all: %s. The same "
                "call with name=%r writes it to a new run; it tunes only what failed or is missing",
                left,
                self._info.folder,
                self._info.name,
            )

    def _is_lost(self, begun: float, extra: float) -> bool:
        is_local = self._remote is None or self._remote.is_local
        return self._patience.is_lost(begun, is_local=is_local, extra=extra)

    # ── the side of the server ────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            remote = self._connect()
        except (MissingExtraError, RefusedError) as error:
            logger.warning("nothing is written to MLflow: %s", redact(str(error)))
            return
        remote.on_answer = self._patience.answered
        self._patience.loaded()
        self._remote = remote
        try:
            self._carry(remote)
        except RefusedError as error:
            logger.warning("nothing is written to MLflow: %s", redact(str(error)))
        finally:
            remote.close()

    def _carry(self, remote: Remote) -> None:
        tags = {**first_tags(self._info), KEY_TAG: uuid.uuid4().hex}
        begin = partial(remote.begin, None, self._info.name, tags, self._began_at)
        run = self._patiently(begin)
        if run is None:
            return
        # The params at once: who looks at a run that goes on wants to know what it is.
        for batch in batches(params=first_params(self._info)):
            self._patiently(partial(remote.write, run.id, batch))
        self._follow(remote, run)
        self._finish(remote, run)

    def _follow(self, remote: Remote, run: Run) -> None:
        """Write the newest standing every few seconds, until the call is over."""
        written: Standing | None = None
        while not self._is_over.wait(self._period):
            standing = self._standing
            if standing is None or standing is written:
                continue
            try:
                remote.write(run.id, Batch(points(standing, time.time())))
            except AwayError as error:
                self._patience.failed(error)
            except RefusedError as error:
                logger.warning("MLflow refused a standing: %s", redact(str(error)))
                written = standing
            else:
                written = standing
                self._patience.answered()

    def _finish(self, remote: Remote, run: Run) -> None:
        for step in self._last_steps(remote, run):
            try:
                self._patiently(step)
            except RefusedError as error:
                logger.warning("MLflow refused a part of the end: %s", redact(str(error)))
            if self._given_up.is_set():
                return

    def _last_steps(self, remote: Remote, run: Run) -> Iterator[Callable[[], object]]:
        if self._end is None:
            return
        outcome, children = self._end
        figures = last_points(self._standing, outcome.metrics, time.time())
        for batch in batches(figures, tags=last_tags(outcome)):
            yield partial(remote.write, run.id, batch)
        yield partial(remote.upload, run, {**space_files(self._info), **outcome.files})
        for child in children:
            yield from self._child_steps(remote, run, child)
        yield partial(remote.set_status, run.id, outcome.status, time.time())

    def _child_steps(
        self, remote: Remote, run: Run, child: Child
    ) -> Iterator[Callable[[], object]]:
        made: list[Run] = []
        tags = child_tags(self._info, child, run.id)

        def create() -> None:
            made.append(remote.create(child.name, tags, self._began_at))

        yield create
        if not made:
            return  # it was refused
        for batch in batches(last_points(None, child.metrics, time.time()), child_params(child)):
            yield partial(remote.write, made[0].id, batch)
        yield partial(remote.set_status, made[0].id, child.status, time.time())
        self._left -= 1

    def _patiently(self, work: Callable[[], _Answer]) -> _Answer | None:
        """Do it, however long the server is away; None once that was given up."""
        while not self._given_up.is_set():
            try:
                answer = work()
            except AwayError as error:
                self._patience.failed(error)
                self._patience.pause(error)
            else:
                self._patience.answered()
                return answer
        return None
