"""Halving by rows: the rungs that a trial climbs, each with more rows than the one before.

The numbers of rows are those of `HalvingRandomSearchCV`, but for the last rung, which always has
all rows: only scores on all rows are compared with one another in the end.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils import resample
from sklearn.utils.multiclass import type_of_target

from manyfit._checks import check_number
from manyfit.errors import ArgumentError
from manyfit.sklearn.fold import Fold, length_of
from manyfit.sklearn.inputs import Inputs

# A rung with more than this share of the rows would cost nearly as much as the last one.
_LARGEST = 0.5


@dataclass(frozen=True)
class Rungs:
    """The rungs of a search.

    Attributes:
        rows: The number of rows of each; the last is that of all rows.
        folds: The folds of the first rung, then those of the second, and so on.
    """

    rows: tuple[int, ...]
    folds: tuple[Fold, ...]

    @classmethod
    def of(cls, options: Any, inputs: Inputs, n_trials: int) -> "Rungs":
        """Return the rungs of a search.

        Args:
            options: The search, with `estimator`, `factor`, `min_resources` and `random_state`.
            inputs: Its data and folds.
            n_trials: The number of trials.

        Raises:
            ArgumentError: `factor` isn't a whole number of at least 2, or `min_resources` is
                neither one of the names nor a number of rows that leaves each fold some.
        """
        factor = check_number("factor", options.factor, least=2, whole=True)
        total = length_of(inputs.data.X) or 0
        least = _least(options, inputs, total, n_trials, factor)
        rows = (*_rows(least, factor, total), total)
        strata = _strata(options.estimator, inputs.data.y)
        seed = options.random_state if isinstance(options.random_state, int) else 0
        _check_rows(rows[0], inputs.folds, total)
        if len(rows) == 1:
            _warn(least, factor, total, n_trials)
        sampled = [_sampled(inputs.folds, each / total, strata, seed) for each in rows[:-1]]
        folds = [fold for each in (*sampled, inputs.folds) for fold in each]
        return cls(rows, tuple(Fold(i, f.train, f.test) for i, f in enumerate(folds)))


def _least(options: Any, inputs: Inputs, total: int, n_trials: int, factor: int) -> int:
    """Return the number of rows of the first rung."""
    given: Any = options.min_resources
    classes = len(np.unique(inputs.data.y)) if is_classifier(options.estimator) else 1
    smallest = max(len(inputs.folds) * 2 * classes, _fewest(inputs.folds, total))
    if given == "exhaust":
        last = math.floor(math.log(n_trials, factor))
        return min(total, max(smallest, int(total // factor**last)))
    if given == "smallest":
        return min(total, smallest)
    names = "'smallest', 'exhaust'"
    return int(check_number("min_resources", given, least=1, most=total, whole=True, also=names))


def _fewest(folds: Sequence[Fold], total: int) -> int:
    """Return the number of rows of a rung that leaves each fold some to train on, and to test."""
    return total // max(1, min(len(part) for each in folds for part in (each.train, each.test))) + 1


def _check_rows(least: int, folds: Sequence[Fold], total: int) -> None:
    for part in (part for each in folds for part in (each.train, each.test)):
        if len(part) == 0:
            raise ArgumentError("cv has a fold without rows to train on or to test")
        if int(least / total * len(part)) == 0:
            raise ArgumentError(
                f"min_resources must leave each fold some rows, but of {len(part)} rows of a fold "
                f"it leaves none: give {min(total, _fewest(folds, total))} or more, or 'exhaust'"
            )


def _warn(least: int, factor: int, total: int, n_trials: int) -> None:
    warnings.warn(
        f"halving='rows' has nothing to halve: the first rung would have {least} of {total} rows, "
        f"more than half, with n_trials={n_trials} and factor={factor}. All trials have all rows. "
        "Give more trials, a smaller factor, or fewer min_resources",
        UserWarning,
        stacklevel=5,
    )


def _rows(least: int, factor: int, total: int) -> Iterator[int]:
    rows = least
    while rows <= _LARGEST * total:
        yield rows
        rows *= factor


def _strata(estimator: Any, y: Any) -> NDArray[Any] | None:
    """Return the classes of the rows; None if they aren't to be kept in proportion."""
    if not is_classifier(estimator) or type_of_target(y) not in ("binary", "multiclass"):
        return None
    return np.asarray(y)


def _sampled(
    folds: Sequence[Fold], share: float, strata: NDArray[Any] | None, seed: int
) -> Iterator[Fold]:
    for fold in folds:
        train = _some(fold.train, share, strata, seed)
        test = _some(fold.test, share, strata, seed)
        yield Fold(fold.number, train, test)


def _some(
    rows: NDArray[np.intp], share: float, strata: NDArray[Any] | None, seed: int
) -> NDArray[np.intp]:
    count = int(share * len(rows))
    within = None if strata is None else strata[rows]
    found = resample(rows, replace=False, random_state=seed, n_samples=count, stratify=within)
    return np.asarray(found, dtype=np.intp)
