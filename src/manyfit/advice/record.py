"""A study's trials, as the rules of advice read them."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from manyfit.errors import SpaceError
from manyfit.layout import completed
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
        is_repeated: Whether leaders were repeated.
    """

    space: Space
    metric: Metric
    trials: tuple[Trial, ...]
    is_repeated: bool = False

    @classmethod
    def of(
        cls, space: Space, metric: Metric, trials: Iterable[Trial], outside: Container[int] = ()
    ) -> "Record":
        """Return the record of trials whose params are stored, or are what an objective receives.

        Trials that the space doesn't contain are left out.

        Args:
            space: The space.
            metric: The metric tuned.
            trials: All trials, by number.
            outside: Numbers of trials outside the space.
        """
        ended = [t for t in trials if t.state.is_finished and t.number not in outside]
        fitting = (_stored(trial, space) for trial in ended if trial.repeat_of is None)
        search = tuple(trial for trial in fitting if trial is not None)
        is_repeated = any(trial.repeat_of is not None for trial in ended)
        return cls(space, metric, search, is_repeated)

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


def _stored(trial: Trial, space: Space) -> Trial | None:
    """Return a trial with stored params; None if they aren't in the space."""
    if trial.domains:  # its objective defined the space: not all params are in every trial
        return replace(trial, params=completed(space, trial.params))
    given = space.flat(trial.params)
    tuned = {name: value for name, value in given.items() if name in space.params}
    try:
        return replace(trial, params=space.store(tuned))
    except SpaceError:
        return None
