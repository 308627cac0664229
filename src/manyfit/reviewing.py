"""`review`: advice on a study before it runs, by itself in `tune`, or on request."""

from collections.abc import Mapping
from typing import Any

from manyfit._checks import check_optional
from manyfit.advice.advice import Advice
from manyfit.advice.planned import Planned
from manyfit.advice.review import reviewed
from manyfit.events import WorkDescribed
from manyfit.executors.base import Executor
from manyfit.metric import Direction, Metric
from manyfit.space import Space
from manyfit.worker.limits import machine_memory
from manyfit.worker.work import Work


def review(
    space: Space | Mapping[str, Any],
    *,
    metric: str,
    direction: Direction = "minimize",
    n_trials: int | None = None,
    parallelism: int | None = None,
    sampler: object = "auto",
    trial_memory: int | None = None,
) -> tuple[Advice, ...]:
    """Return advice on a study before it runs; empty if nothing stands out.

    Nothing is run. `tune` shows the first lines of the same advice by itself. What the rules are
    and why is in the guide, `docs/advice.md`. They know the params of scikit-learn, XGBoost,
    LightGBM, CatBoost, Keras and Spark ML by the last part of a name, as in `clf__max_depth`.

    Args:
        space: The space to search.
        metric: The name of the metric to tune.
        direction: `"minimize"` or `"maximize"`.
        n_trials: The total number of trials; None if you don't know.
        parallelism: The number of trials that run at once; None if you don't know.
        sampler: The sampler, as for `tune`.
        trial_memory: The bytes that each trial may hold, on this machine; None for any number.

    Returns:
        Pieces of advice, most important first. Each has a `code`, the `params` it is about, a
        `message` with the figures and what to do, and a `link` to its section of the guide.

    Raises:
        ArgumentError: A number isn't positive, or the metric or its direction is invalid.
        SpaceError: The space breaks a rule.

    Example:
        >>> space = {"learning_rate": Float(1e-5, 1.0), "random_state": Int(0, 9)}
        >>> for advice in review(space, metric="val_loss", n_trials=30):
        ...     print(advice.code, advice.params)
        log-scale ('learning_rate',)
        seed ('random_state',)
    """
    planned = Planned(
        space=Space.of(space),
        metric=Metric(metric, direction),
        n_trials=check_optional("n_trials", n_trials, least=1, whole=True),
        parallelism=check_optional("parallelism", parallelism, least=1, whole=True),
        sampler=sampler if isinstance(sampler, str) else None,
        trial_memory=check_optional("trial_memory", trial_memory, above=0, unit="bytes"),
        machine_memory=None if trial_memory is None else machine_memory()[0],
    )
    return reviewed(planned)


def advice_on(
    work: Work, sampler: object, runner: Executor, before: WorkDescribed | None
) -> tuple[Advice, ...]:
    """Return advice on a study about to run, without that which an earlier run has given.

    A doubtful direction is left out: all users are warned of it, see `Doubts`.
    """
    planned = Planned(
        space=work.space,
        metric=work.metric,
        n_trials=work.n_trials,
        parallelism=runner.parallelism,
        sampler=sampler if isinstance(sampler, str) else None,
        trial_memory=work.limits.memory,
        machine_memory=None if runner.capabilities.remote else machine_memory()[0],
    )
    found = reviewed(planned)
    known = () if before is None else before.advice
    return tuple(each for each in found if each.code != "direction" and str(each) not in known)
