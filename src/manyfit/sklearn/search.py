"""Runs a search: the study of an estimator's settings, from checked inputs to finished trials."""

import contextlib
import functools
import multiprocessing
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sklearn import get_config
from sklearn.utils import check_random_state

from manyfit._checks import check_optional
from manyfit.data.shared import share
from manyfit.digest import digest
from manyfit.errors import ArgumentError, ExecutorError, FatalError, StudyChangedError
from manyfit.executors.auto import make_executor
from manyfit.executors.base import Executor
from manyfit.front_plan import Savings, bytes_allowed
from manyfit.result import StudyResult
from manyfit.sklearn.estimators import configured
from manyfit.sklearn.fit_keys import NotShared, data_key, is_pipeline, why_not_shared
from manyfit.sklearn.fit_plan import Fronts, default_budget
from manyfit.sklearn.fits import FrontSharing
from manyfit.sklearn.inputs import Inputs
from manyfit.sklearn.objective import METRIC, FoldsObjective
from manyfit.sklearn.own_code import own_code
from manyfit.sklearn.pruning import Pruning
from manyfit.sklearn.saved import savings_of
from manyfit.sklearn.scoring import Scoring
from manyfit.sklearn.spaces import SettingsSpace
from manyfit.sklearn.verbose import FitLines
from manyfit.study import Study
from manyfit.trial import Failed, Params, Trial
from manyfit.worker.context import current_trial

_LARGEST_SEED = 2**31 - 1


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C ended the search.

    Attributes:
        result: The trials so far.
    """

    def __init__(self, result: StudyResult) -> None:
        done = sum(trial.state.is_finished for trial in result.trials)
        super().__init__(
            f"{done} {'trial is' if done == 1 else 'trials are'} done and on record. To go on, fit "
            f"again with name={result.name!r} and folder={str(result.folder.parent)!r}"
        )
        self.result = result


@dataclass(frozen=True, eq=False)
class Search:
    """A search whose arguments are checked.

    Args:
        options: The estimator that searches, with its arguments as attributes.
        candidates: The space.
        scoring: The scores.
        inputs: The data.
    """

    options: Any
    candidates: SettingsSpace
    scoring: Scoring
    inputs: Inputs

    def run(self) -> StudyResult:
        """Run the trials.

        Raises:
            ArgumentError: An argument breaks a rule; nothing has run.
            ObjectiveError: The estimator, or something else, can't be sent to a worker.
            StudyChangedError: The study of this name has another space, metric or data.
            Interrupted: On a Ctrl-C.
            ExecutorError: A fit killed its workers, and `error_score` is "raise".
            Exception: A fit failed and `error_score` is "raise", or a scorer returned no number.
        """
        options, n_trials = self.options, self._n_trials
        objective = self._objective(self._executor, self._fronts(n_trials))
        if options.verbose > 0:
            folds = len(self.inputs.folds)
            rungs = f" on {', '.join(map(str, self.rungs))} rows, the best to the end"
            total = f", totalling {folds * n_trials} fits"
            print(
                f"Fitting {folds} folds for each of {n_trials} candidates"
                f"{rungs if self.rungs else total}"
            )
        with objective.sharing or contextlib.nullcontext(), self._study() as study:
            try:
                result = study.tune(
                    objective,
                    n_trials=n_trials,
                    timeout=options.timeout,
                    stop=_has_lost_a_trial if options.error_score == "raise" else None,
                    executor=self._executor,
                    max_failures=n_trials if options.sampler == "grid" else None,
                    progress="auto" if options.verbose == 1 else None,
                )
            except KeyboardInterrupt as interrupt:
                raise Interrupted(study.result()) from interrupt
            if result.reason == "interrupted":
                raise Interrupted(result)
        self._raise_fatal(result)
        return result

    @contextlib.contextmanager
    def _study(self) -> Iterator[Study]:
        options, pruning = self.options, self._pruning
        lag = self._executor.parallelism if pruning.is_repeatable else None
        with self._folder() as folder:
            with _told_what_changed(options.name):
                study = Study(
                    self.candidates.marked(self._marks()),
                    metric=METRIC,
                    direction="maximize",
                    name=options.name,
                    folder=folder,
                    seed=_seed_of(options.random_state),
                    sampler=options.sampler,
                    pruner=pruning.pruner,
                    lag=lag,
                    tracker=self._tracker(),
                )
            with study:
                yield study

    def _marks(self) -> dict[str, str]:
        """Return what a search that is resumed must have in common with the one on record."""
        options, estimator = self.options, self.options.estimator
        tuned = options.refit if isinstance(options.refit, str) else ""
        return {
            **self.inputs.marks(self._pruning.folds),
            "search.estimator": f"{type(estimator).__name__}, {_digest(estimator.get_params())}"
            f"{own_code(estimator, options.space)}",
            "search.scoring": f"{_digest((options.scoring, options.error_score, tuned))}"
            f"{own_code(options.scoring)}",
        }

    def params_of(self, trial: Trial) -> Params:
        """Return the settings of a trial."""
        return self.candidates.settings(trial.params)

    @property
    def rungs(self) -> tuple[int, ...]:
        """The numbers of rows on which trials are evaluated one after another, if that is asked."""
        return self._pruning.rungs

    @functools.cached_property
    def _executor(self) -> Executor:
        options = self.options
        return make_executor(
            _where(options.executor), parallelism=options.parallelism, n_trials=self._n_trials
        )

    @functools.cached_property
    def _pruning(self) -> Pruning:
        return Pruning.of(
            self.options,
            self.candidates,
            self.inputs,
            n_trials=self._n_trials,
            parallelism=self._executor.parallelism,
        )

    @functools.cached_property
    def _n_trials(self) -> int:
        given = check_optional("n_trials", self.options.n_trials, least=1, whole=True)
        size = self.candidates.space.size
        if given is None and size is None:
            raise ArgumentError("the space is infinite: set n_trials, but got None")
        if given is not None and size is not None and size < given:
            warnings.warn(
                f"The total space of parameters {size} is smaller than n_trials={given}. Running "
                f"{size} trials.",
                UserWarning,
                stacklevel=5,
            )
        return min(each for each in (given, size) if each is not None)

    @functools.cached_property
    def budget(self) -> int:
        """The bytes for fitted transformers on each machine; 0 if trials share none.

        Raises:
            ArgumentError: `cache` is neither True, False nor a positive number of bytes.
        """
        cache = self.options.cache
        return 0 if cache is False else bytes_allowed(cache, default_budget)

    def savings(self, result: StudyResult) -> Savings:
        """Return what sharing fitted transformers has saved, and show it if that is asked for."""
        estimator = self.options.estimator
        found = savings_of(result.trials, self.budget)
        if self.options.verbose and self.budget and is_pipeline(estimator):
            reason = why_not_shared(estimator)
            print(f"{found}{f'; not everything is shared: {reason}' if reason else ''}")
        return found

    def _fronts(self, n_trials: int) -> Fronts | None:
        """Return the fronts that trials share; None if they share none."""
        if self.budget == 0 or not is_pipeline(self.options.estimator):
            return None
        fronts = Fronts.of(
            self.candidates.space,
            lambda params: configured(self.options.estimator, self.candidates.settings(params)),
            n_trials,
            in_order=self.options.sampler == "grid",
        )
        if fronts.unseeded:
            warnings.warn(
                f"each trial fits anew what several could share: {fronts.unseeded}, or say "
                "cache=False to share nothing",
                UserWarning,
                stacklevel=4,
            )
        return fronts if fronts.are_shared else None

    def _sharing(self, fronts: Fronts, data: Mapping[str, Any]) -> FrontSharing | None:
        with contextlib.suppress(NotShared):
            return fronts.sharing(
                data_key({name: data[name] for name in ("X", "y", "fit_params", "folds")}),
                folds=len(self._pruning.folds),
                budget=self.budget,
                train_scores=self.options.return_train_score,
            )
        return None

    def _objective(self, executor: Executor, fronts: Fronts | None = None) -> FoldsObjective:
        options, pruning = self.options, self._pruning
        data: Mapping[str, Any] = {
            "X": self.inputs.data.X,
            "y": self.inputs.data.y,
            "fit_params": dict(self.inputs.data.fit_params),
            "score_params": dict(self.inputs.data.score_params),
            "folds": pruning.folds,
        }
        return FoldsObjective(
            estimator=options.estimator,
            candidates=self.candidates,
            data=data if executor.capabilities.in_driver_process else share(**data),
            scoring=self.scoring,
            train_scores=options.return_train_score,
            error_score=options.error_score,
            all_folds=options.pruner is None,
            config=get_config(),
            stages=pruning.stages,
            rungs=pruning.rungs,
            sharing=None if fronts is None else self._sharing(fronts, data),
        )

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Any]:
        """Return the folder of studies; without a name, one that is removed unless interrupted."""
        if self.options.name is not None:
            yield self.options.folder
            return
        folder = tempfile.mkdtemp(prefix="manyfit-search-")
        try:
            yield folder
        except Interrupted:
            raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def _tracker(self) -> Any:
        """Return the tracker; a search without a name isn't recorded, unless one is given."""
        tracker = self.options.tracker
        if isinstance(tracker, str) and tracker == "auto" and self.options.name is None:
            tracker = None
        if self.options.verbose < 2:
            return tracker
        folds, by_rows = len(self.inputs.folds), bool(self.rungs)
        lines = FitLines(self.candidates.settings, folds, by_rows=by_rows)
        return [
            lines,
            *(tracker if isinstance(tracker, list | tuple) else [tracker] * bool(tracker)),
        ]

    def _raise_fatal(self, result: StudyResult) -> None:
        """Raise what ended the search: the settings are evaluated again here, for the exception."""
        lost = next(_lost(result), None)
        if lost is not None and self.options.error_score == "raise":
            raise ExecutorError(
                f"a fit with {self.params_of(lost)} was lost with its worker, again and again: "
                f"{lost.reason}"
            )
        trial = next((trial for trial in result.trials if _is_fatal(trial)), None)
        if trial is None:
            return
        here = self._objective(make_executor("inline"))
        try:
            here(trial.params)
        except FatalError as error:
            raise error.__cause__ or error from None
        raise ArgumentError(f"a trial ended the search: {trial.reason}\n{trial.traceback}")


@contextlib.contextmanager
def _told_what_changed(name: str | None) -> Iterator[None]:
    """Say in words of a search what differs from the study on record."""
    try:
        yield
    except StudyChangedError as error:
        changes = [line.strip() for line in str(error).splitlines() if line.startswith("  ")]
        folds = any(line.startswith("search.folds") for line in changes)
        advice = " (a splitter that shuffles must have a random_state to be resumed)" * folds
        raise StudyChangedError(
            f"the search {name!r} is on record with other data, folds or scores, or with another "
            f"space or estimator: {'; '.join(changes) or error}{advice}. Results of one can't be "
            "compared with those of the other: give this search another name"
        ) from error


def _digest(value: Any) -> str:
    return digest(re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)))


def _is_fatal(trial: Trial) -> bool:
    end = trial.attempts[-1].end if trial.attempts else None
    return isinstance(end, Failed) and end.fatal


def _lost(result: StudyResult) -> Iterator[Trial]:
    """Yield the trials whose workers died each time."""
    return (trial for trial in result.trials if trial.abandoned is not None)


def _has_lost_a_trial(result: StudyResult) -> bool:
    return any(_lost(result))


def _seed_of(random_state: Any) -> int | None:
    if random_state is None:
        return None
    return int(check_random_state(random_state).randint(_LARGEST_SEED))


def _where(executor: Any) -> Any:
    """Return the executor; a search inside of another one's worker runs in that worker."""
    is_inner = current_trial() is not None or multiprocessing.parent_process() is not None
    return "inline" if is_inner and executor == "processes" else executor
