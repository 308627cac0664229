"""One fold: fits an estimator on its training rows, scores it on the others, and takes the time."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing as rows_of  # one of the names that sklearn.utils exports
from sklearn.utils import get_tags

from manyfit.errors import FatalError
from manyfit.sklearn.scoring import Scoring, ScoringError


@dataclass(frozen=True, slots=True)
class Data:
    """What an estimator is fitted and scored on.

    Attributes:
        X: The rows, in anything that scikit-learn can index.
        y: The targets; None for none.
        fit_params: What `fit` receives besides; what has a value for each row is split like `X`.
        score_params: What scorers receive besides, likewise.
    """

    X: Any
    y: Any
    fit_params: Mapping[str, Any]
    score_params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fold:
    """The rows of a split, by position."""

    number: int
    train: NDArray[np.intp]
    test: NDArray[np.intp]


@dataclass(slots=True)
class FoldResult:
    """The scores of a fold and the seconds that it took.

    Attributes:
        test: The scores by name; NaN for a scorer that failed.
        train: The scores on the training rows, if they are asked for.
        fit_time: Seconds of the fit, or until it failed.
        score_time: Seconds of the scoring of the test rows; 0 if the fit failed.
        error: The exception of the fit, or of the only scorer.
        fit_failed: Whether it was the fit that failed.
        failed_scorers: The tracebacks of scorers that failed, by name.
    """

    test: dict[str, float] = field(default_factory=dict)
    train: dict[str, float] = field(default_factory=dict)
    fit_time: float = 0.0
    score_time: float = 0.0
    error: Exception | None = None
    fit_failed: bool = False
    failed_scorers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoldRows:
    """The rows of a fold.

    Attributes:
        fold: The fold's number.
        X: The training rows.
        y: Their targets; None for none.
        X_test: The rows to score.
        y_test: Their targets.
        fit_params: What `fit` receives besides.
    """

    fold: int
    X: Any
    y: Any
    X_test: Any
    y_test: Any
    fit_params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Watch:
    """Watches a model grow within a fold.

    Attributes:
        stages: The number of stages before the whole model.
        look: Called with the number of each of these and what is fitted by then.
    """

    stages: int
    look: Callable[[int, Any], None]


class Fits(Protocol):
    """Fits the estimators of one trial."""

    def fit(self, estimator: Any, rows: FoldRows, watch: Watch | None = None) -> Any:
        """Fit an estimator on the training rows; returns it, or one whose scores are the same.

        With `watch`, a model that grows is fitted in stages; any other is fitted at once.
        """


def fit_fold(
    estimator: Any,
    data: Data,
    fold: Fold,
    scoring: Scoring,
    *,
    train_scores: bool,
    fits: Fits,
    stages: int = 0,
    tell: Callable[[int, Mapping[str, float], float], None] | None = None,
) -> FoldResult:
    """Fit an estimator on the training rows of a fold, and score it.

    Exceptions of the fit and of scorers are part of the result.

    Args:
        estimator: An unfitted estimator, which is fitted.
        data: All rows.
        fold: The split.
        scoring: The scores to compute.
        train_scores: Whether the training rows are scored, too.
        fits: Fits the estimator.
        stages: The number of stages in which to fit a model that grows, besides the whole.
        tell: Called with each stage's number, its scores on the test rows, and the seconds of the
            fit so far; not called for a stage that can't be scored.

    Raises:
        FatalError: The estimator raised it, to end the study.
        ScoringError: A scorer returned something other than a number.
    """
    result = FoldResult()
    rows = fold_rows(estimator, data, fold)
    params = params_of(data.score_params, data, fold.test)
    clock = _FitClock()

    def look(stage: int, grown: Any) -> None:
        with clock.paused(), contextlib.suppress(ScoringError):  # the whole model raises it again
            partial = FoldResult()
            scores = _scores(scoring, (grown, rows.X_test, rows.y_test), params, partial)
            if tell is not None and scores and not partial.failed_scorers:
                tell(stage, scores, clock.seconds)

    try:
        fitted = fits.fit(estimator, rows, Watch(stages, look) if stages else None)
    except FatalError:
        raise
    except Exception as error:  # noqa: BLE001 - it is the user's estimator
        result.error, result.fit_failed = error, True
    result.fit_time = clock.seconds
    if not result.fit_failed:
        started = time.perf_counter()
        result.test = _scores(scoring, (fitted, rows.X_test, rows.y_test), params, result)
        result.score_time = time.perf_counter() - started
        if train_scores:
            params = params_of(data.score_params, data, fold.train)
            result.train = _scores(scoring, (fitted, rows.X, rows.y), params, result)
    return result


class _FitClock:
    """The seconds of a fit, without those in which it is paused."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._pauses = 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began - self._pauses

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._pauses += time.perf_counter() - started


def fold_rows(estimator: Any, data: Data, fold: Fold) -> FoldRows:
    """Return the rows of a fold.

    Raises:
        ValueError: As for `split`.
    """
    X, y = split(estimator, data, fold.train)
    X_test, y_test = split(estimator, data, fold.test, fold.train)
    params = params_of(data.fit_params, data, fold.train)
    return FoldRows(fold.number, X, y, X_test, y_test, params)


def fit(estimator: Any, X: Any, y: Any, params: Mapping[str, Any]) -> None:
    """Fit an estimator, without `y` if there is none."""
    if y is None:
        estimator.fit(X, **params)
    else:
        estimator.fit(X, y, **params)


def split(
    estimator: Any, data: Data, rows: NDArray[np.intp], columns: NDArray[np.intp] | None = None
) -> tuple[Any, Any]:
    """Return `X` and `y` of some rows; of a precomputed kernel, the columns of the training rows.

    Raises:
        ValueError: A precomputed kernel isn't a square array.
    """
    y = None if data.y is None else rows_of(data.y, rows)
    if not check_kernel(estimator, data.X):
        return rows_of(data.X, rows), y
    return data.X[np.ix_(rows, rows if columns is None else columns)], y


def check_kernel(estimator: Any, X: Any) -> bool:
    """Return whether an estimator takes a precomputed kernel.

    Raises:
        ValueError: It does, and `X` isn't a square array.
    """
    if not get_tags(estimator).input_tags.pairwise:
        return False
    if not hasattr(X, "shape"):
        raise ValueError(
            "Precomputed kernels or affinity matrices have to be passed as arrays or sparse "
            "matrices."
        )
    if X.shape[0] != X.shape[1]:
        raise ValueError("X should be a square kernel matrix")
    return True


def params_of(params: Mapping[str, Any], data: Data, rows: NDArray[np.intp]) -> dict[str, Any]:
    """Return params, and of those that have a value for each row, the values of some rows."""
    count = length_of(data.X)
    return {
        name: rows_of(value, rows) if length_of(value) == count else value
        for name, value in params.items()
    }


def length_of(value: Any) -> int | None:
    """Return the number of rows of an array, a frame, a sparse matrix or a list; otherwise None."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return int(shape[0]) if shape else None
    return len(value) if isinstance(value, list | tuple) or hasattr(value, "__array__") else None


def _scores(
    scoring: Scoring,
    fitted: tuple[Any, Any, Any],
    params: Mapping[str, Any],
    result: FoldResult,
) -> dict[str, float]:
    try:
        found = scoring(*fitted, params)
    except (FatalError, ScoringError):
        raise
    except Exception as error:  # noqa: BLE001 - it is the user's scorer
        result.error = error
        return {}
    failed = {name: value for name, value in found.items() if isinstance(value, str)}
    result.failed_scorers |= failed
    return {name: float("nan") if name in failed else float(v) for name, v in found.items()}
