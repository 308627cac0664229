"""Evaluators, by the names under which their metrics are recorded."""

from collections.abc import Iterable, Mapping
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from pyspark.ml.evaluation import Evaluator

from manyfit.errors import ArgumentError
from manyfit.metric import Direction

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Scores:
    """The metrics of models: on validation rows as `val_...`, on training rows as `train_...`.

    Args:
        evaluators: One evaluator, a list, or a dict with names of your own; the first one is tuned.
            The default name of an evaluator is its `metricName`.
        on_train: Whether models are also evaluated on training rows.

    Raises:
        ArgumentError: There is none, one isn't an evaluator, or two have the same name.
    """

    def __init__(self, evaluators: Any, *, on_train: bool) -> None:
        self.evaluators = _by_name(evaluators)
        self.tuned = f"val_{next(iter(self.evaluators))}"
        first = next(iter(self.evaluators.values()))
        self.direction: Direction = "maximize" if first.isLargerBetter() else "minimize"
        self.on_train = on_train

    def of(self, validation: "DataFrame", train: "DataFrame") -> dict[str, float]:
        """Return all metrics of predictions."""
        parts = {"val": validation, "train": train} if self.on_train else {"val": validation}
        return {
            f"{part}_{name}": float(evaluator.evaluate(predictions))
            for part, predictions in parts.items()
            for name, evaluator in self.evaluators.items()
        }


def summarized(folds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return each metric's mean over folds, its standard deviation, and its value on each.

    The deviation is the population's, as in `CrossValidatorModel.stdMetrics`.

    Example:
        >>> summarized([{"val_auc": 0.5}, {"val_auc": 1.0}])
        {'val_auc': 0.75, 'val_auc_std': 0.25, 'fold_0/val_auc': 0.5, 'fold_1/val_auc': 1.0}
    """
    folds = list(folds)
    if len(folds) == 1:
        return dict(folds[0])
    found: dict[str, float] = {}
    for name in folds[0]:
        values = [fold[name] for fold in folds]
        found |= {name: fmean(values), f"{name}_std": pstdev(values)}
    for number, fold in enumerate(folds):
        found |= of_fold(number, fold)
    return found


def of_fold(number: int, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics with the fold's number in their names."""
    return {f"fold_{number}/{name}": value for name, value in metrics.items()}


def _by_name(evaluators: Any) -> dict[str, Any]:
    if isinstance(evaluators, Mapping):
        named = [(str(name), evaluator) for name, evaluator in evaluators.items()]
    elif isinstance(evaluators, Evaluator):
        named = [(_name(evaluators), evaluators)]
    elif isinstance(evaluators, Iterable):
        named = [(_name(evaluator), evaluator) for evaluator in evaluators]
    else:
        named = [("", evaluators)]
    if not named:
        raise ArgumentError("evaluators must have at least one: the first one is tuned")
    for name, evaluator in named:
        if not isinstance(evaluator, Evaluator):
            raise ArgumentError(
                "evaluators must be one of Spark ML's, several, or a dict of names and evaluators, "
                f"but got {evaluator!r:.200}"
            )
        if [other for other, _ in named].count(name) > 1:
            raise ArgumentError(
                f"two evaluators are called {name!r}: give names, as in "
                '{"auc": BinaryClassificationEvaluator(), ...}'
            )
    return dict(named)


def _name(evaluator: Any) -> str:
    if isinstance(evaluator, Evaluator) and evaluator.hasParam("metricName"):
        return str(evaluator.getOrDefault("metricName"))
    return type(evaluator).__name__
