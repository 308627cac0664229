"""Finish a study's mirror in MLflow: what that has not taken while the study ran."""

import contextlib
import time
from pathlib import Path

from manyfit._names import from_file_name
from manyfit.archive import on_record, study_folder
from manyfit.events import AttemptLost
from manyfit.journal.file import FileJournal
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
    """Write to MLflow what it lacks of a study; nothing is run. Done twice, it changes nothing.

    Args:
        name: The study's name.
        folder: The folder given to `tune`.
        tracking_uri: The server; by default the one that the study was mirrored to last, else
            MLflow's own choice.
        experiment: The experiment's name, likewise.
        wait: For how long to try, in seconds.

    Returns:
        Where all of it is; None where something is left to write, and a warning says what.

    Raises:
        ArgumentError: There is no such study, or it is a record of groups: the same call of
            `tune_groups` writes that.
        StudyLockedError: It is running: its own driver writes to MLflow.
        JournalCorruptError: Its journal is damaged.
        MissingExtraError: MLflow is not installed.
    """
    engine, header = on_record(name, folder)
    name, path = from_file_name(name), study_folder(name, folder)
    place = last_place(path)
    tracker = MlflowTracker(tracking_uri or (place and place[0]), experiment, wait=wait)
    with FileJournal(path):  # so that nobody drives the study meanwhile
        for trial in engine.running:  # its driver has died: nobody holds the study
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
            parallelism=1,
            outside=frozenset(engine.outside),
        )
        is_same = place is not None and experiment is None and tracking_uri in (None, place[0])
        known = {EXPERIMENT_ID: place[1]} if place is not None and is_same else {}
        with environment(known) if known else contextlib.nullcontext():
            tracker.open(info, tuple(engine.trials))
        return tracker.finish(header.reason, tuple(engine.trials))
