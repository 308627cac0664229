"""What trials cost, as their study has measured it."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from manyfit.errors import NoResultError
from manyfit.trial import Attempt, State, Trial

# A machine is considered busy if its trials used at least this share of its cores.
_BUSY = 0.9
# The number of times that work and demand are computed from each other.
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """The costs of a study's trials.

    Attributes:
        seconds: What each trial would have taken on an idle machine by a worker that has run others
            before, by the trial's number.
        cores: The number of cores that a trial uses while it runs alone, or of slots of a Spark
            cluster; None if that is unknown.
        slots: The number of slots of that cluster, if the trials ran on the driver; otherwise None.
        memory: The bytes that the largest trial held; None if that is unknown.
        start: Seconds of work until a worker is ready, with what its first trial takes longer, for
            instance to import frameworks.
        gap: Seconds from the end of a trial until its slot begins the next one.
    """

    seconds: dict[int, float]
    cores: float | None
    memory: int | None
    start: float
    gap: float
    slots: int | None = None

    @classmethod
    def of(cls, trials: Sequence[Trial], cores: int) -> "Measured":
        """Return the costs of trials that ran on one machine, or on machines of equal size.

        Args:
            trials: The trials, by number.
            cores: The number of cores of a machine; trials on the driver have recorded the slots of
                their cluster.

        Raises:
            NoResultError: No trial has completed.
        """
        runs = [_Run.of(trial) for trial in trials if trial.state.is_finished and trial.seconds]
        if not runs or all(trial.state is not State.COMPLETE for trial in trials):
            raise NoResultError("a plan needs trials that have completed, and this study has none")
        known = [run for run in runs if run.cpu is not None]
        slots = max((run.slots for run in runs if run.slots is not None), default=None)
        cores = slots or cores
        crowds = _crowds(runs)
        demand = _demand(known, crowds, cores) if known else None
        alone = {run.number: _alone(run, crowds, demand or 0.0, cores) for run in runs}
        memory = max((run.memory for run in runs if run.memory is not None), default=None)
        first = _first(runs)
        warming = _warming(alone, first)
        seconds = {n: max(0.0, s - warming) if n in first else s for n, s in alone.items()}
        return cls(seconds, demand, memory, _start(trials) + warming, _gap(runs), slots)


@dataclass(frozen=True, slots=True)
class _Run:
    """The last attempt of a trial."""

    number: int
    worker: str
    begin: float
    end: float
    cpu: float | None  # seconds of cores, or of a cluster's slots
    memory: int | None
    slots: int | None

    @classmethod
    def of(cls, trial: Trial) -> "_Run":
        last: Attempt = trial.attempts[-1]
        memory, slots = last.usage.get("peak_memory"), last.usage.get("slots")
        return cls(
            trial.number,
            last.worker,
            last.started_at,
            last.started_at + (last.seconds or 0.0),
            last.usage.get("task_seconds", last.usage.get("cpu_seconds")),
            None if memory is None else int(memory),
            None if slots is None else int(slots),
        )

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def machine(self) -> str:
        return self.worker.partition(":")[0].partition("/")[0]


def _demand(runs: Sequence[_Run], crowds: Mapping[int, float], cores: int) -> float:
    """Return the cores that a typical trial uses alone.

    If the cores were busy, trials that each use part of a core can't be told from trials that had
    to share it. They are then assumed to be able to use one core each.
    """
    demand = median(_share(run.cpu, run.seconds) for run in runs)
    crowd = median(crowds[run.number] for run in runs)
    if demand * crowd < _BUSY * cores:
        return demand
    demand = max(demand, 1.0)
    for _ in range(_ROUNDS):
        shares = [_share(run.cpu, _alone(run, crowds, demand, cores)) for run in runs]
        demand = max(1.0, median(shares))
    return demand


def _share(cpu: float | None, seconds: float) -> float:
    return (cpu or 0.0) / max(seconds, 1e-6)


def _alone(run: _Run, crowds: Mapping[int, float], demand: float, cores: int) -> float:
    """Return the seconds that a run would have taken if no other had shared its cores."""
    return run.seconds * min(1.0, cores / max(demand * crowds[run.number], 1e-9))


def _crowds(runs: Sequence[_Run]) -> dict[int, float]:
    """Return the number of runs on each run's machine during it, on average; at least 1."""
    by_machine = defaultdict(list)
    for run in runs:
        by_machine[run.machine].append(run)
    crowds = {}
    for those in by_machine.values():
        begins, ends = (
            np.array([getattr(run, name) for run in those]) for name in ("begin", "end")
        )
        for run in those:
            beside = np.minimum(ends, run.end) - np.maximum(begins, run.begin)
            crowds[run.number] = max(1.0, beside.clip(0.0).sum() / max(run.seconds, 1e-9))
    return crowds


def _first(runs: Sequence[_Run]) -> set[int]:
    """Return the first trial of each worker."""
    earliest: dict[str, _Run] = {}
    for run in sorted(runs, key=lambda run: run.begin, reverse=True):
        earliest[run.worker] = run
    return {run.number for run in earliest.values()}


def _warming(seconds: Mapping[int, float], first: Container[int]) -> float:
    """Return by how much the first trials of workers take longer than the others."""
    others = [each for number, each in seconds.items() if number not in first]
    those = [each for number, each in seconds.items() if number in first]
    return max(0.0, median(those) - median(others)) if others else 0.0


def _start(trials: Sequence[Trial]) -> float:
    """Return the seconds from asking for the first trial until it began."""
    first = min(trials, key=lambda trial: trial.attempts[0].started_at if trial.attempts else 1e99)
    return max(0.0, first.attempts[0].started_at - first.asked_at) if first.attempts else 0.0


def _gap(runs: Sequence[_Run]) -> float:
    """Return the typical seconds between two runs of the same worker."""
    last: dict[str, float] = {}
    gaps = []
    for run in sorted(runs, key=lambda run: run.begin):
        if run.worker in last:
            gaps.append(max(0.0, run.begin - last[run.worker]))
        last[run.worker] = run.end
    return median(gaps) if gaps else 0.0
