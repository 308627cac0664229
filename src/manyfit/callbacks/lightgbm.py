"""Reports rounds of LightGBM."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from manyfit.callbacks.rounds import Rounds


class _Environment(Protocol):
    """What LightGBM passes to callbacks."""

    iteration: int
    evaluation_result_list: Sequence[Any] | None


class LightGBMCallback:
    """Reports each round of `lgb.train`, of `lgb.cv` and of LightGBM's estimators.

    A metric has the names of its data and its own, as in `valid_0_auc` (LightGBM prints `valid_0's
    auc`) and `training_auc`; that of `cv` is `valid_auc_mean`, with `valid_auc_stdv`. A trial that
    is pruned raises `TrialStopped`, which leaves the training. Outside of a trial, nothing happens.

    Args:
        first_step: The step of LightGBM's round 0. With `init_model`, LightGBM counts on.

    Raises:
        ArgumentError: `first_step` isn't a whole number of at least 0.
        MetricError: In the training, after its first round: LightGBM doesn't compute the tuned
            metric, or the step was reported before.

    Example:
        >>> import lightgbm as lgb
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.model_selection import train_test_split
        >>> from manyfit.callbacks import LightGBMCallback
        >>> def train(params):
        ...     x, y = load_breast_cancer(return_X_y=True)
        ...     x, x_val, y, y_val = train_test_split(x, y, random_state=0)
        ...     model = lgb.LGBMClassifier(n_estimators=50, verbosity=-1, **params)
        ...     model.fit(x, y, eval_X=(x_val,), eval_y=(y_val,), eval_metric="auc",
        ...               callbacks=[lgb.early_stopping(5, verbose=False), LightGBMCallback()])
        ...     return {"valid_0_auc": model.best_score_["valid_0"]["auc"]}
        >>> round(float(train({"learning_rate": 0.1})["valid_0_auc"]), 1)
        1.0
    """

    def __init__(self, *, first_step: int = 0) -> None:
        # LightGBM's own prints (10) and records (20) come before, and its early stopping (30),
        # which ends the round, after.
        self.order = 25
        self._rounds = Rounds(
            "LightGBMCallback",
            "give LightGBM its data (valid_sets or eval_X) and its metric (metric or eval_metric)",
            first_step,
        )

    def __call__(self, env: _Environment) -> None:
        """Report the round, and end the trial if it was told to stop."""
        self._rounds.report(env.iteration, _metrics(env.evaluation_result_list or ()))


def _metrics(results: Sequence[Any]) -> Iterator[tuple[str, float]]:
    # There is a deviation in results of `cv`. Before LightGBM 4.7, their data was `cv_agg`, and
    # their metric also had the name of the data.
    for data, metric, value, _, *deviation in results:
        name = metric if data == "cv_agg" else f"{data}-{metric}"
        if deviation:
            yield f"{name}-mean", value
            yield f"{name}-stdv", deviation[0]
        else:
            yield name, value
