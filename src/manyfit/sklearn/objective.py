"""The objective of a search: fits and scores an estimator on one fold after another."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn import config_context

from manyfit.errors import FatalError
from manyfit.sklearn.estimators import configured
from manyfit.sklearn.fits import FrontSharing, PlainFits, TrialFits
from manyfit.sklearn.fold import Data, Fits, Fold, FoldResult, fit_fold, fold_rows
from manyfit.sklearn.saved import saved_by
from manyfit.sklearn.scoring import ONLY, Scoring, ScoringError
from manyfit.sklearn.spaces import SettingsSpace
from manyfit.worker.context import ignoring_reports, report

# The name under which the tuned score is reported, and its mean returned. It says nothing of the
# direction, which would be doubted: larger is better, even where the score is a negated error.
METRIC = "mean_test_score"
# What is reported of a stage within the first fold: its share of the rounds, and the fit's seconds.
STAGE, STAGE_TIME = "split0_stage", "split0_stage_time"
# The notes of a trial that completed although a fit or a scorer failed, and their length.
FIT_ERROR, SCORE_ERROR = "fit_error", "score_error"
_MOST_NOTE = 900


@dataclass(frozen=True)
class FoldsObjective:
    """Evaluates the settings of a trial on all folds; returns the means of the scores.

    Each fold is reported when it is done, so that a hopeless trial can end before the others.

    Args:
        estimator: The estimator, which is copied for each fold.
        candidates: Turns the params of a trial into settings of the estimator.
        data: A mapping with the data and the folds: it may be shared among the trials of a machine.
        scoring: The scores to compute.
        train_scores: Whether the training rows are scored, too.
        error_score: What stands for the score of a fold that failed; `"raise"` ends the study.
        all_folds: Whether a trial whose mean is already NaN goes on to the other folds.
        config: The configuration of scikit-learn.
        stages: The number of reports of a model that grows, within its first fold. The folds are
            reported at this step and on.
        rungs: The numbers of rows on which a trial is evaluated, one after another, the last being
            all of them; `data` then has the folds of each. Empty for all rows at once.
        sharing: How trials share fitted transformers; None if they share none.
    """

    is_manyfit_own: ClassVar[bool] = True

    estimator: Any
    candidates: SettingsSpace
    data: Mapping[str, Any]
    scoring: Scoring
    train_scores: bool
    error_score: Any
    all_folds: bool
    config: Mapping[str, Any]
    stages: int = 0
    rungs: tuple[int, ...] = ()
    sharing: FrontSharing | None = None

    def __call__(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluate the params of a trial.

        Raises:
            FatalError: The search can't go on; the cause is what the user is to see.
            Exception: A fold failed, and its score is NaN.
        """
        settings = self.candidates.settings(params)
        with config_context(**self.config), self._fits(settings) as fits:
            evaluated = self._climb if self.rungs else self._all_folds
            results = evaluated(settings, fits)
        self._raise_failure(results)
        return self._summary(results)

    def _all_folds(self, settings: Mapping[str, Any], fits: Fits) -> list[FoldResult]:
        results: list[FoldResult] = []
        for fold in self.data["folds"]:
            results.append(self._evaluate(settings, fold, fits))
            report(
                self.stages + fold.number,
                **self._score([results[-1]]),
                **self._details(fold.number, results[-1]),
                **saved_by(fits, fold.number),
            )
            if not self.all_folds:
                self._raise_failure(results[-1:])
        return results

    def _climb(self, settings: Mapping[str, Any], fits: Fits) -> list[FoldResult]:
        """Evaluate all folds on more and more rows; returns the results on all rows."""
        folds = self.data["folds"]
        count = len(folds) // len(self.rungs)
        results: list[FoldResult] = []
        for first, rows in zip(range(0, len(folds), count), self.rungs, strict=True):
            results = []
            metrics: dict[str, float] = {}
            for number in range(count):
                results.append(self._evaluate(settings, folds[first + number], fits))
                metrics |= self._details(number, results[-1]) | saved_by(fits, first + number)
                self._raise_failure(results[-1:])
            # A pruner has nothing to judge once a trial has all of its scores.
            score = self._score(results) if rows != self.rungs[-1] else {}
            report(rows, **score, **metrics)
        return results

    def _fits(self, settings: Mapping[str, Any]) -> AbstractContextManager[Fits]:
        if self.sharing is None:
            return nullcontext(PlainFits())
        folds = self.data["folds"]

        def make() -> Any:
            return configured(self.estimator, settings)

        return TrialFits(
            self.sharing, make, lambda fold: fold_rows(make(), self._data, folds[fold])
        )

    @property
    def _data(self) -> Data:
        return Data(*(self.data[name] for name in ("X", "y", "fit_params", "score_params")))

    def _evaluate(self, settings: Mapping[str, Any], fold: Fold, fits: Fits) -> FoldResult:
        def tell(stage: int, scores: Mapping[str, float], seconds: float) -> None:
            score = self._tuned(FoldResult(test=dict(scores)))
            if math.isfinite(score):
                share = 0.5 ** (self.stages - stage)
                shown = {METRIC: score, STAGE: share, STAGE_TIME: seconds}
                with ignoring_reports(False):
                    report(stage, **shown, **saved_by(fits, fold.number))

        try:
            with ignoring_reports():  # the estimator's own count the steps of one fit
                result = fit_fold(
                    configured(self.estimator, settings),
                    self._data,
                    fold,
                    self.scoring,
                    train_scores=self.train_scores,
                    fits=fits,
                    stages=self.stages if fold.number == 0 else 0,
                    tell=tell,
                )
            if not result.error and self.scoring.tuned is None and ONLY not in result.test:
                self.scoring.to_tune(result.test)
        except ScoringError as error:
            raise FatalError(str(error)) from error
        if result.error is not None and self.error_score == "raise":
            raise FatalError(str(result.error)) from result.error
        return self._with_error_scores(result)

    def _with_error_scores(self, result: FoldResult) -> FoldResult:
        """Enter the error score where a fit or a scorer failed."""
        failed = (*result.failed_scorers, *(self.scoring.names if result.error else ()))
        score = math.nan if self.error_score == "raise" else float(self.error_score)
        result.test |= dict.fromkeys(failed, score)
        if self.train_scores:
            result.train |= dict.fromkeys(failed, score)
        return result

    def _tuned(self, result: FoldResult) -> float:
        """Return the tuned score of a fold."""
        scores = result.test
        if not scores:
            return float(self.error_score)
        name = self.scoring.tuned or (ONLY if ONLY in scores else self.scoring.to_tune(scores))
        return scores[name]

    def _score(self, results: Sequence[FoldResult]) -> dict[str, float]:
        """Return the mean of the tuned score, if it is finite.

        Without it, a pruner doesn't judge a report: what failed ends by its own exception.
        """
        tuned = float(np.mean([self._tuned(each) for each in results]))
        return {METRIC: tuned} if math.isfinite(tuned) else {}

    def _details(self, number: int, result: FoldResult) -> dict[str, float]:
        return {
            f"split{number}_fit_time": result.fit_time,
            f"split{number}_score_time": result.score_time,
            **{f"split{number}_test_{name}": value for name, value in result.test.items()},
            **{f"split{number}_train_{name}": value for name, value in result.train.items()},
            **({f"split{number}_fit_failed": 1.0} if result.fit_failed else {}),
        }

    def _raise_failure(self, results: Sequence[FoldResult]) -> None:
        """Raise the first exception that made the mean NaN."""
        for result in results:
            if result.error is not None and math.isnan(self._tuned(result)):
                raise result.error

    def _summary(self, results: Sequence[FoldResult]) -> dict[str, Any]:
        means = {
            f"mean_{kind}_{name}": _mean([getattr(each, kind).get(name) for each in results])
            for kind in ("test", "train")
            for name in getattr(results[0], kind)
        }
        return {
            **means,
            METRIC: float(np.mean([self._tuned(each) for each in results])),
            "mean_fit_time": _mean([each.fit_time for each in results]),
            "mean_score_time": _mean([each.score_time for each in results]),
            **self._notes(results),
        }

    def _notes(self, results: Sequence[FoldResult]) -> dict[str, str]:
        notes = {}
        for result in results:
            if result.error is not None:
                kind = FIT_ERROR if result.fit_failed else SCORE_ERROR
                notes[kind] = f"{type(result.error).__name__}: {result.error}"[:_MOST_NOTE]
            for text in result.failed_scorers.values():
                notes[SCORE_ERROR] = text[-_MOST_NOTE:]
        return notes


def _mean(values: Sequence[float | None]) -> float:
    return float(np.mean([math.nan if value is None else value for value in values]))
