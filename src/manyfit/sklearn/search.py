"""Runs a search: the study of an estimator's settings, from checked inputs to finished trials."""

import contextlib
import multiprocessing
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sklearn import get_config
from sklearn.utils import check_random_state

from manyfit._checks import check_optional
from manyfit.data.shared import share
from manyfit.errors import ArgumentError, FatalError
from manyfit.executors.auto import make_executor
from manyfit.executors.base import Executor
from manyfit.pruners.folds import FoldPruner
from manyfit.result import StudyResult
from manyfit.sklearn.inputs import Inputs
from manyfit.sklearn.objective import FoldsObjective
from manyfit.sklearn.scoring import ONLY, Scoring
from manyfit.sklearn.spaces import SettingsSpace
from manyfit.study import Study
from manyfit.trial import Failed, Params, Trial
from manyfit.worker.context import current_trial

_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
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
            Exception: A fit failed and `error_score` is "raise", or a scorer returned no number.
        """
        options, space = self.options, self.candidates.space
        n_trials = self._n_trials()
        executor = make_executor(
            _where(options.executor), parallelism=options.parallelism, n_trials=n_trials
        )
        seed = _seed_of(options.random_state)
        lag = executor.parallelism if seed is not None and executor.parallelism > 1 else None
        objective = self._objective(executor)
        with (
            self._folder() as folder,
            Study(
                space,
                metric=objective.metric,
                direction="maximize",
                name=options.name,
                folder=folder,
                seed=seed,
                sampler=options.sampler,
                pruner=self._pruner(lag),
                lag=lag,
                tracker=self._tracker(),
            ) as study,
        ):
            result = study.tune(
                objective,
                n_trials=n_trials,
                timeout=options.timeout,
                executor=executor,
                max_failures=n_trials if options.sampler == "grid" else None,
                progress="auto" if options.verbose else None,
            )
        self._raise_fatal(result)
        return result

    def params_of(self, trial: Trial) -> Params:
        """Return the settings of a trial."""
        return self.candidates.settings(trial.params)

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
                stacklevel=4,
            )
        return min(each for each in (given, size) if each is not None)

    def _objective(self, executor: Executor) -> FoldsObjective:
        options = self.options
        data: Mapping[str, Any] = {
            "X": self.inputs.data.X,
            "y": self.inputs.data.y,
            "fit_params": dict(self.inputs.data.fit_params),
            "score_params": dict(self.inputs.data.score_params),
            "folds": self.inputs.folds,
        }
        return FoldsObjective(
            estimator=options.estimator,
            candidates=self.candidates,
            data=data if executor.capabilities.in_driver_process else share(**data),
            scoring=self.scoring,
            metric=f"mean_test_{self.scoring.tuned or ONLY}",
            train_scores=options.return_train_score,
            error_score=options.error_score,
            all_folds=options.pruner is None,
            config=get_config(),
        )

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Any]:
        """Return the folder of studies; without a name, one that is removed at the end."""
        if self.options.name is not None:
            yield self.options.folder
            return
        with tempfile.TemporaryDirectory(prefix="manyfit-search-") as folder:
            yield folder

    def _pruner(self, lag: int | None) -> Any:
        pruner, folds = self.options.pruner, len(self.inputs.folds)
        if pruner != "auto":
            return pruner
        return FoldPruner(folds) if folds > 1 and lag is None else None

    def _tracker(self) -> Any:
        """Return the tracker; a search without a name isn't recorded, unless one is given."""
        is_auto = isinstance(self.options.tracker, str) and self.options.tracker == "auto"
        return None if is_auto and self.options.name is None else self.options.tracker

    def _raise_fatal(self, result: StudyResult) -> None:
        """Raise what ended the search: the settings are evaluated again here, for the exception."""
        fatal = (trial for trial in result.trials if _is_fatal(trial))
        trial = next(fatal, None)
        if trial is None:
            return
        here = self._objective(make_executor("inline"))
        try:
            here(self.candidates.space.store(trial.params))
        except FatalError as error:
            raise error.__cause__ or error from None
        raise ArgumentError(f"a trial ended the search: {trial.reason}\n{trial.traceback}")


def _is_fatal(trial: Trial) -> bool:
    end = trial.attempts[-1].end if trial.attempts else None
    return isinstance(end, Failed) and end.fatal


def _seed_of(random_state: Any) -> int | None:
    if random_state is None:
        return None
    return int(check_random_state(random_state).randint(_LARGEST_SEED))


def _where(executor: Any) -> Any:
    """Return the executor; a search inside of another one's worker runs in that worker."""
    is_inner = current_trial() is not None or multiprocessing.parent_process() is not None
    return "inline" if is_inner and executor == "processes" else executor
