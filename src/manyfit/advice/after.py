"""What a study's trials show, and the space that its successor should search."""

from collections.abc import Container, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from manyfit.advice.advice import Advice
from manyfit.advice.edges import edges
from manyfit.advice.effects import idle_params, interactions
from manyfit.advice.ending import baseline_won, long_flat, too_early
from manyfit.advice.finding import Finding
from manyfit.advice.functions import Functions
from manyfit.advice.importance import Importances, determines_shares, importances
from manyfit.advice.noise import noise
from manyfit.advice.other_metrics import disagreeing_metrics, overfitting
from manyfit.advice.pruning import never_pruned, pruned_too_early
from manyfit.advice.record import Record
from manyfit.advice.regions import failures, slow_trials
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import Trial


class Findings:
    """What all rules find in a study; computed when it is first read.

    Args:
        record: The study.

    Attributes:
        record: The study.
    """

    def __init__(self, record: Record) -> None:
        self.record = record

    @classmethod
    def of(
        cls, space: Space, metric: Metric, trials: Sequence[Trial], outside: Container[int] = ()
    ) -> "Findings":
        """Return the findings of trials as they are on record, or as an objective receives them."""
        return cls(Record.of(space, metric, trials, outside))

    @property
    def advice(self) -> tuple[Advice, ...]:
        """Advice for the user, the most urgent first; empty if all is well."""
        return tuple(finding.advice for finding in self._findings)

    @property
    def next_space(self) -> Space:
        """The space that the advice suggests to search next; the same one if it suggests none."""
        changes: dict[str, Any] = {}
        for finding in self._findings:
            for name, entry in finding.change.items():
                changes.setdefault(name, entry)
        return self.record.space.replaced(changes) if changes else self.record.space

    @cached_property
    def importances(self) -> Importances:
        """How much each param and each pair matters; empty if too few trials have completed."""
        functions = self._functions
        return Importances() if functions is None else importances(functions)

    @cached_property
    def _functions(self) -> Functions | None:
        return Functions(self.record) if determines_shares(self.record) else None

    @cached_property
    def _findings(self) -> tuple[Finding, ...]:
        with np.errstate(all="ignore"):  # of values beyond 1e154, nothing is said
            return self._found()

    def _found(self) -> tuple[Finding, ...]:
        record, functions, found = self.record, self._functions, self.importances
        drawn = () if functions is None else (functions,)
        return (
            *failures(record),
            *baseline_won(record),
            *(finding for each in drawn for finding in edges(each, found)),
            *too_early(record),
            *overfitting(record),
            *disagreeing_metrics(record),
            *(finding for each in drawn for finding in noise(each, found)),
            *(finding for each in drawn for finding in interactions(each, found)),
            *(finding for each in drawn for finding in idle_params(each, found)),
            *pruned_too_early(record),
            *never_pruned(record),
            *(finding for each in drawn for finding in slow_trials(each)),
            *long_flat(record),
        )
