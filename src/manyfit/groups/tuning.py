"""`tune_groups`: one model per group, in one call."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from manyfit._checks import check_optional
from manyfit._names import from_file_name, new_name
from manyfit._redact import redact
from manyfit.archive import study_folder
from manyfit.budget import Stop
from manyfit.data.references import Delta, Parquet
from manyfit.errors import ArgumentError, JournalError
from manyfit.executors.remote import RemoteExecutor
from manyfit.group_events import CallEnded
from manyfit.groups.job import GroupJob
from manyfit.groups.joint import Aggregate
from manyfit.groups.loading import result_of
from manyfit.groups.modes import Call, independent, shared, transfer
from manyfit.groups.progress import hear_the_end
from manyfit.groups.record.output import Output
from manyfit.groups.record.resume import resume
from manyfit.groups.record.row import row_schema
from manyfit.groups.record.store import GroupRecord
from manyfit.groups.result.advice import advice
from manyfit.groups.result.outcome import outcome_of
from manyfit.groups.result.result import GroupsResult
from manyfit.groups.run.base import Population, check_columns, is_frame
from manyfit.groups.run.local import LocalPopulation
from manyfit.groups.run.spark import SparkPopulation
from manyfit.groups.search.holdout import Holdout
from manyfit.groups.settings import Mode, created_by, job_of
from manyfit.metric import Direction
from manyfit.orders import heeded, interrupt
from manyfit.pruners.auto import Pruning
from manyfit.space import Space
from manyfit.spark.executor import SparkExecutor
from manyfit.spark.watch import explained
from manyfit.trackers.auto import Trackers, make_trackers
from manyfit.trackers.base import GroupsInfo, StudyInfo
from manyfit.trackers.mirrors import Mirrors
from manyfit.trial import Params


def tune_groups(
    data: Any,
    *,
    by: str | Sequence[str],
    objective: Callable[..., Any],
    space: Space | Mapping[str, Any],
    metric: str,
    direction: Direction = "minimize",
    n_trials: int | None = None,
    group_timeout: float | None = None,
    mode: Mode = "independent",
    shared_by: str | Sequence[str] = (),
    aggregate: Aggregate = "mean",
    holdout: str | float | Holdout | None = None,
    order_by: str | Sequence[str] = (),
    baseline: Params | Callable[..., Any] | None = None,
    start_with: Iterable[Params] = (),
    sampler: Any = "auto",
    pruner: Pruning = "auto",
    stop: Stop | Iterable[Stop] | None = None,
    trial_timeout: float | None = None,
    trial_memory: int | None = None,
    parallelism: int | None = None,
    executor: RemoteExecutor[Any] | None = None,
    keep_models: bool | str | Path = False,
    keep_trials: bool = False,
    output: str | Path | Parquet | Delta | None = None,
    name: str | None = None,
    folder: str | Path = ".manyfit",
    seed: int | None = None,
    tracker: Trackers = "auto",
    child_runs: bool = False,
    progress: str | bool | None = "auto",
) -> GroupsResult:
    """Tune a model for each group of rows: independently, jointly, or by transfer.

    A group that fails has a row in the result that says why, and doesn't affect the others. The
    same call with the same name tunes groups that are missing or failed, and those with fewer
    trials than it asks for, or without the model it asks for. Other recorded groups are kept, and
    the result's notes name those that were tuned with other settings or on other rows.

    Args:
        data: The rows: a pandas or a Spark DataFrame, classic or Connect. Groups are tuned where
            their rows are.
        by: The key columns. Missing values are a key of their own.
        objective: `fit(group, params)`, or with a holdout `fit(train, valid, params)`. It gets
            its own DataFrames, with all columns, and returns a number or a dict of metrics, or a
            tuple of one of these and the model. Values in the dict that are not numbers are
            ignored. `manyfit.report` works in it.
        space: The space to search: a mapping from names to `Float`, `Int`, `Choice` or constants.
        metric: The name of the metric to tune.
        direction: `"minimize"` or `"maximize"`.
        n_trials: The number of trials per group; 20 unless there is a `group_timeout`. In mode
            `"shared"` it is the number for all groups together; in mode `"transfer"`, groups other
            than the first get a third of it.
        group_timeout: Seconds that a group may take.
        mode: `"independent"`; `"shared"`, one set of params for all groups; or `"transfer"`, which
            tunes a tenth of the groups in full and uses the results for the others.
        shared_by: In mode `"shared"`, columns whose values, constant within a group, name clusters
            of groups. Each cluster has params of its own.
        aggregate: In mode `"shared"`, the aggregate over groups to tune: `"mean"`, `"weighted"` by
            their rows, `"median"`, or `"worst"`, the mean of the worst tenth.
        holdout: The split of a group, the same for all its trials: `"last 48"` rows, a share of
            them such as `0.2`, or `"5 folds"`. A group with too few rows gets the baseline. By
            default the objective splits.
        order_by: Columns by which the rows of a group are sorted; on Spark they otherwise have no
            order.
        baseline: What tuning must beat, tried first: a point of the space, or a function like the
            objective, without params. By default the first of `start_with`, or otherwise the middle
            of the space.
        start_with: Points to try first; missing params are drawn at random, the same for all
            groups.
        sampler: The sampler of each group; `"auto"` is `"nearby"`, which is quick. In
            mode `"shared"` it is that of `manyfit.tune`.
        pruner: Ends hopeless trials that report, within their group.
        stop: `Target(...)`, `NoImprovement(...)` or a list of them, for each group.
        trial_timeout: Seconds after which a trial is killed; its group goes on.
        trial_memory: Bytes that a worker process may hold; beyond that the trial is killed, too.
        parallelism: On pandas, the number of processes; by default the number of cores.
        executor: For pandas, a `DaskExecutor` or a `SparkExecutor`: each task on its cluster tunes
            a batch of groups; by default this machine does. On Spark, a `SparkExecutor` whose
            `ship`, `env`, `secrets` and `storage` say what to send to workers.
        keep_models: Whether the result has each group's model; or a folder or URL for them. The
            model is that of the best trial; with folds it is fitted again on all rows.
        keep_trials: Whether the result has all trials of each group.
        output: An output for each group's row as groups end, including the model if kept: the path
            or URL of a Parquet folder, or `manyfit.Delta(path)`, either new or with rows of groups.
            Several calls may write to one output; the column `call` has their names. On Spark,
            models are then never sent to the driver; the result has everything else.
        name: The call's name, and that of its folder; by default a new one with date and time.
        folder: The folder that contains records.
        seed: Makes everything repeatable; drawn at random by default.
        tracker: `"auto"` makes an MLflow run for the call if MLflow is installed; a tracker, as for
            `manyfit.tune`; a sequence of these; or None. With any tracker, what the objective logs
            to MLflow itself goes to a separate run for each fit.
        child_runs: Whether each group has an MLflow run below the call's.
        progress: `"auto"` shows groups done, failed, gains and the time left: live on a terminal or
            in a notebook, as plain lines elsewhere; `"plain"`; None for no output.

    Returns:
        The result, with a row for each group: `table`, `failures()`, `predict(rows)`, plots.

    Raises:
        ArgumentError: An argument breaks a rule; nothing has run.
        SpaceError: The space, or a point, breaks a rule.
        ObjectiveError: The objective can't be sent to workers.
        StudyLockedError: Another process holds the record.
        StudyChangedError: The record is of a call with other settings, the output has rows of
            another call of this name, or in mode `"shared"` new trials would be compared with
            others that were evaluated on other rows or groups.
        JournalCorruptError: The record is damaged; the message says where.
        JournalError: The record, or the output, can't be written.
        ExecutorError: Workers can't be started, or the cluster is gone; the record is intact.

    Example:
        >>> import pandas
        >>> sales = pandas.DataFrame({"shop": [*"aaab"], "price": [1.0, 2.0, 3.0, 7.0]})
        >>> def fit(shop, params):
        ...     return {"error": abs(params["level"] - shop["price"].mean()), "rows": len(shop)}
        >>> result = tune_groups(
        ...     sales, by="shop", objective=fit, space={"level": Float(0.0, 10.0)}, metric="error",
        ...     n_trials=20, seed=0, tracker=None, progress=None, folder=getfixture("tmp_path"),
        ... )
        >>> result.table[["shop", "value", "baseline", "rows"]].round(1)
          shop  value  baseline  rows
        0    a    0.0       3.0     3
        1    b    0.0       2.0     1
    """
    job = job_of(
        by=by,
        objective=objective,
        space=space,
        metric=metric,
        direction=direction,
        n_trials=n_trials,
        group_timeout=group_timeout,
        mode=mode,
        shared_by=shared_by,
        aggregate=aggregate,
        holdout=holdout,
        order_by=order_by,
        baseline=baseline,
        start_with=start_with,
        sampler=sampler,
        pruner=pruner,
        stop=stop,
        trial_timeout=trial_timeout,
        trial_memory=trial_memory,
        keep_models=keep_models,
        keep_trials=keep_trials,
        seed=seed,
    )
    home = study_folder(name if name is not None else new_name("groups"), folder)
    mirrors = Mirrors(hear_the_end(make_trackers(tracker, progress)))
    population = _population(data, job, parallelism, executor, home)
    place = None if output is None else Output.of(output, home)
    job = replace(job, output=place)
    record = GroupRecord(home, created_by(job, from_file_name(home.name), mode, aggregate))
    try:
        job = replace(job, seed=record.state.created.seed, name=record.name)
        with _explained(population, record.name):
            schema = row_schema(population.keys_schema)
            resumed = resume(population, job, record, seed)
            call = Call(population, job, record, schema, mirrors, resumed)
            mirrors.open(_info_of(call, mode, child_runs=child_runs), ())
            return _tune(call, mode, aggregate)
    finally:
        population.close()
        record.close()


def _tune(call: Call, mode: Mode, how: Aggregate) -> GroupsResult:
    """Run a call to its end, or to an order to end, and return what is on record then."""
    try:
        reason, notes = "all groups are done", call.resumed.notes
        try:
            with heeded(interrupt), _explained(call.population, call.record.name):
                notes += _run(call, mode, how)
        except KeyboardInterrupt:
            name = call.record.name
            reason = f"interrupted: the same call with name={name!r} goes on"
        result = _result(call, mode, reason, notes)
    except BaseException as error:
        said = f": {error}" if str(error) else ""
        reason = f"the driver ended with {type(error).__name__}{said}"
        with contextlib.suppress(JournalError):
            _put_end(call, reason)
        call.mirrors.close(reason, ())
        raise
    call.mirrors.close(reason, (), outcome_of(result))
    return result


def _explained(population: Population, name: str) -> AbstractContextManager[None]:
    """Have what fails with a Spark session that has ended say so, and how to resume."""
    if isinstance(population, SparkPopulation):
        return explained(population.session, name)
    return nullcontext()


def _run(call: Call, mode: Mode, how: Aggregate) -> tuple[str, ...]:
    """Run what is missing; returns what people should know of it, in sentences."""
    if mode == "shared":
        return shared(call, how)
    if mode == "transfer":
        return transfer(call)
    independent(call)
    return ()


def _info_of(call: Call, mode: Mode, *, child_runs: bool) -> StudyInfo:
    job, population = call.job, call.population
    known = call.record.rows(call.schema)
    before = len(call.done())
    groups = GroupsInfo(
        by=job.by,
        mode=mode,
        sampler=job.sampler if isinstance(job.sampler, str) else type(job.sampler).__name__,
        total=population.count(),
        before=before,
        again=len(known) - before,
        child_runs=child_runs,
    )
    return StudyInfo(
        name=call.record.name,
        folder=call.record.folder,
        space=job.space,
        metric=job.metric,
        seed=job.seed,
        n_trials=job.n_trials,
        parallelism=population.slots,
        notes=call.resumed.notes,
        remote=population.remote,
        groups=groups,
    )


def _result(call: Call, mode: Mode, reason: str, notes: tuple[str, ...]) -> GroupsResult:
    """Put the end on record; returns what is."""
    job, record = call.job, call.record
    advised = advice(
        record.rows(call.schema),
        job.metric,
        job.by,
        job.space,
        mode=mode,
        sampler=job.sampler,
        slots=call.population.slots,
    )
    _put_end(call, reason, [*notes, *map(str, advised)])
    return replace(result_of(record.state, record.folder), space=job.space)


def _put_end(call: Call, reason: str, notes: Sequence[str] = ()) -> None:
    ended = CallEnded(redact(reason), time.time(), notes)
    call.record.put(ended, sync=True)
    call.mirrors.record(ended, None)


def _population(
    data: Any,
    job: GroupJob,
    parallelism: int | None,
    executor: Any,
    home: Path,
) -> Population:
    if hasattr(data, "columns"):
        check_columns(list(data.columns), job.order_by)
    if is_frame(data, "pandas"):
        parallelism = check_optional("parallelism", parallelism, least=1, whole=True)
        if not isinstance(executor, RemoteExecutor | None):
            rule = "executor must be a DaskExecutor, a SparkExecutor or None"
            raise ArgumentError(f"{rule}, but got {executor!r:.200}")
        if executor is not None and parallelism is not None:
            raise ArgumentError("parallelism is given by the executor: leave it to one of them")
        return LocalPopulation(
            data, job.by, job.shared_by, parallelism=parallelism, folder=home, executor=executor
        )
    if is_frame(data, "pyspark.sql"):
        _check_order(job)
        if parallelism is not None:
            raise ArgumentError("parallelism is for pandas: on Spark it is the cluster's slots")
        if not isinstance(executor, SparkExecutor | None):
            raise ArgumentError(
                f"on Spark, executor must be a SparkExecutor or None, but got {executor!r:.200}"
            )
        return SparkPopulation(
            data,
            job.by,
            job.shared_by,
            executor or SparkExecutor(data.sparkSession),
            from_file_name(home.name),
        )
    raise ArgumentError(
        "data must be a pandas or a Spark DataFrame, but got a "
        f"{type(data).__module__}.{type(data).__qualname__}"
    )


def _check_order(job: GroupJob) -> None:
    if job.holdout is not None and job.holdout.is_ordered and not job.order_by:
        raise ArgumentError(
            f"holdout={job.holdout} needs order_by: the rows of a Spark DataFrame have no order"
        )
