"""Carries a study to MLflow on a thread of its own, so that no trial waits for a server.

::

    driver's thread ──trial──► jobs ──► courier's thread ──► Copy ──► server
                    ◄──run id, if it comes within a second──┘

Jobs name a trial and not what to write: the courier brings that trial's run to where the trial
stands by then. So nothing piles up but numbers, and a job that failed is simply done again.
"""

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from manyfit._redact import redact
from manyfit.errors import MissingExtraError
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow_copy import AwayError, Copy, RefusedError, Remote
from manyfit.trackers.mlflow_ledger import Ledger, Run
from manyfit.trial import State, Trial

logger = logging.getLogger("manyfit.mlflow")

Job: TypeAlias = tuple[int, int, int]  # priority, turn, trial number

# Priorities: a worker waits for its run; what has ended can wait; the study ends last.
_URGENT, _FOLLOW, _NORMAL, _END = range(4)
_STUDY = -1

# Seconds.
PATIENCE = 1.0  # what a trial waits for a server that answers
LOCAL_PATIENCE = 30.0  # what it waits for a database on this machine to be set up, once
FIRST_FOLLOW = 1.0  # a trial shorter than this needs one request less
FOLLOW = 60.0  # between looks at a running trial
CLOSE_QUIET = 5.0  # how long `close` waits for a sign of life
CLOSE_TOTAL = 30.0  # how long it waits for all of it
CLOSE_HASTE = 5.0  # the same after an order to end: who sends SIGTERM kills soon
BACKOFF = (0.5, 30.0)  # between tries: the first, the longest
# A job that fails while others succeed is not the server's fault.
_MAX_TRIES = 5


def total_patience(reason: str, usual: float) -> float:
    """Return how long a mirror may take to close, given why what it mirrors has ended."""
    return min(usual, CLOSE_HASTE) if reason.startswith("interrupted") else usual


class Courier:
    """Keeps a copy of the study up to date, whatever the server does.

    Args:
        study: The study.
        history: Its trials so far.
        connect: Returns the server; called on the courier's thread, where importing takes its time.
    """

    def __init__(
        self, study: StudyInfo, history: Sequence[Trial], connect: Callable[[], Remote]
    ) -> None:
        self._study = study
        self._history = history
        self._opened_at = time.time()
        self._connect = connect
        self._latest: dict[int, Trial] = {}
        self._wanted: set[int] = set()  # trials whose runs are to be RUNNING
        self._jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self._turn = itertools.count()
        self._due: dict[int, float] = {}
        self._tries: dict[int, tuple[int, int]] = {}  # number → tries, successes at the last one
        self._arrived: dict[int, threading.Event] = {}
        self._loaded = threading.Event()
        self._begun = threading.Event()
        self._given_up = threading.Event()
        self._hurry = threading.Event()
        self._is_patient = True
        self._is_away = False
        self._successes = 0
        self._succeeded_at = time.monotonic()
        self._end: tuple[str, Sequence[Trial]] = ("", ())
        self.copy: Copy | None = None
        self._thread = threading.Thread(target=self._run, name="manyfit-mlflow", daemon=True)
        self._thread.start()

    # ── the driver's side ─────────────────────────────────────────────────────────────────────

    def start(self, trial: Trial) -> Run | None:
        """Give a trial a run; waits for it as long as the server answers in time."""
        number = trial.number
        arrived = self._arrived[number] = threading.Event()
        self._want(trial)
        if arrived.wait(self._patience()):
            return self.copy.page.runs.get(number) if self.copy else None
        self._is_patient = False
        return None

    def update(self, trial: Trial) -> None:
        """Take in a trial as it stands now."""
        number = trial.number
        self._latest[number] = trial
        if trial.state is State.RUNNING:
            if number not in self._wanted:
                self._want(trial)
        elif trial.attempts:
            self._wanted.discard(number)
            self._put(_NORMAL, number)

    def close(self, reason: str, trials: Sequence[Trial]) -> None:
        """Write what is left, within bounds, and say what could not be written."""
        self._end = (reason, trials)
        self._hurry.set()
        self._put(_END, _STUDY)
        begun = time.monotonic()
        while self._thread.is_alive() and not self._is_hopeless(begun):
            self._thread.join(0.1)
        self._given_up.set()
        if self._thread.is_alive():
            self._say_unwritten(trials)

    def _want(self, trial: Trial) -> None:
        self._latest[trial.number] = trial
        self._wanted.add(trial.number)
        self._put(_URGENT, trial.number)

    def _patience(self) -> float:
        if not self._is_patient or not self._loaded.wait(LOCAL_PATIENCE):
            return 0.0
        if not self._thread.is_alive():
            return 0.0
        local = self.copy is not None and self.copy.server.is_local
        return LOCAL_PATIENCE if local and not self._begun.is_set() else PATIENCE

    def _is_hopeless(self, begun: float) -> bool:
        now = time.monotonic()
        if now - begun > total_patience(self._end[0], CLOSE_TOTAL):
            return True
        local = self.copy is None or self.copy.server.is_local
        return not local and now - max(begun, self._succeeded_at) > CLOSE_QUIET

    def _say_unwritten(self, trials: Sequence[Trial]) -> None:
        done = self.copy.page.done if self.copy else set()
        left = sum(trial.number not in done for trial in trials)
        logger.warning(
            "MLflow has not taken everything in time: %d of %d trials are not written in full. The "
            "study's journal has them all; they are written when the study is next opened.",
            left,
            len(trials),
        )

    def _put(self, priority: int, number: int) -> None:
        self._jobs.put((priority, next(self._turn), number))

    # ── the courier's side ────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            self._carry()
        finally:
            self._is_patient = False
            self._loaded.set()
            for number in list(self._arrived):
                self._answer(number)

    def _carry(self) -> None:
        try:
            remote = self._connect()
        except (MissingExtraError, RefusedError) as error:
            logger.warning("nothing is written to MLflow: %s", redact(str(error)))
            return
        ledger = Ledger(self._study.folder, redact(remote.uri))
        self.copy = copy = Copy(self._study, remote, ledger, self._is_wanted, self._opened_at)
        self._loaded.set()
        try:
            if self._begin(copy):
                self._catch_up(copy)
                self._work(copy)
        finally:
            copy.close()

    def _is_wanted(self) -> bool:
        return not self._given_up.is_set()

    def _begin(self, copy: Copy) -> bool:
        """Open the study on the server, however long it takes; False when given up."""
        for delay in _delays():
            try:
                copy.begin(self._history)
            except AwayError as error:
                self._note_away(error)
                self._pause(delay)
            except RefusedError as error:
                logger.warning("nothing is written to MLflow: %s", redact(str(error)))
                return False
            else:
                self._note_success(time.monotonic())  # a slow start says little of what follows
                self._begun.set()
                return True
            if self._given_up.is_set():
                break
        return False

    def _catch_up(self, copy: Copy) -> None:
        """Ask for what earlier drivers did not write, and for runs that they left RUNNING."""
        for trial in self._history:
            number = trial.number
            unwritten = trial.state.is_finished and number not in copy.page.done
            if unwritten or (not trial.state.is_finished and number in copy.page.runs):
                self._latest.setdefault(number, trial)
                self._put(_NORMAL, number)

    def _work(self, copy: Copy) -> None:
        delays = _delays()
        while not self._given_up.is_set():
            job = self._next_job()
            begun = time.monotonic()
            try:
                self._carry_out(copy, job)
            except AwayError as error:
                self._note_away(error)
                self._try_again(job, error)
                self._pause(next(delays))
                continue
            except RefusedError as error:
                logger.warning("MLflow refused %s: %s", _named(job), redact(str(error)))
                self._answer(job[2])
            else:
                delays = _delays()
                self._note_success(begun)
            if job[0] == _END:
                return

    def _next_job(self) -> Job:
        while True:
            number = min(self._due, key=self._due.__getitem__, default=None)
            wait = FOLLOW if number is None else self._due[number] - time.monotonic()
            try:
                return self._jobs.get(block=wait > 0, timeout=max(wait, 0.0))
            except queue.Empty:
                if number is not None:
                    self._due[number] = time.monotonic() + FOLLOW
                    return (_FOLLOW, next(self._turn), number)

    def _carry_out(self, copy: Copy, job: Job) -> None:
        priority, _, number = job
        if priority == _END:
            copy.end(*self._end)
            return
        trial = self._latest.get(number)
        if trial is None:
            return
        if number not in self._wanted:
            self._settle(copy, trial)
        elif priority == _FOLLOW:
            copy.follow(trial)
        else:
            copy.start(trial)
            self._due[number] = time.monotonic() + FIRST_FOLLOW
            self._answer(number)

    def _settle(self, copy: Copy, trial: Trial) -> None:
        self._due.pop(trial.number, None)
        if not trial.attempts and trial.number not in copy.page.runs:
            return  # it was only asked for
        copy.settle(trial)
        if trial.state.is_finished:
            self._latest.pop(trial.number, None)
            self._tries.pop(trial.number, None)

    def _answer(self, number: int) -> None:
        arrived = self._arrived.pop(number, None)
        if arrived is not None:
            arrived.set()

    def _try_again(self, job: Job, error: AwayError) -> None:
        """Queue a job again, unless others get through and this one alone doesn't."""
        priority, _, number = job
        if priority == _FOLLOW:
            return  # it comes round anyway
        tries, seen = self._tries.get(number, (0, self._successes))
        tries += self._successes > seen
        self._tries[number] = (tries, self._successes)
        if tries < _MAX_TRIES:
            self._put(max(priority, _NORMAL), number)  # behind the others, who may get through
        else:
            logger.warning("gave up writing %s to MLflow: %s", _named(job), redact(str(error)))

    def _note_away(self, error: AwayError) -> None:
        if not self._is_away:
            self._is_away = True
            logger.warning(
                "MLflow does not answer (%s). Trials go on; what it misses is written later.",
                redact(str(error))[:300],
            )

    def _note_success(self, begun: float) -> None:
        self._succeeded_at = time.monotonic()
        self._successes += 1
        self._is_patient = self._succeeded_at - begun < PATIENCE
        if self._is_away:
            self._is_away = False
            logger.warning("MLflow answers again.")

    def _pause(self, delay: float) -> None:
        if not self._hurry.wait(delay):
            return
        self._given_up.wait(BACKOFF[0])


def _delays() -> Iterator[float]:
    delay, longest = BACKOFF
    while True:
        yield delay
        delay = min(2 * delay, longest)


def _named(job: Job) -> str:
    return "the study" if job[2] == _STUDY else f"trial {job[2]}"
