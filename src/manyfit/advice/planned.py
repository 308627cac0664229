"""What a study is about to do, as rules see it."""

from dataclasses import dataclass

from manyfit.metric import Metric
from manyfit.space import Space


@dataclass(frozen=True, slots=True)
class Planned:
    """A study before its first trial.

    Attributes:
        space: The space to search.
        metric: The metric to tune.
        n_trials: The total number of trials; None if unknown.
        parallelism: The number of trials that run at once; None if unknown.
        sampler: The name of the sampler, such as `"auto"`; None for one that isn't Manyfit's.
        trial_memory: The bytes that a trial may hold; None for any number.
        machine_memory: The bytes of the machine on which trials run; None if unknown.
    """

    space: Space
    metric: Metric
    n_trials: int | None = None
    parallelism: int | None = None
    sampler: str | None = "auto"
    trial_memory: int | None = None
    machine_memory: int | None = None
