"""A fitted pipeline that has transformed the rows of its fold already."""

import functools
import hashlib
import pickle
from collections.abc import Sequence
from typing import Any, Self

from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if

_METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
    "score",
    "transform",
)


class FoldPipeline(Pipeline):  # type: ignore[misc] # it has no types
    """A pipeline whose answers for known rows begin with what those have been transformed to.

    For all other rows, a copy of the known ones included, it is like any pipeline. So it is for
    known rows that have been changed since, and once it is fitted again or gets other params. Its
    slices, clones, copies and pickles know no rows.

    Example:
        >>> import numpy as np
        >>> from sklearn.preprocessing import FunctionTransformer
        >>> steps = [("a", FunctionTransformer()), ("b", FunctionTransformer(np.sqrt))]
        >>> rows = np.array([[4.0]])
        >>> found = FoldPipeline(steps).knowing(Pipeline(steps)[1:], [(rows, rows + 5)])
        >>> found.transform(rows).item(), found.transform(rows.copy()).item()
        (3.0, 2.0)
    """

    _rest: Pipeline | None = None
    _known: Sequence[tuple[Any, bytes, Any]] = ()

    def knowing(self, rest: Pipeline, known: Sequence[tuple[Any, Any]]) -> Self:
        """Let it know rows, and the steps that remain to be applied to what they have become.

        Args:
            rest: The steps that remain.
            known: Pairs of rows, which are recognised by identity, and of transformed rows.
        """
        self._rest = rest
        self._known = [(rows, _state(rows), transformed) for rows, transformed in known]
        return self

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        self._known = ()
        super().fit(X, y, **params)
        return self

    def set_params(self, **params: Any) -> Self:
        self._known = ()
        super().set_params(**params)
        return self

    def __reduce__(self) -> Any:
        """Pickle and copy a plain pipeline, without rows."""
        return functools.partial(Pipeline, **self.get_params(deep=False)), ()


def _state(rows: Any) -> bytes:
    """Return a digest that differs once rows have been changed in place.

    `joblib.hash` pickles in Python, which is as slow as a small fit if rows have text.
    """
    return hashlib.blake2b(pickle.dumps(rows, protocol=5)).digest()


def _of_known(name: str) -> Any:
    def method(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        for rows, before, transformed in self._known:
            if X is rows and _state(rows) == before:
                return getattr(self._rest, name)(transformed, *args, **kwargs)
        return getattr(super(FoldPipeline, self), name)(X, *args, **kwargs)

    method.__name__ = name
    return available_if(lambda self: hasattr(super(FoldPipeline, self), name))(method)


for _name in _METHODS:
    setattr(FoldPipeline, _name, _of_known(_name))
