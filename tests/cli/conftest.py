import re

import pytest

import manyfit
from manyfit.cli import main
from manyfit.events import (
    AttemptFinished,
    AttemptLost,
    AttemptStarted,
    Reported,
    TrialAsked,
)
from manyfit.journal.file import FileJournal


@pytest.fixture
def folder(tmp_path):
    """A folder with one study of which one trial failed."""

    def train(params):
        if manyfit.current_trial().number == 2:
            raise ValueError("no such [layer]")
        return {"loss": params["x"], "accuracy": 1 - params["x"]}

    manyfit.tune(
        train,
        {"x": manyfit.Float(0.0, 1.0), "kind": manyfit.Choice(["a", "b"])},
        metric="loss",
        n_trials=5,
        name="fashion",
        executor="inline",
        seed=0,
        folder=tmp_path,
        tracker=None,
        progress=None,
    )
    return tmp_path


@pytest.fixture
def shown(capsys):
    """What a command prints, blanks in a row as one."""

    def shown(*arguments):
        assert main([*arguments]) == 0
        return re.sub(r" +", " ", capsys.readouterr().out)

    return shown


class Record:
    """A study named `cluster` on disk, of which a test tells what happened."""

    def __init__(self, folder):
        self.folder = folder
        space = {"x": manyfit.Float(0.0, 1.0), "api_key": "s3cr3t-s3cr3t"}
        manyfit.Study(space, metric="loss", name="cluster", folder=folder, tracker=None).close()
        self.logs = folder / "cluster" / "logs"
        self.logs.mkdir()
        self._journal = FileJournal(folder / "cluster")
        self._trials = 0
        assert list(self._journal.read())

    def trial(self, *attempts):
        """Put a trial on record whose attempts were each on a worker, and ended somehow."""
        number = self._trials
        self._trials += 1
        self._journal.append(TrialAsked(number, {"x": number / 1000}, "sampler", 1e9))
        for attempt, (worker, end, *details) in enumerate(attempts, start=1):
            began = 1e9 + 60 * attempt
            self._journal.append(AttemptStarted(number, attempt, worker, began))
            self._journal.append(Reported(number, attempt, 3, {"loss": 0.25}, began + 1))
            if end is AttemptFinished:
                event = end(number, attempt, {"loss": 0.5}, 12.0, began + 12)
            elif end is AttemptLost:
                event = end(number, attempt, *details, True, began + 12)
            else:
                event = end(number, attempt, *details, "E", "tb", False, 12.0, began + 12)
            self._journal.append(event)
        return number

    def log(self, number, attempt, text):
        (self.logs / f"{number:05d}-{attempt}.log").write_text(text)

    def save(self):
        self._journal.close()


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path)
    yield record
    record.save()


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal wide enough that no table is folded."""
    monkeypatch.setenv("COLUMNS", "200")
