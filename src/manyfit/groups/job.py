"""What a worker must know to tune groups."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from manyfit.budget import Stop
from manyfit.groups.record.output import Output
from manyfit.groups.search.holdout import Holdout
from manyfit.metric import Metric
from manyfit.pruners.auto import Pruning
from manyfit.space import Space
from manyfit.trial import Params
from manyfit.worker.work import Limits


@dataclass(frozen=True, slots=True)
class GroupJob:
    """What to do with every group.

    Attributes:
        by: The key columns.
        objective: `fit(group, params)`, or `fit(train, valid, params)` with a holdout.
        space: The space to search.
        metric: The metric to tune.
        n_trials: The number of trials per group; None if only time limits them.
        seconds: The wall time per group; None for no limit.
        shared_by: Columns, constant within a group, whose values select among `points`.
        order_by: Columns by which the rows of a group are sorted.
        holdout: The split of a group's rows; None if the objective splits them.
        sampler: A word, or an instance that can be copied for each group.
        pruner: The pruner, as for `make_pruner`.
        baseline: A function with the metrics to beat; None if the first of `start_with` is that.
        start_with: Stored params to try first.
        points: By the text of the `shared_by` values, the exact trials to run, in stored form;
            empty if each group searches for itself.
        stop: Further rules that end a group's trials.
        trial_timeout: Seconds that a trial may take.
        trial_memory: Resident bytes of the worker's processes.
        seed: The seed of the call; `keys.group_seed` derives each group's.
        keep_models: Whether rows have models, or the folder or URL for these.
        keep_trials: Whether rows have all their trials.
        output: The output of rows and models; None if they go to the driver.
        name: The call's name.
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
    pruner: Pruning = "auto"
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
        """Return a job that tries exactly these points, and keeps no models or trials."""
        fixed = {key: tuple(each) for key, each in points.items()}
        return replace(
            self, points=fixed, start_with=(), baseline=None, keep_models=False, output=None
        )

    @classmethod
    def without_objective(
        cls, metric: Metric, *, seed: int, seconds: float | None, trial_timeout: float | None
    ) -> "GroupJob":
        """Return what a `BatchRunner` needs of a job whose objective only its process has."""
        return cls(
            (),
            _elsewhere,
            Space({}),
            metric,
            seed=seed,
            seconds=seconds,
            trial_timeout=trial_timeout,
        )

    def settings(self) -> dict[str, Any]:
        """Return the settings that `without_objective` takes, as plain data."""
        return {"seed": self.seed, "seconds": self.seconds, "trial_timeout": self.trial_timeout}

    def limits(self, cpus: int) -> Limits:
        """Return the limits of a worker process; single trials are timed by its runner."""
        return Limits(memory=self.trial_memory, cpus=cpus)

    def folder_of_models(self) -> str | None:
        """Return the folder of models; None if they stay in rows, or aren't kept."""
        return self.keep_models if isinstance(self.keep_models, str) else None


def _elsewhere(*_: Any) -> None:
    """Stand in for the objective."""
