"""Models that grow by rounds or trees, fitted in stages with the result of a plain fit.

A stage doubles the rounds of the one before, so that fitting goes on where it stopped. Only models
for which scikit-learn's `warm_start` makes that exact are grown, to the last digit. SGD and
multi-layer perceptrons aren't among them: they shuffle anew, or forget their optimizer.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from numbers import Integral
from typing import Any

from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from manyfit.sklearn.fit_keys import is_pipeline
from manyfit.sklearn.fold import fit

# The stages before the whole model, in each of which a trial may end: 1/16, 1/8, 1/4 and 1/2.
STAGES = 4
_BOOSTED = (GradientBoostingClassifier, GradientBoostingRegressor)
_BINNED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_DRAWN = (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
# With more rows, these models stop early by default, which is exact only in one go.
_MOST_WITHOUT_STOPPING = 10_000


def why_not_grown(estimator: Any, rows: int | None, stages: int = STAGES) -> str:
    """Return why an estimator isn't fitted in stages; empty if it is.

    Args:
        estimator: An unfitted model, or a pipeline whose last step is one.
        rows: The number of training rows; None if that is unknown.
        stages: The number of stages before the whole model.

    Example:
        >>> why_not_grown(GradientBoostingClassifier(n_iter_no_change=5), 100)
        'GradientBoostingClassifier stops early by itself'
        >>> why_not_grown(RandomForestClassifier(), 100)
        ''
    """
    if is_pipeline(estimator) and (estimator.memory is not None or estimator.transform_input):
        return "the pipeline has a memory of its own, or transform_input"
    model = last_of(estimator) if is_pipeline(estimator) else estimator
    if type(model) not in (*_BOOSTED, *_BINNED, *_DRAWN):
        why = "can't be fitted in stages with the result of a plain fit"
    elif model.warm_start:
        why = "has warm_start=True already"
    elif _stops_early(model, rows):
        why = "stops early by itself"
    elif isinstance(model, _DRAWN) and _draws_anew(model):
        why = "draws other trees in stages"
    elif not _least(model, 2**stages):
        why = f"has {_name_of(model)}={getattr(model, _name_of(model))!r}, not {2**stages} or more"
    else:
        return ""
    return f"{type(model).__name__} {why}"


def fit_in_stages(
    estimator: Any,
    X: Any,
    y: Any,
    params: Mapping[str, Any],
    *,
    stages: int,
    look: Callable[[int], None],
) -> None:
    """Fit an estimator for which `why_not_grown` is empty, and look at it after each stage.

    Args:
        estimator: The model, or a pipeline of it alone.
        X: The rows.
        y: The targets; None for none.
        params: What `fit` receives besides.
        stages: The number of stages before the whole model.
        look: Called with the number of each of them, from 0; its exceptions pass through.
    """
    with _warm(last_of(estimator)) as (model, name):
        rounds = getattr(model, name)
        for stage in range(stages):
            model.set_params(**{name: rounds >> (stages - stage)})
            fit(estimator, X, y, params)
            look(stage)
        model.set_params(**{name: rounds})
        fit(estimator, X, y, params)


def last_of(estimator: Any) -> Any:
    """Return the last step of a pipeline; otherwise the estimator."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


@contextlib.contextmanager
def _warm(model: Any) -> Iterator[tuple[Any, str]]:
    """Let a model grow from fit to fit; then it has its own params again."""
    name = _name_of(model)
    rounds = getattr(model, name)
    model.set_params(warm_start=True)
    try:
        yield model, name
    finally:
        model.set_params(warm_start=False, **{name: rounds})


def _name_of(model: Any) -> str:
    """Return the param with the number of rounds."""
    return "max_iter" if isinstance(model, _BINNED) else "n_estimators"


def _least(model: Any, rounds: int) -> bool:
    """Return whether a model has at least this many rounds."""
    given = getattr(model, _name_of(model))
    return isinstance(given, Integral) and int(given) >= rounds


def _stops_early(model: Any, rows: int | None) -> bool:
    if isinstance(model, _BOOSTED):
        return model.n_iter_no_change is not None
    if not isinstance(model, _BINNED) or model.early_stopping is False:
        return False
    return bool(model.early_stopping is True or rows is None or rows > _MOST_WITHOUT_STOPPING)


def _draws_anew(model: Any) -> bool:
    """Return whether a forest depends on how often it is fitted, or would warn of it."""
    is_seeded = model.random_state is None or isinstance(model.random_state, Integral)
    is_weighted = isinstance(getattr(model, "class_weight", None), str)
    return not is_seeded or is_weighted or bool(model.oob_score)
