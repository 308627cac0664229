"""Tunes one group: a small study of its own, in the process that has its rows.

It uses the engine of every study, but no journal. Its caller notes the events, so that a group
whose process dies continues in the next one.
"""

import contextlib
import copy
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cloudpickle

from manyfit._redact import is_secret_name, redact, secret_values
from manyfit.budget import Budget
from manyfit.commands import Abandon, Ask, EndStudy, Start, StopAttempt
from manyfit.driver import trial_seed
from manyfit.engine import Engine
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptStarted,
    Reported,
)
from manyfit.groups.job import GroupJob
from manyfit.groups.record.keys import group_seed
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL, MOST_FAILED, NO_MODEL, GroupRow
from manyfit.groups.result.table import label
from manyfit.groups.search.fits import Fits
from manyfit.pruners.auto import make_pruner
from manyfit.pruners.base import Pruner
from manyfit.pruners.folds import FoldPruner
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.base import NoSampler, Sampler
from manyfit.space import Space
from manyfit.trial import Failed, State, Trial, most_frequent
from manyfit.worker.active_run import Tags
from manyfit.worker.channel import ENDINGS, Channel, Stop
from manyfit.worker.reason import message
from manyfit.worker.seeds import seeded
from manyfit.worker.task import Place, run_within
from manyfit.worker.work import Task, Work, secret_params

BASELINE_TRIAL = -1  # the number of a baseline that is a function, not a trial
_MOST_ATTEMPTS = 2
_MOST_NAME = 200  # characters of a group's key in the name of an MLflow run
_NOTHING = Space({})
# Any number of trials of a group may fail.
_ANY_NUMBER = sys.maxsize


class Notes(Protocol):
    """Notes on a group while it is tuned."""

    @property
    def known(self) -> Sequence[AttemptEvent]:
        """The events noted by processes that died, in order."""

    @property
    def spent(self) -> float:
        """Seconds that those processes spent on this group."""

    def begin(self, number: int) -> None:
        """Note that a trial begins."""

    def told(self, ending: AttemptEvent) -> AttemptEvent:
        """Return the trial's ending, with its output if it failed."""

    def note(self, event: AttemptEvent) -> None:
        """Note a report or an end."""


def tune_group(
    job: GroupJob, group: str, frame: Any, notes: Notes, cluster: str = "[]"
) -> GroupRow:
    """Tune one group; the row says what went wrong, if anything.

    Args:
        job: What to do with every group.
        group: The group's key.
        frame: Its rows, numbered from 0.
        notes: Earlier notes on the group, to which more are added.
        cluster: Selects among the job's points.
    """
    began = time.monotonic()
    if job.order_by:
        frame = frame.sort_values(list(job.order_by), kind="stable", ignore_index=True)
    row = _GroupStudy(job, group, frame, notes, cluster).run()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    seconds = time.monotonic() - began + notes.spent
    return replace(row, rows=len(frame), seconds=seconds, worker=worker)


class _GroupStudy:
    def __init__(self, job: GroupJob, group: str, frame: Any, notes: Notes, cluster: str) -> None:
        seed = group_seed(job.seed, group)
        self._job = job
        self._group = group
        self._notes = notes
        self._seed = seed
        self._too_small = job.holdout.too_small(len(frame)) if job.holdout is not None else None
        self._fits = Fits(frame, None if self._too_small else job.holdout, job.metric, seed)
        self._known = _by_attempt(notes.known)
        points = job.points[cluster] if job.points else ()
        self._start_with = (*points, *job.start_with)
        self._engine = Engine(
            space=job.space,
            metric=job.metric,
            sampler=NoSampler() if points else _sampler(job, seed),
            pruner=_pruner(job, self._fits),
            budget=Budget(len(points) or job.n_trials, job.seconds, _ANY_NUMBER, job.stop),
            start_with=self._start_with,
            max_attempts=_MOST_ATTEMPTS,
            seed=seed,
        )
        self._model: Kept | None = None  # of the best trial so far
        self._modelled = -1  # that trial's number
        self._place = Place("", _no_capture, alone=True, killable=True)
        self._secrets = secret_values()
        self._tags = Tags()
        self._name = label(tuple(json.loads(group)))[:_MOST_NAME]
        self._work = Work(self._objective, job.space, job.metric, "", Path())
        self._may_hide = any(map(is_secret_name, (*job.space.params, *job.space.constants)))

    def run(self) -> GroupRow:
        """Run all trials; returns the row, without what only the caller knows."""
        with contextlib.closing(self._tags):
            if self._too_small:
                row = GroupRow(self._group, BASELINE, self._too_small, params=self._default)
                return self._with_model(row)
            baseline = self._run_baseline()
            reason = self._search()
            return self._with_model(self._row(baseline, reason))

    @property
    def _default(self) -> dict[str, Any] | None:
        return dict(self._start_with[0]) if self._start_with else None

    # ── trials ────────────────────────────────────────────────────────────────────────────────

    def _search(self) -> str:
        began = time.monotonic() - self._notes.spent
        while True:
            elapsed = 0.0 if self._known else time.monotonic() - began
            command = self._engine.decide(free=1, elapsed=elapsed)
            match command:
                case Ask() | Abandon():
                    self._engine.apply(command.event(time.time()))
                case Start(number, attempt):
                    self._run_trial(number, attempt)
                case EndStudy(reason):
                    return reason
                case _:
                    return "there is nothing left to try"

    def _run_trial(self, number: int, attempt: int) -> None:
        self._engine.apply(AttemptStarted(number, attempt, "", time.time()))
        ending = self._replayed(number, attempt)
        if ending is not None:
            self._engine.apply(ending)
            return
        params = self._engine.trials[number].params
        task = Task(number, attempt, params, trial_seed(self._seed, number))
        self._engine.apply(self._run_task(self._work, task))
        best = self._engine.best
        if best is not None and best.number == number and self._job.keep_models:
            # Pickled at once, because the objective may reuse the object in the next trial.
            self._model, self._modelled = kept(lambda: self._fits.model), number
        self._fits.model = None

    def _objective(self, params: dict[str, Any]) -> dict[str, float]:
        return self._fits(self._job.objective, params)

    def _run_task(self, work: Work, task: Task) -> AttemptEvent:
        """Run one attempt and note its events; returns its ending."""
        is_trial = task.number != BASELINE_TRIAL
        channel = Channel(lambda event: self._take_report(event, channel) if is_trial else None)
        self._notes.begin(task.number)
        self._tag(task.number if is_trial else "baseline")
        hidden = secret_params(work, task) if self._may_hide else ()
        secrets = (*self._secrets, *hidden)
        ending = self._notes.told(run_within(work, task, channel, self._place, secrets))
        self._notes.note(ending)
        return ending

    def _tag(self, trial: int | str) -> None:
        """Set the tags of the MLflow runs that a trial's fits start; one of them is the name.

        If the points are given, a trial's number here means nothing to the user.
        """
        tags = {"manyfit.groups": self._job.name, "manyfit.group": self._group}
        if isinstance(trial, int) and self._job.points:
            self._tags.set({**tags, "mlflow.runName": self._name})
            return
        what = f"trial {trial}" if isinstance(trial, int) else trial
        name = f"{self._name}, {what}"
        self._tags.set({**tags, "manyfit.trial": str(trial), "mlflow.runName": name})

    def _take_report(self, event: AttemptEvent, channel: Channel) -> None:
        if isinstance(event, Reported):
            self._notes.note(event)
            if (reason := self._judge(event)) is not None:
                channel.request(Stop(reason))

    def _judge(self, event: Reported) -> str | None:
        self._engine.apply(event)
        command = self._engine.decide(free=0)
        if not isinstance(command, StopAttempt):
            return None
        self._engine.apply(command.event(event.at))
        return command.reason

    def _replayed(self, number: int, attempt: int) -> AttemptEvent | None:
        """Replay what an earlier process noted of this attempt; returns its ending, if any."""
        *reports, ending = self._known.pop((number, attempt), [None])
        for event in reports:
            if isinstance(event, Reported):
                self._judge(event)
        return ending

    # ── the baseline ──────────────────────────────────────────────────────────────────────────

    def _run_baseline(self) -> AttemptEvent | None:
        """Run a baseline that is a function; returns its ending. None if it is the first trial."""
        function = self._job.baseline
        if function is None:
            return None
        if (ending := self._replayed(BASELINE_TRIAL, 1)) is not None:
            return ending
        task = Task(BASELINE_TRIAL, 1, {}, trial_seed(self._seed, 0))
        work = Work(lambda _: self._fits(function), _NOTHING, self._job.metric, "", Path())
        return self._run_task(work, task)

    def _baseline_metrics(self, ending: AttemptEvent | None) -> dict[str, float]:
        if self._job.baseline is not None:
            return dict(ending.metrics) if isinstance(ending, AttemptFinished) else {}
        trials = self._engine.trials
        first = trials[0] if trials and self._start_with else None
        return dict(first.metrics) if first is not None and first.state is State.COMPLETE else {}

    # ── the row ───────────────────────────────────────────────────────────────────────────────

    def _row(self, ending: AttemptEvent | None, reason: str) -> GroupRow:
        trials, best = self._engine.trials, self._engine.best
        states = Counter(trial.state for trial in trials)
        metrics = self._baseline_metrics(ending)
        state, error, traceback = COMPLETE, "", ""
        if best is not None:
            reason = "; ".join(filter(None, [_why_no_baseline(ending), why_so_few(trials)]))
        else:
            state = BASELINE if metrics else FAIL
            reason, error, traceback = self._why_nothing(reason, ending)
        return GroupRow(
            self._group,
            state,
            reason,
            params=None if best is None else dict(best.params),
            value=None if best is None else best.value,
            metrics={} if best is None else dict(best.metrics),
            baseline=metrics.get(self._job.metric.name),
            baseline_metrics=metrics,
            trials=sum(states[each] for each in (State.COMPLETE, State.PRUNED, State.FAIL)),
            pruned=states[State.PRUNED],
            failed=states[State.FAIL],
            fit_seconds=self._fits.seconds,
            error=error,
            traceback=traceback,
            history=self._history() if self._job.keep_trials else None,
        )

    def _why_nothing(self, reason: str, ending: AttemptEvent | None) -> tuple[str, str, str]:
        """Return reason, error and traceback of a group without a completed trial."""
        failed = [trial for trial in self._engine.trials if trial.state is State.FAIL]
        if not failed:
            return f"no trial has completed: {reason}", "", ""
        end = failed[0].attempts[-1].end
        why = f"all {len(failed)} trials failed; the first with {failed[0].reason}"
        if len(failed) == 1:
            why = f"its only trial failed with {failed[0].reason}"
        if isinstance(ending, AttemptFailed):
            why += f"; the baseline with {ending.reason}"
        return (why, end.error, end.traceback) if isinstance(end, Failed) else (why, "", "")

    def _history(self) -> str:
        trials = self._engine.trials
        return json.dumps([[trial.params, trial.value, trial.state.value] for trial in trials])

    # ── the model ─────────────────────────────────────────────────────────────────────────────

    def _with_model(self, row: GroupRow) -> GroupRow:
        if not self._job.keep_models:
            return row
        best = self._engine.best
        model = self._model
        if model is None or best is None or best.number != self._modelled or self._fits.folds > 1:
            self._tag("model")
            model = kept(lambda: self._refitted(row))
        row = replace(row, model=model.data, fit_seconds=self._fits.seconds)
        return row.because(model.problem) if model.problem else row

    def _refitted(self, row: GroupRow) -> Any:
        """Return the model of the group's params or baseline, fitted again; None if impossible."""
        job, best = self._job, self._engine.best
        if row.state == FAIL:
            return None
        if row.state == BASELINE and job.baseline is not None:
            return self._fits.whole(job.baseline, parts=self._parts)
        if row.params is None:
            return None
        params = job.space.materialize(row.params)
        with seeded(trial_seed(self._seed, 0 if best is None else best.number)):
            if best is None or self._fits.folds > 1:
                return self._fits.whole(job.objective, params, parts=self._parts)
            self._fits(job.objective, params)
            return self._fits.model

    @property
    def _parts(self) -> int:
        return 1 if self._job.holdout is None else 2


@dataclass(frozen=True, slots=True)
class Kept:
    """A pickled model, or the reason why it couldn't be pickled; neither if there is none."""

    data: bytes | None = None
    problem: str = ""


def kept(model: Callable[[], Any]) -> Kept:
    """Return the model that a function returns, pickled."""
    try:
        found = model()
        return Kept() if found is None else Kept(cloudpickle.dumps(found))
    except Exception as error:  # noqa: BLE001 - the user's code, or a model's own pickling
        why = redact(f"{type(error).__name__}: {message(error)}")
        return Kept(problem=f"{NO_MODEL} kept: {why}")


def _why_no_baseline(ending: AttemptEvent | None) -> str:
    if ending is None or isinstance(ending, AttemptFinished):
        return ""
    return f"the baseline failed: {getattr(ending, 'reason', ending)}"


def why_so_few(trials: Sequence[Trial]) -> str:
    """Return the most frequent failure if at least half of the trials failed; otherwise empty."""
    reasons = [trial.reason for trial in trials if trial.state is State.FAIL]
    if not reasons or 2 * len(reasons) < len(trials):
        return ""
    return f"{len(reasons)} of {len(trials)} {MOST_FAILED}: {most_frequent(reasons)[0]}"


def _by_attempt(
    events: Iterable[AttemptEvent],
) -> dict[tuple[int, int], list[AttemptEvent]]:
    """Return the events of each attempt that has ended, in order."""
    found: dict[tuple[int, int], list[AttemptEvent]] = {}
    for event in events:
        found.setdefault((event.number, event.attempt), []).append(event)
    return {each: noted for each, noted in found.items() if isinstance(noted[-1], ENDINGS)}


def _sampler(job: GroupJob, seed: int) -> Sampler:
    bind = getattr(job.sampler, "bind", None)
    if bind is not None:
        bound: Sampler = bind(job.space, job.metric, seed)
        return bound
    word = "nearby" if job.sampler == "auto" else copy.deepcopy(job.sampler)
    return make_sampler(word, job.space, job.metric, seed)[0]


def _pruner(job: GroupJob, fits: Fits) -> Pruner:
    """Return the pruner of a group's trials; for folds it is `FoldPruner` by default."""
    settings = FoldPruner(fits.folds) if job.pruner == "auto" and fits.folds > 1 else job.pruner
    return make_pruner(settings, job.metric)


@contextlib.contextmanager
def _no_capture(_path: Path, _secrets: Sequence[str]) -> Iterator[None]:
    """Capture no output: that of the enclosing task is captured."""
    yield
