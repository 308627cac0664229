"""Writes to the MLflow run of a call of `tune_groups` what MLflow missed."""

import contextlib
from pathlib import Path

from manyfit.groups.loading import home_of, result_of
from manyfit.groups.record.state import read_state
from manyfit.groups.result.outcome import outcome_of
from manyfit.journal.file import LOCK_NAME
from manyfit.journal.lock import StudyLock
from manyfit.sync import last_mirror
from manyfit.trackers.base import GroupsInfo, StudyInfo
from manyfit.trackers.mlflow import Mirror
from manyfit.trackers.mlflow_ledger import had_child_runs


def sync_groups(
    name: str,
    *,
    folder: str | Path = ".manyfit",
    tracking_uri: str | None = None,
    experiment: str | None = None,
    wait: float = 600.0,
) -> Mirror | None:
    """Write to MLflow the results of a call over groups that it lacks; nothing is tuned.

    The run's params, and whether each group has its own run, are those of the last call that was
    mirrored. If no call was, groups have no runs, and `n_trials` and the sampler are omitted.

    Args:
        name: The call's name.
        folder: The folder given to `tune_groups`.
        tracking_uri: The server; by default the last one that the call was mirrored to, or was to
            be when it didn't answer; if there is none, MLflow's own choice.
        experiment: The experiment's name, with the same default.
        wait: How long to try, in seconds.

    Returns:
        Where the results are; None if something wasn't written, and a warning says what.

    Raises:
        ArgumentError: There is no such call.
        NoResultError: The call never started.
        StudyLockedError: The call is running: its own driver writes to MLflow.
        JournalCorruptError: Its record is damaged.
        MissingExtraError: MLflow is not installed.
    """
    home = home_of(name, folder)
    with (
        contextlib.ExitStack() as stack,
        last_mirror(home, tracking_uri, experiment, wait) as tracker,
    ):
        stack.callback(StudyLock(home / LOCK_NAME).release)  # so that no driver opens it meanwhile
        state = read_state(home)
        result = result_of(state, home)
        tracker.open(
            StudyInfo(
                name=result.name,
                folder=home,
                space=result.space,
                metric=result.metric,
                seed=state.created.seed,
                n_trials=0,
                parallelism=None,
                groups=GroupsInfo(result.by, result.mode, child_runs=had_child_runs(home)),
            ),
            (),
        )
        outcome = outcome_of(result)
        for group in outcome.groups():
            tracker.record(group, None)
        return tracker.finish(result.reason, (), outcome)
