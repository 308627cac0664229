"""Code of the user's own is told apart by what it does, not by its name or address."""

from collections.abc import Callable
from typing import Any

import pytest
from scipy import stats
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from manyfit import Choice
from manyfit.sklearn.own_code import own_code


def score(factor: int) -> Callable[..., float]:
    """Return functions with the same name and different code."""

    def metric(*_: Any) -> float:
        return 1.0

    def other(*_: Any) -> float:
        return 2.0 * len(_)

    other.__name__, other.__qualname__ = metric.__name__, metric.__qualname__
    return metric if factor == 1 else other


def holder(factor: int) -> type:
    class Own(DummyClassifier):  # type: ignore[misc] # it has no types
        predict = score(factor)

    return Own


@pytest.mark.parametrize(
    "make",
    [
        score,
        lambda factor: {"a": score(factor), "b": "accuracy"},
        lambda factor: make_scorer(score(factor)),
        lambda factor: holder(factor)(),
        lambda factor: Pipeline([("a", FunctionTransformer(score(factor))), ("b", None)]),
        lambda factor: {"b": Choice({"x": {"b": holder(factor)()}, "y": {"b": None}})},
    ],
    ids=["function", "dict", "make_scorer", "estimator", "pipeline", "branch"],
)
def test_changed_code_is_detected(make: Callable[[int], Any]) -> None:
    """Functions of the same name with other code differ, wherever they are held."""
    assert own_code(make(1)) == own_code(make(1)) != own_code(make(2))


@pytest.mark.parametrize(
    "value", [None, "r2", DummyClassifier(), make_scorer(accuracy_score), stats.loguniform(1, 2)]
)
def test_code_of_packages_does_not_count(value: Any) -> None:
    """An upgrade of a package doesn't refuse a search on record."""
    assert own_code(value) == ""
