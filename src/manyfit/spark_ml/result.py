"""The result of a study of a pipeline."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from manyfit.front_plan import Savings
from manyfit.result import StudyResult
from manyfit.spark.session import Session
from manyfit.spark.watch import explained
from manyfit.spark_ml.stages import Configurations

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True, repr=False)
class PipelineResult(StudyResult):
    """The trials of a study of a pipeline at the time the result was made.

    When printed, it also shows the work saved by sharing.

    Attributes:
        savings: The work saved by sharing in this call; None if sharing was off.
    """

    savings: Savings | None = None
    _recipe: Configurations | None = field(default=None, kw_only=True)
    _rows: "DataFrame | None" = field(default=None, kw_only=True)

    @classmethod
    def of(
        cls,
        found: StudyResult,
        savings: Savings | None,
        recipe: Configurations,
        rows: "DataFrame",
    ) -> "PipelineResult":
        """Return a study's result, extended for a pipeline."""
        return cls(**vars(found), savings=savings, _recipe=recipe, _rows=rows)

    def refit(self, rows: "DataFrame | None" = None) -> Any:
        """Fit the pipeline of the best trial; returns the fitted model.

        Args:
            rows: The rows to fit it on; by default all of the study's, training and validation.

        Raises:
            NoResultError: No trial has completed.
            ExecutorError: The Spark session has ended: pass the rows of another one.
        """
        if self._recipe is None or self._rows is None:
            raise AssertionError("PipelineResult.of gives both")
        rows = self._rows if rows is None else rows
        with explained(Session(rows.sparkSession)):
            return self._recipe.assemble(self.best.params).fit(rows)

    def __str__(self) -> str:
        lines = super().__str__()
        return lines if self.savings is None else f"{lines}\n  shared  {self.savings}"
