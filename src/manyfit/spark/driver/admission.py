"""Who may start on a cluster whose slots are counted: nothing starts that can't run.

A distributed fit needs all its slots at once. Two that together need more than there are would each
wait for the other's, so the second one waits here instead, until the first has ended.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from manyfit._checks import is_number
from manyfit.errors import ArgumentError

# An attempt: its trial's number, and its own.
Key: TypeAlias = tuple[int, int]


class Admission:
    """First come, first served: what runs never needs more slots than there are.

    A large one is not overtaken by small ones that come after it, or it would wait forever.

    Args:
        slots: How many there are; may change at any time. What runs already goes on running.

    Example:
        >>> admission = Admission(slots=4)
        >>> for number, need in enumerate([3, 2, 1]):
        ...     admission.enter((number, 1), need)
        >>> admission.admit()
        [(0, 1)]
        >>> admission.leave((0, 1))
        >>> admission.admit()
        [(1, 1), (2, 1)]
    """

    def __init__(self, slots: float) -> None:
        self.slots = slots
        self._waiting: deque[tuple[Key, int]] = deque()
        self._running: dict[Key, int] = {}

    @property
    def waiting(self) -> Mapping[Key, int]:
        """What waits, in order, and how many slots each needs."""
        return dict(self._waiting)

    @property
    def running(self) -> Mapping[Key, int]:
        """What has been let in, and how many slots each needs."""
        return self._running

    def enter(self, key: Key, need: int) -> None:
        """Take an attempt in, behind those that wait."""
        self._waiting.append((key, need))

    def admit(self) -> list[Key]:
        """Let in all whose turn it is, and return them."""
        admitted = []
        while self._waiting and self._fits(self._waiting[0][1]):
            key, need = self._waiting.popleft()
            self._running[key] = need
            admitted.append(key)
        return admitted

    def leave(self, key: Key) -> None:
        """Forget an attempt, whether it waits or runs."""
        self._running.pop(key, None)
        self._waiting = deque(entry for entry in self._waiting if entry[0] != key)

    def _fits(self, need: int) -> bool:
        return sum(self._running.values()) + need <= self.slots


SlotsPerTrial: TypeAlias = int | Callable[[dict[str, Any]], int] | Any | None


def constant_need(slots_per_trial: SlotsPerTrial) -> int | None:
    """Return how many slots each trial needs, or None if that depends on its params.

    Zero if slots are not counted.

    Raises:
        ArgumentError: It is nothing that says how many.

    Example:
        >>> constant_need(3), constant_need(None), constant_need(lambda params: params["workers"])
        (3, 0, None)
    """
    if slots_per_trial is None:
        return 0
    if hasattr(slots_per_trial, "num_workers"):
        given = slots_per_trial
        read = getattr(given, "getOrDefault", None)  # a param of Spark ML; xgboost.spark has these
        return _checked(read("num_workers") if read else given.num_workers, "num_workers")
    if hasattr(slots_per_trial, "num_processes"):
        if getattr(slots_per_trial, "local_mode", False):  # it trains on the driver
            return 0
        return _checked(slots_per_trial.num_processes, "num_processes")
    if callable(slots_per_trial):
        return None
    return _checked(slots_per_trial, "slots_per_trial")


def need_of(slots_per_trial: SlotsPerTrial, params: dict[str, Any]) -> int:
    """Return how many slots a trial with these params needs; zero if slots are not counted.

    Raises:
        ArgumentError: It is nothing that says how many.
    """
    need = constant_need(slots_per_trial)
    if need is None and callable(slots_per_trial):
        need = _checked(slots_per_trial(params), "slots_per_trial(params)")
    return need or 0


def _checked(number: Any, name: str) -> int:
    if not is_number(number, whole=True) or number < 1:
        raise ArgumentError(
            f"{name} must be a whole number of slots, at least 1, but got {number!r:.200}. Give "
            "slots_per_trial a number, an estimator with num_workers, a distributor with "
            "num_processes, or a function of the params that returns one"
        )
    return int(number)
