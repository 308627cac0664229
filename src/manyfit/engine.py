"""The state machine of a study: `apply` applies an event, `decide` says what to do next.

It owns no clock, no files and no threads. Its owner writes a command's event to disk, applies it,
and only then carries the command out. The same events always give the same engine, so a study is
resumed by replaying its journal. ::

    asked ─► started ─► reported* ─┬─► finished | pruned | failed
      ▲         ▲                  └─► lost ─┬─► (next attempt) started ...
    decide    decide                         └─► abandoned, after max_attempts

Executors run repeats like any other trial. Sampler, pruner and budget never see them: repeats are
not new points, must run to their end, and don't count towards `n_trials`.
"""

from bisect import insort
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

from manyfit._checks import is_number
from manyfit._text import counted
from manyfit.budget import Budget, Tally
from manyfit.commands import Abandon, Ask, Command, EndStudy, Start, StopAttempt
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptPruned,
    AttemptStarted,
    DriverStarted,
    Event,
    Noted,
    ParamsSuggested,
    Reported,
    SpaceChanged,
    StopRequested,
    StudyCreated,
    StudyEnded,
    TrialAbandoned,
    TrialAsked,
    WorkDescribed,
)
from manyfit.group_events import GroupsEvent
from manyfit.metric import Metric
from manyfit.open_space import OpenSpace, entries_of, known_with
from manyfit.pruners.base import Pruner
from manyfit.repeats import LEADERS
from manyfit.same_failure import SameFailure
from manyfit.samplers.base import Sampler
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.lagged import LaggedSampler
from manyfit.space import Domain, Space
from manyfit.trial import (
    Attempt,
    End,
    Failed,
    Finished,
    Lost,
    Measurement,
    Params,
    Pruned,
    State,
    Trial,
)


class IllegalEventError(Exception):
    """An event breaks the rules of a trial's life: a bug, or a journal edited by hand."""


class Engine:
    """The trials of one study, and the decisions that follow from them.

    Args:
        space: The space to search. Recorded trials outside it (because the space has changed) are
            kept and ignored.
        metric: The metric to tune.
        sampler: Proposes params.
        pruner: Ends hopeless trials.
        budget: Ends the study.
        start_with: Stored params to try first, in this order, unless they have been tried.
        max_attempts: The number of times a trial is started if its workers keep dying.
        lag: Trial n is proposed from the results of trials up to n - lag, and only once those have
            ended, so that proposals don't depend on timing; None to use all results.
        seed: The study's seed.
    """

    def __init__(
        self,
        *,
        space: Space,
        metric: Metric,
        sampler: Sampler,
        pruner: Pruner,
        budget: Budget = Budget(),
        start_with: Sequence[Params] = (),
        max_attempts: int = 2,
        lag: int | None = None,
        seed: int = 0,
    ) -> None:
        self.space = space
        self.metric = metric
        self.trials: list[Trial] = []
        self.best: Trial | None = None
        self.outside: set[int] = set()
        self.tally = Tally()
        self.domains: dict[str, Domain] = {}  # those of an open space, as far as they are known
        self._sampler = sampler if lag is None else LaggedSampler(sampler, lag)
        self._lag = lag
        self._pruner = pruner
        self.budget = budget
        self._start_with = [(space.key(params), params) for params in start_with]
        self._max_attempts = max_attempts
        self._seed = seed
        self._seen: dict[str, int] = {}  # the key of params → the number of the trial that has them
        self._waiting: set[int] = set()  # to be started: new trials, and those that lost an attempt
        self._running: set[int] = set()
        self._to_stop: dict[int, str] = {}
        self._to_abandon: dict[int, str] = {}
        self._leaders: list[tuple[float, int]] = []  # loss and number, best first
        self._repeats: dict[int, int] = {}  # a repeat's number → the repeated trial's number
        self._same_failure = SameFailure(space)

    # ── facts ─────────────────────────────────────────────────────────────────────────────────

    @property
    def running(self) -> list[Trial]:
        """The trials that have an open attempt, by number."""
        return [self.trials[number] for number in sorted(self._running)]

    def accepts(self, event: AttemptEvent) -> bool:
        """Return whether an event belongs to the open attempt of its trial.

        It doesn't if it arrives late, from an attempt that was given up. Drop such an event: a
        trial has one result.
        """
        if not 0 <= event.number < len(self.trials):
            return False
        trial = self.trials[event.number]
        if isinstance(event, AttemptStarted):
            return trial.state is State.WAITING and event.attempt == len(trial.attempts) + 1
        return trial.state is State.RUNNING and event.attempt == len(trial.attempts)

    def apply(self, event: Event) -> None:
        """Apply an event.

        Raises:
            IllegalEventError: It can't follow the events applied so far.
        """
        match event:
            case TrialAsked():
                self._apply_asked(event)
            case TrialAbandoned(number, reason):
                self._apply_abandoned(number, reason)
            case DriverStarted():
                self._same_failure = SameFailure(self.space)
                self.tally = replace(
                    self.tally, failed=0, same_failure=None, fatal=None, stopped=None
                )
            case StudyCreated() | SpaceChanged() | WorkDescribed() | StudyEnded():
                pass
            case _ if isinstance(event, GroupsEvent):
                raise IllegalEventError(f"{type(event).__name__} is of a call of tune_groups")
            case _:
                if not self.accepts(event):
                    raise IllegalEventError(f"{event} can't follow {self._story(event.number)}")
                self._apply_attempt_event(event)

    def _story(self, number: int) -> str:
        known = 0 <= number < len(self.trials)
        return str(self.trials[number]) if known else f"{len(self.trials)} trials"

    def _apply_asked(self, event: TrialAsked) -> None:
        if event.number != len(self.trials):
            raise IllegalEventError(f"{event} can't follow {self._story(len(self.trials) - 1)}")
        trial = Trial(event.number, event.params, event.origin, event.at)
        if not self.space.contains(trial.params):
            self.trials.append(trial)
            self.outside.add(trial.number)
            return
        if event.origin == "repeat":
            trial = self._apply_repeat(trial)
        else:
            self._seen[self.space.key(trial.params)] = trial.number
            self.tally = replace(self.tally, asked=self.tally.asked + 1)
            self._sampler.tell(trial)
        self.trials.append(trial)
        self._waiting.add(trial.number)

    def _apply_repeat(self, trial: Trial) -> Trial:
        repeated = self._seen.get(self.space.key(trial.params))
        if repeated is None:
            raise IllegalEventError(f"{trial} repeats no trial")
        self._repeats[trial.number] = repeated
        return replace(trial, repeat_of=repeated)

    def _apply_abandoned(self, number: int, reason: str) -> None:
        if number not in range(len(self.trials)) or self.trials[number].state is not State.WAITING:
            raise IllegalEventError(f"an end can't follow {self._story(number)}")
        self._waiting.discard(number)
        self._to_abandon.pop(number, None)
        self._end(replace(self.trials[number], abandoned=reason))

    def _apply_attempt_event(self, event: AttemptEvent) -> None:
        trial = self.trials[event.number]
        match event:
            case AttemptStarted(number, attempt, worker, at):
                self.trials[number] = trial.begun(Attempt(attempt, worker, at))
                self._waiting.discard(number)
                self._to_abandon.pop(number, None)  # a resumed study may allow more attempts
                self._running.add(number)
            case ParamsSuggested(number, _, params, domains):
                found = entries_of(domains)
                self.trials[number] = trial.suggested(params, found)
                self.domains = known_with(self.domains, found)
            case Reported():
                self._apply_reported(trial, event)
            case Noted(number, _, notes):
                known = trial.attempts[-1].notes
                self.trials[number] = _with_last(trial, notes={**known, **notes})
            case StopRequested(number, _, reason):
                self._to_stop.pop(number, None)
                self.trials[number] = _with_last(trial, stop_reason=reason)
            case AttemptFinished(_, _, metrics, _, _, notes):
                if self.metric.name not in metrics:
                    raise IllegalEventError(f"{event} lacks the tuned metric, {self.metric.name}")
                self._close(trial, Finished(metrics[self.metric.name], metrics, notes), event)
            case AttemptPruned(_, _, reason):
                self._close(trial, Pruned(reason), event)
            case AttemptFailed(_, _, reason, error, traceback, fatal):
                self._close(trial, Failed(reason, error, traceback, fatal), event)
            case _:
                self._lose(trial, Lost(event.reason, event.counts), event.at)

    def _apply_reported(self, trial: Trial, event: Reported) -> None:
        last = trial.attempts[-1]
        trial = trial.measured(Measurement(event.step, event.metrics, event.at))
        self.trials[event.number] = trial
        value = event.metrics.get(self.metric.name)
        if value is None or event.number in self.outside or event.number in self._repeats:
            return
        if not is_number(event.step, whole=True):
            return  # from an older version, which accepted steps in any order
        reason = self._pruner.report(trial, event.step, value)
        if reason is not None and last.stop_reason is None:
            self._to_stop[event.number] = reason

    def _close(
        self, trial: Trial, end: End, event: AttemptFinished | AttemptPruned | AttemptFailed
    ) -> None:
        self._release(trial.number)
        trial = trial.ended(end, event.at, event.seconds, event.usage)
        if isinstance(self.space, OpenSpace):
            trial = trial.without_unasked()
            self._seen.setdefault(self.space.key(trial.params), trial.number)
        self._end(trial)

    def _release(self, number: int) -> None:
        self._running.discard(number)
        self._to_stop.pop(number, None)

    def _lose(self, trial: Trial, end: Lost, at: float) -> None:
        self._release(trial.number)
        trial = self.trials[trial.number] = trial.ended(end, at)
        if trial.number not in self.outside:
            self._waiting.add(trial.number)
            self._count_losses(trial)

    def _count_losses(self, trial: Trial) -> None:
        losses = [a.end for a in trial.attempts if isinstance(a.end, Lost) and a.end.counts]
        if len(losses) >= self._max_attempts:
            times = "once" if len(losses) == 1 else f"{len(losses)} times"
            reason = f"its worker died {times}; at last: {losses[-1].reason}"
            self._to_abandon[trial.number] = reason

    def _end(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        if trial.number in self.outside:
            return
        self._heed(trial)
        if trial.repeat_of is not None:
            return
        self._count_end(trial)
        self._sampler.tell(trial)
        self._pruner.end(trial)

    def _heed(self, trial: Trial) -> None:
        """Note a `FatalError`, even that of a repeat, which is not counted otherwise."""
        end = trial.attempts[-1].end if trial.attempts else None
        if isinstance(end, Failed) and end.fatal:
            self.tally = replace(self.tally, fatal=trial.reason)

    def _count_end(self, trial: Trial) -> None:
        value, best = trial.value, None
        if value is not None:
            if self._seen[self.space.key(trial.params)] == trial.number:
                insort(self._leaders, (self.metric.loss(value), trial.number))
                del self._leaders[LEADERS:]
            if self.tally.best is None or self.metric.is_better(value, than=self.tally.best):
                self.best, best = trial, value
        self._same_failure.take_in(trial)
        failed, same = trial.state is State.FAIL, self._same_failure.reason
        self.tally = self.tally.with_end(best, failed=failed, same_failure=same)

    def end_search(self, reason: str) -> None:
        """Note that a function of `stop` has ended the search, for as long as this driver runs."""
        self.tally = replace(self.tally, stopped=reason)

    # ── decisions ─────────────────────────────────────────────────────────────────────────────

    def decide(
        self,
        *,
        free: int,
        elapsed: float = 0.0,
        submitted: Container[int] = (),
        ahead: int = 0,
    ) -> Command | None:
        """Return the next command, or None to wait for events.

        Call it again after applying the event of each command. It doesn't change the engine.

        Args:
            free: The number of free slots.
            elapsed: Seconds since the current driver started.
            submitted: Trials sent to a worker that has not reported their start yet.
            ahead: The number of trials that may be asked for while no slot is free.
        """
        for number, reason in self._to_stop.items():
            return StopAttempt(number, len(self.trials[number].attempts), reason)
        for number, reason in self._to_abandon.items():
            return Abandon(number, reason)
        waiting = [number for number in self._waiting if number not in submitted]
        timed = self.budget.timeout is not None
        tally = replace(self.tally, elapsed=elapsed) if timed else self.tally
        over = self.budget.verdict(tally, self.metric)
        command = self._search(waiting, free, ahead) if over is None else EndStudy(over)
        if isinstance(command, EndStudy) and self.budget.allows_repeats(tally):
            return self._repeat(waiting, free, command)
        return command

    def _search(self, waiting: Sequence[int], free: int, ahead: int) -> Command | None:
        if free > 0 and waiting:
            return self._start(min(waiting))
        return self._ask() if free > 0 or len(waiting) < ahead else None

    def _start(self, number: int) -> Start:
        return Start(number, len(self.trials[number].attempts) + 1)

    def _ask(self) -> Command | None:
        if not self.budget.allows_another(self.tally):
            return None
        number = len(self.trials)
        for key, params in self._start_with:
            if key not in self._seen:
                return Ask(number, params, "start_with")
        searching = (self._running | self._waiting) - self._repeats.keys()
        if self._lag is not None and min(searching, default=number) <= number - self._lag:
            return None
        if (proposed := self._proposed(number)) is not None:
            return Ask(number, dict(proposed), "sampler")  # a copy: the sampler may change its own
        return None if searching else EndStudy(self._exhausted())

    def _proposed(self, number: int) -> Params | None:
        if isinstance(self.space, OpenSpace):  # whether a trial repeats another, it shows later
            return self._sampler.ask(number)
        return distinct_params(self._sampler, self.space, number, self._seen.keys(), self._seed)

    def _repeat(self, waiting: Sequence[int], free: int, end: EndStudy) -> Command | None:
        """Repeat the leaders in turn, so that their numbers of repeats differ by at most one."""
        waiting = [number for number in waiting if number in self._repeats]
        if waiting and free > 0:
            return self._start(min(waiting))
        done = Counter(self._repeats.values())
        leader = min((number for _, number in self._leaders), key=done.__getitem__, default=None)
        if leader is not None and done[leader] < (self.budget.repeats or 0):
            repeat = Ask(len(self.trials), self.trials[leader].params, "repeat")
            return repeat if free > 0 else None
        if self._repeats.keys() & (self._running | self._waiting):
            return None
        also = f", and {counted(len(self._repeats), 'repeat')}" if self._repeats else ""
        return EndStudy(f"{end.reason}{also}")

    def _exhausted(self) -> str:
        if self.space.size is not None and len(self._seen) >= self.space.size:
            return f"the space is exhausted: it has {counted(self.space.size, 'configuration')}"
        return "the sampler has no more proposals"


def _with_last(trial: Trial, **changes: Any) -> Trial:
    """Return the trial with its last attempt changed."""
    last = replace(trial.attempts[-1], **changes)
    return replace(trial, attempts=(*trial.attempts[:-1], last))
