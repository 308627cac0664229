"""What a fitted search passes on to its best estimator, as `GridSearchCV` does."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _has(name: str) -> Callable[[Any], bool]:
    """Return a check that raises AttributeError if an attribute isn't available."""

    def check(search: Any) -> bool:
        if search.refit is False:
            raise AttributeError(
                f"This {type(search).__name__} instance was initialized with `refit=False`. "
                f"{name} is available only after refitting on the best parameters. You can refit "
                "an estimator manually using the `best_params_` attribute"
            )
        getattr(getattr(search, "best_estimator_", search.estimator), name)
        return True

    return check


def _available(name: str) -> Callable[[_Method], _Method]:
    return cast("Callable[[_Method], _Method]", available_if(_has(name)))


class BestEstimatorMixin:
    """Methods and attributes of the best estimator, available if it has them."""

    refit: Any
    estimator: Any
    best_estimator_: Any

    @_available("predict")
    def predict(self, X: Any) -> Any:
        """Return what the best estimator predicts for `X`.

        Raises:
            NotFittedError: The search isn't fitted.
        """
        return self._called("predict", X)

    @_available("predict_proba")
    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes, in the order of `classes_`."""
        return self._called("predict_proba", X)

    @_available("predict_log_proba")
    def predict_log_proba(self, X: Any) -> Any:
        """Return the logarithms of the probabilities of the classes."""
        return self._called("predict_log_proba", X)

    @_available("decision_function")
    def decision_function(self, X: Any) -> Any:
        """Return the best estimator's decision function."""
        return self._called("decision_function", X)

    @_available("score_samples")
    def score_samples(self, X: Any) -> Any:
        """Return the best estimator's score of each row."""
        return self._called("score_samples", X)

    @_available("transform")
    def transform(self, X: Any) -> Any:
        """Return `X` as transformed by the best estimator."""
        return self._called("transform", X)

    @_available("inverse_transform")
    def inverse_transform(self, X: Any) -> Any:
        """Return the rows that the best estimator transforms into `X`."""
        return self._called("inverse_transform", X)

    def _called(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        return getattr(self.best_estimator_, method)(X)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "cv_results_" if self.refit is False else "best_estimator_")

    @property
    def n_features_in_(self) -> int:
        """The number of features seen by `fit`; requires a refit."""
        return int(self._seen("n_features_in_"))

    @property
    def classes_(self) -> Any:
        """The classes of a classifier; requires a refit."""
        return self._seen("classes_")

    def _seen(self, name: str) -> Any:
        if self.refit is not False and not hasattr(self, "best_estimator_"):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name} before it is fitted"
            )
        _has(name)(self)
        return getattr(self.best_estimator_, name)
