"""Reports rounds of scikit-learn's `partial_fit`."""

from collections.abc import Iterator
from typing import Any

from manyfit._checks import check_number
from manyfit.callbacks.rounds import Rounds
from manyfit.callbacks.scores import scores_of


class PartialFitRounds:
    """Iterates over rounds of `partial_fit`: the loop's body trains, and each round is reported.

    After the body, the estimator is scored on training and validation rows, under names such as
    `train_accuracy` and `val_accuracy`. A round whose body ends with `break` is neither scored nor
    reported. If the trial is pruned, the loop raises `TrialStopped`. Outside of a trial, rounds are
    scored only.

    Args:
        estimator: The estimator that the body trains.
        rounds: The number of rounds, at least 1.
        train: Training rows to score, X and y; all of them, or a sample if they are many.
        val: Validation rows, X and y.
        scoring: The same as for `cross_validate`; None is the estimator's own score, and then the
            names are `train_score` and `val_score`.
        first_step: The step of round 0.

    Attributes:
        scores: The scores after the latest round, by name; empty before the first.

    Raises:
        ArgumentError: `rounds` or `first_step` isn't a whole number, or is too small.
        MetricError: In the loop, after the first round: the tuned metric isn't among the scores, or
            the step was reported before.

    Example:
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.linear_model import SGDClassifier
        >>> from sklearn.model_selection import train_test_split
        >>> from manyfit.callbacks import PartialFitRounds
        >>> def train(params):
        ...     x, y = load_breast_cancer(return_X_y=True)
        ...     x, x_val, y, y_val = train_test_split(x, y, random_state=0)
        ...     model = SGDClassifier(random_state=0, **params)
        ...     rounds = PartialFitRounds(model, 20, train=(x, y), val=(x_val, y_val),
        ...                               scoring=["accuracy", "roc_auc"])
        ...     for _ in rounds:
        ...         model.partial_fit(x, y, classes=[0, 1])
        ...     return rounds.scores
        >>> list(train({"alpha": 0.01}))
        ['train_accuracy', 'train_roc_auc', 'val_accuracy', 'val_roc_auc']
    """

    def __init__(
        self,
        estimator: Any,
        rounds: int,
        *,
        train: tuple[Any, Any],
        val: tuple[Any, Any],
        scoring: Any = None,
        first_step: int = 0,
    ) -> None:
        self.scores: dict[str, float] = {}
        self._estimator = estimator
        self._count = check_number("rounds", rounds, least=1, whole=True)
        self._parts = {"train": train, "val": val}
        self._scoring = scoring
        self._rounds = Rounds("PartialFitRounds", "give it a scoring that does", first_step)

    def __iter__(self) -> Iterator[int]:
        """Yield the number of each round, from 0."""
        for number in range(self._count):
            yield number
            self.scores = dict(scores_of(self._estimator, self._scoring, self._parts))
            self._rounds.report(number, self.scores.items())
