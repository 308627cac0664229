"""Runs a study that never was: the real driver and sampler, with simulated trials."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manyfit.budget import Budget
from manyfit.driver import Driver
from manyfit.engine import Engine
from manyfit.events import Event
from manyfit.plan.machines import Fleet, SimulatedExecutor
from manyfit.plan.simulated import SimulatedObjective
from manyfit.pruners.auto import make_pruner
from manyfit.recorder import Recorder
from manyfit.samplers.auto import make_sampler
from manyfit.worker.work import Work


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


def simulate(objective: SimulatedObjective, fleet: Fleet, n_trials: int) -> Simulated:
    """Return how a study of `n_trials` would go, on a fleet of machines."""
    space, metric, seed = objective.space, objective.metric, objective.seed
    engine = Engine(
        space=space,
        metric=metric,
        sampler=make_sampler("auto", space, metric, seed)[0],
        pruner=make_pruner("auto" if objective.has_curves else None, metric),
        budget=Budget(n_trials),
        seed=seed,
    )
    executor = SimulatedExecutor(objective, fleet)
    work = Work(_never, space, metric, f"simulated-{id(executor)}", Path("simulated"))
    Driver(Recorder(engine, _Forgotten()), executor, work, seed=seed, clock=executor.clock).run()
    return Simulated(
        executor.now,
        min((loss for _, loss in executor.ends), default=float("nan")),
        executor.machine_seconds,
        executor.busy / max(fleet.slots * executor.now, 1e-9),
    )


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
