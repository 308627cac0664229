"""Slots on machines, in virtual time: trials that share the cores of one slow each other down."""

import math
from dataclasses import dataclass, field

from manyfit.clock import Clock
from manyfit.events import (
    AttemptEvent,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    Reported,
)
from manyfit.executors.base import Capabilities, Handler
from manyfit.plan.simulated import SimulatedObjective
from manyfit.worker.work import Task, Work


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where the slots are.

    Attributes:
        slots: The number of trials that run at once.
        each: The number of slots on a machine.
        cores: The cores of a machine; infinite if trials are known not to share them.
        demand: The cores that a trial uses while it runs alone.
        start: Seconds of work for a slot's first trial, in addition to the trial itself.
        gap: Seconds between two trials of a slot.
    """

    slots: int
    each: int
    cores: float
    demand: float
    start: float
    gap: float

    @property
    def machines(self) -> int:
        """The number of machines."""
        return math.ceil(self.slots / self.each)

    def pace(self, running: int) -> float:
        """Return the pace of each of some trials on a machine, where 1 is that of one alone."""
        return min(1.0, self.cores / max(running * self.demand, 1e-9))


@dataclass(slots=True)
class _Run:
    task: Task
    machine: int
    loss: float
    seconds: float  # of an idle machine
    reports: list[tuple[float, int, float]]
    waits: float  # seconds until it begins
    before: float  # work before its own
    began: float = 0.0
    done: float = 0.0  # seconds of an idle machine
    stop: str | None = None
    has_begun: bool = False

    def waits_for(self, pace: float) -> float:
        """Return the seconds until something happens to it, at a pace."""
        if not self.has_begun:
            return self.waits
        share = self.reports[0][0] if self.reports else 1.0
        return (self.before + share * self.seconds - self.done) / pace


@dataclass(slots=True)
class _Machine:
    running: list[_Run] = field(default_factory=list)
    used: int = 0  # slots
    last: float = 0.0  # when its last trial ended


class SimulatedExecutor:
    """Runs a study's trials in virtual time, of a `SimulatedObjective`.

    Args:
        objective: What trials return, and how long they take.
        fleet: The machines.

    Attributes:
        ends: When each trial ended and its loss, in order; None as that of a pruned one.
        busy: Seconds for which slots had a trial, all together.
    """

    capabilities = Capabilities(live_reports=True, hard_kill=True, memory_limit=True)
    cpus = 1

    def __init__(self, objective: SimulatedObjective, fleet: Fleet) -> None:
        self.now = 0.0
        self.ends: list[tuple[float, float | None]] = []
        self.busy = 0.0
        self.clock = Clock(now=lambda: self.now, monotonic=lambda: self.now)
        self._objective, self._fleet, self._metric = objective, fleet, objective.metric
        self._machines = [_Machine() for _ in range(fleet.machines)]
        self._lost: list[AttemptEvent] = []
        self._slots_used = 0

    @property
    def parallelism(self) -> int:
        """The number of slots."""
        return self._fleet.slots

    @property
    def machine_seconds(self) -> float:
        """Seconds of machines, if each is given back after its last trial."""
        return sum(machine.last for machine in self._machines)

    def open(self, work: Work) -> None:
        """Do nothing: no worker is started."""

    def submit(self, task: Task) -> None:
        """Put an attempt on the machine with the most free slots."""
        number, machine = min(
            enumerate(self._machines), key=lambda pair: (len(pair[1].running), pair[0])
        )
        is_first = self._slots_used < self._fleet.slots
        self._slots_used += is_first
        loss, seconds = self._objective.loss(task.params), self._objective.seconds(task.params)
        waits, before = (0.0, self._fleet.start) if is_first else (self._fleet.gap, 0.0)
        curve = self._objective.curve(loss)
        machine.running.append(_Run(task, number, loss, seconds, curve, waits, before))

    def poll(self, handle: Handler, timeout: float) -> None:  # noqa: ARG002 - time is virtual
        """Move time to the next event, and pass it on."""
        lost, self._lost = self._lost, []
        for event in lost:
            handle(event)
        if lost:
            return
        found = self._next()
        if found is None:
            return
        seconds, run = found
        self._advance(seconds)
        handle(self._event_of(run))

    def stop(self, number: int, attempt: int, reason: str, *, kill: bool = False) -> None:
        """End an attempt at its next report, or at once."""
        for machine in self._machines:
            for run in machine.running:
                if (run.task.number, run.task.attempt) == (number, attempt):
                    run.stop = reason
                    if kill:
                        machine.running.remove(run)
                        self._lost.append(AttemptLost(number, attempt, reason, False, self.now))
                    return

    def close(self) -> None:
        """Forget what runs."""
        for machine in self._machines:
            machine.running.clear()

    def _next(self) -> tuple[float, _Run] | None:
        """Return the next run to which something happens, and in how many seconds."""
        due = (
            (max(0.0, run.waits_for(pace)), run)
            for machine in self._machines
            for pace in (self._pace(machine),)
            for run in machine.running
        )
        return min(due, key=lambda pair: (pair[0], pair[1].task.number), default=None)

    def _pace(self, machine: _Machine) -> float:
        return self._fleet.pace(max(1, sum(run.has_begun for run in machine.running)))

    def _advance(self, seconds: float) -> None:
        self.now += seconds
        for machine in self._machines:
            pace = self._pace(machine)
            for run in machine.running:
                if run.has_begun:
                    run.done += seconds * pace
                    self.busy += seconds
                else:
                    run.waits -= seconds

    def _event_of(self, run: _Run) -> AttemptEvent:
        key = run.task.number, run.task.attempt
        if not run.has_begun:
            run.has_begun, run.began = True, self.now
            return AttemptStarted(*key, f"machine-{run.machine}", self.now)
        spent = self.now - run.began
        if run.reports:
            _, step, loss = run.reports.pop(0)
            if run.stop is not None:
                self._end(run, None)
                return AttemptPruned(*key, run.stop, spent, self.now)
            return Reported(*key, step, self._metrics(loss), self.now)
        self._end(run, run.loss)
        return AttemptFinished(*key, self._metrics(run.loss), spent, self.now)

    def _end(self, run: _Run, loss: float | None) -> None:
        self.ends.append((self.now, loss))
        machine = self._machines[run.machine]
        machine.running.remove(run)
        machine.last = self.now

    def _metrics(self, loss: float) -> dict[str, float]:
        return {self._metric.name: loss if self._metric.direction == "minimize" else -loss}
