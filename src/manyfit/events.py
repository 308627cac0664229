"""The events of a study, as frozen values.

The journal is a list of events, the engine folds them, and workers send them to the driver. They
are data, never code. `manyfit.event_lines` writes them as lines of JSON.
Times (`at`) are wall time in seconds since the epoch; durations (`seconds`) are monotonic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from manyfit.group_events import GroupsEvent


@dataclass(frozen=True, slots=True)
class StudyCreated:
    """The first line of a journal: the study's name, space, metric and seed.

    Attributes:
        is_open: Whether the objective asks for its params as it runs; the space is then empty.
    """

    name: str
    space: Mapping[str, Any]
    metric: str
    direction: str
    seed: int
    manyfit: str
    at: float
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class DriverStarted:
    """A driver took the study over; attempts that an earlier driver was running are lost.

    Attributes:
        isolated: Whether its trials run in processes of their own, and none can crash the driver.
    """

    host: str
    pid: int
    at: float
    isolated: bool = True


@dataclass(frozen=True, slots=True)
class SpaceChanged:
    """The study continues in another space; trials outside it are kept but no longer count."""

    space: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class WorkDescribed:
    """The objective and settings of a driver, if they differ from those of the driver before it.

    Attributes:
        objective: Digests of its code and of what the code refers to, by name (see `fingerprint`).
        settings: The sampler, the pruner and their settings, in words.
        code: The location and version of the objective's code (see `origin.code_of`). This and the
            following fields are empty if an older Manyfit didn't record them.
        packages: The versions of the packages installed.
        data: The shared data that the objective uses, by name: digest, size and contents.
        machine: The driver's machine (see `origin.machine`).
        unrecorded: The types of params and constants whose values the record has by label only, by
            name.
        advice: The advice that users have been shown in this study, which isn't repeated.
    """

    objective: Mapping[str, str]
    settings: Mapping[str, str]
    at: float
    code: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    unrecorded: Mapping[str, str] = field(default_factory=dict)
    advice: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TrialAsked:
    """A trial was created with these params, in their stored form (see `Space.store`)."""

    number: int
    params: Mapping[str, Any]
    origin: str
    at: float


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A worker started an attempt at a trial."""

    number: int
    attempt: int
    worker: str
    at: float


@dataclass(frozen=True, slots=True)
class ParamsSuggested:
    """The objective asked for params as it ran: what it was given that it hadn't been before.

    Attributes:
        params: The values, in stored form.
        domains: The domain of each, as in a space's record (see `Space.to_json`).
    """

    number: int
    attempt: int
    params: Mapping[str, Any]
    domains: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Reported:
    """The objective reported metrics at a step."""

    number: int
    attempt: int
    step: int
    metrics: Mapping[str, float]
    at: float


@dataclass(frozen=True, slots=True)
class Noted:
    """The objective noted something about its trial; a later note of the same name replaces it."""

    number: int
    attempt: int
    notes: Mapping[str, str]
    at: float


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The pruner stopped an attempt; the worker learns of it when it next reports."""

    number: int
    attempt: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class AttemptFinished:
    """The objective returned usable metrics, and perhaps notes: results that aren't numbers.

    Attributes:
        usage: What the attempt used of its machine (see `worker.usage`); empty if that is unknown.
    """

    number: int
    attempt: int
    metrics: Mapping[str, float]
    seconds: float
    at: float
    notes: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptPruned:
    """The objective ended because of a stop request."""

    number: int
    attempt: int
    reason: str
    seconds: float
    at: float
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The objective raised, returned no usable metric, or broke a limit."""

    number: int
    attempt: int
    reason: str
    error: str
    traceback: str
    fatal: bool
    seconds: float
    at: float
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The worker died, or the study was interrupted."""

    number: int
    attempt: int
    reason: str
    counts: bool
    at: float


@dataclass(frozen=True, slots=True)
class TrialAbandoned:
    """Every attempt at a trial was lost, and it isn't retried again."""

    number: int
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class StudyEnded:
    """A driver stopped, for this reason."""

    reason: str
    at: float


AttemptEvent: TypeAlias = (
    AttemptStarted
    | ParamsSuggested
    | Reported
    | Noted
    | StopRequested
    | AttemptFinished
    | AttemptPruned
    | AttemptFailed
    | AttemptLost
)
TrialEvent: TypeAlias = TrialAsked | AttemptEvent | TrialAbandoned
Event: TypeAlias = (
    StudyCreated
    | DriverStarted
    | SpaceChanged
    | WorkDescribed
    | TrialEvent
    | StudyEnded
    | GroupsEvent
)
