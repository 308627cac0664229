r"""Notes on what is already in MLflow: `mlflow.jsonl`, next to the journal.

::

    {"server": "http://...", "experiment": "1", "parent": "9f..."}
    {"trial": 3, "run": "a0...", "artifacts": "mlflow-artifacts:/..."}
    {"trial": 3, "until": 17}            metrics up to step 17 are written
    {"trial": 3, "done": true}           all of it is written
    {"group": "[\"north\"]", "run": "b1...", "artifacts": "mlflow-artifacts:/..."}
    {"group": "[\"north\"]", "written": "5f..."}          all of it is written, as digested here
    {"asked": {"n_trials": "20"}, "child_runs": false}      the params of a call over groups
    {"aimed": "http://...", "name": "fashion", "experiment": "0"}   before the server has answered

A line with a trial or a group also has the parent run's id, since a study may have several servers.
It only saves work: anything not noted is searched on the server, or written again, which changes
nothing. The file therefore needs no fsync, and a damaged line is skipped.
"""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeAlias

from manyfit.trackers.mlflow_uris import without_user

logger = logging.getLogger("manyfit.mlflow")

FILE = "mlflow.jsonl"

# The key of a child run: a trial's number, or the text of a group's key.
Key: TypeAlias = int | str


class Place(NamedTuple):
    """Where a study was mirrored to last, or was to be, if the server did not answer.

    Attributes:
        server: The tracking URI, without credentials.
        name: The experiment's name; empty if its id is to be used.
        experiment: Its id.
    """

    server: str
    name: str
    experiment: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run of MLflow, and the location of its artifacts."""

    id: str
    artifacts: str


@dataclass(slots=True)
class Page:
    """The state of the study on one server.

    Attributes:
        parent: The parent run's id.
        runs: The child runs, by trial number or by group.
        until: The last step written of trials that are not done.
        done: The trials that are completely written.
        written: The groups that are, each with a digest of what is written.
        asked: The params of the parent run, if it has any.
    """

    parent: str | None = None
    runs: dict[Key, Run] = field(default_factory=dict)
    until: dict[int, int] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    written: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)


class Ledger:
    """Reads and extends the file; an error of the disk only costs work at the next resume.

    Args:
        folder: The study's folder.
        server: The tracking URI, from which credentials are removed. A study that was mirrored to
            several servers has a page for each.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._path = folder / FILE
        self._server = without_user(server)
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self.asked: dict[str, str] = {}  # what was noted by `ask` last
        self.page = Page()
        self._read()

    def ask(self, params: dict[str, str], *, child_runs: bool) -> None:
        """Note the params of a call over groups, before anything is written."""
        self.asked = params
        self._write({"asked": params, "child_runs": child_runs})

    def aim(self, name: str, experiment: str) -> None:
        """Note where the study is to go, so that it goes there if the server is away now."""
        self._write({"aimed": self._server, "name": name, "experiment": experiment})

    def begin(self, experiment: str, parent: str) -> None:
        """Note the parent run; a different one begins a new page."""
        if parent != self.page.parent:
            self.page = Page(parent, asked=self.asked)
        self._write({"server": self._server, "experiment": experiment, "parent": parent})

    def created(self, key: Key, run: Run) -> None:
        """Note the new, empty run of a trial or a group."""
        what = "trial" if isinstance(key, int) else "group"
        self._add({what: key, "run": run.id, "artifacts": run.artifacts})

    def wrote(self, number: int, until: int) -> None:
        """Note the last step of a trial whose metrics are written."""
        self._add({"trial": number, "until": until})

    def done(self, number: int) -> None:
        """Note that a trial is completely written."""
        self._add({"trial": number, "done": True})

    def wrote_group(self, group: str, digest: str) -> None:
        """Note that a group is completely written, and its digest."""
        self._add({"group": group, "written": digest})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> None:
        """Find this server's page, which earlier versions may have noted with a user."""
        mine = False
        for line in lines(self._path):
            if "server" in line:
                mine = without_user(str(line["server"])) == self._server
                if mine and line.get("parent") != self.page.parent:
                    self.page = Page(line.get("parent"), asked=self.asked)
            elif isinstance(line.get("asked"), dict):
                self.asked = line["asked"]
            elif line["parent"] == self.page.parent if "parent" in line else mine:
                _turn(self.page, line)

    def _add(self, record: dict[str, Any]) -> None:
        _turn(self.page, record)
        self._write({**record, "parent": self.page.parent})

    def _write(self, record: dict[str, Any]) -> None:
        try:
            with self._lock:
                if self._file is None:
                    # A newline first, in case the last line is torn.
                    self._file = self._path.open("a", encoding="utf-8")
                    self._file.write("\n" if self._file.tell() else "")
                self._file.write(json.dumps(record) + "\n")
                self._file.flush()
        except (OSError, ValueError) as error:
            logger.debug("can't write %s: %s", self._path, error)


def last_place(folder: Path) -> Place | None:
    """Return where a study was, or was to be, mirrored to last, if anywhere."""
    place = None
    for line in lines(folder / FILE):
        match line:
            case {"server": str(server), "experiment": str(experiment)}:
                place = Place(server, "", experiment)
            case {"aimed": str(server), "name": str(name), "experiment": str(experiment)}:
                place = Place(server, name, experiment)
    return place


def had_child_runs(folder: Path) -> bool:
    """Return whether each group had a run of its own when the call was last mirrored."""
    found = [line["child_runs"] for line in lines(folder / FILE) if "child_runs" in line]
    return bool(found and found[-1])


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a ledger; none if there is no file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # torn when a driver was killed
        if isinstance(record, dict):
            yield record


def _turn(page: Page, line: dict[str, Any]) -> None:
    match line:
        case {"trial": int(number), "run": str(run), "artifacts": str(artifacts)}:
            page.runs[number] = Run(run, artifacts)
            page.until.pop(number, None)
        case {"trial": int(number), "until": int(until)}:
            page.until[number] = until
        case {"trial": int(number), "done": True}:
            page.done.add(number)
            page.until.pop(number, None)
        case {"group": str(group), "run": str(run), "artifacts": str(artifacts)}:
            page.runs[group] = Run(run, artifacts)
        case {"group": str(group), "written": str(digest)}:
            page.written[group] = digest
        case _:
            pass
