"""The seam to an MLflow server or database: a few requests, and two ways to fail."""

from collections.abc import Callable, Mapping
from typing import Protocol

from manyfit.trackers.mlflow_ledger import Key, Run
from manyfit.trackers.mlflow_rows import Batch, Status


class AwayError(Exception):
    """The server did not answer, or can't at the moment: worth trying again."""

    wait = 0.0  # seconds for which it wants to be left alone


class BusyError(AwayError):
    """The server has said that it has too much to do, and for how long to leave it alone."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class DeniedError(AwayError):
    """The server refuses the credentials it was given; it may take others later."""


class RefusedError(Exception):
    """The server said no, and will say so again."""


class Experiment(Protocol):
    """The runs of an MLflow experiment: found, created and deleted.

    Attributes:
        experiment_id: Where runs go; known once `begin` has returned.
        experiment_name: Its name.
    """

    experiment_id: str
    experiment_name: str

    def begin(
        self, parent: str | None, name: str, tags: Mapping[str, str], started_at: float
    ) -> Run:
        """Return the parent run, RUNNING: `parent` where that still exists, else a new one."""

    def create(self, name: str, tags: Mapping[str, str], started_at: float) -> Run:
        """Create a run."""

    def children(self, parent: str) -> list[tuple[Key, Run]]:
        """Return the runs below the parent that exist, by trial number or by group."""

    def delete(self, run: str) -> None:
        """Delete a run."""


class Remote(Experiment, Protocol):
    """An MLflow server or database. Methods raise `AwayError` or `RefusedError`, and nothing else.

    Attributes:
        uri: Its tracking URI, absolute; may hold credentials.
        is_local: Whether it is on this machine's disk, so that waiting for it always pays.
        on_answer: Called whenever it has answered a request.
    """

    uri: str
    is_local: bool
    on_answer: Callable[[], None]

    def has_params(self, run: str) -> bool:
        """Whether anybody has logged params to a run."""

    def write(self, run: str, batch: Batch) -> None:
        """Write a batch to a run."""

    def set_status(self, run: str, status: Status, ended_at: float | None = None) -> None:
        """Set a run's status; an end time belongs to every status but RUNNING."""

    def upload(self, run: Run, files: Mapping[str, str]) -> None:
        """Store texts as artifacts."""

    def close(self) -> None:
        """Let go of what it holds."""
