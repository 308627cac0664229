"""Checks the arguments of `tune_groups` before anything runs."""

import inspect
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from manyfit._checks import check_optional
from manyfit._version import __version__
from manyfit.arguments import checked_choices, checked_limits, stored_points
from manyfit.budget import Budget, Stop
from manyfit.data.references import absolute
from manyfit.errors import ArgumentError, ObjectiveError
from manyfit.group_events import CallCreated
from manyfit.groups.job import GroupJob
from manyfit.groups.joint import AGGREGATES, Aggregate
from manyfit.groups.record.row import key_names
from manyfit.groups.search.holdout import Holdout
from manyfit.metric import Direction, Metric
from manyfit.pruners.auto import Pruning, make_pruner
from manyfit.samplers.auto import make_sampler
from manyfit.space import Space
from manyfit.trial import Params

Mode: TypeAlias = Literal["independent", "shared", "transfer"]
MODES: tuple[Mode, ...] = ("independent", "shared", "transfer")
_N_TRIALS = 20


def middle_of(space: Space) -> Params:
    """Return the default first point: the middle of each range, on its scale.

    For a Choice, it is the first option.

    Example:
        >>> from manyfit.space import Choice, Float
        >>> middle_of(Space({"a": Float(0, 100), "kind": Choice(["x", "y"])}))
        {'a': 50.0, 'kind': 'x'}
    """
    params: dict[str, Any] = {}
    for name, domain in space.walk(params):
        params[name] = domain.decode(0.0 if hasattr(domain, "labels") else 0.5)
    return params


def job_of(
    *,
    by: str | Sequence[str],
    objective: Callable[..., Any],
    space: Space | Mapping[str, Any],
    metric: str,
    direction: Direction,
    n_trials: int | None,
    group_timeout: float | None,
    mode: Mode,
    shared_by: str | Sequence[str],
    aggregate: Aggregate,
    holdout: str | float | Holdout | None,
    order_by: str | Sequence[str],
    baseline: Params | Callable[..., Any] | None,
    start_with: Iterable[Params],
    sampler: Any,
    pruner: Pruning,
    stop: Stop | Iterable[Stop] | None,
    trial_timeout: float | None,
    trial_memory: int | None,
    keep_models: bool | str | Path,
    keep_trials: bool,
    seed: int | None,
) -> GroupJob:
    """Return the job that the arguments of `tune_groups` describe.

    Raises:
        ArgumentError: One of them breaks its rule.
        SpaceError: The space, or a point, breaks a rule.
        ObjectiveError: The objective, or the baseline, can't be called with its arguments.
    """
    _check_mode(mode, aggregate, shared_by)
    _check_ends(mode, n_trials, group_timeout, stop)
    _, seed, _ = checked_choices(1, "raise", seed, None)
    seconds, memory, _ = checked_limits(trial_timeout, trial_memory)
    group_timeout = check_optional("group_timeout", group_timeout, least=0, unit="seconds")
    split = None if holdout is None else Holdout.of(holdout)
    checked, tuned = Space.of(space), Metric(metric, direction)
    budget = Budget.of(_trials(n_trials, group_timeout, checked), group_timeout, None, stop)
    if budget.functions:
        raise ArgumentError(
            "stop must be Target(...), NoImprovement(...) or a list of them in tune_groups, whose "
            f"groups are tuned on other machines, but got {budget.functions[0]!r:.200}"
        )
    _check_function("objective", objective, split, params=True)
    if callable(baseline):
        _check_function("baseline", baseline, split, params=False)
    make_pruner(pruner, tuned)
    make_sampler(sampler, checked, tuned, 0)
    return GroupJob(
        by=_columns("by", by, least=1),
        objective=objective,
        space=checked,
        metric=tuned,
        n_trials=budget.n_trials,
        seconds=group_timeout,
        shared_by=_columns("shared_by", shared_by),
        order_by=_columns("order_by", order_by),
        holdout=split,
        sampler=sampler,
        pruner=pruner,
        baseline=baseline if callable(baseline) else None,
        start_with=_points(checked, baseline, start_with),
        stop=budget.stop,
        trial_timeout=seconds,
        trial_memory=memory,
        seed=secrets.randbits(32) if seed is None else seed,
        keep_models=keep_models if isinstance(keep_models, bool) else absolute(str(keep_models)),
        keep_trials=keep_trials,
    )


def created_by(job: GroupJob, name: str, mode: Mode, aggregate: Aggregate) -> CallCreated:
    """Return the first line of a call's record."""
    return CallCreated(
        name=name,
        space=job.space.to_json(),
        metric=job.metric.name,
        direction=job.metric.direction,
        seed=job.seed,
        manyfit=__version__,
        at=time.time(),
        by=job.by,
        mode=mode,
        shared_by=job.shared_by,
        order_by=job.order_by,
        holdout=None if job.holdout is None else str(job.holdout),
        aggregate=aggregate if mode == "shared" else None,
        group_timeout=job.seconds,
    )


def _check_mode(mode: str, aggregate: str, shared_by: str | Sequence[str]) -> None:
    if mode not in MODES:
        raise ArgumentError(f"mode must be one of {_listed(MODES)}, but got {mode!r:.100}")
    if aggregate not in AGGREGATES:
        raise ArgumentError(
            f"aggregate must be one of {_listed(AGGREGATES)}, but got {aggregate!r:.100}"
        )
    if mode != "shared" and (shared_by or aggregate != "mean"):
        name = "shared_by" if shared_by else "aggregate"
        raise ArgumentError(f"{name} is for mode='shared', but mode is {mode!r}")


def _check_ends(
    mode: str, n_trials: int | None, group_timeout: float | None, stop: Stop | Iterable[Stop] | None
) -> None:
    """Check that the limits can end tuning in this mode."""
    if mode != "independent" and n_trials is None and group_timeout is not None:
        raise ArgumentError(
            f"mode={mode!r} needs n_trials besides group_timeout, which doesn't determine the "
            "number of trials"
        )
    if mode == "shared" and stop is not None:
        raise ArgumentError(
            "stop is for groups that are tuned independently, but mode is 'shared'; give n_trials"
        )


def _trials(n_trials: int | None, group_timeout: float | None, space: Space) -> int | None:
    if n_trials is not None or group_timeout is not None:
        return n_trials
    return _N_TRIALS if space.size is None else min(_N_TRIALS, space.size)


def _columns(argument: str, given: str | Sequence[str], least: int = 0) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ArgumentError(f"{argument} must be names of columns, each once, but got {given!r}")
    if len(names) < least:
        raise ArgumentError(f"{argument} must name at least one column")
    if argument == "by" and len(set(key_names(names))) < len(names):
        raise ArgumentError(
            f"by={given!r} makes two columns of one name in the result: rename one of them"
        )
    return names


def _points(
    space: Space, baseline: Params | Callable[..., Any] | None, start_with: Iterable[Params]
) -> tuple[Params, ...]:
    """Return the points to try first, in stored form; a baseline that is a point comes first."""
    points = stored_points(start_with, space)
    if isinstance(baseline, Mapping):
        points.insert(0, space.store(baseline))
    elif baseline is not None and not callable(baseline):
        raise ArgumentError(
            f"baseline must be a point of the space or a function, but got {baseline!r:.200}"
        )
    return tuple(points) or (middle_of(space),)


def _check_function(
    argument: str, function: object, holdout: Holdout | None, *, params: bool
) -> None:
    """Check that a function can be called with its arguments."""
    given = ["group"] if holdout is None else ["train", "valid"]
    given += ["params"] if params else []
    advice = f"here it is called as {argument}({', '.join(given)})"
    if not callable(function):
        raise ObjectiveError(f"{argument} must be a function, but got {function!r:.200}; {advice}")
    try:
        signature = inspect.signature(function)
    except ValueError:
        return  # some built-in functions have no signature
    try:
        signature.bind(*given)
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise ObjectiveError(f"{name}{signature} can't be called so ({error}); {advice}") from error


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words))
