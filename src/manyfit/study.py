"""Wires the parts of a study together, for `tune` and for your own loop."""

import inspect
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from numbers import Integral
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from manyfit._version import __version__
from manyfit.archive import Header, materialized, replay, result_of, study_folder
from manyfit.asking import Asking
from manyfit.budget import Budget, Stop, is_number
from manyfit.driver import Driver
from manyfit.engine import Engine
from manyfit.errors import ArgumentError, ObjectiveError
from manyfit.events import SpaceChanged, StudyCreated
from manyfit.executors.auto import make_executor
from manyfit.executors.base import Executor
from manyfit.journal.file import FileJournal
from manyfit.metric import Direction, Metric
from manyfit.pruners.auto import make_pruner
from manyfit.pruners.base import PrunerSettings
from manyfit.recorder import Recorder
from manyfit.result import StudyResult
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.base import Sampler
from manyfit.space import Space
from manyfit.trackers.auto import make_trackers
from manyfit.trackers.base import StudyInfo, Tracker
from manyfit.trial import Params, Trial
from manyfit.worker.work import Limits, Objective, Work

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("manyfit")


class Study:
    """A study on disk, held by this process until `close`: to `tune`, or to ask and tell.

    Made again with the same name, it resumes: finished trials are kept, a trial that was running is
    run again under its number, and the sampler continues exactly where it was. It keeps its first
    seed. Use it as a context manager, or close it.

    Args:
        space: What is searched: a mapping from names to `Float`, `Int`, `Choice` or constants.
        metric: The name of the metric to tune.
        direction: Whether small or large is good.
        name: Names the study's folder; by default a new name with date and time.
        folder: Where studies are kept.
        seed: Makes proposals and the trials' own seeds repeatable; drawn at random by default.
        sampler: `"auto"`, `"tpe"`, `"random"`, `"quasirandom"`, `"grid"`, a `Sampler`, or any
            instance from `optuna.samplers`.
        pruner: `"auto"`, `"median"`, `"asha"`, a pruner, or None to end no trial early.
        start_with: Points to try first, in order.
        n_trials: How many trials `ask` gives out in all; None for no limit.
        max_attempts: How often a trial whose worker dies is started in all.
        tracker: `"auto"` (MLflow where it is installed), a tracker, or None.
        on_space_change: What to do when a study of this name has another space: `"raise"`, or
            `"keep"` the trials that still fit, the others staying on record and counting no more.

    Raises:
        ArgumentError: An argument breaks a rule.
        SpaceError: The space, or a point of `start_with`, breaks a rule.
        StudyLockedError: Another driver holds the study.
        StudyChangedError: The study on disk has another metric, direction or space.
        JournalCorruptError: Its journal is damaged.

    Example:
        >>> folder = getfixture("tmp_path")
        >>> space = {"x": Float(-1.0, 1.0)}
        >>> with Study(space, metric="loss", seed=0, folder=folder, tracker=None) as study:
        ...     for _ in range(3):
        ...         trial = study.ask()
        ...         told = study.tell(trial, trial.params["x"] ** 2)
        ...     len(study.result())
        3
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        *,
        metric: str,
        direction: Direction = "minimize",
        name: str | None = None,
        folder: str | Path = ".manyfit",
        seed: int | None = None,
        sampler: "str | Sampler | optuna.samplers.BaseSampler" = "auto",
        pruner: str | PrunerSettings | None = "auto",
        start_with: Iterable[Params] = (),
        n_trials: int | None = None,
        max_attempts: int = 2,
        tracker: "Literal['auto'] | Tracker | None" = "auto",
        on_space_change: Literal["raise", "keep"] = "raise",
    ) -> None:
        _check_choices(max_attempts, on_space_change, seed)
        self.space = Space.of(space)
        self.metric = Metric(metric, direction)
        self.name = name if name is not None else _new_name()
        self.folder = study_folder(self.name, folder)
        self.seed = secrets.randbits(32) if seed is None else int(seed)
        self._tracker = tracker
        self._notes: tuple[str, ...] = ()
        self._asking: Asking | None = None
        points = [self.space.store(point) for point in _points(start_with)]
        make_sampler(sampler, self.space, self.metric, 0)  # refuse it before anything is on disk
        judge = make_pruner(pruner, self.metric)

        def build(seed: int) -> Engine:
            proposer, note = make_sampler(sampler, self.space, self.metric, seed)
            self._notes = (note,)
            return Engine(
                space=self.space,
                metric=self.metric,
                sampler=proposer,
                pruner=judge,
                budget=Budget(n_trials),
                start_with=points,
                max_attempts=max_attempts,
                seed=seed,
            )

        self._journal = FileJournal(self.folder)
        try:
            self._resume(build, seed, keep=on_space_change == "keep")
        except BaseException:
            self._journal.close()
            raise

    def _resume(self, build: Callable[[int], Engine], seed: int | None, *, keep: bool) -> None:
        """Fold the journal in, and put on record what is new about the study."""
        events = self._journal.read()
        first = next(events, None)
        header = Header()
        if isinstance(first, StudyCreated):
            if seed not in (None, first.seed):
                logger.warning("study %s keeps its first seed, %d", self.name, first.seed)
            self.seed = first.seed
        self._engine = build(self.seed)
        replay(() if first is None else chain((first,), events), self._engine, header)
        if not keep:
            header.check_space(self.name, self.space)
        self._reason = header.reason
        self._orphans_count = header.driver is not None and not header.driver.isolated
        self._recorder = Recorder(self._engine, self._journal)
        if news := self._news(header):
            self._recorder.put(news)
            self._recorder.commit()

    def _news(self, header: Header) -> StudyCreated | SpaceChanged | None:
        space, now = self.space.to_json(), time.time()
        if header.space is None or not header.asked:
            if header.metric == self.metric and header.space == self.space:
                return None
            name, direction = self.metric.name, self.metric.direction
            return StudyCreated(self.name, space, name, direction, self.seed, __version__, now)
        return SpaceChanged(space, now) if self.space.difference(header.space) else None

    # ── a whole run ───────────────────────────────────────────────────────────────────────────

    def tune(
        self,
        objective: Objective,
        *,
        n_trials: int | None = None,
        timeout: float | None = None,
        parallelism: int | None = None,
        executor: str | Executor = "processes",
        stop: Stop | Iterable[Stop] | None = None,
        trial_timeout: float | None = None,
        trial_memory: int | None = None,
        cpus_per_trial: int | None = None,
        max_failures: int | None = None,
        progress: str | bool | None = "auto",
    ) -> StudyResult:
        """Run trials until the budget is spent; see `manyfit.tune` for every argument."""
        if self._asking is not None:
            raise ArgumentError("a study that gives trials out by ask() can't tune as well")
        _check_objective(objective)
        _check_limits(trial_timeout, trial_memory)
        self._engine.budget = Budget.of(n_trials, timeout, max_failures, stop)
        self._check_ends(self._engine.budget)
        runner = make_executor(
            executor, parallelism=parallelism, cpus_per_trial=cpus_per_trial, n_trials=n_trials
        )
        limits = Limits(trial_timeout, trial_memory, cpus_per_trial or runner.cpus)
        work = Work(objective, self.space, self.metric, self.name, self.folder, limits, n_trials)
        if suspicion := self.metric.suspicion():
            logger.warning("%s.", suspicion)
        gaps, remote = _gaps(runner, limits), runner.capabilities.remote
        self._open_trackers(n_trials, runner.parallelism, gaps, progress, remote=remote)
        try:
            driver = Driver(
                self._recorder, runner, work, seed=self.seed, orphans_count=self._orphans_count
            )
            self._reason = driver.run()
        except BaseException as error:
            said = f": {error}" if str(error) else ""
            self._reason = f"the driver ended with {type(error).__name__}{said}"
            raise
        finally:
            self._close_trackers()
        return self.result()

    def _check_ends(self, budget: Budget) -> None:
        if budget == Budget(max_failures=budget.max_failures) and self.space.size is None:
            raise ArgumentError("nothing would ever end this study: give n_trials, timeout or stop")

    # ── your own loop ─────────────────────────────────────────────────────────────────────────

    def ask(self) -> Trial | None:
        """Return the next trial, running from now on; None when there is none to give out.

        That is when `n_trials` have been given out, or a finite space is exhausted. Ask as often
        as you like before you tell. A trial that an earlier process left untold comes first.
        """
        if self._asking is None:
            self._open_trackers(self._engine.budget.n_trials, 1, (), progress=None)
            self._recorder.take_over(time.time(), isolated=True, orphans_count=self._orphans_count)
            self._asking = Asking(self._recorder)
        return self._shown(self._asking.ask())

    def report(self, trial: Trial, step: int, **metrics: float) -> str | None:
        """Record metrics of a running trial; returns why it should end early, or None.

        Raises:
            ArgumentError: The trial is not one that `ask` gave out and that still runs.
            MetricError: A metric is no number.
        """
        return self._giver().report(trial, step, metrics)

    def tell(self, trial: Trial, returned: float | Mapping[str, float]) -> Trial:
        """Record what a trial gave: the tuned metric, or a mapping with it and any others.

        A value that is NaN, infinite, missing or no number makes the trial a FAIL with that reason.

        Raises:
            ArgumentError: The trial is not one that `ask` gave out and that still runs.
        """
        return self._shown(self._giver().tell(trial, returned))

    def prune(self, trial: Trial) -> Trial:
        """Record that a trial was ended early, as `report` advised.

        Raises:
            ArgumentError: The trial is not one that `ask` gave out and that still runs.
        """
        return self._shown(self._giver().prune(trial))

    def fail(self, trial: Trial, reason: str) -> Trial:
        """Record that a trial failed, and why.

        Raises:
            ArgumentError: The trial is not one that `ask` gave out and that still runs.
        """
        return self._shown(self._giver().fail(trial, reason))

    def _giver(self) -> Asking:
        if self._asking is None:
            raise ArgumentError("no trial is running: ask() for one first")
        return self._asking

    @overload
    def _shown(self, trial: Trial) -> Trial: ...
    @overload
    def _shown(self, trial: None) -> None: ...
    def _shown(self, trial: Trial | None) -> Trial | None:
        return None if trial is None else materialized(self._engine, trial)

    # ── the record ────────────────────────────────────────────────────────────────────────────

    def result(self) -> StudyResult:
        """Return the trials as they stand."""
        return result_of(self._engine, self.name, self.folder, self._reason)

    def close(self) -> None:
        """Give the study up, so that another process can have it. Safe to call twice.

        Trials that were asked for and not told go on record as lost, and are given out again next
        time.
        """
        if self._asking is not None:
            self._recorder.write_off("the study was closed", time.time(), counts=False)
            self._asking = None
            self._close_trackers()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open_trackers(
        self,
        n_trials: int | None,
        parallelism: int,
        gaps: tuple[str, ...],
        progress: str | bool | None,
        *,
        remote: bool = False,
    ) -> None:
        info = StudyInfo(
            name=self.name,
            folder=self.folder,
            space=self.space,
            metric=self.metric,
            seed=self.seed,
            n_trials=n_trials,
            parallelism=parallelism,
            notes=(*self._notes, *gaps),
            remote=remote,
        )
        self._recorder.trackers = make_trackers(self._tracker, progress)
        for tracker in self._recorder.trackers:
            tracker.open(info, tuple(self._engine.trials))

    def _close_trackers(self) -> None:
        trackers, self._recorder.trackers = self._recorder.trackers, ()
        for tracker in trackers:
            tracker.close(self._reason, tuple(self._engine.trials))


def _points(start_with: object) -> Iterable[Params]:
    if isinstance(start_with, Mapping | str) or not isinstance(start_with, Iterable):
        raise ArgumentError(f"start_with must be a list of points, but got {start_with!r:.200}")
    return start_with


def _new_name() -> str:
    return time.strftime("study-%Y%m%d-%H%M%S-") + secrets.token_hex(2)


def _check_choices(max_attempts: int, on_space_change: str, seed: object) -> None:
    if seed is not None and not (isinstance(seed, Integral) and int(seed) >= 0):
        raise ArgumentError(f"seed must be a whole number from 0 up or None, but got {seed!r}")
    if max_attempts < 1:
        raise ArgumentError(f"max_attempts must be at least 1, but got {max_attempts!r}")
    if on_space_change not in ("raise", "keep"):
        raise ArgumentError(
            f"on_space_change must be 'raise' or 'keep', but got {on_space_change!r}"
        )


def _check_limits(trial_timeout: float | None, trial_memory: int | None) -> None:
    for name, value in (("trial_timeout", trial_timeout), ("trial_memory", trial_memory)):
        if value is not None and not (is_number(value) and value > 0):
            raise ArgumentError(f"{name} must be more than 0 or None, but got {value!r}")


def _check_objective(objective: object) -> None:
    advice = "an objective takes the params as one dict: def train(params): ..."
    if not callable(objective):
        raise ObjectiveError(f"{objective!r:.200} can't be called; {advice}")
    try:
        signature = inspect.signature(objective)
    except ValueError:
        return  # some built-in functions don't tell
    try:
        signature.bind({})
    except TypeError as error:
        name = getattr(objective, "__qualname__", repr(objective))
        raise ObjectiveError(
            f"{name}{signature} can't be called with params ({error}); {advice}"
        ) from error


def _gaps(executor: Executor, limits: Limits) -> tuple[str, ...]:
    """Say what was asked for and this executor can't do."""
    can, name = executor.capabilities, type(executor).__name__
    notes = []
    if limits.seconds is not None and not can.hard_kill:
        notes.append(f"{name} can't kill a trial: trial_timeout ends it at its next report")
    if limits.memory is not None and not can.memory_limit:
        notes.append(f"{name} can't limit memory: trial_memory is not enforced")
    if not can.live_reports:
        notes.append(f"{name} brings reports home only when a trial ends: none is pruned")
    return tuple(notes)
