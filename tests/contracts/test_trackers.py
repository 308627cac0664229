"""Every tracker keeps the contract."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from manyfit.testing.trackers import RecordingTracker, TrackerContract
from manyfit.trackers.base import Tracker
from manyfit.trackers.mlflow import MlflowTracker
from manyfit.trackers.terminal import Lines, ProgressTracker, Terminal


class TestRecordingTracker(TrackerContract):
    """The fake."""

    def make_tracker(self, folder: Path) -> Tracker:
        """Make it."""
        return RecordingTracker({"A": "b"})


class TestLines(TrackerContract):
    """Progress as plain lines."""

    def make_tracker(self, folder: Path) -> Tracker:
        """Make it."""
        return ProgressTracker(Lines(io.StringIO()))


class TestTerminal(TrackerContract):
    """Progress on a terminal."""

    def make_tracker(self, folder: Path) -> Tracker:
        """Make it."""
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        return ProgressTracker(Terminal(console))


class TestClosedStream(TrackerContract):
    """Progress for somebody who has gone away."""

    def make_tracker(self, folder: Path) -> Tracker:
        """Make it."""
        stream = io.StringIO()
        stream.close()
        return ProgressTracker(Lines(stream))


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # MLflow's own, about what it imports
class TestMlflow(TrackerContract):
    """MLflow on a database of this machine."""

    uri: str

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def database(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Use one database for all tests: making one takes seconds."""
        cls.uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"

    @pytest.fixture(autouse=True)
    def elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Work in the test's folder: a database's artifacts go to mlruns of the working one."""
        monkeypatch.chdir(tmp_path)

    def make_tracker(self, folder: Path) -> Tracker:
        """Make it."""
        return MlflowTracker(self.uri, experiment=folder.name)
