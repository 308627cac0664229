"""The training and validation rows of a study on Spark, fold by fold."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from pyspark.sql import DataFrame, functions

from manyfit._checks import is_number
from manyfit.errors import ArgumentError

# Training rows, then validation rows.
Parts: TypeAlias = "tuple[DataFrame, DataFrame]"

# A name that no table is likely to have; the column is dropped before a stage sees the rows.
_DRAWN = "__manyfit_drawn"


@dataclass(frozen=True)
class Split:
    """A division of rows into training and validation data.

    Attributes:
        names: A readable name for each fold.
        sources: The tables from which the folds are taken, which may be persisted.
        conditions: For each fold, the condition for validation rows of the one source; empty if the
            sources are the two parts themselves.
        hidden: A column of the source that isn't data and is dropped; or None.
    """

    names: tuple[str, ...]
    sources: "tuple[DataFrame, ...]"
    conditions: tuple[Any, ...] = ()
    hidden: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    def all_rows(self, given: DataFrame) -> DataFrame:
        """Return the rows of all folds, as a stage sees them.

        Separate validation rows are appended.
        """
        if self.conditions:
            return given if self.hidden is None else given.drop(self.hidden)
        return given.unionByName(self.sources[1].select(given.columns))

    def parts(self, fold: int) -> Parts:
        """Return the training and the validation rows of a fold."""
        if not self.conditions:
            return self.sources[0], self.sources[1]
        (source,), condition = self.sources, self.conditions[fold]
        train, validation = source.where(~condition), source.where(condition)
        if self.hidden is None:
            return train, validation
        return train.drop(self.hidden), validation.drop(self.hidden)


@dataclass(frozen=True)
class Division:
    """A division of rows that depends on a seed.

    Attributes:
        names: A readable name for each fold.
        with_seed: Returns the split for a seed.
    """

    names: tuple[str, ...]
    with_seed: Callable[[int], Split]


def divide(
    train: DataFrame,
    validation: DataFrame | float | None = None,
    folds: int | str | None = None,
) -> Division:
    """Return the division of a study's data.

    The same seed gives the same folds as Spark's `CrossValidator`, and the same two parts as its
    `TrainValidationSplit`, provided that Spark reads the rows in the same order.

    Args:
        train: All rows; if `validation` is a table, the training rows only.
        validation: The validation rows, or their share of all rows; or None for folds.
        folds: The number of folds, or the column whose values identify the fold of a row; None for
            3, if there is no `validation`.

    Raises:
        ArgumentError: Both are given, or one of them breaks a rule.
    """
    if validation is not None:
        if folds is not None:
            raise ArgumentError(
                f"give validation or folds, not both, but got folds={folds!r} as well"
            )
        return _two_parts(train, validation)
    if isinstance(folds, str):
        return _by_column(train, folds)
    return _random_folds(train, 3 if folds is None else folds)


def _two_parts(train: DataFrame, validation: DataFrame | float) -> Division:
    names = ("the validation split",)
    if not isinstance(validation, int | float):
        return _two_tables(names, train, validation)
    if not 0 < validation < 1:
        raise ArgumentError(_validation_is(validation))

    def drawn(seed: int) -> Split:
        draw, rows = _drawn(train, seed)
        return Split(names, (rows,), (draw >= 1.0 - validation,), _DRAWN)

    return Division(names, drawn)


def _two_tables(names: tuple[str, ...], train: DataFrame, validation: DataFrame) -> Division:
    if not hasattr(validation, "columns"):
        raise ArgumentError(_validation_is(validation))
    if missing := [name for name in train.columns if name not in validation.columns]:
        raise ArgumentError(f"validation lacks columns that train has: {', '.join(missing)}")
    given = Split(names, (train, validation))
    return Division(names, lambda _: given)


def _validation_is(given: object) -> str:
    return (
        "validation must be a DataFrame, or the share of rows to validate on, between 0 and 1, but "
        f"got {given!r:.200}"
    )


def _random_folds(train: DataFrame, folds: int) -> Division:
    if not is_number(folds, whole=True) or folds < 2:
        raise ArgumentError(
            "folds must be a whole number, at least 2, or the name of a column, but got "
            f"{folds!r:.200}"
        )
    names, width = tuple(f"fold {i}" for i in range(folds)), 1.0 / folds

    def drawn(seed: int) -> Split:
        draw, rows = _drawn(train, seed)
        inside = tuple((draw >= i * width) & (draw < (i + 1) * width) for i in range(folds))
        return Split(names, (rows,), inside, _DRAWN)

    return Division(names, drawn)


def _drawn(train: DataFrame, seed: int) -> tuple[Any, DataFrame]:
    return functions.col(_DRAWN), train.withColumn(_DRAWN, functions.rand(seed))


def _by_column(train: DataFrame, column: str) -> Division:
    if column not in train.columns:
        raise ArgumentError(f"folds names a column that train doesn't have: {column!r}")
    values = [row[0] for row in train.select(column).distinct().collect()]
    if None in values or len(values) < 2:
        raise ArgumentError(
            f"column {column!r} must give each row its fold, and at least 2 of them, but it has "
            f"{values!r:.200}"
        )
    values.sort()
    conditions = tuple(functions.col(column) == value for value in values)
    names = tuple(f"{column} {value}" for value in values)
    given = Split(names, (train,), conditions, column)
    return Division(names, lambda _: given)
