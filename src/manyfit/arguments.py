"""Checks the arguments of a study before anything is on disk."""

import inspect
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from manyfit._checks import check_number, check_optional
from manyfit.budget import Budget
from manyfit.errors import ArgumentError, ObjectiveError
from manyfit.executors.base import Executor
from manyfit.pruners.auto import NoPruner, Pruning
from manyfit.repeats import LEADERS
from manyfit.space import Space
from manyfit.trial import Params
from manyfit.worker.work import Limits


def points_of(start_with: object) -> Iterable[Mapping[Any, Any]]:
    """Return the points to try first, as given.

    Raises:
        ArgumentError: `start_with` isn't a list of points.
    """
    if isinstance(start_with, Mapping | str) or not isinstance(start_with, Iterable):
        raise ArgumentError(f"start_with must be a list of points, but got {start_with!r:.200}")
    return start_with


def stored_points(start_with: object, space: Space) -> list[Params]:
    """Return the points to try first, in stored form and complete.

    Missing params are drawn at random, as a function of the point alone: when a study is resumed,
    the point is recognised as tried. A point that is listed twice is drawn twice.

    Raises:
        ArgumentError: `start_with` isn't a list of points.
        SpaceError: A point breaks a rule.
    """
    found: list[Params] = []
    seen: Counter[str] = Counter()
    for point in points_of(start_with):
        whole = space.store(point, np.random.default_rng(0))
        given = space.key({name: value for name, value in whole.items() if name in point})
        seen[given] += 1
        rng = np.random.default_rng((zlib.crc32(given.encode()), seen[given]))
        found.append(space.store(point, rng))
    return found


def checked_choices(
    max_attempts: int, on_space_change: str, seed: int | None, lag: int | None
) -> tuple[int, int | None, int | None]:
    """Return `max_attempts`, `seed` and `lag` of a new study as plain numbers, all checked.

    Raises:
        ArgumentError: One of them breaks its rule.
    """
    if on_space_change not in ("raise", "keep"):
        raise ArgumentError(
            f"on_space_change must be 'raise' or 'keep', but got {on_space_change!r}"
        )
    return (
        check_number("max_attempts", max_attempts, least=1, whole=True),
        check_optional("seed", seed, least=0, whole=True),
        check_optional("lag", lag, least=1, whole=True),
    )


def checked_limits(
    trial_timeout: float | None, trial_memory: int | None, cpus_per_trial: int | None = None
) -> tuple[float | None, int | None, int | None]:
    """Return the limits of a trial, in this order, as plain numbers.

    Raises:
        ArgumentError: One of them isn't positive, or `cpus_per_trial` isn't a whole number.
    """
    return (
        check_optional("trial_timeout", trial_timeout, above=0, unit="seconds"),
        check_optional("trial_memory", trial_memory, above=0, unit="bytes"),
        check_optional("cpus_per_trial", cpus_per_trial, least=1, whole=True),
    )


def check_objective(objective: object) -> None:
    """Check that an objective can be called with the params as its only argument.

    Raises:
        ObjectiveError: It can't be called with one argument.
    """
    advice = "an objective takes the params as one dict: def train(params): ..."
    if not callable(objective):
        raise ObjectiveError(f"{objective!r:.200} can't be called; {advice}")
    try:
        signature = inspect.signature(objective)
    except ValueError:
        return  # some built-in functions have no signature
    try:
        signature.bind({})
    except TypeError as error:
        name = getattr(objective, "__qualname__", repr(objective))
        raise ObjectiveError(
            f"{name}{signature} can't be called with params ({error}); {advice}"
        ) from error


def check_hook(name: str, function: object, *arguments: str) -> None:
    """Check that a function of the user can be called with these arguments, in this order.

    Raises:
        ArgumentError: It can't be.
    """
    needed = f"{name} must be a function of {' and '.join(arguments)}"
    if not callable(function) or isinstance(function, type):
        raise ArgumentError(f"{needed}, but got {function!r:.200}")
    try:
        inspect.signature(function).bind(*arguments)
    except ValueError:
        return  # some built-in functions have no signature
    except TypeError as error:
        raise ArgumentError(f"{needed}, but got {function!r:.200} ({error})") from error


def check_ends(budget: Budget, space: Space) -> None:
    """Check that a study ends.

    Raises:
        ArgumentError: It has no limit, and an infinite space.
    """
    endless = Budget(max_failures=budget.max_failures, repeats=budget.repeats)
    if budget == endless and space.size is None:
        raise ArgumentError("this study would never end: give n_trials, timeout or stop")


def notes_on(
    executor: Executor, limits: Limits, repeats: int | None, lag: int | None
) -> tuple[str, ...]:
    """Return notes on what the user may not expect, such as a limit the executor can't enforce."""
    can, name = executor.capabilities, type(executor).__name__
    notes = []
    if repeats is not None:
        often = "once" if repeats == 1 else f"{repeats} times"
        notes.append(f"after the search its {LEADERS} best trials are run {often} more each")
    if lag is not None:
        notes.append(f"lag: trial n knows the results of trials up to n - {lag}; none is pruned")
        if lag < executor.parallelism:
            notes.append(f"lag={lag} keeps at most {lag} of {executor.parallelism} slots busy")
    if limits.seconds is not None and not can.hard_kill:
        how = "cancels its jobs, or " if can.cancels else ""
        notes.append(f"{name} can't kill a trial: trial_timeout {how}ends it at its next report")
    if limits.memory is not None and not can.memory_limit:
        notes.append(f"{name} can't limit memory: trial_memory is not enforced")
    if not can.live_reports:
        notes.append(f"{name} delivers reports only when a trial ends: none is pruned")
    return tuple(notes)


def pruner_with(lag: int | None, pruner: Pruning) -> Pruning:
    """Return the pruner to use with a lag: none, because pruning depends on timing.

    Raises:
        ArgumentError: Both a lag and a pruner were given.
    """
    if lag is None:
        return pruner
    if pruner in ("auto", "none", None) or isinstance(pruner, NoPruner):
        return None
    raise ArgumentError(
        "with lag, proposals don't depend on timing, but a pruner does, because it compares trials "
        f"that happen to run together: leave pruner out, but got {pruner!r}"
    )
