"""Reports rounds of CatBoost."""

import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

from manyfit.callbacks.rounds import Rounds
from manyfit.errors import MetricError


class _Info(Protocol):
    """What CatBoost passes to callbacks."""

    iteration: int
    metrics: Mapping[str, Mapping[str, Sequence[float]]]


class CatBoostCallback:
    """Reports the rounds of CatBoost for which it computes metrics: all but for `metric_period`.

    A metric has the names of its data and its own, as in `learn_Logloss`, `validation_AUC`, and
    with several evaluation sets `validation_0_AUC`. A trial that is pruned, or fails by a
    `MetricError`, ends the training: `fit` returns, since CatBoost's callbacks can't raise, and
    what the objective then does makes no difference. Outside of a trial, nothing happens.

    Args:
        first_step: The step of CatBoost's first round, which a training with `init_model` also has.

    Raises:
        ArgumentError: `first_step` isn't a whole number of at least 0.
        MetricError: For the trial, after its first round: CatBoost doesn't compute the tuned
            metric, or the step was reported before.

    Example:
        >>> from catboost import CatBoostClassifier
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.model_selection import train_test_split
        >>> from manyfit.callbacks import CatBoostCallback
        >>> def train(params):
        ...     x, y = load_breast_cancer(return_X_y=True)
        ...     x, x_val, y, y_val = train_test_split(x, y, random_state=0)
        ...     model = CatBoostClassifier(iterations=50, eval_metric="AUC", verbose=False,
        ...                                allow_writing_files=False, **params)
        ...     model.fit(x, y, eval_set=(x_val, y_val), early_stopping_rounds=5,
        ...               callbacks=[CatBoostCallback()])
        ...     return {"validation_AUC": model.best_score_["validation"]["AUC"]}
        >>> train({"learning_rate": 0.1})["validation_AUC"] > 0.9
        True
    """

    def __init__(self, *, first_step: int = 0) -> None:
        self._seen: dict[int, dict[str, int]] = {}  # numbers of values, by thread and metric
        self._rounds = Rounds(
            "CatBoostCallback",
            "give CatBoost an eval_set and its metric (eval_metric or custom_metric)",
            first_step,
        )

    def after_iteration(self, info: _Info) -> bool:
        """Report the round, and return whether the training goes on."""
        if info.iteration == 1:
            self._seen[threading.get_ident()] = {}
        metrics = self._new(info.metrics)
        try:
            return not (metrics and self._rounds.stops(info.iteration - 1, metrics.items()))
        except MetricError:
            # The trial fails by it. CatBoost would make its text a CatBoostError, and never let go
            # of it: all later exceptions of the thread would have it as their context.
            return False

    def _new(self, metrics: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, float]:
        """Return the latest value of each metric that has one since the last call."""
        new, seen = {}, self._seen[threading.get_ident()]
        for data, values_of in metrics.items():
            for metric, values in values_of.items():
                name = f"{data}-{metric}"
                if len(values) > seen.get(name, 0):
                    seen[name] = len(values)
                    new[name] = values[-1]
        return new
