"""The loop of a study: events are recorded, the engine decides, the executor carries out.

::

    executor ──event──► recorder ──► engine.decide() ──command──► recorder ──► executor
               poll     journal                                   journal      submit, stop

Everything runs on the caller's thread. The clock is injected, so a test can run hours of tuning in
milliseconds.
"""

import contextlib
import hashlib
import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

from manyfit.choice import to_json
from manyfit.clock import Clock
from manyfit.commands import Abandon, Ask, Command, EndStudy, Start, StopAttempt
from manyfit.errors import ArgumentError
from manyfit.events import (
    AttemptEvent,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Noted,
    ParamsSuggested,
    Reported,
    StudyEnded,
)
from manyfit.executors.base import Executor
from manyfit.hooks import Hooks
from manyfit.recorder import Recorder
from manyfit.worker.work import Task, Work

logger = logging.getLogger("manyfit")

# The longest sleep of the loop, in seconds: the latency of a timeout or a Ctrl-C.
_NAP = 0.25
# Seconds for which starts and stops are collected, so that many share one sync of the journal.
_GATHER = 0.05
# One trial is proposed in advance for every this many slots. With fewer slots, learning from the
# latest result is worth more than the time that a proposal takes.
_SLOTS_AHEAD = 8
# Seconds for which to wait for attempts that were cut off, before they are written off. The second
# applies after SIGTERM: SIGKILL may follow 10 s later, and the executor and trackers must have
# closed by then.
_GRACE, _HASTE = 5.0, 2.5


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of a trial: 32 bits of a SHA-256, so that successive seeds are unrelated.

    Example:
        >>> trial_seed(0, 0) != trial_seed(0, 1) != trial_seed(1, 0)
        True
    """
    digest = hashlib.sha256(f"{study_seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


# The studies that run in this process, by the identity of their executor.
_studies: dict[int, str] = {}
_using_studies = threading.Lock()


@contextlib.contextmanager
def _kept_from_others(executor: Executor, study: str) -> Iterator[None]:
    """Refuse an executor that another study uses: each would get the other's results as its own."""
    with _using_studies:
        if (other := _studies.get(id(executor))) is not None:
            raise ArgumentError(
                f"this {type(executor).__name__} runs the trials of {other!r} at this moment: give "
                "each of the studies that run at the same time an executor of its own"
            )
        _studies[id(executor)] = study
    try:
        yield
    finally:
        del _studies[id(executor)]


class Driver:
    """Runs a study's trials on an executor until the engine ends it.

    Args:
        recorder: The recorder, with the study's engine.
        executor: The executor that runs trials; it is opened and closed here.
        work: The work that is sent to workers.
        seed: The study's seed.
        clock: The source of time.
        orphans_count: Whether attempts that an earlier driver left open count against
            `max_attempts`: true if one of them may have killed that driver.
        hooks: The user's functions that are called after each trial.
    """

    def __init__(
        self,
        recorder: Recorder,
        executor: Executor,
        work: Work,
        *,
        seed: int,
        clock: Clock = Clock(),
        orphans_count: bool = False,
        hooks: Hooks | None = None,
    ) -> None:
        self._recorder = recorder
        self._engine = recorder.engine
        self._executor = executor
        self._work = work
        self._seed = seed
        self._clock = clock
        self._orphans_count = orphans_count
        self._hooks = hooks
        self._in_flight: dict[int, int] = {}  # trial number → attempt, from Start to its end
        self._effects: list[Start | StopAttempt] = []  # decided, and not carried out yet
        self._effects_due = 0.0
        self._over: str | None = None
        self._interrupts = 0
        self._may_raise = True  # whether a signal handler may raise without tearing the journal

    def run(self) -> str:
        """Run to the end; returns why the study ended.

        A first signal (see `heed`) ends the study in order; a Ctrl-C after that is immediate.

        Raises:
            ObjectiveError: The objective can't be sent to workers; nothing has run.
            ExecutorError: Workers can't be started.
            JournalError: The journal can't be written; no trial runs unrecorded.
            ArgumentError: The executor runs another study at this moment.
            KeyboardInterrupt: As `heed` does.
        """
        with _kept_from_others(self._executor, self._work.study):
            return self._run()

    def _run(self) -> str:
        self._started = self._clock.monotonic()
        try:
            self._executor.open(self._work)
            self._may_raise = False
            self._recorder.take_over(
                self._clock.now(),
                isolated=not self._executor.capabilities.in_driver_process,
                orphans_count=self._orphans_count,
            )
            self._call_back(None)
            self._loop()
            self._cut_off()
        except KeyboardInterrupt:
            # The user insisted. The running trials didn't kill the driver, so no attempt counts.
            self._recorder.write_off("interrupted", self._clock.now(), counts=False)
            raise
        finally:
            self._executor.close()
        reason = self._over or "interrupted"
        self._recorder.put(StudyEnded(reason, self._clock.now()))
        self._recorder.commit()
        return reason

    # ── the loop ──────────────────────────────────────────────────────────────────────────────

    def _loop(self) -> None:
        while True:
            self._act(at_once=True)
            if self._over is not None:
                return
            self._poll(0.0 if self._ask_ahead() else _NAP)

    def _ask_ahead(self) -> bool:
        """Propose one trial while all slots are busy, to be ready for the next free one."""
        ahead = self._executor.parallelism // _SLOTS_AHEAD
        command = self._decide(ahead=ahead) if ahead else None
        if command is not None:
            self._carry_out(command)
        return command is not None

    def _poll(self, timeout: float) -> None:
        self._may_raise = self._executor.capabilities.on_driver_thread
        try:
            self._executor.poll(self._handle, timeout)
        except KeyboardInterrupt:
            if self._interrupts != 1:
                raise
        finally:
            self._may_raise = False
        self._recorder.commit()

    def _handle(self, event: AttemptEvent) -> None:
        """Record an event of an attempt; called by the executor, on this thread."""
        self._may_raise = False  # a Ctrl-C must not tear what is being written
        self._take_in(event)
        on_this_thread = self._executor.capabilities.on_driver_thread
        self._act(at_once=on_this_thread)
        self._may_raise = on_this_thread

    def _take_in(self, event: AttemptEvent) -> None:
        if self._over is not None and isinstance(event, AttemptPruned):
            # It was cut off with the study, not pruned: it runs again when the study is resumed.
            event = AttemptLost(event.number, event.attempt, self._over, False, event.at)
        if self._interrupts and isinstance(event, AttemptLost):
            event = replace(event, counts=False)  # schedulers signal the workers, too
        ongoing = AttemptStarted | ParamsSuggested | Reported | Noted
        ended = not isinstance(event, ongoing)
        if ended and self._in_flight.get(event.number) == event.attempt:
            del self._in_flight[event.number]
        if not self._engine.accepts(event):
            logger.debug("dropped a late event of a lost attempt: %s", event)
            return
        self._recorder.put(event)
        if ended and self._engine.trials[event.number].state.is_finished:
            self._call_back(event.number)

    def _call_back(self, number: int | None) -> None:
        """Call the user's functions, once the end of the trial is on disk."""
        if self._hooks is None:
            return
        self._recorder.commit()
        reason = self._hooks.after(number)
        if reason is not None and self._engine.tally.stopped is None:
            self._engine.end_search(reason)

    def _act(self, *, at_once: bool) -> None:
        """Carry out all commands; starts and stops may wait briefly, to share a sync."""
        while self._over is None and (command := self._decide()) is not None:
            self._carry_out(command)
            self._bring_about(at_once=False)
        self._bring_about(at_once=at_once)

    def _decide(self, *, ahead: int = 0) -> Command | None:
        if self._interrupts:
            return EndStudy("interrupted")
        if self._hooks is not None and self._hooks.failure is not None:
            return EndStudy(self._hooks.failure)
        return self._engine.decide(
            free=self._executor.parallelism - len(self._in_flight),
            elapsed=self._clock.monotonic() - self._started,
            submitted=self._in_flight,
            ahead=ahead,
        )

    def _carry_out(self, command: Command) -> None:
        match command:
            case Ask():
                self._recorder.put(command.event(self._clock.now()))
            case Abandon(number):
                self._recorder.put(command.event(self._clock.now()))
                self._call_back(number)
            case StopAttempt():
                self._recorder.put(command.event(self._clock.now()))
                self._effects.append(command)
            case Start(number, attempt):
                self._in_flight[number] = attempt
                self._effects.append(command)
            case EndStudy(reason):
                self._over = reason
                self._bring_about(at_once=True)
                for number, attempt in list(self._in_flight.items()):
                    self._executor.stop(number, attempt, reason, kill=True)

    def _bring_about(self, *, at_once: bool) -> None:
        """Carry out the pending starts and stops, once their events are on disk."""
        is_due = at_once or self._clock.monotonic() >= self._effects_due
        if not self._effects or not is_due:
            return
        self._recorder.commit()
        effects, self._effects = self._effects, []
        for effect in effects:
            match effect:
                case StopAttempt(number, attempt, reason):
                    self._executor.stop(number, attempt, reason)
                case Start(number, attempt):
                    self._start(number, attempt)
        self._effects_due = self._clock.monotonic() + _GATHER

    def _start(self, number: int, attempt: int) -> None:
        trial = self._engine.trials[number]
        env: dict[str, str] = {}
        for tracker in self._recorder.trackers:
            env |= tracker.prepare(trial)
        domains = {name: to_json(name, each) for name, each in self._engine.domains.items()}
        seed = trial_seed(self._seed, number)
        task = Task(number, attempt, trial.params, seed, env, domains=domains)
        self._executor.submit(task)

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    def _cut_off(self) -> None:
        """Wait for attempts that were cut off; a result that arrives in time still counts."""
        deadline = self._clock.monotonic() + (_HASTE if self._interrupts else _GRACE)
        while self._in_flight and self._clock.monotonic() < deadline:
            self._poll(_NAP)
        self._recorder.write_off(self._over or "interrupted", self._clock.now(), counts=False)

    def heed(self, order: int) -> None:
        """Handle a signal that asks to end; called by its handler, on this thread.

        Raises:
            KeyboardInterrupt: It is a Ctrl-C after another signal, or it can't wait because a trial
                runs on this thread or none has started.
        """
        if self._interrupts and order != signal.SIGINT:
            return  # only a user's second Ctrl-C insists; schedulers just repeat their signals
        self._interrupts += 1
        if self._interrupts > 1 or self._may_raise:
            raise KeyboardInterrupt
