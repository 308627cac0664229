"""What the engine may say is to be done next, as frozen values."""

from dataclasses import dataclass
from typing import TypeAlias

from manyfit.events import StopRequested, TrialAbandoned, TrialAsked
from manyfit.trial import Params


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a new trial on record."""

    number: int
    params: Params
    origin: str

    def event(self, at: float) -> TrialAsked:
        """Return what goes on record."""
        return TrialAsked(self.number, self.params, self.origin, at)


@dataclass(frozen=True, slots=True)
class Start:
    """Run an attempt at a trial that is on record."""

    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """Ask a running attempt to end, because going on is hopeless."""

    number: int
    attempt: int
    reason: str

    def event(self, at: float) -> StopRequested:
        """Return what goes on record."""
        return StopRequested(self.number, self.attempt, self.reason, at)


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give a trial up whose attempts were all lost."""

    number: int
    reason: str

    def event(self, at: float) -> TrialAbandoned:
        """Return what goes on record."""
        return TrialAbandoned(self.number, self.reason, at)


@dataclass(frozen=True, slots=True)
class EndStudy:
    """Stop; what still runs is cut off, and goes on when the study is resumed."""

    reason: str


Command: TypeAlias = Ask | Start | StopAttempt | Abandon | EndStudy
