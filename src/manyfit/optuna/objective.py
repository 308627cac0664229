"""Calls an objective of Optuna on a worker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna

from manyfit.errors import FatalError, TrialStopped
from manyfit.metric import Direction
from manyfit.optuna.trial import RunningTrial
from manyfit.worker.context import current_context


@dataclass(frozen=True)
class DefineByRun:
    """An objective of Optuna, `def objective(trial)`, as one of Manyfit, which receives params.

    Attributes:
        objective: The objective.
        direction: `"minimize"` or `"maximize"`.
    """

    objective: Callable[[Any], Any]
    direction: Direction

    @property
    def __wrapped__(self) -> Callable[[Any], Any]:
        return self.objective

    def __call__(self, params: Mapping[str, Any]) -> Any:
        """Run the objective; `optuna.TrialPruned` prunes the trial.

        Raises:
            TrialStopped: The objective raised `optuna.TrialPruned`, or the trial was cut off.
            FatalError: It returned several values.
        """
        context = current_context()
        trial = RunningTrial(params, self.direction, context)
        if context is not None:
            context.is_optunas = True
        try:
            returned = self.objective(trial)
        except optuna.TrialPruned as pruned:
            if context is not None and trial.should_prune():
                context.raise_if_stopped()
            raise TrialStopped(str(pruned)) from pruned
        finally:
            trial.send()
        return _single(returned)


def _single(returned: Any) -> Any:
    if isinstance(returned, list | tuple):
        if len(returned) != 1:
            raise FatalError(
                f"the objective returned {len(returned)} values, but manyfit.optuna.optimize has "
                "one objective. Combine them into one number"
            )
        return returned[0]
    return returned
