"""Summary statistics of many groups: counts, quantiles, sums."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manyfit._optional import load
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL, Table
from manyfit.metric import Metric
from manyfit.trackers.progress import duration, number


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Summary statistics of groups.

    Attributes:
        states: The number of groups in each state.
        values: The tuned metric of each group that has it, shape (groups,), unsorted.
        gains: The gain of each group over its baseline, if both are known, shape (groups,).
        seconds: The wall time of each group, shape (groups,).
        fit_seconds: The total time in the user's functions.
        trials: The total number of trials that ended.
        slowest: The row of the slowest group; None if there is none.
        median_fit: The seconds of a fit in the median group; NaN if none has fitted.
    """

    states: Mapping[str, int]
    values: NDArray[np.float64]
    gains: NDArray[np.float64]
    seconds: NDArray[np.float64]
    fit_seconds: float
    trials: int
    slowest: int | None
    median_fit: float

    @classmethod
    def of(cls, rows: Table, metric: Metric) -> "Summary":
        """Return the statistics of a table of `row.row_schema`, which may be empty."""
        values, gains = numbers(rows, "value"), numbers(rows, "gain")
        seconds, fits = numbers(rows, "seconds"), numbers(rows, "fit_seconds")
        trials = numbers(rows, "trials")
        each = fits[trials > 0] / trials[trials > 0]
        losses = np.array([metric.loss(value) for value in values])
        return cls(
            states=Counter(rows.column("state").to_pylist()),
            values=values[np.isfinite(losses)],
            gains=gains[np.isfinite(gains)],
            seconds=seconds,
            fit_seconds=float(fits.sum()),
            trials=int(trials.sum()),
            slowest=int(seconds.argmax()) if len(seconds) and seconds.max() > 0 else None,
            median_fit=float(np.median(each)) if len(each) else math.nan,
        )

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len(self.seconds)

    @property
    def gained(self) -> int:
        """The number of groups that beat their baseline."""
        return int((self.gains > 0).sum())

    @property
    def slowest_share(self) -> float:
        """The share of the slowest group in all wall time; NaN without groups."""
        if self.slowest is None:
            return math.nan
        return float(self.seconds[self.slowest] / self.seconds.sum())


def numbers(rows: Table, name: str) -> NDArray[np.float64]:
    """Return a column as floats, shape (rows,); missing values are NaN."""
    found: NDArray[np.float64] = rows.column(name).cast(load("pyarrow").float64()).to_numpy()
    return found


def sentences(summary: Summary, metric: Metric) -> list[tuple[str, str]]:
    """Return the statistics in words: a title and a text for each."""
    known = (COMPLETE, BASELINE, FAIL)
    counts = [f"{summary.states[state]:,} {state}" for state in known if summary.states.get(state)]
    lines = [("groups", ", ".join(counts) or "none")]
    if len(summary.values):
        middle, mean = np.median(summary.values), summary.values.mean()
        lines.append((metric.name, f"median {number(middle)}, mean {number(mean)}"))
    if len(summary.gains):
        middle, mean = np.median(summary.gains), summary.gains.mean()
        share = f"{summary.gained:,} of {len(summary.gains):,} groups gained"
        lines.append(("gain", f"median {number(middle)}, mean {number(mean)}; {share}"))
    if summary.groups:
        total = float(summary.seconds.sum())
        fits = f", {summary.fit_seconds / total:.0%} of it in your functions" if total else ""
        lines.append(
            ("work", f"{summary.trials:,} trials in {duration(total)} of worker time{fits}")
        )
    return lines
