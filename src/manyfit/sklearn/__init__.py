"""Searches the settings of scikit-learn's estimators, with Manyfit's samplers and executors."""

from manyfit._optional import require

require("sklearn", extra="sklearn", purpose="manyfit.sklearn")

from manyfit.sklearn.search_cv import SearchCV  # noqa: E402 - scikit-learn is needed for it

__all__ = ["SearchCV"]
