"""Complete a study's mirror in MLflow, if MLflow was not reachable while the study ran."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from manyfit._names import from_file_name
from manyfit.archive import on_record, result_of, study_folder
from manyfit.events import AttemptLost
from manyfit.journal.file import FileJournal
from manyfit.reports.study import study_html
from manyfit.trackers.base import StudyInfo
from manyfit.trackers.mlflow import Mirror, MlflowTracker
from manyfit.trackers.mlflow_ledger import last_place
from manyfit.worker.active_run import environment
from manyfit.worker.adoption import EXPERIMENT_ID


def sync_study(
    name: str,
    *,
    folder: str | Path = ".manyfit",
    tracking_uri: str | None = None,
    experiment: str | None = None,
    wait: float = 600.0,
) -> Mirror | None:
    """Write to MLflow whatever it lacks of a study. No trial runs; a second call changes nothing.

    Args:
        name: The study's name.
        folder: The folder given to `tune`.
        tracking_uri: The server; by default the last one to which the study was mirrored, or was to
            be mirrored when it didn't answer; if there is none, MLflow's own default.
        experiment: The experiment's name, with the same default.
        wait: Seconds for which to try.

    Returns:
        The address of the complete mirror; None if something is missing: a warning says what.

    Raises:
        ArgumentError: There is no such study, or it is a call of `tune_groups`.
        StudyLockedError: It is running: its own driver writes to MLflow.
        JournalCorruptError: Its journal is damaged.
        MissingExtraError: MLflow is not installed.
    """
    engine, header = on_record(name, folder)
    name, path = from_file_name(name), study_folder(name, folder)
    with FileJournal(path), last_mirror(path, tracking_uri, experiment, wait) as tracker:
        # The journal is locked, so that no driver opens the study meanwhile.
        for trial in engine.running:  # its driver has died
            reason = "the driver died while it ran"
            engine.apply(
                AttemptLost(trial.number, len(trial.attempts), reason, counts=False, at=time.time())
            )
        info = StudyInfo(
            name=name,
            folder=path,
            space=engine.space,
            metric=engine.metric,
            seed=header.created.seed if header.created is not None else 0,
            n_trials=0,
            parallelism=None,
            outside=frozenset(engine.outside),
            files=lambda: {"report.html": study_html(result_of(engine, name, path, header.reason))},
        )
        tracker.open(info, tuple(engine.trials))
        return tracker.finish(header.reason, tuple(engine.trials))


@contextlib.contextmanager
def last_mirror(
    folder: Path, tracking_uri: str | None, experiment: str | None, wait: float
) -> Iterator[MlflowTracker]:
    """Give a tracker of where a study, or a call over groups, was mirrored to last.

    Args:
        folder: The study's own folder.
        tracking_uri: Another server; None for the same.
        experiment: Another experiment; None for the same.
        wait: How long to try, in seconds.
    """
    place = last_place(folder)
    known: dict[str, str] = {}
    if place is not None and experiment is None and tracking_uri in (None, place.server):
        experiment = place.name or None
        known = {} if experiment else {EXPERIMENT_ID: place.experiment}
    server = tracking_uri or (place.server if place else None)
    with environment(known) if known else contextlib.nullcontext():
        yield MlflowTracker(server, experiment, wait=wait)
