"""Reports iterations of scikit-learn's estimators that have callbacks, from version 1.9 on."""

from typing import Any

from manyfit.callbacks.rounds import Rounds
from manyfit.callbacks.scores import scores_of


class SklearnCallback:
    """Reports each iteration of an estimator's `fit`; `set_callbacks` attaches it.

    After each iteration, the estimator is scored on the training rows and on these validation rows,
    under names such as `train_accuracy` and `val_accuracy`; weights of rows are left out. A trial
    that is pruned raises `TrialStopped`, which leaves `fit`. Outside of a trial, iterations are not
    scored.

    Scikit-learn 1.9 calls callbacks in the iterations of `LogisticRegression` only, with the solver
    `"lbfgs"`. In a pipeline or a search of scikit-learn it is refused, since the validation rows
    lack what the steps before do; in a `SearchCV`, which reports by itself, it does nothing.

    Args:
        X_val: The features of validation rows.
        y_val: Their targets.
        scoring: The same as for `cross_validate`; None is the estimator's own score, and then the
            names are `train_score` and `val_score`.
        first_step: The step of iteration 0.

    Raises:
        ArgumentError: `first_step` isn't a whole number of at least 0.
        MetricError: In `fit`: the estimator has no iterations, is part of another, the tuned metric
            isn't among the scores, or the step was reported before.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.metrics import roc_auc_score
        >>> from sklearn.model_selection import train_test_split
        >>> from sklearn.preprocessing import scale
        >>> from manyfit.callbacks import SklearnCallback
        >>> def train(params):
        ...     x, y = load_breast_cancer(return_X_y=True)
        ...     x, x_val, y, y_val = train_test_split(scale(x), y, random_state=0)
        ...     model = LogisticRegression(**params)
        ...     model.set_callbacks(SklearnCallback(x_val, y_val, scoring="roc_auc"))
        ...     model.fit(x, y)
        ...     return {"val_roc_auc": roc_auc_score(y_val, model.decision_function(x_val))}
        >>> train({"C": 0.1})["val_roc_auc"] > 0.9
        True
    """

    def __init__(self, X_val: Any, y_val: Any, *, scoring: Any = None, first_step: int = 0) -> None:
        self._rows = X_val, y_val
        self._scoring = scoring
        self._iterated = False
        self._rounds = Rounds("SklearnCallback", "give it a scoring that does", first_step)

    def setup(self, estimator: Any, context: Any) -> None:
        """Refuse an estimator that is a part of another."""
        self._iterated = context.source_estimator_name is not None
        if self._iterated:
            self._rounds.refuse(
                f"is for an estimator alone, but {context.estimator_name} is in "
                f"{context.source_estimator_name}, which may transform its rows, but not the "
                "validation rows. Fit and apply what comes before it first, then fit it alone"
            )

    def teardown(self, estimator: Any, context: Any) -> None:
        """Refuse an estimator that has had no iterations."""
        if not self._iterated:
            self._rounds.refuse(
                f"has nothing to report: {context.estimator_name} calls no callbacks in its "
                "iterations. Use PartialFitRounds if it has partial_fit"
            )

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing is reported before an iteration."""

    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any = None,
        y: Any = None,
        fitted_estimator: Any = None,
    ) -> None:
        """Report the iteration, and end the trial if it was told to stop."""
        if context.parent is None or fitted_estimator is None:
            return
        self._iterated = True
        parts = {"train": (X, y), "val": self._rows}
        self._rounds.report(context.task_id, scores_of(fitted_estimator, self._scoring, parts))
