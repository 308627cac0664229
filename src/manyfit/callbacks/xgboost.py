"""Reports rounds of XGBoost."""

from collections.abc import Iterator, Mapping
from typing import Any

from xgboost.callback import TrainingCallback

from manyfit.callbacks.rounds import Rounds
from manyfit.worker.context import raise_if_stopped


class XGBoostCallback(TrainingCallback):
    """Reports each round of `xgb.train`, of `xgb.cv` and of XGBoost's estimators.

    A metric has the names of its data and its own, as in `validation_0_auc` (XGBoost prints
    `validation_0-auc`); that of `cv` is `test_auc_mean`, with `test_auc_std`. A trial that is
    pruned ends the training as `EarlyStopping` does, and then raises `TrialStopped`. Outside of a
    trial, nothing happens.

    Args:
        first_step: The step of XGBoost's round 0, which a training with `xgb_model` also has.

    Raises:
        ArgumentError: `first_step` isn't a whole number of at least 0.
        MetricError: In the training, after its first round: XGBoost doesn't compute the tuned
            metric, or the step was reported before.

    Example:
        >>> import xgboost as xgb
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.model_selection import train_test_split
        >>> from manyfit.callbacks import XGBoostCallback
        >>> def train(params):
        ...     x, y = load_breast_cancer(return_X_y=True)
        ...     x, x_val, y, y_val = train_test_split(x, y, random_state=0)
        ...     model = xgb.XGBClassifier(n_estimators=50, eval_metric="auc", **params,
        ...                               early_stopping_rounds=5, callbacks=[XGBoostCallback()])
        ...     model.fit(x, y, eval_set=[(x_val, y_val)], verbose=False)
        ...     return {"validation_0_auc": model.best_score}
        >>> train({"learning_rate": 0.1})["validation_0_auc"] > 0.9
        True
    """

    def __init__(self, *, first_step: int = 0) -> None:
        super().__init__()
        self._rounds = Rounds(
            "XGBoostCallback",
            "give XGBoost its data (evals or eval_set) and its metric (eval_metric)",
            first_step,
        )

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Report the round, and return whether the training must end."""
        return self._rounds.stops(epoch, _latest(evals_log))

    def after_training(self, model: Any) -> Any:
        """End the trial if it was told to stop."""
        raise_if_stopped()
        return model


def _latest(log: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[str, float]]:
    """Yield the latest values; those of `cv` are pairs."""
    for data, metrics in log.items():
        for metric, values in metrics.items():
            name, value = f"{data}-{metric}", values[-1]
            if isinstance(value, tuple):
                yield f"{name}-mean", value[0]
                yield f"{name}-std", value[1]
            else:
                yield name, value
