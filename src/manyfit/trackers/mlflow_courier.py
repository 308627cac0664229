"""Writes a study to MLflow on threads of its own, so that no trial waits for a server.

::

    driver's thread ──trial──► jobs ──► the courier's threads ──► Copy or GroupsCopy ──► server

One thread connects. Then several threads write, each one trial or group at a time, because a slow
server answers many requests as fast as one. A local database has one thread, because the disk is
the limit.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from manyfit._redact import redact
from manyfit.errors import MissingExtraError
from manyfit.group_events import GroupEnded
from manyfit.trackers.base import Outcome, StudyInfo
from manyfit.trackers.group_progress import GroupTally
from manyfit.trackers.mlflow_copy import Copy
from manyfit.trackers.mlflow_groups import GroupsCopy
from manyfit.trackers.mlflow_jobs import END, FOLLOW, SETTLE, START, STUDY, Job, Jobs
from manyfit.trackers.mlflow_ledger import Key, Ledger
from manyfit.trackers.mlflow_patience import Patience
from manyfit.trackers.mlflow_remote import AwayError, RefusedError, Remote
from manyfit.trackers.mlflow_runs import Runs
from manyfit.trial import State, Trial

logger = logging.getLogger("manyfit.mlflow")

# Seconds.
PATIENCE = 1.0  # what the first trial waits for the study to be opened on a server
LOCAL_PATIENCE = 30.0  # what it waits for MLflow to be imported, and a database to be set up here
FIRST_FOLLOW = 1.0  # a trial shorter than this needs one request less
FOLLOW_PERIOD = 60.0  # between looks at a running trial
STANDING_PERIOD = 5.0  # between looks at the progress of the whole
GROUP = 0.5  # what the end waits for the run of a group, on top of what it waits for the rest
CARRIERS = 8  # requests at a time
# A job that fails this often while others succeed is postponed to the end. This is enough for a
# server that refuses every second request.
MAX_TRIES = 30


class Courier:
    """Keeps the copy of a study up to date, whatever the server does.

    Args:
        study: The study.
        history: Its trials so far.
        connect: Returns the server; called on the courier's thread, where imports take time.
        wait: The seconds for which `close` waits, whatever the server does; by default 30 s, and
            5 s without an answer.
    """

    def __init__(
        self,
        study: StudyInfo,
        history: Sequence[Trial],
        connect: Callable[[], Remote],
        wait: float | None = None,
    ) -> None:
        self._study = study
        self._history = history
        self._opened_at = time.time()
        self._connect = connect
        self._trials = {trial.number: trial for trial in history}
        self._latest: dict[Key, Any] = {STUDY: study}  # what is to be written: a trial, a group
        self._wanted: set[Key] = {STUDY}  # whose runs are to be RUNNING
        self._prepared_at: dict[Key, float] = {}
        self._jobs = Jobs()
        self._tries: dict[Key, int] = {}
        self._left: set[Key] = set()  # what is tried once more at the end
        self._patience = Patience(wait)
        self._loaded = threading.Event()
        self._is_begun = False
        self._ready = threading.Event()  # the study is opened there, or never will be
        self._given_up = threading.Event()
        self._has_waited = False
        self._end: tuple[str, Sequence[Trial], Outcome | None] = ("", (), None)
        self._tally: GroupTally | None = None
        if study.groups is not None:
            self._tally = GroupTally(study, study.groups, time.monotonic())
        self._jobs.look_again(STUDY, STANDING_PERIOD)
        self.copy: Runs | None = None
        self._thread = threading.Thread(target=self._run, name="manyfit-mlflow", daemon=True)
        self._thread.start()

    # ── the driver's side ─────────────────────────────────────────────────────────────────────

    @property
    def works(self) -> bool:
        """Whether anything is, or will be, written."""
        return self._thread.is_alive()

    @property
    def has_groups(self) -> bool:
        """Whether it carries a call over groups, which has no runs of trials."""
        return self._tally is not None

    def start(self, trial: Trial) -> None:
        """Record a trial that is about to start.

        A new run is created once the trial is known to run, so that both start at the same time. If
        no event arrives before its end, the run is created now.
        """
        self._wait_for_the_study()
        self._latest[trial.number] = trial
        if self._study.on_driver_thread:
            self._prepared_at[trial.number] = time.time()
            self._want(trial)

    def update(self, trial: Trial) -> None:
        """Record the current state of a trial."""
        number = trial.number
        self._latest[number] = self._trials[number] = trial
        if trial.state is State.RUNNING:
            if number not in self._wanted:
                self._want(trial)
        elif trial.attempts:
            self._wanted.discard(number)
            self._jobs.put(SETTLE, number)

    def count(self, group: GroupEnded) -> None:
        """Record a group that has ended."""
        if self._tally is not None:
            self._tally.take(group, None)
        if self._has_group_runs:
            self._put_groups([group])

    @property
    def _has_group_runs(self) -> bool:
        return self._study.groups is not None and self._study.groups.child_runs

    def _put_groups(self, groups: Iterable[GroupEnded]) -> None:
        for group in groups:
            self._latest[group.group] = group
            self._jobs.put(SETTLE, group.group)

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> bool:
        """Write what is missing, for a bounded time, and warn of what could not be written.

        Returns whether everything is written.
        """
        self._end = (reason, trials, outcome)
        self._patience.hurry(reason)
        if outcome is not None and self._has_group_runs:
            self._put_groups(outcome.groups())
        extra = GROUP * len(self._groups_left)
        self._jobs.put(END, STUDY)
        begun = time.monotonic()
        while self.works and not self._patience.is_lost(
            begun, is_local=self._is_local, extra=extra
        ):
            self._thread.join(0.1)
        is_written = self._is_begun and not self.works
        self._given_up.set()
        self._patience.end()
        self._jobs.close()
        left = self._unwritten(trials)
        if self.works:
            self._say_unwritten(left, len(trials))
        return is_written and not left

    def _wait_for_the_study(self) -> None:
        """Wait once, and briefly, for MLflow to be imported and the study to be opened there.

        Otherwise the first trials would not know where to log to, and set up the same database.
        """
        if self._has_waited:
            return
        self._has_waited = True
        self._loaded.wait(LOCAL_PATIENCE)
        self._ready.wait(LOCAL_PATIENCE if self._is_local else PATIENCE)

    @property
    def _is_local(self) -> bool:
        return self.copy is None or self.copy.server.is_local

    def _want(self, trial: Trial) -> None:
        self._latest[trial.number] = trial
        self._wanted.add(trial.number)
        self._jobs.put(START, trial.number)

    @property
    def _groups_left(self) -> list[Key]:
        return [key for key in list(self._latest) if isinstance(key, str)]

    def _unwritten(self, trials: Sequence[Trial]) -> int:
        done = self.copy.page.done if self.copy else set()
        left = sum(trial.number not in done for trial in trials if trial.state.is_finished)
        return left + len(self._groups_left)

    def _say_unwritten(self, left: int, of: int) -> None:
        what = f"{left} runs of groups" if self._tally else f"{left} of {of} trials"
        logger.warning(
            "MLflow has not taken everything in time: %s not written in full. The record has it "
            "all; the same call with name=%r writes it, and so does 'manyfit sync %s --folder %s'.",
            f"{what} are" if left else "its end is",
            self._study.name,
            self._study.name,
            self._study.folder.parent,
        )

    # ── the courier's side ────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            self._carry()
        finally:
            self._loaded.set()
            self._ready.set()

    def _carry(self) -> None:
        try:
            remote = self._connect()
        except (MissingExtraError, RefusedError) as error:
            logger.warning("nothing is written to MLflow: %s", redact(str(error)))
            return
        remote.on_answer = self._patience.answered
        self.copy = copy = self._copy_on(remote)
        self._patience.loaded()
        self._loaded.set()
        try:
            if self._begin(copy):
                self._catch_up(copy)
                self._work_together(copy)
        finally:
            copy.close()

    def _copy_on(self, remote: Remote) -> Runs:
        ledger = Ledger(self._study.folder, remote.uri)
        if self._tally is not None:
            return GroupsCopy(self._tally, remote, ledger, self._is_wanted, self._opened_at)
        return Copy(self._study, remote, ledger, self._is_wanted, self._opened_at)

    def _is_wanted(self) -> bool:
        return not self._given_up.is_set()

    def _begin(self, copy: Runs) -> bool:
        """Open the study on the server, however long it takes; returns False if given up."""
        while self._is_wanted():
            try:
                copy.begin(self._history)
            except AwayError as error:
                self._patience.failed(error)
                self._patience.pause(error)
            except RefusedError as error:
                logger.warning("nothing is written to MLflow: %s", redact(str(error)))
                return False
            else:
                self._patience.answered()
                self._is_begun = True
                self._ready.set()
                return True
        return False

    def _catch_up(self, copy: Runs) -> None:
        """Queue what earlier drivers did not write, and runs that they left RUNNING."""
        for trial in self._history:
            number = trial.number
            unwritten = trial.state.is_finished and number not in copy.page.done
            if unwritten or (not trial.state.is_finished and number in copy.page.runs):
                self._latest.setdefault(number, trial)
                self._jobs.put(SETTLE, number)

    def _work_together(self, copy: Runs) -> None:
        others = [
            threading.Thread(
                target=self._work, args=(copy, False), name=f"manyfit-mlflow-{n}", daemon=True
            )
            for n in range(1, 1 if copy.server.is_local else CARRIERS)
        ]
        for thread in others:
            thread.start()
        self._work(copy, leads=True)
        for thread in others:
            thread.join()

    def _work(self, copy: Runs, leads: bool) -> None:
        while (job := self._jobs.take()) is not None:
            error = self._try(copy, job)
            self._jobs.done(job)
            if error is not None:
                self._patience.pause(error)
            elif job[0] == END:
                self._jobs.close()
            if not leads:
                self._patience.wait_for_answer()

    def _try(self, copy: Runs, job: Job) -> AwayError | None:
        """Do a job, which is put back if the server doesn't answer."""
        try:
            self._carry_out(copy, job)
        except AwayError as error:
            self._patience.failed(error)
            self._try_again(job, error)
            return error
        except RefusedError as error:
            logger.warning("MLflow refused %s: %s", _named(job), redact(str(error)))
        else:
            self._patience.answered()
        return None

    def _carry_out(self, copy: Runs, job: Job) -> None:
        priority, _, key = job
        if priority == END:
            for left in self._left & self._latest.keys():
                with contextlib.suppress(AwayError):
                    self._settle(copy, left)
            copy.end(*self._end)
        elif key not in self._latest:
            return
        elif key not in self._wanted:
            self._settle(copy, key)
        elif key == STUDY:
            self._jobs.look_again(STUDY, STANDING_PERIOD)
            copy.stand(list(self._trials.values()))
        elif priority == FOLLOW and isinstance(copy, Copy):
            self._jobs.look_again(key, FOLLOW_PERIOD)
            copy.follow(self._latest[key])
        elif isinstance(copy, Copy):
            copy.start(self._latest[key], self._prepared_at.get(key))
            self._jobs.look_again(key, FIRST_FOLLOW)

    def _settle(self, copy: Runs, key: Key) -> None:
        self._jobs.look_again(key, None)
        if copy.settle(self._latest[key]):
            self._latest.pop(key, None)
            self._tries.pop(key, None)

    def _try_again(self, job: Job, error: AwayError) -> None:
        """Put a job back, unless others succeed and only this one fails."""
        priority, _, key = job
        if priority == FOLLOW:
            return  # it is repeated anyway
        if not self._patience.is_away:
            self._tries[key] = self._tries.get(key, 0) + 1
        if priority == END or self._tries.get(key, 0) < MAX_TRIES:
            self._jobs.put(max(priority, SETTLE), key)  # behind those who may get through
        else:
            self._left.add(key)
            logger.warning(
                "MLflow does not take %s (%s); it is tried once more when the study ends",
                _named(job),
                redact(str(error)),
            )


def _named(job: Job) -> str:
    key = job[2]
    return "the study" if key == STUDY else f"{'trial' if isinstance(key, int) else 'group'} {key}"
