"""The commands with which the engine says what to do next, as frozen values."""

from dataclasses import dataclass
from typing import TypeAlias

from manyfit.events import StopRequested, TrialAbandoned, TrialAsked
from manyfit.trial import Params


@dataclass(frozen=True, slots=True)
class Ask:
    """Record a new trial."""

    number: int
    params: Params
    origin: str

    def event(self, at: float) -> TrialAsked:
        """Return what goes on record."""
        return TrialAsked(self.number, self.params, self.origin, at)


@dataclass(frozen=True, slots=True)
class Start:
    """Run an attempt of a recorded trial."""

    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Ask a running attempt to end, because it can't win."""

    number: int
    attempt: int
    reason: str

    def event(self, at: float) -> StopRequested:
        """Return what goes on record."""
        return StopRequested(self.number, self.attempt, self.reason, at)


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give up a trial whose attempts were all lost."""

    number: int
    reason: str

    def event(self, at: float) -> TrialAbandoned:
        """Return what goes on record."""
        return TrialAbandoned(self.number, self.reason, at)


@dataclass(frozen=True, slots=True)
class EndStudy:
    """End the study; trials still running are cut off, and run again when it is resumed."""

    reason: str


Command: TypeAlias = Ask | Start | StopAttempt | Abandon | EndStudy
