"""Scores of a scikit-learn estimator after each round, under names that say on which rows."""

from collections.abc import Iterator, Mapping
from typing import Any

from sklearn.metrics import check_scoring


def scores_of(
    estimator: Any, scoring: Any, parts: Mapping[str, tuple[Any, Any]]
) -> Iterator[tuple[str, Any]]:
    """Yield names and values of scores, such as `train_accuracy` and `val_accuracy`.

    Args:
        estimator: A fitted estimator.
        scoring: The same as for `cross_validate`: a name, several, a dict or a function. None is
            the estimator's own, called `score`, as is that of a function.
        parts: Rows, X and y, by the word that names begin with.

    Example:
        >>> from sklearn.dummy import DummyRegressor
        >>> rows = [[0.0], [1.0]], [1.0, 3.0]
        >>> model = DummyRegressor().fit(*rows)
        >>> dict(scores_of(model, "neg_mean_squared_error", {"val": rows}))
        {'val_neg_mean_squared_error': -1.0}
    """
    scorer = check_scoring(estimator, [scoring] if isinstance(scoring, str) else scoring)
    for part, (X, y) in parts.items():
        scores = scorer(estimator, X, y)
        named = scores if isinstance(scores, Mapping) else {"score": scores}
        yield from ((f"{part}_{name}", value) for name, value in named.items())
