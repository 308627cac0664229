"""Lets trials start while the cluster has slots for them; counts these, as the cluster may grow."""

import logging
import math
import time
from typing import Any

from manyfit._checks import check_optional
from manyfit.errors import ArgumentError
from manyfit.spark.driver.admission import Admission, Key, SlotsPerTrial, constant_need, need_of
from manyfit.spark.session import Session
from manyfit.spark.slots import Slots
from manyfit.worker.timings import USUAL, Timings

logger = logging.getLogger("manyfit")

# How often slots are counted, while something waits for more than there are.
_RECOUNT = 2.0


class Gate:
    """Holds attempts back until there are as many slots free as each of them needs.

    Args:
        session: Where slots are.
        slots_per_trial: How many each needs, see `DriverExecutor`; None if they are not counted.
        slots: How many there are; None to ask Spark.
        timings: How long executors may take to come.

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
        self._highest = 0.0  # the most slots there have been
        self._has_said = False

    @property
    def slots(self) -> Slots:
        """The slots there are, as last counted."""
        if self._slots is None:
            self._slots = self._session.slots()
        return self._slots

    def limit(self, asked: int) -> int:
        """Return how many of the trials asked for can run at once; at least 1."""
        if not self._need:
            return asked
        # Of a young session not all executors have come: whoever is let in early waits for them.
        slots = max(self.slots.dependable or 0, self.slots.most or 0)
        return max(1, int(min(asked * self._need, slots)) // self._need) if slots else asked

    def open(self) -> None:
        """Begin anew, with nothing waiting or running.

        Raises:
            ArgumentError: Slots are to be counted, and nothing tells how many there are.
        """
        self._begin()
        if self._need == 0:
            return
        self._slots = self._given
        if self.slots.dependable is None:
            raise ArgumentError(
                "slots_per_trial needs to know how many slots the cluster has, and neither its "
                "settings nor its executors tell: give slots="
            )
        self._take(self.slots.dependable)

    def enter(self, key: Key, params: dict[str, Any]) -> None:
        """Have an attempt wait for its turn; what a user's function raises passes through."""
        if not self._admission.waiting:
            self._moved = time.monotonic()
        self._admission.enter(key, need_of(self._slots_per_trial, params))

    def leave(self, key: Key) -> None:
        """Forget an attempt, whether it waits or runs."""
        self._admission.leave(key)

    def admit(self) -> list[Key]:
        """Let in all whose turn it is, and return them."""
        admitted = self._admission.admit()
        if self._admission.waiting and self._recount():
            admitted += self._admission.admit()
        if admitted:
            self._moved = time.monotonic()
        return admitted

    def refuse(self) -> list[tuple[Key, str]]:
        """Forget those that will never have their slots, and return them with the reason."""
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
