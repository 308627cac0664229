"""`tune`: a whole study in one call."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from manyfit.budget import Stop
from manyfit.executors.base import Executor
from manyfit.hooks import OnTrialEnd
from manyfit.metric import Direction
from manyfit.pruners.auto import Pruning
from manyfit.result import StudyResult
from manyfit.samplers.base import Sampler
from manyfit.space import Space
from manyfit.study import Study
from manyfit.trackers.auto import Trackers
from manyfit.trial import Params
from manyfit.worker.work import Objective

if TYPE_CHECKING:
    import optuna


def tune(
    objective: Objective,
    space: Space | Mapping[str, Any],
    *,
    metric: str,
    direction: Direction = "minimize",
    n_trials: int | None = None,
    timeout: float | None = None,
    parallelism: int | None = None,
    executor: str | Executor = "processes",
    sampler: "str | Sampler | optuna.samplers.BaseSampler" = "auto",
    pruner: Pruning = "auto",
    stop: Stop | Iterable[Stop] | None = None,
    on_trial_end: OnTrialEnd | None = None,
    start_with: Iterable[Params] = (),
    prior_from: Iterable[Any] = (),
    name: str | None = None,
    seed: int | None = None,
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
    on_space_change: Literal["raise", "keep"] = "raise",
) -> StudyResult:
    """Find the params for which a training function performs best.

    Called again with the same `name`, it resumes: `n_trials` counts the trials of all calls
    together, so a study that was killed continues to the same total, and a finished one returns at
    once. A warning says what has changed since (the objective's code, the functions and variables
    that it uses, constants, the sampler); files that it reads are not compared.

    A trial whose objective raises, or returns NaN, infinity or no number for `metric`, is a FAIL;
    the others go on. If trials in every quarter of each range and with every option all fail in the
    same line, that is considered a bug, and the study ends, unless `max_failures` is given.

    A first Ctrl-C ends the study in order and returns the result so far; a second one ends it
    immediately. SIGTERM and SIGHUP, which schedulers and terminals send, end it in order within
    10 s. The program itself continues after `tune`; check whether `result.reason` is "interrupted"
    if that matters.

    Args:
        objective: A function of one argument, the params as a dict, that returns the tuned metric
            as a number, or a dict of metrics that includes it. Values in the dict that are not
            numbers, such as a path, are kept as text in `trial.notes`; `{"status": "fail"}` makes
            the trial a FAIL, as in Hyperopt. The function can run and be tested without Manyfit.
        space: A mapping from names to `Float`, `Int`, `Choice` or constants, also inside dicts and
            lists, or a space of another library (see the guide, `docs/spaces.md`).
        metric: The name of the metric to tune.
        direction: `"minimize"` or `"maximize"`.
        n_trials: The exact total number of trials, not counting repeats; None for no limit.
        timeout: Seconds after which this call ends. Trials still running are cut off, and run again
            when the study is resumed.
        parallelism: The number of trials that run at once; by default one per core (or per
            `cpus_per_trial` cores) that this process, or its container, may use.
        executor: `"processes"`, `"threads"`, `"inline"` (this thread: for debugging), or an
            `Executor`.
        sampler: `"auto"`, `"gp"`, `"tpe"`, `"random"`, `"quasirandom"`, `"nearby"`, `"grid"`, a
            `Sampler`, or any instance from `optuna.samplers`.
        pruner: `"auto"`, `"median"`, `"asha"`, a pruner, an instance from `optuna.pruners`, or None
            to end no trial early.
        stop: `Target(...)`, `NoImprovement(...)`, a function, or a list of them. A function gets
            the result so far after each trial, and when a study is resumed, and returns whether the
            search is over, or why, as a string.
        on_trial_end: A function of the result so far and the trial that has ended. Like a function
            of `stop`, it is called here, in the thread of this call, once the trial is on record;
            no trial starts while it runs. What it raises ends the study in order, and is raised
            again. It isn't called again when a study is resumed.
        start_with: Points to try first, in order, such as known good params. Missing params are
            drawn at random, and are the same whenever the study is resumed.
        prior_from: A list of earlier studies, of the same or an overlapping space, to learn from:
            results, names of studies in `folder`, or tables as returned by MLflow's `search_runs`.
            The first trials are the best of theirs; then the sampler learns how far their results
            apply. Requires `sampler="auto"` or `"gp"`; pass it again when you resume.
        name: The study's name; by default a new one with date and time.
        seed: Makes proposals repeatable, and the random numbers of Python, NumPy and the frameworks
            in each trial; drawn at random by default. If several trials run at once, proposals also
            depend on the order in which they finish, unless `lag` is given.
        trial_timeout: Seconds after which a trial is killed and becomes a FAIL. Threads and inline
            can't kill: there the trial ends at its next report, if it reports.
        trial_memory: Bytes that a trial's process and its children may hold; beyond that the trial
            is killed and becomes a FAIL. Memory shared among them counts once, mapped files (as of
            `share`) don't count. Processes only.
        cpus_per_trial: The number of threads in each trial's BLAS, OpenMP, TensorFlow and XLA
            pools; by default the number of cores divided by `parallelism`.
        max_attempts: The number of times a trial is started if its workers keep dying.
        max_failures: End the study when more trials than this have failed in this call. None allows
            any number, unless the failures look like a bug (see above).
        repeats: For noisy objectives: when the search is over, each of its five best trials is run
            this many more times, with new numbers and fresh seeds, to the end, and in addition to
            `n_trials`. `best` is then the trial whose repeats have the best mean, because the value
            that made a trial lead is partly luck; trials with a failed repeat come last.
            `leaders()` has the means and intervals. No repeats follow a search that failed, was
            interrupted or reached `timeout`; resume it to get them.
        lag: Makes proposals a function of the seed, at any `parallelism` and any timing: trial n
            waits until all trials up to n - lag have ended, and is proposed from their results
            alone. At most `lag` trials run at once. If `lag` equals the parallelism, slots are idle
            when trials take unequal times; with twice that they hardly are, but each proposal knows
            less. No trial is pruned. How many trials a `timeout` or `stop` allows still depends on
            timing. None uses every result at once.
        tracker: `"auto"` mirrors the study to MLflow if it is installed; a tracker; a sequence of
            these; or None.
        folder: The folder that contains studies, each in a folder of its own.
        advice: Whether to begin with up to five lines of advice on the space, the metric and the
            budget (see `manyfit.review`), each of which is shown once in a study, and to end with
            as many on its trials (`result.advice()`).
        progress: `"auto"` shows a live display on a terminal or in a notebook, and plain lines
            elsewhere; `"plain"`; None for no output.
        on_space_change: What to do if a study of this name has another space: `"raise"`, or
            `"keep"` the trials that still fit; the others stay recorded and are ignored.

    Returns:
        The result: `best`, `table()`, `leaders()`, `failures()`, and why the study ended.

    Raises:
        ArgumentError: An argument breaks a rule. Like the next three errors, it is raised before
            anything has run.
        SpaceError: The space, or a point of `start_with`, breaks a rule.
        ObjectiveError: The objective can't be called with params, or can't be sent to a worker.
        StudyChangedError: The study on disk has another metric, direction or space.
        StudyLockedError: Another driver is running this study.
        JournalError: The journal can't be read or written; no trial runs unrecorded.
        ExecutorError: Workers can't be started.

    Example:
        >>> def train(params):
        ...     return {"loss": (params["x"] - 0.3) ** 2}
        >>> result = tune(
        ...     train, {"x": Float(0.0, 1.0)}, metric="loss", n_trials=20, seed=0,
        ...     executor="inline", tracker=None, progress=None, folder=getfixture("tmp_path"),
        ... )
        >>> result.best.value < 0.01, result.reason
        (True, 'all 20 trials done')
    """
    study = Study(
        space,
        metric=metric,
        direction=direction,
        name=name,
        folder=folder,
        seed=seed,
        sampler=sampler,
        pruner=pruner,
        start_with=start_with,
        prior_from=prior_from,
        max_attempts=max_attempts,
        lag=lag,
        tracker=tracker,
        on_space_change=on_space_change,
    )
    with study:
        return study.tune(
            objective,
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
