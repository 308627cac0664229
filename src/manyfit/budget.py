"""The limits of a study, and the reason for which it ended."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from manyfit._checks import check_number, check_optional
from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.repeats import LEADERS


@dataclass(frozen=True, slots=True)
class Target:
    """Stop the study once a trial's value is at least as good as `value`.

    Raises:
        ArgumentError: `value` is not a finite number.

    Example:
        >>> Target(0.95)
        Target(value=0.95)
    """

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", check_number("Target(value)", self.value))


@dataclass(frozen=True, slots=True)
class NoImprovement:
    """Stop the study once `n_trials` trials in a row have ended without a new best one.

    Pruned and failed trials count. The rule never applies before a trial has completed.

    Raises:
        ArgumentError: `n_trials` isn't a whole number of at least 1.

    Example:
        >>> NoImprovement(20)
        NoImprovement(n_trials=20)
    """

    n_trials: int

    def __post_init__(self) -> None:
        n_trials = check_number("NoImprovement(n_trials)", self.n_trials, least=1, whole=True)
        object.__setattr__(self, "n_trials", n_trials)


_RULES = (Target, NoImprovement)
# Name, least value and unit; a limit without a unit is a whole number.
_LIMITS = (
    ("n_trials", 1, ""),
    ("timeout", 0, "seconds"),
    ("max_failures", 0, ""),
    ("repeats", 1, ""),
)

# A function gets the result so far, a `StudyResult`, and returns whether to stop, or why.
Stop: TypeAlias = Target | NoImprovement | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts on which a budget decides. Repeats are not counted.

    Attributes:
        asked: Trials that count towards `n_trials`, finished or not.
        finished: Those of them that are COMPLETE, PRUNED or FAIL.
        best: The best value; None until a trial completes.
        since_best: Trials finished since the best one.
        failed: Trials that failed under the current driver; bugs of before may have been fixed.
        same_failure: The failure of all trials finished under the current driver, if it can't
            depend on their params (see `SameFailure`); otherwise None.
        fatal: The reason of a `FatalError` raised under the current driver; otherwise None.
        stopped: What a function of `stop` said under the current driver; otherwise None.
        elapsed: Seconds since the current driver started.
    """

    asked: int = 0
    finished: int = 0
    best: float | None = None
    since_best: int = 0
    failed: int = 0
    same_failure: str | None = None
    fatal: str | None = None
    stopped: str | None = None
    elapsed: float = 0.0

    def with_end(self, best: float | None, *, failed: bool, same_failure: str | None) -> "Tally":
        """Return the tally with one more trial that has finished.

        Args:
            best: Its value if that is the best one; otherwise None.
            failed: Whether it failed.
            same_failure: As the attribute.
        """
        return replace(
            self,
            finished=self.finished + 1,
            best=self.best if best is None else best,
            since_best=self.since_best + 1 if best is None else 0,
            failed=self.failed + failed,
            same_failure=same_failure,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a study; the first one reached ends it.

    Args:
        n_trials: The total number of trials, over all calls; None for no limit.
        timeout: Seconds that one call may take. Trials still running are cut off, and run again
            when the study resumes.
        max_failures: The number of trials that may fail in one call; None for any number, unless
            trials all over the space fail in the same way.
        stop: Rules that depend on the values: `Target`, `NoImprovement`, and functions, which the
            driver calls.
        repeats: How often each of the leading trials is run again once the search is over, in
            addition to `n_trials`; None for not at all.

    Raises:
        ArgumentError: A limit breaks its rule.
    """

    n_trials: int | None = None
    timeout: float | None = None
    max_failures: int | None = None
    stop: tuple[Stop, ...] = ()
    repeats: int | None = None

    def __post_init__(self) -> None:
        for name, least, unit in _LIMITS:
            given = getattr(self, name)
            value = check_optional(name, given, least=least, whole=not unit, unit=unit)
            object.__setattr__(self, name, value)
        for rule in self.stop:
            if isinstance(rule, type) or not (isinstance(rule, _RULES) or callable(rule)):
                raise ArgumentError(
                    "stop must be Target(...), NoImprovement(...), a function of the result so far "
                    f"or a list of them, but got {rule!r}"
                )

    @classmethod
    def of(
        cls,
        n_trials: int | None,
        timeout: float | None,
        max_failures: int | None,
        stop: Stop | Iterable[Stop] | None,
        repeats: int | None = None,
    ) -> "Budget":
        """Make a budget from the arguments of `tune`, as a user passes them."""
        listed = isinstance(stop, Iterable) and not isinstance(stop, type | str)
        rules: tuple[Any, ...] = tuple(stop) if isinstance(stop, Iterable) and listed else (stop,)
        return cls(n_trials, timeout, max_failures, () if stop is None else rules, repeats)

    @property
    def functions(self) -> tuple[Callable[[Any], Any], ...]:
        """The functions of `stop`."""
        return tuple(rule for rule in self.stop if not isinstance(rule, _RULES))

    @property
    def most_trials(self) -> int | None:
        """The largest possible number of trials, repeats included; None for no limit.

        Example:
            >>> Budget(n_trials=30).most_trials, Budget(n_trials=30, repeats=3).most_trials
            (30, 45)
        """
        if self.n_trials is None:
            return None
        return self.n_trials + min(LEADERS, self.n_trials) * (self.repeats or 0)

    def allows_another(self, tally: Tally) -> bool:
        """Return whether `n_trials` allows another trial."""
        return self.n_trials is None or tally.asked < self.n_trials

    def verdict(self, tally: Tally, metric: Metric) -> str | None:
        """Return why the search is over, or None while it goes on."""
        over = self._failures(tally) or self._values(tally, metric) or self._count(tally)
        return over or self._time(tally)

    def allows_repeats(self, tally: Tally) -> bool:
        """Return whether repeats follow a finished search: not if it failed or timed out."""
        return self.repeats is not None and not (self._failures(tally) or self._time(tally))

    def _failures(self, tally: Tally) -> str | None:
        if tally.fatal is not None:
            return tally.fatal
        if self.max_failures is None:
            return self._same_failure(tally)
        if tally.failed > self.max_failures:
            failed = "1 trial" if tally.failed == 1 else f"{tally.failed} trials"
            return f"{failed} failed, more than max_failures={self.max_failures}"
        return None

    def _same_failure(self, tally: Tally) -> str | None:
        if tally.same_failure is None:
            return None
        return (
            f"the first {tally.failed} trials, all over the space, all failed with "
            f"{tally.same_failure}. To go on anyway, set max_failures"
        )

    def _values(self, tally: Tally, metric: Metric) -> str | None:
        if tally.best is None or tally.stopped is not None:
            return tally.stopped
        for rule in self.stop:
            match rule:
                case Target(value) if not metric.is_better(value, than=tally.best):
                    return f"target reached: {metric.name} {tally.best:g}, wanted {value:g}"
                case NoImprovement(limit) if tally.since_best >= limit:
                    last = "trial" if tally.since_best == 1 else f"{tally.since_best} trials"
                    return f"no improvement in the last {last}"
                case _:
                    pass
        return None

    def _count(self, tally: Tally) -> str | None:
        if self.n_trials is None or tally.finished < self.n_trials:
            return None
        return (
            "the only trial is done" if self.n_trials == 1 else f"all {self.n_trials} trials done"
        )

    def _time(self, tally: Tally) -> str | None:
        if self.timeout is not None and tally.elapsed >= self.timeout:
            return f"timeout of {self.timeout:g} s reached"
        return None
