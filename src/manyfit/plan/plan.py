"""A plan: time, cost and quality of a study, for different numbers of slots."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manyfit import _optional
from manyfit.metric import Metric
from manyfit.trackers.progress import counted, duration

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What to expect of a number of slots.

    Attributes:
        slots: The number of trials that run at once.
        machines: The number of machines that they need.
        seconds: The expected duration.
        low: The shortest of the simulated durations.
        high: The longest.
        best: The expected best value of the metric, which is no better than that on record.
        behind: How far that is behind the best value with one slot; negative if it is ahead.
        used: The share of the slots' time in which they have a trial.
        cost: The price of all machines from beginning to end; None without a price.
        scaled_cost: The price if each machine is given back after its last trial.
    """

    slots: int
    machines: int
    seconds: float
    low: float
    high: float
    best: float
    behind: float
    used: float
    cost: float | None
    scaled_cost: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Predictions for a study of `n_trials`, one row per number of slots.

    Attributes:
        name: The study whose record was used.
        metric: The metric tuned.
        n_trials: The number of trials that the plan is for, from the beginning.
        rows: The predictions, by number of slots.
        slots_per_machine: The number of trials that a machine has room for.
        knee: The number of slots from which on twice as many save less than a quarter of the time.
        notes: What the predictions rest on, and what follows from them.
    """

    name: str
    metric: Metric
    n_trials: int
    rows: tuple[PlanRow, ...]
    slots_per_machine: int
    knee: int
    notes: tuple[str, ...]

    def table(self) -> "pd.DataFrame":
        """Return one row per number of slots, with the attributes of `PlanRow` as columns.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas = _optional.require("pandas", extra="pandas", purpose="Plan.table()")
        columns = PlanRow.__slots__
        rows = [[getattr(row, column) for column in columns] for row in self.rows]
        frame: pd.DataFrame = pandas.DataFrame(rows, columns=list(columns))
        return frame

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"Plan of {counted(self.n_trials, 'trial')}, from the record of {self.name}"
        head = ["slots", "machines", "time", f"best {self.metric.name}", "used"]
        cells = [head + ["cost"] * (self.rows[0].cost is not None), *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for number, line in enumerate(cells):
            text = "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            is_knee = number > 0 and self.rows[number - 1].slots == self.knee
            yield f"  {text}{'  ← knee' if is_knee else ''}"
        yield from self.notes


def _cells(row: PlanRow) -> list[str]:
    shown = [str(row.slots), str(row.machines), duration(row.seconds), f"{row.best:.4g}"]
    cost = [] if row.cost is None else [f"{row.cost:.2f}" if row.cost >= 1 else f"{row.cost:.2g}"]
    return [*shown, f"{row.used:.0%}", *cost]
