"""`optimize`: a study of an objective that Optuna's users have written."""

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manyfit.budget import Stop
from manyfit.errors import ArgumentError, ObjectiveError
from manyfit.executors.base import Executor
from manyfit.hooks import OnTrialEnd
from manyfit.metric import Direction
from manyfit.open_space import OpenSpace
from manyfit.optuna.objective import DefineByRun
from manyfit.optuna.trial import METRIC
from manyfit.pruners.auto import Pruning
from manyfit.result import StudyResult
from manyfit.study import Study
from manyfit.trackers.auto import Trackers
from manyfit.trial import Params

if TYPE_CHECKING:
    import optuna


def optimize(
    objective: Callable[[Any], Any],
    n_trials: int | None = None,
    timeout: float | None = None,
    *,
    direction: Direction = "minimize",
    executor: str | Executor = "processes",
    parallelism: int | None = None,
    sampler: "str | optuna.samplers.BaseSampler" = "auto",
    pruner: Pruning = "auto",
    name: str | None = None,
    seed: int | None = None,
    start_with: Iterable[Params] = (),
    stop: Stop | Iterable[Stop] | None = None,
    on_trial_end: OnTrialEnd | None = None,
    trial_timeout: float | None = None,
    trial_memory: int | None = None,
    cpus_per_trial: int | None = None,
    max_attempts: int = 2,
    max_failures: int | None = None,
    repeats: int | None = None,
    lag: int | None = None,
    tracker: Trackers = "auto",
    folder: str | Path = ".manyfit",
    advice: bool = True,
    progress: str | bool | None = "auto",
) -> StudyResult:
    """Run an objective of Optuna, unchanged, in processes, on Spark or on Dask.

    The objective receives a trial with Optuna's methods: `suggest_*`, `report`, `should_prune`,
    `set_user_attr` and so on. Params need not be declared: the driver proposes values for all
    params that trials have asked for so far, and a trial draws what is new at random. No database
    is needed, and a study that was killed continues with the next call of the same `name`.

    What differs from `optuna.Study.optimize`:

    - A trial whose objective raises is a FAIL, and the study goes on, as in `tune`; there is no
      `catch`. `optuna.TrialPruned` prunes the trial. NaN and infinities are a FAIL.
    - `n_trials` is the total of all calls with the same `name`.
    - `should_prune` knows the driver's answer to earlier reports: in processes and on a cluster, it
      is late by one report.
    - One objective, without constraints: both are refused in words.
    - A value that is no longer in its distribution, or in that of `start_with`, is drawn again, and
      you are told.

    Args:
        objective: A function of one argument, the trial, that returns the value. A trial's params
            with options that are not plain values are recorded by their labels (see `Choice`).
        n_trials: The exact total number of trials; None for no limit.
        timeout: Seconds after which this call ends; see `manyfit.tune`.
        direction: `"minimize"` or `"maximize"`.
        executor: `"processes"`, `"threads"`, `"inline"`, or an executor such as `SparkExecutor`.
        parallelism: The number of trials that run at once.
        sampler: As for `tune`: `"auto"` (a Gaussian process), another word but `"grid"`, or any
            instance from `optuna.samplers`.
        pruner: As for `tune`: a word, or any instance from `optuna.pruners`.
        name: The study's name, to resume it by; by default a new one with date and time.
        seed: Makes proposals and draws repeatable; see `manyfit.tune`.
        start_with: Points to try first, as with `enqueue_trial`; what they lack is drawn.
        stop: As for `tune`, and so are all further arguments: see there.
        on_trial_end: A function of the result so far and the trial that has ended.
        trial_timeout: Seconds after which a trial is killed.
        trial_memory: Bytes that a trial may hold.
        cpus_per_trial: The threads of each trial.
        max_attempts: The number of times a trial is started if its workers keep dying.
        max_failures: The number of failed trials after which the study ends.
        repeats: The number of times that the best trials are repeated.
        lag: Makes proposals independent of timing.
        tracker: `"auto"` mirrors the study to MLflow if it is installed.
        folder: The folder that contains studies.
        advice: Whether to say at the end what stands out.
        progress: `"auto"`, `"plain"`, or None.

    Returns:
        The result, as of `tune`, with the params of each trial as it asked for them; `space` is
        made of these. `to_optuna()` makes it a study of Optuna.

    Raises:
        ObjectiveError: The objective can't be called with a trial, or can't be sent to a worker.
        ArgumentError: An argument breaks a rule; and other errors, as for `tune`.

    Example:
        >>> def objective(trial):
        ...     x = trial.suggest_float("x", -5, 5)
        ...     if trial.suggest_categorical("shape", ["square", "line"]) == "line":
        ...         return abs(x - trial.suggest_float("bend", 0, 1))
        ...     return (x - 2) ** 2
        >>> result = optimize(
        ...     objective, n_trials=30, seed=0, executor="inline", tracker=None, progress=None,
        ...     folder=getfixture("tmp_path"),
        ... )
        >>> result.best.value < 0.1, sorted(result.space.params)
        (True, ['bend', 'shape', 'x'])
    """
    _check_objective(objective)
    if direction not in ("minimize", "maximize"):
        raise ArgumentError(f"direction must be 'minimize' or 'maximize', but got {direction!r}")
    study = Study(
        OpenSpace(),
        metric=METRIC,
        direction=direction,
        name=name,
        folder=folder,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        start_with=start_with,
        max_attempts=max_attempts,
        lag=lag,
        tracker=tracker,
    )
    with study:
        return study.tune(
            DefineByRun(objective, direction),
            n_trials=n_trials,
            timeout=timeout,
            parallelism=parallelism,
            executor=executor,
            stop=stop,
            on_trial_end=on_trial_end,
            trial_timeout=trial_timeout,
            trial_memory=trial_memory,
            cpus_per_trial=cpus_per_trial,
            max_failures=max_failures,
            repeats=repeats,
            advice=advice,
            progress=progress,
        )


def _check_objective(objective: object) -> None:
    advice = "an objective of Optuna takes the trial: def objective(trial): ..."
    if not callable(objective):
        raise ObjectiveError(f"{objective!r:.200} can't be called; {advice}")
    try:
        inspect.signature(objective).bind(None)
    except ValueError:
        return  # some built-in functions have no signature
    except TypeError as error:
        called = getattr(objective, "__qualname__", repr(objective))
        raise ObjectiveError(
            f"{called} can't be called with a trial ({error}); {advice}"
        ) from error
