"""Feeds groups to a worker process, so that no group can cost another its result."""

import secrets
import select
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manyfit._optional import load
from manyfit.events import (
    AttemptEvent,
    AttemptFailed,
    AttemptLost,
)
from manyfit.groups.job import GroupJob
from manyfit.groups.record.row import FAIL, GroupRow, from_json
from manyfit.groups.run.batch import (
    FACTS,
    MODEL,
    NO_TRIAL,
    ROWS,
    Now,
    Order,
    Portion,
    fact,
    facts_of,
    rows_in,
)
from manyfit.groups.said import with_output
from manyfit.trial import Params, log_name
from manyfit.worker.channel import ENDINGS
from manyfit.worker.context import timeout_reason
from manyfit.worker.slot import Slot
from manyfit.worker.work import Task

_LOOK = 0.1  # seconds between checks of a trial's time
# The number of times that a process may die in a group while none of its trials runs.
_MOST_DEATHS = 2


@dataclass(frozen=True, slots=True)
class GroupBatch:
    """Groups that are sent to a process together.

    Attributes:
        portions: The groups, and the positions of their rows.
        table: The rows, an Arrow table; None if they are in the job's shared frame.
        points: The exact points to try, as in `GroupJob.points`; None to tune.
    """

    portions: tuple[Portion, ...]
    table: Any = None
    points: Mapping[str, Sequence[Params]] | None = None


class BatchRunner:
    """A slot that tunes one batch of groups after another.

    A process that dies, hangs or needs too much memory costs only the running trial: its group
    continues in the next process with the trials it has.

    Args:
        slot: The slot, whose work is a `TuneBatch`.
        folder: The folder of the slot's site.
        job: What to do with every group.
    """

    def __init__(self, slot: Slot, folder: Path, job: GroupJob) -> None:
        self._slot = slot
        self._home = folder
        self._job = job
        self._number = -1
        self._attempt = 1
        self._batch: GroupBatch | None = None
        self._now: Now | None = None
        self._done = 0  # groups of the batch
        self._position = 0  # in the file of rows
        self._deaths = 0  # deaths in the current group, outside of its trials
        self._spent = 0.0  # seconds of processes that died in it

    @property
    def busy(self) -> bool:
        """Whether it has an unfinished batch."""
        return self._batch is not None

    def submit(self, batch: GroupBatch) -> None:
        """Begin a batch; returns before the process has started.

        Raises:
            ExecutorError: No process can be started.
        """
        self._number = secrets.randbits(48)  # other runners may share the folder
        self._batch, self._done, self._position = batch, 0, 0
        self._deaths, self._spent, self._attempt = 0, 0.0, 0
        folder = self._folder
        folder.mkdir(parents=True)
        if batch.table is not None:
            _write(batch.table, folder / ROWS)
        self._now = Now(folder)
        self._start()

    def poll(self) -> list[GroupRow]:
        """Return the rows of groups that have ended, in order, without blocking.

        Raises:
            ExecutorError: The process can't load the work, or keeps dying before it begins.
        """
        if self._batch is None:
            return []
        self._enforce()
        events = self._slot.poll()
        rows = self._take_rows()
        for event in events:
            if isinstance(event, ENDINGS):
                rows += self._take_end(event)
        return rows

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when `poll` has something to do, or None."""
        return self._slot.fileno()

    def patience(self) -> float:
        """Return the seconds after which to call `poll` even if nothing is readable."""
        limited = self._job.trial_timeout is not None or self._job.seconds is not None
        return min(self._slot.patience(), _LOOK if limited else 1.0)

    def leave(self) -> None:
        """Ask an idle process to exit by itself."""
        self._slot.leave()

    def close(self, within: float = 0.0) -> None:
        """End the process, and remove the files of the batch."""
        self._slot.close(within)
        self._forget()

    # ── a batch ───────────────────────────────────────────────────────────────────────────────

    @property
    def _folder(self) -> Path:
        return self._home / "scratch" / str(self._number)

    def _log(self, attempt: int) -> Path:
        return self._home / "logs" / log_name(self._number, attempt)

    def _start(self) -> None:
        batch = self._batch
        if batch is None:
            return
        self._attempt += 1
        order = Order(list(batch.portions), self._done, self._spent, batch.points)
        order.write(self._folder)
        if self._now is not None:
            self._now.write(self._done, NO_TRIAL, 0.0, 0.0)
        self._slot.submit(Task(self._number, self._attempt, {}, self._job.seed))

    def _take_rows(self) -> list[GroupRow]:
        rows = []
        for line, position in rows_in(self._folder, self._position):
            row = from_json(line)
            model = self._folder / f"{MODEL}{self._done}"
            if model.exists():
                row = replace(row, model=model.read_bytes())
                model.unlink()
            rows.append(row)
            self._position = position
            self._done += 1
            self._deaths, self._spent = 0, 0.0
        return rows

    def _take_end(self, event: AttemptEvent) -> list[GroupRow]:
        rows = self._take_rows()
        batch = self._batch
        if batch is None or self._done == len(batch.portions):
            self._forget()
            return rows
        rows += self._take_death(event, batch.portions[self._done])
        if self._done < len(batch.portions):
            self._start()
        else:
            self._forget()
        return rows

    def _take_death(self, event: AttemptEvent, portion: Portion) -> list[GroupRow]:
        """Fail the trial that was running; or, after several deaths, the group."""
        nothing = (0, NO_TRIAL, 0.0, 0.0, 0)
        place, number, began, group_began, printed = self._now.read() if self._now else nothing
        now = time.monotonic()
        if group_began and place == self._done:
            self._spent += max(now - group_began, 1e-9)
        if place == self._done and number != NO_TRIAL:
            verdict = _verdict(event, number, self._attempts(number), now - began)
            self._note(with_output(verdict, self._log(self._attempt), printed))
            return []
        self._deaths += 1
        if self._deaths < _MOST_DEATHS:
            return []
        self._done += 1
        self._deaths = 0
        failed = event if isinstance(event, AttemptFailed) else None
        spent, self._spent = self._spent, 0.0
        return [
            GroupRow(
                portion.group,
                FAIL,
                str(getattr(event, "reason", event)),
                rows=portion.stop - portion.start,
                seconds=spent,
                error=failed.error if failed else "",
                traceback=failed.traceback if failed else "",
            )
        ]

    def _attempts(self, number: int) -> int:
        """Return the number of the attempt that was running."""
        ended = [event for event in facts_of(self._folder, self._done) if event.number == number]
        return 1 + sum(isinstance(event, ENDINGS) for event in ended)

    def _note(self, event: AttemptEvent) -> None:
        with (self._folder / FACTS).open("a", encoding="utf-8") as facts:
            facts.write(fact(self._done, event))

    def _enforce(self) -> None:
        """Kill a trial that exceeds its own time limit or its group's."""
        job, now = self._job, self._now
        if now is None or (job.trial_timeout is None and job.seconds is None):
            return
        place, number, began, group_began, _ = now.read()
        if place != self._done or number == NO_TRIAL or not began:
            return
        moment = time.monotonic()
        if job.trial_timeout is not None and moment - began > job.trial_timeout:
            self._slot.kill(timeout_reason(job.trial_timeout))
        elif job.seconds is not None and moment - group_began + self._spent > job.seconds:
            self._slot.kill(f"its group's time was up: group_timeout={job.seconds:g}s")

    def _forget(self) -> None:
        if self._now is not None:
            self._now.close()
            self._now = None
        if self._batch is not None:
            self._batch = None
            shutil.rmtree(self._folder, ignore_errors=True)
            for attempt in range(1, self._attempt + 1):
                self._log(attempt).unlink(missing_ok=True)


def run_batch(runner: BatchRunner, batch: GroupBatch) -> Iterator[GroupRow]:
    """Run a batch on a runner to the end; yields rows as groups end."""
    runner.submit(batch)
    while runner.busy:
        yield from runner.poll()
        if runner.busy:
            wait([runner], runner.patience())


def wait(runners: list[BatchRunner], seconds: float) -> None:
    """Wait until one of the runners has events or must be polled."""
    waiting = select.poll()
    for runner in runners:
        fd = runner.fileno()
        if fd is not None:
            waiting.register(fd, select.POLLIN)
        seconds = min(seconds, runner.patience())
    waiting.poll(seconds * 1000)


def _verdict(event: AttemptEvent, number: int, attempt: int, seconds: float) -> AttemptEvent:
    """Return the ending of a trial whose process ended in this way."""
    at = time.time()
    reason = str(getattr(event, "reason", event))
    if isinstance(event, AttemptLost) and event.counts:
        return AttemptLost(number, attempt, reason, True, at)
    error = event.error if isinstance(event, AttemptFailed) else ""
    return AttemptFailed(number, attempt, reason, error, "", False, seconds, at)


def _write(table: Any, path: Path) -> None:
    arrow = load("pyarrow")
    with arrow.ipc.new_file(str(path), table.schema) as file:
        file.write_table(table)
