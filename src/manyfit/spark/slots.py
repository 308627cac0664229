"""The number of tasks that a Spark cluster runs at once, from its settings and its cores."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from manyfit.worker.limits import usable_cpus

_Default = TypeVar("_Default")

# Returns one of Spark's settings; an empty string if it isn't set.
Setting: TypeAlias = Callable[[str], str]

# Spark's defaults on clusters that start executors for a session.
_CORES, _EXECUTORS = 1, 2


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of a cluster; each runs one task.

    Attributes:
        now: The current number; None if unknown.
        most: The number according to the settings; infinite if unbounded, None if unknown.
        on_demand: Whether executors are started when there is work for them.
        made_of: A readable description, such as "2 executors of 2 cores"; empty if unknown.
    """

    now: int | None
    most: float | None
    on_demand: bool = False
    made_of: str = ""

    @property
    def dependable(self) -> float | None:
        """The number of tasks that surely run at the same time; None if unknown."""
        return self.most if self.on_demand or self.now is None else self.now


def slots_of(setting: Setting, cores: int | None) -> Slots:
    """Return the slots of a cluster.

    Args:
        setting: Returns the session's settings.
        cores: The cores of all executors so far; None if unknown.

    Example:
        >>> settings = {"spark.master": "spark://host:7077", "spark.executor.cores": "2"}
        >>> slots = slots_of(lambda name: settings.get(name, ""), cores=4)
        >>> slots.now, slots.most, slots.made_of
        (4, None, '2 executors of 2 cores')
    """
    cpus = _number(setting("spark.task.cpus"), 1)
    each = f", spark.task.cpus={cpus}" if cpus > 1 else ""
    master = setting("spark.master")
    if master.startswith("local"):
        now = _local_slots(master, cpus)
        return Slots(now, now, made_of=master + each)
    size = _executor_cores(setting)
    most = _promised(setting, size, cpus)
    on_demand = setting("spark.dynamicAllocation.enabled") == "true"
    if cores is None:
        return Slots(None, most, on_demand)
    cores = min(cores, _number(setting("spark.cores.max"), cores))  # Spark reports 2 for 1 core
    made_of = _counted(cores, "core")
    if size is not None:
        made_of = f"{_counted(cores // size, 'executor')} of {_counted(size, 'core')}"
    return Slots(_fitting(cores, size, cpus), most, on_demand, made_of + each)


def usable_slots(master: str) -> int:
    """Return the number of cores for tasks of local Spark, from its master.

    Example:
        >>> [usable_slots(master) for master in ("local", "local[3]", "local[4, 2]")]
        [1, 3, 4]
        >>> usable_slots("local-cluster[2, 3, 1024]")
        6
    """
    numbers = _numbers_in(master)
    if master.startswith("local-cluster"):
        return numbers[0] * numbers[1]
    return numbers[0] if numbers else 1


def _numbers_in(master: str) -> list[int]:
    inside = master.partition("[")[2].rstrip("]").replace(" ", "").split(",")
    return [usable_cpus() if number == "*" else int(number) for number in inside if number]


def _local_slots(master: str, cpus: int) -> int:
    if master.startswith("local-cluster"):
        executors, cores, *_ = _numbers_in(master)
        return executors * (cores // cpus)
    return usable_slots(master) // cpus


def _executor_cores(setting: Setting) -> int | None:
    """Return the cores of each executor; None on a standalone cluster without a limit."""
    default = _CORES if _starts_executors(setting) else None
    return _number(setting("spark.executor.cores"), default)


def _starts_executors(setting: Setting) -> bool:
    return setting("spark.master").startswith(("yarn", "k8s"))


def _promised(setting: Setting, size: int | None, cpus: int) -> float | None:
    """Return the slots of all executors that the settings allow."""
    if setting("spark.dynamicAllocation.enabled") == "true":
        most = _number(setting("spark.dynamicAllocation.maxExecutors"), math.inf)
        executors: float | None = most
    else:
        default = _EXECUTORS if _starts_executors(setting) else None
        executors = _number(setting("spark.executor.instances"), default)
    bounds: list[float] = []
    if size is not None and executors is not None:
        bounds.append(executors * (size // cpus) if size >= cpus else 0)
    if most_cores := _number(setting("spark.cores.max"), 0):
        bounds.append(_fitting(most_cores, size, cpus))
    return min(bounds, default=None)


def _fitting(cores: int, size: int | None, cpus: int) -> int:
    """Return the number of tasks that fit into these cores, when none spans two executors."""
    return cores // cpus if size is None else cores // size * (size // cpus)


def _number(text: str, default: _Default) -> int | _Default:
    return int(text) if text.isdigit() else default


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" + "s" * (number != 1)
