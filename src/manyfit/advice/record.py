"""A study's trials, as the rules of advice read them."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from manyfit.metric import Metric
from manyfit.samplers.cube import Array, Cube, Points, Rows
from manyfit.samplers.outcomes import Outcomes
from manyfit.space import Space
from manyfit.trial import State, Trial


@dataclass(frozen=True, eq=False)
class Record:
    """The search of a study: its ended trials, without repeats.

    Attributes:
        space: The space.
        metric: The metric tuned.
        trials: Ended trials inside the space, by number, with stored params.
    """

    space: Space
    metric: Metric
    trials: tuple[Trial, ...]

    @classmethod
    def of(
        cls, space: Space, metric: Metric, trials: Iterable[Trial], outside: Container[int] = ()
    ) -> "Record":
        """Return the record of trials whose params are stored, or are what an objective receives.

        Args:
            space: The space.
            metric: The metric tuned.
            trials: All trials, by number.
            outside: Numbers of trials outside the space.
        """

        def stored(trial: Trial) -> Trial:
            tuned = {n: value for n, value in trial.params.items() if n in space.params}
            return replace(trial, params=space.store(tuned))

        return cls(
            space,
            metric,
            tuple(
                stored(trial)
                for trial in trials
                if trial.state.is_finished
                and trial.repeat_of is None
                and trial.number not in outside
            ),
        )

    @cached_property
    def losses(self) -> Array:
        """A loss for each trial: its own, or what `Outcomes` gives a pruned or failed one."""
        outcomes = Outcomes(self.metric)
        for trial in self.trials:
            outcomes.add(trial)
        return outcomes.losses()

    @cached_property
    def completed(self) -> tuple[Trial, ...]:
        """Completed trials, the best first; the earlier of equals."""
        found = (trial for trial in self.trials if trial.state is State.COMPLETE)
        return tuple(sorted(found, key=lambda trial: (self.loss(trial), trial.number)))

    def loss(self, trial: Trial) -> float:
        """Return the loss of a completed trial."""
        return self.metric.loss(float("nan") if trial.value is None else trial.value)

    @cached_property
    def cube(self) -> Cube:
        """The rows of the space."""
        return Cube(self.space)

    @cached_property
    def rows(self) -> Rows:
        """A row for each trial."""
        rows = [self.cube.row(trial.params) for trial in self.trials]
        return np.reshape(rows, (len(rows), self.cube.dimensions))

    def points(self, places: NDArray[np.intp]) -> Points:
        """Return the trials at some places as a Gaussian process sees them."""
        return self.cube.points(self.rows[places])
