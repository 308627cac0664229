"""Runs a recorded trial again, and compares what it reports and returns."""

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manyfit.archive import on_record
from manyfit.described import changes, describe
from manyfit.driver import trial_seed
from manyfit.errors import ArgumentError
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptFinished,
    AttemptPruned,
    Reported,
    WorkDescribed,
)
from manyfit.executors.inline import InlineExecutor
from manyfit.importing import import_objective
from manyfit.open_space import OpenSpace
from manyfit.space import Space
from manyfit.trial import State, Trial
from manyfit.worker.work import Objective, Task, Work

_AS_RECORDED = "the recorded trial was pruned here"


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded trial and the same trial run again.

    Attributes:
        number: The trial's number.
        recorded: Each metric on record: the final ones, and those of a report as `loss at step 3`.
        again: The same of the second run.
        state: The state on record.
        state_again: The state that the second run ended in.
        reason: Why the second run failed, if it did, followed by its traceback.
        changed: What has changed since, one phrase each: code, packages, data, the machine.
        seconds: The duration of the second run.
    """

    number: int
    recorded: Mapping[str, float]
    again: Mapping[str, float]
    state: str
    state_again: str
    reason: str
    changed: tuple[str, ...]
    seconds: float

    @property
    def differing(self) -> tuple[str, ...]:
        """The names of metrics that differ, or that only one of the runs has."""
        names = dict.fromkeys((*self.recorded, *self.again))
        return tuple(name for name in names if not self._is_same(name))

    @property
    def is_same(self) -> bool:
        """Whether both runs ended in the same state with exactly the same metrics."""
        return self.state == self.state_again and not self.differing

    def _is_same(self, name: str) -> bool:
        one, other = self.recorded.get(name), self.again.get(name)
        if one is None or other is None:
            return False
        return one == other or (math.isnan(one) and math.isnan(other))


def replay_trial(
    name: str,
    number: int,
    objective: Objective | None = None,
    *,
    folder: str | Path = ".manyfit",
    space: Space | Mapping[str, Any] | None = None,
) -> Replay:
    """Run a recorded trial again, in this process, with its params and its seed, and compare.

    Nothing is recorded, and no tracker is told. A trial that was pruned is stopped at its last
    report. Metrics that depend on time or on the number of threads may differ.

    Args:
        name: The study's name.
        number: The trial's number.
        objective: The objective; by default the recorded one, imported from its module or script.
        folder: The folder given to `tune`.
        space: The study's space; needed if a param of the trial is a function, a class or another
            value that the record has by name only, or a constant that looks like a credential.

    Raises:
        ArgumentError: There is no such study or trial, the trial has not ended, the objective can't
            be imported, or the space is needed. The message says what to do.
        JournalCorruptError: The journal is damaged.

    Example:
        >>> import manyfit
        >>> def train(params):
        ...     return params["x"] ** 2
        >>> place = getfixture("tmp_path")
        >>> result = manyfit.tune(
        ...     train, {"x": manyfit.Float(0.0, 1.0)}, metric="loss", n_trials=3, name="squares",
        ...     executor="inline", tracker=None, progress=None, folder=place,
        ... )
        >>> replay_trial("squares", 1, train, folder=place).is_same
        True
    """
    engine, header = on_record(name, folder)
    if not 0 <= number < len(engine.trials):
        count = len(engine.trials)
        raise ArgumentError(f"there is no trial {number}: {name} has {count}, numbered from 0")
    trial = engine.trials[number]
    if not trial.state.is_finished or not trial.attempts:
        raise ArgumentError(f"trial {number} of {name} has not ended: it is {trial.state.value}")
    if isinstance(engine.space, OpenSpace):
        raise ArgumentError(
            f"the trials of {name} asked for their params, as Optuna's do, and aren't replayed. "
            "Call the objective with optuna.trial.FixedTrial(result.trials[N].params)"
        )
    if space is None:
        _check_recorded(header.work, trial, name)
    space = engine.space if space is None else Space.of(space)
    objective = objective or import_objective(name, header.work)
    with tempfile.TemporaryDirectory(prefix="manyfit-") as scratch:
        work = Work(objective, space, engine.metric, name, Path(scratch))
        seed = 0 if header.created is None else header.created.seed
        task = Task(number, 1, trial.params, trial_seed(seed, number), {})
        run = _Run(trial)
        run.go(work, task)
    return Replay(
        number,
        recorded=_metrics(trial.measurements, trial.metrics if trial.value is not None else {}),
        again=run.metrics,
        state=trial.state.value,
        state_again=run.state,
        reason=run.reason,
        changed=tuple(_changed(header.work, describe(objective, space, {}, time.time()))),
        seconds=run.seconds,
    )


def _check_recorded(work: WorkDescribed | None, trial: Trial, study: str) -> None:
    """Check that the record has all values that the objective receives."""
    for name, kind in (work.unrecorded if work is not None else {}).items():
        shown = f" ({trial.params[name]!r:.100})" if name in trial.params else ""
        raise ArgumentError(
            f"the record of study {study!r} has {name}{shown} by name only, since it is of type "
            f"{kind} or a credential. Call manyfit.replay_trial with space=, as given to tune"
        )


class _Run:
    """Runs a task on this thread, and keeps what it reports and how it ends."""

    def __init__(self, recorded: Trial) -> None:
        self._recorded = recorded
        self._reports: list[Reported] = []
        self._final: Mapping[str, float] = {}
        self._executor = InlineExecutor()
        self.state = ""
        self.reason = ""
        self.seconds = 0.0

    def go(self, work: Work, task: Task) -> None:
        """Run it to its end."""
        self._executor.open(work)
        try:
            self._executor.submit(task)
            self._executor.poll(self._handle, 0.0)
        finally:
            self._executor.close()

    def _handle(self, event: AttemptEvent) -> None:
        match event:
            case Reported():
                self._reports.append(event)
                self._stop_where_it_was_pruned(event)
            case AttemptFinished():
                self._final, self.state, self.seconds = event.metrics, "COMPLETE", event.seconds
            case AttemptPruned():
                self.state, self.reason, self.seconds = "PRUNED", event.reason, event.seconds
            case AttemptFailed():
                self.state, self.seconds = "FAIL", event.seconds
                self.reason = f"{event.reason}\n{event.traceback}".rstrip()
            case _:
                pass

    def _stop_where_it_was_pruned(self, event: Reported) -> None:
        reports = self._recorded.measurements
        if self._recorded.state is State.PRUNED and reports and event.step >= reports[-1].step:
            self._executor.stop(event.number, event.attempt, _AS_RECORDED)

    @property
    def metrics(self) -> dict[str, float]:
        """What it reported and returned, by name."""
        return _metrics(self._reports, self._final)


def _metrics(reports: Any, final: Mapping[str, float]) -> dict[str, float]:
    found = dict(final)
    for report in reports:
        found |= {f"{name} at step {report.step}": v for name, v in report.metrics.items()}
    return found


def _changed(before: WorkDescribed | None, now: WorkDescribed) -> list[str]:
    """Return what has changed since a study ran, one phrase each."""
    if before is None:
        return []
    phrases = changes(before, now)
    pairs = (
        ("the code's", before.code, now.code, ("commit", "dirty")),
        ("package", before.packages, now.packages, sorted({*before.packages, *now.packages})),
        ("shared data", before.data, now.data, sorted({*before.data, *now.data})),
        ("the machine's", before.machine, now.machine, tuple(before.machine)),
    )
    for kind, old, new, names in pairs:
        if old:  # an older Manyfit didn't record it
            phrases += [
                f"{kind} {name} is {new.get(name, 'not there')}, and was "
                f"{old.get(name, 'not there')}"
                for name in names
                if old.get(name) != new.get(name)
            ]
    return phrases
