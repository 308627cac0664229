"""A split of a group's rows into training and validation rows, the same for all trials."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from manyfit.errors import ArgumentError

Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Holdout:
    """The split of each group.

    Attributes:
        last: The number of last rows to validate on; 0 for another kind.
        share: The share of rows, drawn at random, to validate on; 0 for another kind.
        folds: The number of random parts, to validate on each in turn; 0 for another kind.
    """

    last: int = 0
    share: float = 0.0
    folds: int = 0

    @classmethod
    def of(cls, text: object) -> "Holdout":
        """Parse an argument `holdout=`, such as `"last 48"`, `0.2`, or `"5 folds"`.

        Raises:
            ArgumentError: It is none of these.

        Example:
            >>> Holdout.of("last 48"), Holdout.of("5 folds").folds, Holdout.of(0.25).share
            (Holdout(last=48, share=0.0, folds=0), 5, 0.25)
        """
        if isinstance(text, Holdout):
            return text
        if isinstance(text, float) and 0 < text < 1:
            return cls(share=text)
        match = re.fullmatch(r"last (\d+)|(\d+) folds", text) if isinstance(text, str) else None
        if match and match[1] and int(match[1]) >= 1:
            return cls(last=int(match[1]))
        if match and match[2] and int(match[2]) >= 2:
            return cls(folds=int(match[2]))
        raise ArgumentError(
            "holdout must be 'last N' rows (N from 1), 'K folds' (K from 2), or a share of the "
            f"rows between 0 and 1, but got {text!r:.100}"
        )

    @property
    def is_ordered(self) -> bool:
        """Whether the order of rows matters, which is arbitrary on Spark without `order_by`."""
        return self.last > 0

    @property
    def fewest(self) -> int:
        """The number of rows that a group needs, so that every part has one."""
        return self.last + 1 if self.last else max(2, self.folds)

    def too_small(self, rows: int) -> str | None:
        """Return why this many rows can't be split, or None."""
        if rows >= self.fewest:
            return None
        have = "1 row" if rows == 1 else f"{rows} rows"
        return f"{have}: holdout={self} needs {self.fewest} at least"

    def splits(self, rows: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
        """Yield the training and validation rows of each split, in the order of the rows.

        Args:
            rows: The number of rows, at least `fewest`.
            seed: Determines the draw.
        """
        if self.last:
            yield np.arange(rows - self.last), np.arange(rows - self.last, rows)
            return
        order = np.random.default_rng(seed).permutation(rows)
        count = min(max(1, round(rows * self.share)), rows - 1)
        parts = np.array_split(order, self.folds) if self.folds else [order[:count]]
        for part in parts:
            yield np.setdiff1d(order, part), np.sort(part)

    def __str__(self) -> str:
        if self.last:
            return f"'last {self.last}'"
        return f"'{self.folds} folds'" if self.folds else f"{self.share:g}"


def take(frame: Any, indices: Indices) -> Any:
    """Return some rows of a frame as a new frame, numbered from 0."""
    return frame.iloc[indices].reset_index(drop=True)
