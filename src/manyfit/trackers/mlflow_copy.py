"""The copy of a study in MLflow, with a run for each trial, and how to update it."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from manyfit.trackers import mlflow_rows as rows
from manyfit.trackers.base import Outcome
from manyfit.trackers.mlflow_files import files_of
from manyfit.trackers.mlflow_ledger import Run
from manyfit.trackers.mlflow_remote import AwayError, RefusedError
from manyfit.trackers.mlflow_rows import Batch, Point
from manyfit.trackers.mlflow_runs import Runs
from manyfit.trackers.mlflow_view import TAG, link, view
from manyfit.trial import Trial
from manyfit.worker.adoption import KEY_TAG


class Copy(Runs):
    """The study's runs on a server; arguments as of `Runs`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_stored = False  # what is kept with the study
        self._written: set[int] = set()  # of those that are finished: all but status and artifacts
        self._shown: set[Point] = set()  # the progress of the study that the parent run has
        self._view = ""  # of its trials, as the experiment has it

    def key(self, number: int, attempt: int) -> str:
        """Return the key by which an attempt finds its trial's run, whose id may be unknown."""
        return f"{self._key}-{number}-{attempt}"

    def begin(self, history: Sequence[Trial]) -> None:
        """Find or create the parent run; find runs that a killed driver created and didn't note."""
        known = self.page.runs
        lacks = any(trial.number not in known for trial in history)
        tags = rows.study_tags(self._study)
        self._study_run = self._open(self.page.parent, tags, adopt=lacks)
        with contextlib.suppress(AwayError):  # the end of the study tries again
            self._arrange(history)

    def _arrange(self, trials: Sequence[Trial]) -> None:
        """Give the experiment a view of the study's trials; Databricks has a page of its own."""
        new = view(self._study, self._parent, trials)
        if new != self._view and not self.server.uri.startswith("databricks"):
            with contextlib.suppress(RefusedError):  # it may take runs, and no tags of its own
                self.remote.tag_experiment(f"{TAG}{self._parent}", new)
                self._view = new

    @property
    def link(self) -> str:
        """The link to the view, relative to the address of MLflow's page; empty without a view."""
        return link(self.server.experiment_id, self._parent) if self._view else ""

    def stand(self, trials: Sequence[Trial]) -> None:
        """Write the best value so far, the counts of trials and their seconds to the parent run."""
        for batch in rows.batches(news := self._news(trials)):
            self._write_batch(self._parent, batch, "the study")
        self._shown.update(news)

    def _news(self, trials: Sequence[Trial]) -> list[Point]:
        study = self._study
        points = [*rows.best_so_far(study, trials), *rows.standing(study, trials)]
        return [point for point in points if point not in self._shown]

    def start(self, trial: Trial, prepared_at: float | None = None) -> Run:
        """Set a trial's run to RUNNING, and create it if necessary.

        Args:
            trial: The trial.
            prepared_at: Its start, if no event arrives before its end.
        """
        if self._status.get(trial.number) != "RUNNING":
            # A lost attempt may have logged params; its run stays, KILLED.
            self._leave_behind(trial.number, "manyfit.trial", "lost")
        run = self._run_of(trial, prepared_at)
        if self._status.get(trial.number) != "RUNNING":
            self.remote.set_status(run.id, "RUNNING")
            self.remote.write(run.id, Batch(tags={**rows.next_tags(trial), **self._key_tag(trial)}))
            self._status[trial.number] = "RUNNING"
        return run

    def follow(self, trial: Trial) -> None:
        """Write new reports of a running trial."""
        self._write(self._run_of(trial), trial, {})

    def settle(self, trial: Trial) -> bool:
        """Write all of a trial that doesn't run: params, metrics, tags, status, output, traceback.

        Params are written last, because MLflow accepts no second value, and the objective may log
        its own values under their names while it runs.
        """
        number, status = trial.number, rows.status(trial)
        if not trial.attempts and number not in self.page.runs:
            return False  # it hasn't started
        run = self._run_of(trial)
        if number not in self._written:
            self._write(run, trial, rows.last_tags(trial))
            if trial.state.is_finished:
                self._written.add(number)
        if self._status.get(number) != status:
            self.remote.set_status(run.id, status, _end_of(trial))
            self._status[number] = status
        is_stored = self._upload(run, files_of(trial, self._study.folder))
        if trial.state.is_finished and is_stored:
            self._ledger.done(number)
            self._written.discard(number)
        return trial.state.is_finished

    def end(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """End the parent run, and runs left RUNNING by trials that never started."""
        self._adopt_doubtful()
        for trial in trials:
            if self._status.get(trial.number) == "RUNNING" and rows.status(trial) != "RUNNING":
                self.settle(trial)
        self._store_space()
        self._arrange(trials)
        tags = rows.summary(self._study, trials, reason, self.link)
        self._sum_up(rows.batches(self._news(trials), tags=tags))
        if outcome is not None and not self._is_stored:
            self._upload(self._study_run, outcome.files())
            self._is_stored = True
        self.remote.set_status(self._parent, rows.study_status(trials, reason), time.time())

    def _key_tag(self, trial: Trial) -> dict[str, str]:
        return {KEY_TAG: self.key(trial.number, rows.attempt_now(trial))}

    def _run_of(self, trial: Trial, prepared_at: float | None = None) -> Run:
        return self._known(trial.number) or self._create_for(trial, prepared_at)

    def _create_for(self, trial: Trial, prepared_at: float | None) -> Run:
        study, number = self._study, trial.number
        tags = {**rows.first_tags(study, trial, self._parent), **self._key_tag(trial)}
        started_at = trial.attempts[0].started_at if trial.attempts else prepared_at or time.time()
        return self._create(number, rows.run_name(study, number), tags, started_at)

    def _write(self, run: Run, trial: Trial, tags: Mapping[str, str]) -> None:
        """Write what is missing, with these tags.

        A step is never written twice, not even by a later attempt, which has the same seed and so
        repeats the first.
        """
        number = trial.number
        until = self.page.until.get(number)
        points = rows.reports(trial.measurements, until)
        points += rows.finals(trial, until or 0) if trial.attempts else []
        params = rows.params(self._study, trial) if trial.state.is_finished else {}
        apart = {key: params.pop(key) for key in self._clashing & params.keys()}
        for batch in (*rows.batches(points, params, tags), *rows.batches(params=apart)):
            self._write_batch(run.id, batch, f"trial {number}")
        if trial.measurements and not trial.state.is_finished:
            last = trial.measurements[-1].step
            if until is None or last > until:
                self._ledger.wrote(number, last)


def _end_of(trial: Trial) -> float:
    ended_at = trial.attempts[-1].ended_at if trial.attempts else None
    return time.time() if ended_at is None else ended_at
