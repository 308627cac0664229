"""Assembles the parts of a study, for `tune` and for your own loop."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from manyfit._names import new_name
from manyfit.advice.advice import as_lines
from manyfit.archive import Header, check_kind, materialized, replay, result_of, study_folder
from manyfit.arguments import (
    check_ends,
    check_objective,
    checked_choices,
    checked_limits,
    notes_on,
    pruner_with,
    stored_points,
)
from manyfit.asking import Asking
from manyfit.budget import Budget, Stop
from manyfit.described import describe, how_to_go_on, record
from manyfit.doubts import Doubts
from manyfit.driver import Driver
from manyfit.engine import Engine
from manyfit.errors import ArgumentError
from manyfit.events import StudyCreated
from manyfit.executors.auto import make_executor
from manyfit.executors.base import Capabilities, Executor
from manyfit.hooks import OnTrialEnd, hooks_of
from manyfit.journal.file import FileJournal
from manyfit.metric import Direction, Metric
from manyfit.orders import heeded
from manyfit.prior import earlier_studies
from manyfit.pruners.auto import Pruning, make_pruner, prunes
from manyfit.recorder import Recorder
from manyfit.reports.study import study_html
from manyfit.result import StudyResult
from manyfit.reviewing import advice_on
from manyfit.samplers.auto import make_sampler
from manyfit.samplers.base import Sampler
from manyfit.space import Space
from manyfit.trackers.auto import Trackers, make_trackers
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mirrors import Mirrors
from manyfit.trial import Params, Trial
from manyfit.worker.work import Limits, Objective, Work

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("manyfit")


class Study:
    """A study on disk, locked by this process until `close`: to `tune`, or to ask and tell.

    Threads may share it to ask and tell: their calls are serialised.

    Made again with the same name, it resumes: finished trials are kept, a trial that was running
    runs again with the same number, and the sampler continues exactly where it was. The study keeps
    its first seed. Use it as a context manager, or close it.

    Args:
        space: A mapping from names to domains or constants; see `manyfit.tune`.
        metric: The name of the metric to tune.
        direction: `"minimize"` or `"maximize"`.
        name: The study's name, and that of its folder; by default a new one with date and time.
        folder: The folder that contains studies.
        seed: Makes proposals and the trials' own seeds repeatable; drawn at random by default.
        sampler: `"auto"`, `"gp"`, `"tpe"`, `"random"`, `"quasirandom"`, `"nearby"`, `"grid"`, a
            `Sampler`, or any instance from `optuna.samplers`.
        pruner: `"auto"`, `"median"`, `"asha"`, a pruner, an instance from `optuna.pruners`, or None
            to end no trial early.
        start_with: Points to try first, in order; missing params are drawn at random.
        prior_from: Earlier studies to learn from; see `manyfit.tune`.
        n_trials: The total number of trials that `ask` returns; None for no limit.
        max_failures: `ask` returns None once more trials than this have failed; None for any
            number, unless trials all over the space fail in the same way.
        max_attempts: The number of times a trial is started if its workers keep dying.
        lag: Trial n is proposed from the results of trials up to n - lag only; see `manyfit.tune`.
            While one of those still runs, `ask` returns None.
        tracker: `"auto"` (MLflow if it is installed), a tracker, a sequence of these, or None.
        on_space_change: What to do if a study of this name has another space: `"raise"`, or
            `"keep"` the trials that still fit; the others stay recorded and are ignored.

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
        pruner: Pruning = "auto",
        start_with: Iterable[Params] = (),
        prior_from: Iterable[Any] = (),
        n_trials: int | None = None,
        max_failures: int | None = None,
        max_attempts: int = 2,
        lag: int | None = None,
        tracker: Trackers = "auto",
        on_space_change: Literal["raise", "keep"] = "raise",
    ) -> None:
        max_attempts, seed, lag = checked_choices(max_attempts, on_space_change, seed, lag)
        self.space = Space.of(space)
        self.metric = Metric(metric, direction)
        self.name = name if name is not None else new_name("study")
        self.folder = study_folder(self.name, folder)
        check_kind(self.folder, groups=False)
        self.seed = secrets.randbits(32) if seed is None else seed
        self._tracker = tracker
        self._lag = lag
        self._settings = {"sampler": sampler, "pruner": pruner_with(lag, pruner), "lag": lag}
        self._notes: tuple[str, ...] = ()
        self._asking: Asking | None = None
        self._lock = threading.RLock()  # for threads that ask and tell
        points = stored_points(start_with, self.space)
        earlier = earlier_studies(prior_from, self.space, self.metric, folder)
        # Bad arguments are refused before anything is on disk.
        make_sampler(sampler, self.space, self.metric, 0, earlier)
        judge = make_pruner(pruner_with(lag, pruner), self.metric)
        make_trackers(tracker, None)
        self._prunes = prunes(judge)

        def build(seed: int) -> Engine:
            proposer, note = make_sampler(sampler, self.space, self.metric, seed, earlier)
            self._notes = (note,)
            return Engine(
                space=self.space,
                metric=self.metric,
                sampler=proposer,
                pruner=judge,
                budget=Budget(n_trials, max_failures=max_failures),
                start_with=points,
                max_attempts=max_attempts,
                lag=lag,
                seed=seed,
            )

        self._journal = FileJournal(self.folder)
        try:
            self._resume(build, seed, keep=on_space_change == "keep")
        except BaseException:
            self._journal.close()
            raise

    def _resume(self, build: Callable[[int], Engine], seed: int | None, *, keep: bool) -> None:
        """Replay the journal, and record what is new about the study."""
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
        header.say_what_counts_no_more(self.name, self._engine)
        self._reason = header.reason
        self._work = header.work
        self._orphans_count = header.driver is not None and not header.driver.isolated
        self._recorder = Recorder(self._engine, self._journal)
        if news := header.news(self.name, self.space, self.metric, self.seed):
            self._recorder.put(news)
            self._recorder.commit()

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
        on_trial_end: OnTrialEnd | None = None,
        trial_timeout: float | None = None,
        trial_memory: int | None = None,
        cpus_per_trial: int | None = None,
        max_failures: int | None = None,
        repeats: int | None = None,
        advice: bool = True,
        progress: str | bool | None = "auto",
    ) -> StudyResult:
        """Run trials until the budget is spent; see `manyfit.tune` for every argument."""
        if self._asking is not None:
            raise ArgumentError("a study whose trials are handed out by ask() can't tune as well")
        check_objective(objective)
        seconds, memory, cpus = checked_limits(trial_timeout, trial_memory, cpus_per_trial)
        budget = self._engine.budget = Budget.of(n_trials, timeout, max_failures, stop, repeats)
        check_ends(budget, self.space)
        hooks = hooks_of(budget, on_trial_end, self.result)
        most = budget.most_trials
        runner = make_executor(
            executor, parallelism=parallelism, cpus_per_trial=cpus, n_trials=most
        )
        limits = Limits(seconds, memory, cpus or runner.cpus)
        work = Work(objective, self.space, self.metric, self.name, self.folder, limits, most)
        news = advice_on(work, self._settings["sampler"], runner, self._work) if advice else ()
        now = describe(objective, self.space, self._settings, time.time(), map(str, news))
        self._work = record(self._recorder, self.name, self._work, now)
        self._recorder.doubts = Doubts.on(objective, self._engine, prunes=self._prunes)
        notes = (
            *notes_on(runner, limits, repeats, self._lag),
            *as_lines(news, "manyfit.review(space, ...)"),
        )
        can = runner.capabilities
        self._open_trackers(most, runner.parallelism, notes, progress, can, advice=advice)
        orphans = self._orphans_count
        driver = Driver(
            self._recorder, runner, work, seed=self.seed, orphans_count=orphans, hooks=hooks
        )
        with heeded(driver.heed):
            self._run(driver)
        hooks.raise_error()
        return self.result()

    def _run(self, driver: Driver) -> None:
        try:
            self._reason = driver.run()
        except BaseException as error:
            said = f": {error}" if str(error) else ""
            self._reason = f"the driver ended with {type(error).__name__}{said}"
            raise
        finally:
            self._close_trackers()
            if self._reason.endswith(("interrupted", "KeyboardInterrupt")):
                logger.warning("%s", how_to_go_on(self.name, self.folder))

    # ── your own loop ─────────────────────────────────────────────────────────────────────────

    def ask(self) -> Trial | None:
        """Return the next trial, which counts as running from now on; None if there is none.

        There is none once `n_trials` have been handed out or a finite space is exhausted, nor, with
        `lag`, while a trial that the next one depends on has not been told. You may ask any number
        of times before you tell. Trials that an earlier process left untold come first.
        """
        with self._lock:
            if self._asking is None:
                self._asking = self._begin_asking()
            return self._shown(self._asking.ask())

    def _begin_asking(self) -> Asking:
        self._recorder.doubts = Doubts(self.metric, prunes=self._prunes)
        self._open_trackers(self._engine.budget.n_trials, 1, (), progress=None)
        self._recorder.take_over(time.time(), isolated=True, orphans_count=self._orphans_count)
        return Asking(self._recorder)

    def report(self, trial: Trial, step: int, **metrics: float) -> str | None:
        """Record metrics of a running trial; returns why it should end early, or None.

        Raises:
            ArgumentError: The trial isn't a running one that `ask` returned.
            MetricError: The step isn't a whole number that rises, or a metric isn't a number.
        """
        with self._lock:
            return self._giver().report(trial, step, metrics)

    def tell(self, trial: Trial, returned: float | Mapping[str, float]) -> Trial:
        """Record the result of a trial: the tuned metric, or a mapping with it, others and notes.

        If the tuned metric is NaN, infinite, missing or not a number, the trial is a FAIL.

        Raises:
            ArgumentError: The trial isn't a running one that `ask` returned.
        """
        with self._lock:
            return self._shown(self._giver().tell(trial, returned))

    def prune(self, trial: Trial) -> Trial:
        """Record that a trial was ended early, as `report` advised.

        Raises:
            ArgumentError: The trial isn't a running one that `ask` returned.
        """
        with self._lock:
            return self._shown(self._giver().prune(trial))

    def fail(self, trial: Trial, reason: str, *, error: str = "", traceback: str = "") -> Trial:
        """Record that a trial failed, and why.

        Args:
            trial: The trial.
            reason: What happened, in one line.
            error: The class name of the exception, if there was one.
            traceback: Its traceback, as returned by `traceback.format_exc`. If trials all over the
                space failed in the same line, with similar reasons, and none has succeeded, that is
                considered a bug: `ask` returns None, unless `max_failures` is given.

        Raises:
            ArgumentError: The trial isn't a running one that `ask` returned.
        """
        with self._lock:
            return self._shown(self._giver().fail(trial, reason, error, traceback))

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
        """Return the result so far."""
        with self._lock:
            reason = self._reason if self._asking is None else self._asking.reason
            return result_of(self._engine, self.name, self.folder, reason)

    def close(self) -> None:
        """Release the study, so that another process can open it. Safe to call twice.

        Trials that were asked for and not told are lost, and are handed out again next time.
        """
        with self._lock:
            if self._asking is not None:
                self._reason, self._asking = self._asking.close(), None
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
        notes: tuple[str, ...],
        progress: str | bool | None,
        can: Capabilities | None = None,
        *,
        advice: bool = True,
    ) -> None:
        info = StudyInfo(
            name=self.name,
            folder=self.folder,
            space=self.space,
            metric=self.metric,
            seed=self.seed,
            n_trials=n_trials,
            parallelism=parallelism,
            notes=(*self._notes, *notes),
            remote=can is not None and can.remote,
            on_driver_thread=can is not None and can.on_driver_thread,
            outside=frozenset(self._engine.outside),
            advice=advice,
            files=lambda: {"report.html": study_html(self.result())},
        )
        mirrors = Mirrors(make_trackers(self._tracker, progress))
        mirrors.open(info, tuple(self._engine.trials))
        self._recorder.trackers = (mirrors,)

    def _close_trackers(self) -> None:
        for tracker in self._recorder.trackers:
            tracker.close(self._reason, tuple(self._engine.trials))
