"""The data of a search: its rows, folds and metadata, checked before anything is fitted."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, indexable
from sklearn.utils.metadata_routing import process_routing

from manyfit.digest import digest_of
from manyfit.sklearn.fold import Data, Fold, check_kernel, length_of
from manyfit.sklearn.scoring import Scoring


@dataclass(frozen=True)
class Inputs:
    """What all trials of a search have in common.

    Attributes:
        data: The rows, and what estimators and scorers receive besides.
        folds: The splits, the same for all trials.
    """

    data: Data
    folds: tuple[Fold, ...]

    @classmethod
    def of(
        cls, search: Any, scoring: Scoring, X: Any, y: Any, params: Mapping[str, Any]
    ) -> "Inputs":
        """Check the arguments of `fit`.

        Args:
            search: The estimator that searches; its `estimator` and `cv` are read.
            scoring: Its scores.
            X: The rows.
            y: The targets.
            params: The metadata.

        Raises:
            ValueError: `X`, `y` and `groups` differ in length, `cv` splits nothing, or requires
                groups that are missing.
        """
        _warn_of_other_folds(search)
        X, y = indexable(X, y)
        rows = length_of(X)
        params = {
            name: indexable(value)[0] if value is not None and length_of(value) == rows else value
            for name, value in params.items()
        }
        routed = _routed(search, scoring, params)
        data = Data(X, y, dict(routed.estimator.fit), dict(routed.scorer.score))
        check_kernel(search.estimator, X)
        return cls(data, _folds(search, X, y, routed.splitter.split))

    def marks(self, folds: Sequence[Fold]) -> dict[str, str]:
        """Return digests of the data and of folds: scores of others can't be compared."""
        rows, data = length_of(self.data.X), self.data
        return {
            "search.data": f"{rows} rows, {_digest(data)}",
            "search.folds": f"{len(folds)} folds, {_digest(folds)}",
        }


def check_no_params(search: Any, method: str, params: Mapping[str, Any]) -> None:
    """Refuse metadata unless metadata routing is enabled.

    Raises:
        ValueError: There is some, and it isn't.
    """
    if params and not get_config()["enable_metadata_routing"]:
        raise ValueError(
            f"Passing extra keyword arguments to {type(search).__name__}.{method} is only "
            "supported if enable_metadata_routing=True, which you can set using "
            "`sklearn.set_config`. See the User Guide "
            "<https://scikit-learn.org/stable/metadata_routing.html> for more details. Extra "
            f"parameters passed are: {set(params)}"
        )


def _routed(search: Any, scoring: Scoring, params: Mapping[str, Any]) -> Any:
    if get_config()["enable_metadata_routing"]:
        return process_routing(search, "fit", **params)
    fit_params = dict(params)
    groups = fit_params.pop("groups", None)
    weight = fit_params.get("sample_weight")
    takes = weight is not None and _check_weights(search, scoring)
    return Bunch(
        estimator=Bunch(fit=fit_params),
        splitter=Bunch(split={"groups": groups}),
        scorer=Bunch(score={"sample_weight": weight} if takes else {}),
    )


def _check_weights(search: Any, scoring: Scoring) -> bool:
    """Warn of scorers that ignore `sample_weight`; return whether any takes it."""
    takes = scoring.takes_weights()
    for shown, does in takes.items():
        if not does:
            warnings.warn(
                f"The scoring {shown} does not support sample_weight, which may lead to "
                f"statistically incorrect results when fitting {search} with sample_weight. ",
                UserWarning,
                stacklevel=5,
            )
    return any(takes.values())


def _folds(search: Any, X: Any, y: Any, params: Mapping[str, Any]) -> tuple[Fold, ...]:
    splitter = check_cv(search.cv, y, classifier=is_classifier(search.estimator))
    expected = splitter.get_n_splits(X, y, **params)
    splits = list(splitter.split(X, y, **params))
    if len(splits) != expected:
        raise ValueError(
            "cv.split and cv.get_n_splits return inconsistent results. Expected "
            f"{expected} splits, got {len(splits)}"
        )
    if not splits:
        raise ValueError(
            "No fits were performed. Was the CV iterator empty? Were there no candidates?"
        )
    return tuple(
        Fold(number, _positions(train), _positions(test))
        for number, (train, test) in enumerate(splits)
    )


def _warn_of_other_folds(search: Any) -> None:
    """Warn if a search that has a name couldn't resume, since its splitter shuffles anew."""
    cv = search.cv
    seed = getattr(cv, "random_state", 0)
    if search.name is not None and not isinstance(seed, Integral) and getattr(cv, "shuffle", True):
        warnings.warn(
            f"the search {search.name!r} can't be resumed, because cv={cv} splits the rows anew at "
            "each fit: give it a random_state",
            UserWarning,
            stacklevel=4,
        )


def _digest(value: Any) -> str:
    try:
        return str(joblib.hash(value))[:16]
    except Exception:  # noqa: BLE001 - what can't be pickled raises what it likes
        return digest_of(value)


def _positions(rows: Any) -> NDArray[np.intp]:
    """Return positions of rows, which may be given by a mask."""
    array = np.asarray(rows)
    return np.flatnonzero(array) if array.dtype == bool else array.astype(np.intp)
