"""A trial and its attempts: frozen values, from which the state is computed.

A trial is asked for, then attempted. Each attempt is started, reports any number of times, and ends
in one of four ways. Only a lost attempt (its machine or process died) is followed by another.
"""

import enum
import operator
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeAlias, overload

from manyfit._labels import constant_to_json
from manyfit._redact import redact_value

Params: TypeAlias = Mapping[str, Any]

# The length, in characters, of a value and of all params in the repr of a trial.
_MOST_SHOWN = 60
_MOST_PARAMS = 500


class State(enum.Enum):
    """The state of a trial; its `reason` has the details."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    PRUNED = "PRUNED"
    FAIL = "FAIL"

    @property
    def is_finished(self) -> bool:
        """Whether the trial has ended: no further attempt is made."""
        return self in (State.COMPLETE, State.PRUNED, State.FAIL)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What an objective reported at one step; `at` is wall time, in seconds since the epoch."""

    step: int
    metrics: Mapping[str, float]
    at: float


class Measurements(Sequence[Measurement]):
    """An immutable sequence of measurements, oldest first, to which one is added in constant time.

    Sequences made from one another share a list; each knows how much of it is its own.

    Example:
        >>> one = Measurements().with_one(Measurement(0, {"loss": 0.5}, 1.0))
        >>> two = one.with_one(Measurement(1, {"loss": 0.25}, 2.0))
        >>> len(one), len(two), two[:1] == one
        (1, 2, True)
    """

    __slots__ = ("_count", "_shared")

    def __init__(self, measurements: Iterable[Measurement] = ()) -> None:
        self._shared = list(measurements)
        self._count = len(self._shared)

    def with_one(self, measurement: Measurement) -> "Measurements":
        """Return a sequence of these measurements and one more."""
        grown = Measurements.__new__(Measurements)
        is_newest = len(self._shared) == self._count
        grown._shared = self._shared if is_newest else self._shared[: self._count]
        grown._shared.append(measurement)
        grown._count = self._count + 1
        return grown

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Measurement]:
        return islice(self._shared, self._count)

    @overload
    def __getitem__(self, place: int) -> Measurement: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Measurement, ...]: ...
    def __getitem__(self, place: int | slice) -> Measurement | tuple[Measurement, ...]:
        if isinstance(place, slice):
            return tuple(self._shared[i] for i in range(*place.indices(self._count)))
        return self._shared[range(self._count)[place]]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Measurements | tuple):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> Any:
        return Measurements, (tuple(self),)


@dataclass(frozen=True, slots=True)
class Finished:
    """The objective returned.

    Attributes:
        value: The tuned metric.
        metrics: All metrics.
        notes: What else it returned in its dict, as short strings.
    """

    value: float
    metrics: Mapping[str, float]
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pruned:
    """The objective was stopped because going on was hopeless."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The objective raised, returned no usable metric, or broke a limit. It is never retried.

    Attributes:
        reason: What happened, in one line.
        error: The exception's type name; empty for a limit.
        traceback: The remote traceback as text; empty for a limit.
        fatal: Whether it was a `manyfit.FatalError`, which ends the study.
    """

    reason: str
    error: str = ""
    traceback: str = ""
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Lost:
    """The machine or process died, or the study was interrupted: not the objective's fault.

    Attributes:
        counts: Whether it uses up one of `max_attempts`; an interrupt by the user doesn't.
    """

    reason: str
    counts: bool = True


End: TypeAlias = Finished | Pruned | Failed | Lost

_STATES: dict[type[End | None], State] = {
    type(None): State.RUNNING,
    Finished: State.COMPLETE,
    Pruned: State.PRUNED,
    Failed: State.FAIL,
    Lost: State.WAITING,
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to run a trial, on one worker.

    `seconds` is measured there, monotonically; `usage` is what the attempt used of the machine:
    `cpu_seconds`, and `peak_memory` in bytes, if they are known. For a trial on the driver it has
    `task_seconds`, those of its Spark tasks, and `slots`, the number of tasks that the cluster runs
    at once. `notes` are those of `note`.
    """

    number: int
    worker: str
    started_at: float
    measurements: Sequence[Measurement] = Measurements()
    stop_reason: str | None = None
    end: End | None = None
    ended_at: float | None = None
    seconds: float | None = None
    usage: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, repr=False)
class Trial:
    """One point of the space, with the attempts to evaluate it.

    Attributes:
        number: Counts from 0 within the study.
        params: What the objective receives.
        origin: The source of the params: `"start_with"`, `"sampler"` or `"user"`; or `"repeat"` for
            the params of an earlier trial, run again with a fresh seed.
        asked_at: Wall time, in seconds since the epoch.
        attempts: All attempts, oldest first.
        abandoned: Why no further attempt is made after the last one was lost; None otherwise.
        repeat_of: The number of the trial that a repeat runs again; None otherwise.
        domains: The domains of its params, if the objective asks for them as it runs; a param with
            a single value has that value here. Empty otherwise.
    """

    number: int
    params: Params
    origin: str = "sampler"
    asked_at: float = 0.0
    attempts: tuple[Attempt, ...] = field(default=())
    abandoned: str | None = None
    repeat_of: int | None = None
    domains: Mapping[str, Any] = field(default_factory=dict)

    def suggested(self, params: Params, domains: Mapping[str, Any]) -> "Trial":
        """Return the trial with params that its objective has asked for."""
        return replace(self, params={**self.params, **params}, domains={**self.domains, **domains})

    def without_unasked(self) -> "Trial":
        """Return a trial that ended without the params that its objective didn't ask for.

        If it was cut short from outside, it might have asked for them: all are kept.
        """
        end = self.attempts[-1].end
        if isinstance(end, Lost) or (isinstance(end, Failed) and not end.error):
            return self
        return replace(self, params={name: self.params[name] for name in self.domains})

    def measured(self, measurement: Measurement) -> "Trial":
        """Return the trial with one more measurement in its last attempt."""
        # Written out, because `dataclasses.replace` takes three times as long, and replaying a long
        # journal spends most of its time here.
        *earlier, last = self.attempts
        before = last.measurements
        known = before if isinstance(before, Measurements) else Measurements(before)
        attempt = Attempt(
            last.number,
            last.worker,
            last.started_at,
            known.with_one(measurement),
            last.stop_reason,
            notes=last.notes,
        )
        return self._with_attempts((*earlier, attempt))

    def begun(self, attempt: Attempt) -> "Trial":
        """Return the trial with one more attempt, whose objective has asked for no params yet."""
        attempts = (*self.attempts, attempt)
        return Trial(
            self.number, self.params, self.origin, self.asked_at, attempts, repeat_of=self.repeat_of
        )

    def ended(
        self,
        end: End,
        at: float,
        seconds: float | None = None,
        usage: Mapping[str, float] | None = None,
    ) -> "Trial":
        """Return the trial with an end of its last attempt."""
        *earlier, last = self.attempts
        attempt = Attempt(
            last.number,
            last.worker,
            last.started_at,
            last.measurements,
            last.stop_reason,
            end,
            at,
            seconds,
            usage or {},
            last.notes,
        )
        return self._with_attempts((*earlier, attempt))

    def _with_attempts(self, attempts: tuple[Attempt, ...]) -> "Trial":
        return Trial(
            self.number,
            self.params,
            self.origin,
            self.asked_at,
            attempts,
            repeat_of=self.repeat_of,
            domains=self.domains,
        )

    @property
    def state(self) -> State:
        """The state, which follows from the attempts."""
        if self.abandoned is not None:
            return State.FAIL
        if not self.attempts:
            return State.WAITING
        return _STATES[type(self.attempts[-1].end)]

    @property
    def reason(self) -> str:
        """Why the trial is in its state, in one line; may be empty."""
        if self.abandoned is not None:
            return self.abandoned
        end = self.attempts[-1].end if self.attempts else None
        return "" if end is None or isinstance(end, Finished) else end.reason

    @property
    def value(self) -> float | None:
        """The tuned metric; None unless the trial is COMPLETE."""
        end = self.attempts[-1].end if self.attempts else None
        return end.value if isinstance(end, Finished) else None

    @property
    def metrics(self) -> Mapping[str, float]:
        """All final metrics of a COMPLETE trial; of any other, the last ones reported, if any."""
        if not self.attempts:
            return {}
        end = self.attempts[-1].end
        if isinstance(end, Finished):
            return end.metrics
        measurements = self.measurements
        return measurements[-1].metrics if measurements else {}

    @property
    def notes(self) -> Mapping[str, str]:
        """What the objective noted, and returned besides its metrics, as short strings."""
        last = self.attempts[-1] if self.attempts else Attempt(1, "", 0.0)
        return {**last.notes, **last.end.notes} if isinstance(last.end, Finished) else last.notes

    @property
    def measurements(self) -> Sequence[Measurement]:
        """The reports of the last attempt, in order."""
        return self.attempts[-1].measurements if self.attempts else ()

    @property
    def seconds(self) -> float | None:
        """The duration of the last attempt; None while it runs, or if it could not be measured."""
        return self.attempts[-1].seconds if self.attempts else None

    def __repr__(self) -> str:
        value = "" if self.value is None else f", value {self.value:g}"
        if self.value is not None:
            others = (f", {k} {v:g}" for k, v in self.metrics.items() if v != self.value)
            value += _cut("".join(others), 2 * _MOST_SHOWN)
        steps = len(self.measurements)
        reports = f", {steps} report{'s' if steps > 1 else ''}" if steps else ""
        params = ", ".join(
            f"{name}={_cut(' '.join(repr(_clean(name, param)).split()), _MOST_SHOWN)}"
            for name, param in self.params.items()
        )
        reason = f", {_cut(self.reason, 2 * _MOST_SHOWN)}" if self.reason else ""
        about = f"{self.state.value}{value}{reason}{reports}"
        return f"<Trial {self.number}: {about}; {_cut(params, _MOST_PARAMS)}>"

    @property
    def traceback(self) -> str:
        """The remote traceback of a trial whose objective raised; otherwise empty."""
        end = self.attempts[-1].end if self.attempts else None
        return end.traceback if isinstance(end, Failed) else ""


def _clean(name: str, value: Any) -> Any:
    """Return a param without credentials, which may also be inside a dict or a list."""
    is_nested = isinstance(value, dict | list)
    return constant_to_json(name, value) if is_nested else redact_value(name, value)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def gist(reason: str) -> str:
    """Return a reason with numbers and addresses masked, so that similar failures compare equal.

    Example:
        >>> gist("ValueError: 0.5 at 0x7f3a is not 12")
        'ValueError: #.# at # is not #'
    """
    return re.sub(r"0x[0-9a-f]+|\d+", "#", reason)


def most_frequent(reasons: Sequence[str]) -> tuple[str, int]:
    """Return the first reason of the most frequent kind, and the frequency of that kind.

    Args:
        reasons: At least one reason; those with the same `gist` are of one kind.

    Example:
        >>> most_frequent(["killed", "ValueError: 3", "ValueError: 4"])
        ('ValueError: 3', 2)
    """
    kind, count = Counter(map(gist, reasons)).most_common(1)[0]
    return next(reason for reason in reasons if gist(reason) == kind), count


def log_name(number: int, attempt: int) -> str:
    """Return the file name of an attempt's captured output: `00012-1.log`."""
    return f"{number:05d}-{attempt}.log"
