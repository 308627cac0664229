"""Runs a study that never was: the real driver and sampler, with simulated trials."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manyfit.budget import Budget
from manyfit.driver import Driver
from manyfit.engine import Engine
from manyfit.events import Event
from manyfit.plan.machines import Fleet, SimulatedExecutor
from manyfit.plan.search import Search
from manyfit.plan.simulated import SimulatedObjective
from manyfit.pruners.auto import make_pruner
from manyfit.recorder import Recorder
from manyfit.worker.work import Work

# Trials beyond these aren't simulated: they are taken to go on at the pace of the middle half.
MOST_TRIALS = 500


@dataclass(frozen=True, slots=True)
class Simulated:
    """How a simulated study went.

    Attributes:
        seconds: Its duration.
        best: The lowest loss found.
        machine_seconds: What its machines ran for, if each was given back after its last trial.
        used: The share of the slots' time in which they had a trial.
    """

    seconds: float
    best: float
    machine_seconds: float
    used: float


def simulate(
    objective: SimulatedObjective, fleet: Fleet, n_trials: int, search: Search
) -> Simulated:
    """Return how a study of `n_trials` would go, on a fleet of machines."""
    space, metric, seed = objective.space, objective.metric, objective.seed
    count = min(n_trials, MOST_TRIALS)
    engine = Engine(
        space=space,
        metric=metric,
        sampler=search.sampler_of(space, metric, seed, count),
        pruner=make_pruner(search.pruner if objective.has_curves else None, metric),
        budget=Budget(count),
        seed=seed,
        lag=search.lag,
    )
    executor = SimulatedExecutor(objective, fleet)
    work = Work(_never, space, metric, f"simulated-{id(executor)}", Path("simulated"))
    Driver(Recorder(engine, _Forgotten()), executor, work, seed=seed, clock=executor.clock).run()
    more = (n_trials - count) * _pace(executor.ends)
    return Simulated(
        executor.now + more,
        min((loss for _, loss in executor.ends if loss is not None), default=float("nan")),
        executor.machine_seconds + more * fleet.machines,
        executor.busy / max(fleet.slots * executor.now, 1e-9),
    )


def _pace(ends: Sequence[tuple[float, float | None]]) -> float:
    """Return the seconds for each trial of the middle half."""
    quarter = len(ends) // 4
    return (ends[-1 - quarter][0] - ends[quarter][0]) / max(len(ends) - 1 - 2 * quarter, 1)


def _never(params: dict[str, object]) -> float:
    raise AssertionError(f"simulated trials run no code, and were given {params}")


class _Forgotten:
    """A journal that keeps nothing."""

    def read(self) -> Iterator[Event]:
        return iter(())

    def append(self, event: Event) -> None:
        pass

    def commit(self) -> None:
        pass

    def close(self) -> None:
        pass
