"""All that a worker must know to tune groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from manyfit.budget import Stop
from manyfit.groups.record.output import Output
from manyfit.groups.search.holdout import Holdout
from manyfit.metric import Metric
from manyfit.pruners.base import PrunerSettings
from manyfit.space import Space
from manyfit.trial import Params
from manyfit.worker.work import Limits


@dataclass(frozen=True, slots=True)
class GroupJob:
    """What is done with every group.

    Attributes:
        by: The key columns.
        objective: `fit(group, params)`, or `fit(train, valid, params)` where there is a holdout.
        space: What is searched.
        metric: What is tuned.
        n_trials: Trials a group; None where only time limits them.
        seconds: Wall time a group; None for no limit.
        shared_by: Columns, the same all over a group, whose values choose among `points`.
        order_by: Columns that the rows of a group are sorted by.
        holdout: How a group's rows are split; None where the objective does it.
        sampler: A word, or an instance that can be copied for each group.
        pruner: What `make_pruner` takes.
        baseline: Returns what tuning is to beat; None where the first of `start_with` is that.
        start_with: Stored params to try first.
        points: By the text of the `shared_by` values, exactly the trials to run, in stored form;
            empty where each group searches for itself.
        stop: What else ends a group's trials.
        trial_timeout: Seconds a trial may take.
        trial_memory: Resident bytes of the worker's processes.
        seed: Of the whole; `keys.group_seed` makes each group's.
        keep_models: Whether rows have models, or the folder or URL where these go.
        keep_trials: Whether rows have all their trials.
        output: Where rows go, models included; None if they go to the driver.
        name: The call's.
    """

    by: tuple[str, ...]
    objective: Callable[..., Any]
    space: Space
    metric: Metric
    n_trials: int | None = 20
    seconds: float | None = None
    shared_by: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    holdout: Holdout | None = None
    sampler: Any = "auto"
    pruner: str | PrunerSettings | None = "auto"
    baseline: Callable[..., Any] | None = None
    start_with: tuple[Params, ...] = ()
    points: Mapping[str, tuple[Params, ...]] = field(default_factory=dict)
    stop: tuple[Stop, ...] = ()
    trial_timeout: float | None = None
    trial_memory: int | None = None
    seed: int = 0
    keep_models: bool | str = False
    keep_trials: bool = False
    output: Output | None = None
    name: str = ""

    def at(self, points: Mapping[str, Sequence[Params]]) -> "GroupJob":
        """Return the job that tries certain points, and nothing else, and keeps nothing of it."""
        fixed = {key: tuple(each) for key, each in points.items()}
        return replace(
            self, points=fixed, start_with=(), baseline=None, keep_models=False, output=None
        )

    def limits(self, cpus: int) -> Limits:
        """Return what a worker process may use; single trials are timed by its runner."""
        return Limits(memory=self.trial_memory, cpus=cpus)

    def folder_of_models(self) -> str | None:
        """Return where models go; None if they stay in rows, or aren't kept."""
        return self.keep_models if isinstance(self.keep_models, str) else None
