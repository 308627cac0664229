"""Lets a trial start when the cluster has the slots that it needs; counts these, as it may grow.

A distributed fit needs all its slots at once. Two fits that together need more slots than exist
would each wait for the other's, so the second one waits here until the first has ended.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from manyfit._checks import check_optional, is_number
from manyfit.errors import ArgumentError
from manyfit.spark.session import Session
from manyfit.spark.slots import Slots
from manyfit.worker.timings import USUAL, Timings

logger = logging.getLogger("manyfit")

# An attempt: its trial's number, and its own.
Key: TypeAlias = tuple[int, int]

SlotsPerTrial: TypeAlias = int | Callable[[dict[str, Any]], int] | Any | None

# Seconds between counts of slots, while an attempt waits for more than there are.
_RECOUNT = 2.0


class Gate:
    """Holds attempts back until the slots that each of them needs are free.

    Args:
        session: The session with the slots.
        slots_per_trial: See `DriverExecutor`; None if slots are not counted.
        slots: The number of slots; None to ask Spark.
        timings: Intervals and timeouts.

    Raises:
        ArgumentError: An argument breaks a rule.
    """

    def __init__(
        self,
        session: Session,
        slots_per_trial: SlotsPerTrial,
        slots: int | None,
        timings: Timings = USUAL,
    ) -> None:
        slots = check_optional("slots", slots, least=1, whole=True)
        self._session = session
        self._patience = timings.patience
        self._slots_per_trial = slots_per_trial
        self._need = constant_need(slots_per_trial)
        self._given = None if slots is None else Slots(slots, slots, made_of=f"slots={slots}")
        self._slots = self._given
        self._begin()

    def _begin(self) -> None:
        self._admission = Admission(math.inf)
        self._opened = self._counted = self._moved = time.monotonic()
        self._highest = 0.0  # the largest number of slots so far
        self._has_said = False

    @property
    def slots(self) -> Slots:
        """The slots, as last counted."""
        if self._slots is None:
            self._slots = self._session.slots()
        return self._slots

    def limit(self, asked: int) -> int:
        """Return the number of trials that can run at once, of those asked for; at least 1."""
        if not self._need:
            return asked
        # A new session may not have all its executors yet; trials admitted early wait for them.
        slots = max(self.slots.dependable or 0, self.slots.most or 0)
        return max(1, int(min(asked * self._need, slots)) // self._need) if slots else asked

    def open(self) -> None:
        """Begin anew, with nothing waiting or running.

        Raises:
            ArgumentError: Slots must be counted, but their number is unknown.
        """
        self._begin()
        if self._need == 0:
            return
        self._slots = self._given
        if self.slots.dependable is None:
            raise ArgumentError(
                "slots_per_trial needs the number of slots of the cluster, which neither its "
                "settings nor its executors reveal: set slots="
            )
        self._take(self.slots.dependable)

    def enter(self, key: Key, params: dict[str, Any]) -> None:
        """Queue an attempt; exceptions of a user's function pass through."""
        if not self._admission.waiting:
            self._moved = time.monotonic()
        self._admission.enter(key, need_of(self._slots_per_trial, params))

    def leave(self, key: Key) -> None:
        """Remove an attempt, waiting or running."""
        self._admission.leave(key)

    def admit(self) -> list[Key]:
        """Admit attempts from the front of the queue, and return them."""
        admitted = self._admission.admit()
        if self._admission.waiting and self._recount():
            admitted += self._admission.admit()
        if admitted:
            self._moved = time.monotonic()
        return admitted

    def refuse(self) -> list[tuple[Key, str]]:
        """Remove attempts that will never get their slots, and return them with the reason."""
        refused = [
            (key, self._reason(need))
            for key, need in self._admission.waiting.items()
            if self._is_impossible(need)
        ]
        for key, _ in refused:
            self._admission.leave(key)
        return refused

    def _recount(self) -> bool:
        """Count slots again, if it is time; returns whether it was."""
        now = time.monotonic()
        if self._given is not None or now - self._counted < _RECOUNT:
            return False
        self._counted = now
        self._slots = self._session.slots()
        self._take(self._slots.dependable or 0)
        if now - self._moved > self._patience:
            self._explain_waiting()
        return True

    def _explain_waiting(self) -> None:
        (number, _), need = next(iter(self._admission.waiting.items()))
        comes = need > self._admission.slots and not self._is_impossible(need)
        if comes and not self._has_said:
            self._has_said = True
            logger.warning(
                "trial %d needs %d slots at once, and so far the cluster has %g: it waits for more",
                number,
                need,
                self._admission.slots,
            )

    def _take(self, slots: float) -> None:
        self._admission.slots = slots
        self._highest = max(self._highest, slots)

    def _is_impossible(self, need: int) -> bool:
        if need <= max(self._highest, self.slots.most or 0):
            return False
        return self.slots.most is not None or time.monotonic() - self._opened > self._patience

    def _reason(self, need: int) -> str:
        slots = self.slots
        most = max(self._highest, slots.most or 0)
        what = f" ({slots.made_of})" if slots.made_of and most == slots.now else ""
        return (
            f"needs {need} slots at once, and the cluster has {most:g}{what}: lower "
            "slots_per_trial (num_workers, num_processes), or give the session more executors"
        )


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
        """Admit attempts from the front of the queue, and return them."""
        admitted = []
        while self._waiting and self._fits(self._waiting[0][1]):
            key, need = self._waiting.popleft()
            self._running[key] = need
            admitted.append(key)
        return admitted

    def leave(self, key: Key) -> None:
        """Remove an attempt, waiting or running."""
        self._running.pop(key, None)
        self._waiting = deque(entry for entry in self._waiting if entry[0] != key)

    def _fits(self, need: int) -> bool:
        return sum(self._running.values()) + need <= self.slots


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
