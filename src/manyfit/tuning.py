"""`tune`: a whole study in one call."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from manyfit.budget import Stop
from manyfit.executors.base import Executor
from manyfit.metric import Direction
from manyfit.pruners.base import PrunerSettings
from manyfit.result import StudyResult
from manyfit.samplers.base import Sampler
from manyfit.space import Space
from manyfit.study import Study
from manyfit.trackers.base import Tracker
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
    pruner: str | PrunerSettings | None = "auto",
    stop: Stop | Iterable[Stop] | None = None,
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
    tracker: Literal["auto"] | Tracker | None = "auto",
    folder: str | Path = ".manyfit",
    progress: str | bool | None = "auto",
    on_space_change: Literal["raise", "keep"] = "raise",
) -> StudyResult:
    """Find the params with which a training function does best.

    Run again with the same `name`, it resumes: `n_trials` counts the trials of all runs together,
    so a study that was killed goes on to the same total, and a finished one returns at once. What
    has changed since (the objective's code, the functions and variables that it uses, constants,
    the sampler) is said in a warning; what it reads from files is not looked at. A
    trial whose objective raises, or gives NaN, infinity, or no number for `metric`, is a FAIL; the
    others go on. Where all trials fail in the same line, in every quarter of each range and with
    every option, the study ends: that is a bug and not bad luck. `max_failures` lets it go on.

    A first Ctrl-C ends the study in order and returns what there is; a second one is immediate.
    SIGTERM and SIGHUP, which schedulers and terminals send, do the same within 10 s. The program
    itself goes on after `tune`: where that matters, look at `result.reason`, which is then
    "interrupted".

    Args:
        objective: Takes the params as one dict; returns the tuned metric as a number, or a dict of
            metrics with it. What is no number in the dict, such as a path, is kept as text, in
            `trial.notes`; `{"status": "fail"}` makes the trial a FAIL, as in Hyperopt. Runs, and
            can be tested, without Manyfit.
        space: Names to `Float`, `Int`, `Choice`, or constants.
        metric: The name of the metric to tune.
        direction: `"minimize"` or `"maximize"`.
        n_trials: How many trials finish in all, exactly, repeats not counted; None for no limit.
        timeout: Seconds after which this call ends. What still runs is cut off, and run again when
            the study is resumed.
        parallelism: How many trials run at once; by default one for each core (or for each
            `cpus_per_trial` cores).
        executor: `"processes"`, `"threads"`, `"inline"` (this thread: for debugging), or an
            `Executor`.
        sampler: `"auto"`, `"gp"`, `"tpe"`, `"random"`, `"quasirandom"`, `"grid"`, a `Sampler`,
            or any instance from `optuna.samplers`.
        pruner: `"auto"`, `"median"`, `"asha"`, a pruner, or None to end no trial early.
        stop: `Target(...)`, `NoImprovement(...)`, or several of them.
        start_with: Points to try first, in order; known good params, say. What a point leaves open
            is drawn at random, the same whenever the study is resumed.
        prior_from: Earlier studies of the same space, or one that overlaps, to learn from: results,
            names of studies in `folder`, or tables as MLflow's `search_runs` gives them. The first
            trials are the best of them; then the sampler finds out how much of what it learned
            there holds here. Takes `sampler="auto"` or `"gp"`, and is given again on a resume.
        name: Names the study; by default a new name with date and time.
        seed: Makes proposals, and Python's, NumPy's and the frameworks' randomness in each trial,
            repeatable; drawn at random by default. With several trials at a time, proposals depend
            on who finishes first, unless `lag` is given.
        trial_timeout: Seconds a trial may take; then it is killed and a FAIL. Threads and inline
            can't kill: there it ends at its next report, if it reports.
        trial_memory: Bytes a trial's process and its children may hold; beyond that it is killed
            and a FAIL. What they share counts once, mapped files (as of `share`) not at all.
            Processes only.
        cpus_per_trial: Threads for each trial's BLAS, OpenMP, TensorFlow and XLA pools; by default
            the cores divided by `parallelism`.
        max_attempts: How often a trial whose worker dies is started in all.
        max_failures: End the study when more trials than this have failed in this call. With None
            that may be any number, unless it is a bug (see above).
        repeats: For an objective that is noisy. When the search is over, each of its five best
            trials is run again so many times, under new numbers and so over fresh seeds, to the end
            and on top of `n_trials`. Then `best` is the one with the best mean of these repeats:
            its own value, with which it came to lead, is partly luck. One of which a repeat failed
            comes after all of which none did. `leaders()` has the means and intervals. None follow
            a search that failed, was interrupted, or ran into `timeout`; resuming makes up for it.
        lag: Makes proposals the same at any `parallelism` and any timing, given the seed: trial n
            waits until all trials up to n - lag have ended, and is proposed from their results
            alone. So at most `lag` trials run at once. If it equals the parallelism, slots stand
            idle where trials take unequal times; if it is twice that, they hardly do, but each
            proposal knows less. No trial is pruned. How many trials a `timeout` or `stop` allows
            still depends on timing. None uses every result at once.
        tracker: `"auto"` mirrors the study to MLflow where that is installed; a tracker; or None.
        folder: Where studies are kept, each in a folder of its own.
        progress: `"auto"` shows a live display on a terminal or in a notebook and plain lines
            elsewhere; `"plain"`; None for silence.
        on_space_change: What to do when a study of this name has another space: `"raise"`, or
            `"keep"` the trials that still fit, the others staying on record and counting no more.

    Returns:
        The result: `best`, `table()`, `leaders()`, `failures()`, and why the study ended.

    Raises:
        ArgumentError: An argument breaks a rule. As with the next three, nothing has run.
        SpaceError: The space, or a point of `start_with`, breaks a rule.
        ObjectiveError: The objective can't be called with params, or can't be sent to a worker.
        StudyChangedError: The study on disk has another metric, direction or space.
        StudyLockedError: Another driver is running this study.
        JournalError: The record can't be read or written; no trial runs unrecorded.
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
            trial_timeout=trial_timeout,
            trial_memory=trial_memory,
            cpus_per_trial=cpus_per_trial,
            max_failures=max_failures,
            repeats=repeats,
            progress=progress,
        )
