"""The protocol of an MLflow server or database: a few requests, and two kinds of errors."""

from collections.abc import Callable, Mapping
from typing import Protocol

from manyfit.trackers.mlflow_ledger import Key, Run
from manyfit.trackers.mlflow_rows import Batch, Status


class AwayError(Exception):
    """The server did not answer, or can't at the moment; the request may be repeated."""

    wait = 0.0  # seconds for which to send no request


class BusyError(AwayError):
    """The server is overloaded, and has said for how long to send no request."""

    def __init__(self, message: str, wait: float) -> None:
        super().__init__(message)
        self.wait = wait


class DeniedError(AwayError):
    """The server refuses the credentials; it may accept others later."""


class RefusedError(Exception):
    """The server refuses the request, and would refuse it again."""


class Experiment(Protocol):
    """The runs of an MLflow experiment: found, created and deleted; and its tags.

    Attributes:
        experiment_id: Where runs go; known once `begin` has returned.
        experiment_name: Its name.
    """

    experiment_id: str
    experiment_name: str

    def begin(
        self, parent: str | None, name: str, tags: Mapping[str, str], started_at: float
    ) -> Run:
        """Return the parent run, RUNNING: `parent` if it still exists, otherwise a new one."""

    def create(self, name: str, tags: Mapping[str, str], started_at: float) -> Run:
        """Create a run."""

    def children(self, parent: str) -> list[tuple[Key, Run]]:
        """Return the existing children of the parent run, by trial number or by group."""

    def delete(self, run: str) -> None:
        """Delete a run."""

    def tag_experiment(self, name: str, value: str) -> None:
        """Set a tag of the experiment."""


class Remote(Experiment, Protocol):
    """An MLflow server or database. Methods raise `AwayError` or `RefusedError`, and nothing else.

    Attributes:
        uri: Its tracking URI, absolute; may hold credentials.
        is_local: Whether it is on this machine's disk, so that waiting for it always succeeds.
        on_answer: Called whenever it has answered a request.
    """

    uri: str
    is_local: bool
    on_answer: Callable[[], None]

    def has_params(self, run: str) -> bool:
        """Return whether a run has params."""

    def write(self, run: str, batch: Batch) -> None:
        """Write a batch to a run."""

    def set_status(self, run: str, status: Status, ended_at: float | None = None) -> None:
        """Set a run's status; an end time belongs to every status but RUNNING."""

    def upload(self, run: Run, files: Mapping[str, str]) -> None:
        """Store texts as artifacts."""

    def close(self) -> None:
        """Release all resources."""
