"""Which trackers a study has."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from manyfit.errors import ArgumentError
from manyfit.testing.trackers import RecordingTracker
from manyfit.trackers.auto import is_installed, make_trackers
from manyfit.trackers.mlflow import MlflowTracker
from manyfit.trackers.terminal import ProgressTracker


def test_auto_is_progress_and_mlflow() -> None:
    """Progress comes first, so that it is on screen while MLflow is imported."""
    first, second = make_trackers("auto", "auto")
    assert isinstance(first, ProgressTracker)
    assert isinstance(second, MlflowTracker)


def test_a_tracker_of_ones_own() -> None:
    """A tracker that is passed in is used."""
    mine = RecordingTracker()
    assert make_trackers(mine, None) == (mine,)


def test_a_sequence_of_trackers() -> None:
    """Several are told in their order, MLflow among them."""
    mine, other = RecordingTracker(), RecordingTracker()
    first, second, third = make_trackers([mine, "auto", other], None)
    assert (first, third) == (mine, other)
    assert isinstance(second, MlflowTracker)
    assert make_trackers((), None) == ()


def test_none() -> None:
    """Nothing asked for, nothing made."""
    assert make_trackers(None, False) == ()


@pytest.mark.parametrize("word", ["mlflow", 3, object(), RecordingTracker, MlflowTracker])
def test_other_things_are_refused(word: Any) -> None:
    """The message lists the choices, and what was given."""
    for given in (word, [RecordingTracker(), word]):
        with pytest.raises(ArgumentError, match="tracker must be 'auto', a Tracker, a sequence of"):
            make_trackers(given, None)


def test_a_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that happens to bear a package's name doesn't count as that package."""
    (tmp_path / "pretender").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("pretender")
    assert not is_installed("no_such_package_at_all")
    assert is_installed("json")


def test_nothing_is_imported_that_is_not_used() -> None:
    """Without trackers neither rich nor MLflow is loaded; with MLflow's, only on its own thread."""
    code = (
        "import sys; from manyfit.trackers.auto import make_trackers; make_trackers(None, None);"
        "print('rich' in sys.modules); make_trackers('auto', None); print('mlflow' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.split() == [b"False", b"False"]
