"""`SearchCV`: an estimator that searches the settings of another one by cross-validation."""

import contextlib
import copy
import numbers
import os
import time
from typing import Any, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from manyfit.errors import ArgumentError
from manyfit.result import StudyResult
from manyfit.sklearn.best_estimator import BestEstimatorMixin
from manyfit.sklearn.cv_results import cv_results, names_in, warn_of_failures, warn_of_scorers
from manyfit.sklearn.estimators import configured, settings_space
from manyfit.sklearn.fold import fit
from manyfit.sklearn.inputs import Inputs, check_no_params
from manyfit.sklearn.scoring import ONLY, Scoring
from manyfit.sklearn.search import Interrupted, Search

# Params that may be connected to a cluster or a server: copies of a search share them.
_CONNECTED = ("executor", "tracker")


class SearchCV(BestEstimatorMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Searches the settings of an estimator, and then is the best estimator found.

    It replaces `GridSearchCV` and `RandomizedSearchCV`: the params, attributes and methods that it
    shares with them have the same meaning. In addition a sampler learns from the trials so far,
    hopeless trials end between folds, and trials run in worker processes or on a cluster.

    Args:
        estimator: The estimator, which is copied, never changed.
        space: A mapping from names of params to lists, distributions of SciPy, `Float`, `Int` or
            `Choice`; or a list of such mappings. `"clf": Choice({"svm": {"clf": SVC(), "clf__C":
            Float(0.1, 10)}, ...})` chooses a whole step with its params.
        n_trials: The number of settings to try; all of a finite space if it has fewer, or if None.
        scoring: None, a name, a scorer, a list or a dict of these, or a callable; the first of
            several, or that which `refit` names, is tuned, and is better when larger.
        cv: The number of folds, a splitter, or an iterable of splits; all trials have the same.
        refit: Whether to fit the best estimator on all rows; with several scores, the name of the
            one to choose it by; or a function of `cv_results_` that returns an index.
        executor: `"processes"`, `"threads"`, `"inline"`, or an `Executor`, such as
            `SparkExecutor(spark)`. Within a worker process of something else, `"processes"` is
            `"inline"`.
        parallelism: The number of trials that run at once; by default one per core.
        sampler: See `manyfit.tune`; `"grid"` tries the settings in the order of `GridSearchCV`.
        pruner: `"auto"` compares a trial with the complete ones fold by fold (`FoldPruner`), unless
            `random_state` is given and several trials run at once; a pruner, which gets the score
            of each fold; or None to evaluate each trial on all folds.
        stages: The number of scores that a model with rounds or trees reports on its first fold
            while it grows, so that a hopeless one ends there; the first stage has 1 / 2**stages of
            the rounds. `"auto"` is 4 if `pruner` is "auto" and prunes, otherwise 0. The models that
            grow are GradientBoosting, HistGradientBoosting, RandomForest, ExtraTrees and Bagging,
            also as the last step of a `Pipeline`, unless they stop early by themselves. What is
            fitted is the same to the last digit.
        halving: `"rows"` evaluates each trial on few rows first, and goes on to more only with the
            best, as `HalvingRandomSearchCV` does, but without rounds: a trial is judged when it
            arrives, by its score on these rows, unless `pruner` is given. What isn't evaluated on
            all rows has no mean score, and is never best. With several trials at once, timing
            matters then.
        factor: One trial in this many goes on to this many times the rows.
        min_resources: The rows of the first rung: a number; `"smallest"`, two per fold and class;
            or `"exhaust"`, as many as leave a trial for all rows, of `n_trials`.
        error_score: What stands for the score of a fold that failed: a number, or `"raise"` to end
            the search. A trial with a NaN is never best; it ends at once, unless `pruner` is None.
        return_train_score: Whether training rows are scored, too.
        cache: Whether trials of a `Pipeline` share fitted transformers and the rows that these
            transform, or the bytes for that on each machine; by default a quarter of the free disk
            space, or of the memory if that is less. Scores are the same to the last digit. Shared
            are the first steps, up to one that is random without a `random_state`.
        timeout: Seconds after which the search ends with what it has.
        name: The name with which the search is recorded in `folder`, and mirrored to MLflow. A fit
            with the same name resumes. Without a name nothing is left behind.
        folder: The folder that contains studies.
        tracker: `"auto"` mirrors a search that has a name to MLflow if it is installed; a tracker;
            a sequence of these; or None.
        random_state: Makes the settings repeatable, whatever the timing. With several trials at
            once, settings are then chosen without the results of the latest trials, and none is
            pruned, unless a pruner is given, which depends on the timing.
        verbose: 0 for no output, 1 for progress, 2 for a line per fold.

    Attributes:
        cv_results_: As for `GridSearchCV`, one row per finished trial. `state` is COMPLETE, PRUNED
            or FAIL, and `reason` says why; those without a mean have NaN. With `halving`,
            `n_resources` is the number of rows that a trial came to, and `iter` its rung.
        n_resources_, n_candidates_: With `halving`, the rows of each rung, and the number of trials
            that were evaluated on them.
        best_estimator_, best_score_, best_params_, best_index_: As for `GridSearchCV`.
        scorer_, n_splits_, refit_time_, multimetric_: As for `GridSearchCV`.
        savings_: What `cache` has saved: `hits`, `made`, `seconds`, `most_bytes`, `budget`.
        n_features_in_, feature_names_in_, classes_: Those of the best estimator.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.svm import SVC
        >>> from manyfit.space import Float
        >>> space = {"C": Float(0.1, 10, log=True), "kernel": ["linear", "rbf"]}
        >>> search = SearchCV(SVC(), space, n_trials=5, executor="inline", random_state=0)
        >>> search = search.fit(*load_iris(return_X_y=True))
        >>> search.best_score_ > 0.95, len(search.cv_results_["params"])
        (np.True_, 5)
    """

    def __init__(
        self,
        estimator: Any,
        space: Any,
        *,
        n_trials: int | None = 30,
        scoring: Any = None,
        cv: Any = None,
        refit: Any = True,
        executor: Any = "processes",
        parallelism: int | None = None,
        sampler: Any = "auto",
        pruner: Any = "auto",
        stages: int | str = "auto",
        halving: str | None = None,
        factor: int = 3,
        min_resources: int | str = "exhaust",
        error_score: Any = np.nan,
        return_train_score: bool = False,
        cache: bool | int = True,
        timeout: float | None = None,
        name: str | None = None,
        folder: str | os.PathLike[str] = ".manyfit",
        tracker: Any = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.n_trials = n_trials
        self.scoring = scoring
        self.cv = cv
        self.refit = refit
        self.executor = executor
        self.parallelism = parallelism
        self.sampler = sampler
        self.pruner = pruner
        self.stages = stages
        self.halving = halving
        self.factor = factor
        self.min_resources = min_resources
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.cache = cache
        self.timeout = timeout
        self.name = name
        self.folder = folder
        self.tracker = tracker
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Run the search, and fit the best estimator on all rows.

        Args:
            X: The rows.
            y: The targets.
            **params: Metadata for the estimator, the scorers and the splitter, such as
                `sample_weight` and `groups`. What has a value for each row is split with them.

        Raises:
            ValueError: An argument breaks a rule, or every fit failed.
            TypeError: An argument has the wrong type.
            KeyboardInterrupt: On a Ctrl-C; `cv_results_` has the finished trials, and the message
                says how to go on.
        """
        _check(self)
        scoring = Scoring(self.estimator, self.scoring, self.refit)
        candidates = settings_space(self.estimator, self.space)
        search = Search(self, candidates, scoring, Inputs.of(self, scoring, X, y, params))
        try:
            result = search.run()
        except Interrupted as interrupt:
            self.__dict__.pop("best_estimator_", None)  # that of an earlier fit
            with contextlib.suppress(ValueError):  # nothing has finished
                self._take(search, interrupt.result)
            raise
        self._take(search, result)
        if self.refit is not False:
            self._refit(search)
        return self

    def _take(self, search: Search, result: StudyResult) -> None:
        """Set the attributes that follow from the trials."""
        trials = [trial for trial in result.trials if trial.state.is_finished]
        if not trials:
            raise ValueError(f"No fits were performed: the search ended with {result.reason}.")
        score = np.nan if self.error_score == "raise" else self.error_score
        warn_of_failures(trials, score, search.rungs)
        warn_of_scorers(trials, score)
        names = search.scoring.names or names_in(trials) or (ONLY,)
        self.multimetric_ = isinstance(search.scoring.scorer, dict) or names != (ONLY,)
        self.scorer_ = search.scoring.scorer
        self.n_splits_ = len(search.inputs.folds)
        self.cv_results_ = cv_results(
            trials,
            [search.params_of(trial) for trial in trials],
            names,
            folds=self.n_splits_,
            train_scores=self.return_train_score,
            error_score=score,
            rungs=search.rungs,
        )
        if search.rungs:
            self.n_resources_ = list(search.rungs)
            came_to = self.cv_results_["n_resources"]
            self.n_candidates_ = [int((came_to >= rows).sum()) for rows in search.rungs]
        self.savings_ = search.savings(result)
        if self.refit is not False or not self.multimetric_:
            self._choose(self.refit if self.multimetric_ else ONLY)

    def _choose(self, metric: Any) -> None:
        """Set the attributes of the best trial."""
        results = self.cv_results_
        if not callable(self.refit):
            self.best_index_ = results[f"rank_test_{metric}"].argmin()
            self.best_score_ = results[f"mean_test_{metric}"][self.best_index_]
        else:
            self.best_index_ = self.refit(results)
            if not isinstance(self.best_index_, numbers.Integral):
                raise TypeError("best_index_ returned is not an integer")
            if not 0 <= int(self.best_index_) < len(results["params"]):
                raise IndexError("best_index_ index out of range")
        self.best_params_ = results["params"][self.best_index_]

    def _refit(self, search: Search) -> None:
        self.best_estimator_ = configured(self.estimator, self.best_params_)
        data = search.inputs.data
        started = time.perf_counter()
        fit(self.best_estimator_, data.X, data.y, data.fit_params)
        self.refit_time_ = time.perf_counter() - started
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """Return the score of the best estimator, by `scoring` or its own `score`.

        Raises:
            NotFittedError: The search isn't fitted.
            AttributeError: It was fitted with `refit=False`.
        """
        if self.refit is False:
            raise AttributeError(
                f"This {type(self).__name__} instance was initialized with `refit=False`. score is "
                "available only after refitting on the best parameters. You can refit an estimator "
                "manually using the `best_params_` attribute"
            )
        check_is_fitted(self)
        check_no_params(self, "score", params)
        is_routed = params and get_config()["enable_metadata_routing"]
        routed = process_routing(self, "score", **params).scorer.score if is_routed else {}
        scorer = self.scorer_[self.refit] if isinstance(self.scorer_, dict) else self.scorer_
        found = scorer(self.best_estimator_, X, y, **routed)
        return float(found[self.refit] if isinstance(found, dict) else found)

    def get_metadata_routing(self) -> MetadataRouter:
        """Return what the estimator, the scorers and the splitter request."""
        router = MetadataRouter(owner=self)
        router.add(
            estimator=self.estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )
        scoring = Scoring(self.estimator, self.scoring, self.refit)
        router.add(
            scorer=scoring.router,
            method_mapping=MethodMapping()
            .add(caller="score", callee="score")
            .add(caller="fit", callee="score"),
        )
        router.add(
            splitter=self.cv, method_mapping=MethodMapping().add(caller="fit", callee="split")
        )
        return router

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = copy.deepcopy(inner.classifier_tags)
        tags.regressor_tags = copy.deepcopy(inner.regressor_tags)
        tags.input_tags.pairwise = inner.input_tags.pairwise
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.array_api_support = inner.array_api_support
        return tags

    def _sk_visual_block_(self) -> Any:
        """Show in a notebook what GridSearchCV shows; scikit-learn's display calls it."""
        shown = GridSearchCV(self.estimator, {})
        if hasattr(self, "best_estimator_"):
            shown.best_estimator_ = self.best_estimator_
        return shown._sk_visual_block_()

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted copy, which shares the connections to clusters and servers."""
        params = self.get_params(deep=False)
        connected = {name: params.pop(name) for name in _CONNECTED}
        copied = {name: clone(value, safe=False) for name, value in params.items()}
        return type(self)(**copied, **connected)

    def __getstate__(self) -> Any:
        state = dict(super().__getstate__())
        for name in _CONNECTED:  # a pickle has no connections, and those are the defaults
            if not isinstance(state.get(name), str | None):
                state[name] = "processes" if name == "executor" else None
        return state


def _check(search: SearchCV) -> None:
    if not hasattr(search.estimator, "fit"):
        raise TypeError(f"estimator must have a method fit, but got {search.estimator!r:.200}")
    if not (isinstance(search.refit, bool | str) or callable(search.refit)):
        raise ArgumentError(
            f"refit must be a bool, a metric's name or a function, but got {search.refit!r:.200}"
        )
    score = search.error_score
    if score != "raise" and not isinstance(score, numbers.Real):
        raise ArgumentError(f"error_score must be 'raise' or a number, but got {score!r:.200}")
