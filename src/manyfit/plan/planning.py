"""`result.plan()` simulates a study with different numbers of slots, and says what follows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any, Protocol

from manyfit._checks import check_number, check_optional
from manyfit.advice.record import Record
from manyfit.errors import ArgumentError
from manyfit.plan.machines import Fleet
from manyfit.plan.measured import Measured
from manyfit.plan.plan import Plan, PlanRow
from manyfit.plan.search import Search
from manyfit.plan.simulate import MOST_TRIALS, Simulated, simulate
from manyfit.plan.simulated import SimulatedObjective
from manyfit.trial import Trial
from manyfit.worker.limits import machine_memory, usable_cpus

SLOTS = (1, 2, 4, 8, 16, 32, 64, 128)
# Objectives are drawn until their studies have this many trials, all together, and no more than so
# many: in a long study, chance evens out by itself.
_DRAWN, _MOST_DRAWS = 300, 3
# From the knee on, twice the slots save less than this share of the time.
_SAVES = 0.25
# An idle share of paid machine time from which giving machines back early is worth mentioning.
_IDLE = 0.15


class Recorded(Protocol):
    """A result, as plans read it."""

    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def trials(self) -> Sequence[Trial]: ...
    @property
    def _record(self) -> Record: ...


class StudyPlans:
    """The plans of a study's result, as a method."""

    def plan(
        self: Recorded,
        n_trials: int | None = None,
        *,
        slots: int | Sequence[int] = SLOTS,
        cores: int | None = None,
        memory: int | None = None,
        machines: int | None = None,
        price: float | None = None,
        draws: int | None = None,
        seed: int = 0,
    ) -> Plan:
        """Predict time, cost and quality of such a study, for different numbers of slots.

        The study runs again in virtual time, with the real driver, sampler and pruner. Simulated
        trials return values of functions that fit the trials on record, and take as long as those
        did. Trials that use the cores of one machine at the same time slow one another down. A plan
        takes up to half a minute: `len(slots) * draws` studies are simulated, so fewer of either
        are quicker. A terminal shows how many are done. In a long study, the sampler proposes a
        hundred trials and a quicker one the others; beyond 500 trials, nothing is simulated.

        No better value is predicted than the best on record: the functions go on beyond it, but
        whether the real objective does, no trial has shown.

        For trials on the driver (`DriverExecutor`), the one machine is the Spark cluster, and its
        cores are the slots for tasks; a trial is assumed to be no faster alone on a larger cluster.
        Trials that ran in threads, or through Spark Connect, haven't recorded what they used: the
        plan then assumes that they don't slow one another down, and says so.

        Args:
            n_trials: The number of trials of the planned study, from its beginning; by default as
                many as this one has. A finite space may have fewer.
            slots: The numbers of trials that run at once.
            cores: The cores of a machine; by default those of this one, on which the trials on
                record are assumed to have run, or the slots of the cluster on record.
            memory: The memory of a machine, in bytes; by default that of this one.
            machines: The number of machines, among which the slots are divided; by default as many
                as have room for them. `machines=1` is for a study on this machine alone. For trials
                on the driver, it must be 1.
            price: The price of a machine per hour, in any currency.
            draws: The number of simulated objectives: more are more precise. By default three; two
                or one with more than 100 or 150 trials, whose chance evens out by itself.
            seed: Determines the simulated objectives.

        Raises:
            ArgumentError: An argument breaks a rule.
            NoResultError: No trial has completed.

        Example:
            >>> result.plan(200, slots=[2, 8], cores=8, price=0.5)  # doctest: +SKIP
            Plan of 200 trials, from the record of credit
              slots  machines       time  best loss  used  cost
                  2         1  33 min 4 s     0.2113   98%  0.28
                  8         1  8 min 52 s     0.2121   91%  0.07  ← knee
        """
        count = check_optional("n_trials", n_trials, least=1, whole=True)
        count = count or max(1, len(self._record.trials))
        count = min(count, self._record.space.size or count)
        many = [slots] if isinstance(slots, int) else slots
        each = [check_number("slots", number, least=1, whole=True) for number in many]
        if not each:
            raise ArgumentError("slots must have at least one number, but got none")
        draws = check_optional("draws", draws, least=1, whole=True)
        check_number("seed", seed, least=0, whole=True)
        check_optional("price", price, least=0)
        check_optional("machines", machines, least=1, whole=True)
        size = _Size.of(cores, memory)
        measured = Measured.of(self.trials, size.cores)
        if measured.slots is not None:  # the cluster takes the place of a machine
            size = _Size(cores or measured.slots, size.memory)
            machines = _one(machines)
        wanted = sorted({min(number, count) for number in each})
        fleets = [size.fleet(number, machines, measured) for number in wanted]
        record, search = self._record, Search.of(self.folder)
        # The same objectives for all numbers of slots, so that differences are theirs.
        seeds = range(seed, seed + (draws or min(max(_DRAWN // count, 1), _MOST_DRAWS)))
        objectives = [SimulatedObjective(record, measured, each) for each in seeds]
        runs = _simulated(fleets, objectives, count, search)
        rows = tuple(_rows(fleets, runs, record, price))
        notes = [*_notes(rows, measured, size), *_assumed(search, count), *_beyond(runs, record)]
        room = size.room(measured)
        return Plan(self.name, record.metric, count, rows, room, _knee(rows), tuple(notes))


def _simulated(
    fleets: Sequence[Fleet], objectives: Sequence[SimulatedObjective], count: int, search: Search
) -> list[list[Simulated]]:
    """Return for each fleet how a study of each objective would go."""
    # Imported here because rich takes a tenth of a second, which `import manyfit` saves.
    from manyfit.trackers.terminal_count import counted  # noqa: PLC0415

    pairs = [(each, fleet) for fleet in fleets for each in objectives]
    found = [
        simulate(each, fleet, count, search) for each, fleet in counted(pairs, "studies simulated")
    ]
    draws = len(objectives)
    return [found[n : n + draws] for n in range(0, len(found), draws)]


def _one(machines: int | None) -> int:
    if machines not in (None, 1):
        raise ArgumentError(
            f"machines must be 1 for trials that ran on the driver, but got {machines}: the Spark "
            "cluster is the one machine, and cores its slots"
        )
    return 1


@dataclass(frozen=True, slots=True)
class _Size:
    """The size of a machine."""

    cores: int
    memory: int

    @classmethod
    def of(cls, cores: int | None, memory: int | None) -> "_Size":
        given = check_optional("cores", cores, least=1, whole=True)
        room = check_optional("memory", memory, above=0, unit="bytes")
        return cls(given or usable_cpus(), room or machine_memory()[0])

    def room(self, measured: Measured) -> int:
        """Return how many trials a machine has room for."""
        by_cores = max(1, int(self.cores / max(1.0, measured.cores or 1.0)))
        return max(1, min(by_cores, self.by_memory(measured)))

    def by_memory(self, measured: Measured) -> int:
        return 1 << 30 if not measured.memory else int(self.memory // measured.memory)

    def fleet(self, slots: int, machines: int | None, measured: Measured) -> Fleet:
        return Fleet(
            slots,
            self.room(measured) if machines is None else math.ceil(slots / machines),
            math.inf if measured.cores is None else self.cores,
            measured.cores or 1.0,
            measured.start,
            measured.gap,
        )


def _rows(
    fleets: Sequence[Fleet],
    runs: Sequence[Sequence[Simulated]],
    record: Record,
    price: float | None,
) -> Iterator[PlanRow]:
    sign = 1.0 if record.metric.direction == "minimize" else -1.0
    lowest = record.loss(record.completed[0])
    bests = [mean(max(run.best, lowest) for run in found) for found in runs]
    for fleet, found, best in zip(fleets, runs, bests, strict=True):
        seconds = [run.seconds for run in found]
        hours = fleet.machines * mean(seconds) / 3600
        scaled = mean(run.machine_seconds for run in found) / 3600
        yield PlanRow(
            slots=fleet.slots,
            machines=fleet.machines,
            seconds=mean(seconds),
            low=min(seconds),
            high=max(seconds),
            best=sign * best,
            behind=best - bests[0],
            used=mean(run.used for run in found),
            cost=None if price is None else price * hours,
            scaled_cost=None if price is None else price * scaled,
        )


def _assumed(search: Search, count: int) -> Iterator[str]:
    """Say how simulated studies differ from the one planned."""
    for name in search.unknown:
        yield f"The record has only the name of {name}, which the plan takes to do as 'auto' does."
    if count > MOST_TRIALS:
        yield (
            f"The first {MOST_TRIALS} trials were simulated: the best values are theirs, and the "
            "other trials are assumed to go on at the same pace."
        )


def _beyond(runs: Sequence[Sequence[Simulated]], record: Record) -> Iterator[str]:
    """Say that more than the best on record may be found, if simulated studies did."""
    best = record.completed[0]
    if any(run.best < record.loss(best) for found in runs for run in found):
        yield (
            f"Whether there are better values than the best on record, {best.value:.4g}, no trial "
            "has shown, and none is predicted."
        )


def _knee(rows: Sequence[PlanRow]) -> int:
    for row, more in pairwise(rows):
        doublings = math.log2(more.slots / row.slots)
        if more.seconds > row.seconds * (1 - _SAVES) ** doublings:
            return row.slots
    return rows[-1].slots


def _notes(rows: Sequence[PlanRow], measured: Measured, size: _Size) -> Iterator[str]:
    yield _used(measured, size)
    by_memory = size.by_memory(measured)
    by_cores = int(size.cores / max(1.0, measured.cores or 1.0))
    if by_memory < 1:
        yield "The largest trial needs more memory than such a machine has."
    elif by_memory < by_cores:
        yield (
            f"Memory is what limits it: {by_cores} trials would find cores. A machine with more "
            "memory per core is cheaper than more machines."
        )
    yield from _scaling(rows)


def _used(measured: Measured, size: _Size) -> str:
    """Say what a trial uses, and what the plan assumes about it."""
    if measured.cores is None:
        return (
            "The study didn't record what its trials used of a machine or a cluster: the plan "
            "assumes that each needs a core, and that they don't slow one another down."
        )
    cores = "less than 0.1" if measured.cores < 0.05 else f"{measured.cores:.1f}"
    room = f"has room for {size.room(measured)} at a time"
    if measured.slots is not None:
        return (
            f"The trials ran on the driver: each kept {cores} slots of a Spark cluster busy, and "
            f"one of {size.cores} slots {room}. It is the one machine of this plan. On a larger "
            "cluster a trial is assumed to take as long, and what trials do on the driver itself "
            "to slow no other."
        )
    held = f" and {_bytes(measured.memory)}" if measured.memory else ""
    machine = f"a machine of {size.cores} cores and {_bytes(size.memory)}"
    return f"A trial uses {cores} cores{held}; {machine} {room}."


def _scaling(rows: Sequence[PlanRow]) -> Iterator[str]:
    """Say whether machines that are given back early would save money."""
    for row in rows:
        if row.cost is None or row.scaled_cost is None or row.machines < 2 or row.cost <= 0:
            continue
        saved = 1 - row.scaled_cost / row.cost
        if saved > _IDLE:
            yield (
                f"With {row.slots} slots, autoscaling saves {saved:.0%} of the cost: machines wait "
                "for the last trials."
            )
            return


def _bytes(size: Any) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
