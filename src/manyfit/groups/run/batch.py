"""Tunes a batch of groups, one after another, in a worker process: that process's side.

A batch is a folder that both sides can access. The runner writes the order; the process writes rows
as groups end, and its current trial. The runner can thus kill a trial that hangs, and continue in a
new process where the old one died::

    order.json     the groups, and which of them is next     runner ──► process
    rows.arrow     their rows, unless those are shared       runner ──► process
    facts.jsonl    events of the current group               runner ◄─► process
    now            the current trial, and its start          runner ◄── process
    rows.jsonl     one line per completed group              runner ◄── process
    model-N        its model                                 runner ◄── process
"""

import contextlib
import json
import mmap
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from manyfit._redact import redact
from manyfit.data.formats import FORMATS
from manyfit.data.shared import Shared
from manyfit.event_lines import decode, encode
from manyfit.events import AttemptEvent
from manyfit.groups.job import GroupJob
from manyfit.groups.record.models import store
from manyfit.groups.record.row import NO_MODEL, GroupRow
from manyfit.groups.said import size_of, with_output
from manyfit.groups.search.study import tune_group
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.trial import Params, log_name
from manyfit.worker.channel import ENDINGS
from manyfit.worker.context import current_trial, report
from manyfit.worker.work import Limits, Work

ORDER, ROWS, NOW, FACTS, DONE, MODEL = (
    "order.json",
    "rows.arrow",
    "now",
    "facts.jsonl",
    "rows.jsonl",
    "model-",
)
# Seconds for which completed groups are collected before the runner is told, and ended trials
# before they are noted: a process that dies costs that much more.
_GATHER = 0.1
NO_TRIAL = -2  # no trial is running
SHARED = "groups"  # the name under which a pandas frame is shared


@dataclass(frozen=True, slots=True)
class Portion:
    """The rows `[start, stop)` of one group in the batch's table, and the text of its cluster."""

    group: str
    start: int
    stop: int
    cluster: str = "[]"


@dataclass(slots=True)
class Order:
    """The order for a process.

    Attributes:
        portions: The groups.
        begin: The index of the first group that is not done.
        spent: Seconds that processes that died have spent on that group.
        points: The exact points to try, as in `GroupJob.points`; None to tune.
    """

    portions: list[Portion]
    begin: int = 0
    spent: float = 0.0
    points: Mapping[str, Sequence[Params]] | None = None

    def write(self, folder: Path) -> None:
        """Write the order into the batch's folder."""
        (folder / ORDER).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Order":
        """Return the order in a batch's folder."""
        record = json.loads((folder / ORDER).read_text(encoding="utf-8"))
        record["portions"] = [Portion(**portion) for portion in record["portions"]]
        return cls(**record)


class Now:
    """The current trial of a process: 40 bytes of a file that both sides map.

    The fields are the group's index in the batch, the trial's number, the start of the trial and of
    the group (monotonic seconds, the same clock for all processes of a machine; 0 for none), and
    the length of the log at the start of the trial.
    """

    _fields = struct.Struct("<qqddq")

    def __init__(self, folder: Path) -> None:
        path = folder / NOW
        if not path.exists():
            path.write_bytes(bytes(self._fields.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), self._fields.size)

    def write(
        self, place: int, trial: int, began: float, group_began: float, printed: int = 0
    ) -> None:
        """Write what begins; nothing has begun while `began` is 0."""
        self._fields.pack_into(self._memory, 0, place, trial, began, group_began, printed)

    def read(self) -> tuple[int, int, float, float, int]:
        """Return the fields last written."""
        found: tuple[int, int, float, float, int] = self._fields.unpack_from(self._memory)
        return found

    def close(self) -> None:
        """Unmap the file."""
        self._memory.close()


class TuneBatch:
    """The objective of a worker process, which tunes one batch of groups per trial.

    Args:
        job: What to do with every group.
        shared: The rows of all groups, by the name `SHARED`; None if each batch has its own.
    """

    def __init__(self, job: GroupJob, shared: Shared | None) -> None:
        self._job = job
        self._shared = shared

    def __call__(self, _params: dict[str, Any]) -> float:
        """Tune the remaining groups; returns their number."""
        trial = current_trial()
        if trial is None:
            raise RuntimeError("a batch is tuned by a worker process")
        folder = trial.scratch
        order = Order.read(folder)
        job = self._job if order.points is None else self._job.at(order.points)
        rows = self._rows(folder)
        told = time.monotonic()
        log = folder.parents[1] / "logs" / log_name(trial.number, trial.attempt)
        with (
            contextlib.closing(_Notes(folder, log)) as notes,
            (folder / DONE).open("a", encoding="utf-8") as done,
        ):
            for place in range(order.begin, len(order.portions)):
                portion = order.portions[place]
                notes.start(place, order.spent if place == order.begin else 0.0)
                frame = rows(portion.start, portion.stop)
                row = tune_group(job, portion.group, frame, notes, portion.cluster)
                done.write(self._settled(row, folder / f"{MODEL}{place}").to_json() + "\n")
                done.flush()
                notes.end()
                if time.monotonic() - told > _GATHER:
                    told = time.monotonic()
                    report(place, done=place + 1)  # wakes the runner
        return float(len(order.portions) - order.begin)

    def work(self, folder: Path, limits: Limits) -> Work:
        """Return the work of a worker process that runs batches as its trials."""
        return Work(self, Space({}), Metric("groups"), "groups", folder, limits)

    def _settled(self, row: GroupRow, path: Path) -> GroupRow:
        """Store the row's model, so that the rest can be a line of text."""
        if row.model is None:
            return row
        folder = self._job.folder_of_models()
        if folder is None:
            path.write_bytes(row.model)
            return replace(row, model=None)
        try:
            return replace(row, model=None, model_path=store(folder, row.group, row.model))
        except OSError as error:
            return replace(row, model=None).because(redact(f"{NO_MODEL} stored: {error}"))

    def _rows(self, folder: Path) -> Callable[[int, int], Any]:
        """Return a function that returns a range of rows as a frame of its own."""
        if self._shared is not None:
            frame = self._shared[SHARED]
            return lambda start, stop: frame.iloc[start:stop].reset_index(drop=True)
        table = FORMATS["table"].open(folder / ROWS)
        # All at once where they are small: a conversion costs more than a small group's rows.
        frame = table.to_pandas(date_as_object=True)
        return lambda start, stop: frame.iloc[start:stop].reset_index(drop=True)


class _Notes:
    """Notes on the current group, in files that outlive this process.

    Trials of milliseconds are noted many at once, and those of a group that is done by then never:
    they are run again if the process dies before that.
    """

    def __init__(self, folder: Path, log: Path) -> None:
        self.known: Sequence[AttemptEvent] = ()
        self.spent = 0.0
        self._folder = folder
        self._log = log
        self._printed = 0  # bytes of the log at the start of the trial
        self._facts = (folder / FACTS).open("a", encoding="utf-8")
        self._now = Now(folder)
        self._place = 0
        self._group_began = 0.0
        self._unwritten: list[AttemptEvent] = []
        self._written_at = 0.0
        self._has_written = False

    def start(self, place: int, spent: float) -> None:
        """Start a group."""
        self._place, self._group_began, self.spent = place, time.monotonic(), spent
        self.known = facts_of(self._folder, place) if spent else ()
        self._written_at = self._group_began
        self._now.write(place, NO_TRIAL, 0.0, self._group_began)

    def begin(self, number: int) -> None:
        """Note that a trial begins."""
        self._printed = size_of(self._log)
        self._now.write(self._place, number, time.monotonic(), self._group_began, self._printed)

    def told(self, ending: AttemptEvent) -> AttemptEvent:
        """Return the trial's ending, with its output if it failed."""
        return with_output(ending, self._log, self._printed)

    def note(self, event: AttemptEvent) -> None:
        """Note a report or an end; reports are written with the end of their attempt."""
        self._unwritten.append(event)
        if isinstance(event, ENDINGS):
            self._now.write(self._place, NO_TRIAL, 0.0, self._group_began)
            if time.monotonic() - self._written_at > _GATHER:
                self._write()

    def _write(self) -> None:
        self._facts.write("".join(fact(self._place, event) for event in self._unwritten))
        self._facts.flush()
        self._unwritten.clear()
        self._written_at, self._has_written = time.monotonic(), True

    def end(self) -> None:
        """Forget the group, which is done."""
        self._unwritten.clear()
        if self._has_written or self.known:
            self._facts.truncate(0)
        self._has_written = False
        self._now.write(self._place + 1, NO_TRIAL, 0.0, 0.0)

    def close(self) -> None:
        """Close the files."""
        self._facts.close()
        self._now.close()


def fact(place: int, event: AttemptEvent) -> str:
    """Return a line of `facts.jsonl`."""
    return f"{place} {encode(event)}\n"


def facts_of(folder: Path, place: int) -> list[AttemptEvent]:
    """Return the events noted for a group, from complete lines."""
    path = folder / FACTS
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        number, _, text = line.partition(" ")
        with contextlib.suppress(ValueError):
            if number == str(place):
                found.append(cast("AttemptEvent", decode(text)))
    return found


def rows_in(folder: Path, position: int) -> Iterator[tuple[str, int]]:
    """Yield complete lines of `rows.jsonl` from a position on, each with the position after it."""
    path = folder / DONE
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n"):
                return
            position += len(line)
            yield line.decode(), position
