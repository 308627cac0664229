"""Slots of a cluster that tune groups of a pandas DataFrame: each batch is a task.

::

    RemoteRunner ──a batch──► Cluster ──► task: a worker process, one group after another
         └──────── rows ◄──── hub ◄──TLS────┘
"""

import contextlib
import logging
import queue
import secrets
import time
from collections.abc import Mapping
from dataclasses import astuple, replace
from itertools import islice
from pathlib import Path
from typing import Any

from manyfit.data.shared import Shared, share
from manyfit.errors import ExecutorError
from manyfit.executors.remote import RemoteExecutor
from manyfit.groups.job import GroupJob
from manyfit.groups.record.row import FAIL, GroupRow, from_json
from manyfit.groups.run.batch import SHARED, Portion, TuneBatch
from manyfit.groups.run.batch_runner import GroupBatch
from manyfit.remote.cluster import TaskEnded
from manyfit.remote.hub import News
from manyfit.remote.messages import NonsenseError, facts_in
from manyfit.remote.supervisor import UnreachableDriverError, check_said
from manyfit.remote.watch import ClusterEnded, Watch, cluster_error
from manyfit.ship.preflight import check

logger = logging.getLogger("manyfit")

_MOST_TRIES = 3  # of a batch, without one that begins
# The number of times that a worker may die in a task with a single group.
_MOST_DEATHS = 2


class RemoteRunners:
    """The slots of an executor, as many as were ever asked for.

    Args:
        frame: All rows, sorted by group.
        executor: Says on which cluster, and what travels.
        study: The name under which the call is resumed.
    """

    def __init__(self, frame: Any, executor: RemoteExecutor[Any], study: str) -> None:
        self.is_held = False
        self.frame = frame
        self.slots = executor.parallelism
        self._executor = executor
        self._study = study
        self._shared: Shared | None = None
        self._job: GroupJob | None = None
        self._tasks: _Tasks | None = None

    def runners(self, job: GroupJob, count: int) -> "list[RemoteRunner]":
        """Return `count` slots for a job: those of the last run, if its job was the same.

        Raises:
            ObjectiveError: The objective can't be sent to workers; names what is to blame.
            ExecutorError: The cluster has ended, or this process can't listen for its tasks.
        """
        if self._tasks is None or job != self._job:
            self.close()
            if self._shared is None:
                self._shared = share(**{SHARED: self.frame})
            self._job = job
            self._tasks = _Tasks(self._executor, job, self._shared, self._study)
        return self._tasks.runners(count)

    def wait(self, seconds: float) -> None:
        """Wait until rows have come, or a slot is free.

        Raises:
            ExecutorError: The cluster has ended, or can't run the tasks.
        """
        if self._tasks is not None:
            self._tasks.take(seconds)

    def close(self) -> None:
        """End all tasks, and take back what was held out to them."""
        if self._tasks is not None:
            tasks, self._tasks = self._tasks, None
            tasks.close()


class RemoteRunner:
    """A slot of the cluster that tunes one batch of groups after another.

    If a worker dies, what is left of the batch goes on with one group, then with two, four, and so
    on, each time as a task: a group that ends its worker each time is thus found, and fails.
    """

    def __init__(self, tasks: "_Tasks") -> None:
        self._tasks = tasks
        self._left: dict[str, Portion] = {}  # groups of the batch that have not ended
        self._points: Any = None
        self._rows: list[GroupRow] = []
        self._tries = 0
        self._most: int | None = None  # groups in a task; None for all
        self._order: list[Portion] = []  # of the task that is connected
        self._began = 0.0
        self._deaths: list[float] = []  # the seconds until each death in the first group alone
        self._ended: TaskEnded | None = None
        self._connection: int | None = None
        self._has_joined = False
        self._is_working = False

    @property
    def busy(self) -> bool:
        """Whether it has a batch that is not done, or rows that nobody has taken."""
        return self._is_working or bool(self._rows)

    def submit(self, batch: GroupBatch) -> None:
        """Begin a batch; returns before its task has a slot."""
        self._left = {portion.group: portion for portion in batch.portions}
        self._points, self._most, self._is_working = batch.points, None, True
        self._tries, self._deaths = 0, []
        self._start()

    def poll(self) -> list[GroupRow]:
        """Return the rows of groups that ended since."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self) -> None:
        self._ended, self._has_joined = None, False
        self._tasks.start(self)

    def join(self, connection: int) -> dict[str, Any]:
        """Take note of the task's connection; returns its order: groups that are left."""
        if self._connection is not None:  # the cluster has seen the death before this process
            self._take_death()
        self._connection, self._has_joined = connection, True
        self._order = list(islice(self._left.values(), self._most))
        self._began = time.monotonic()
        return {"portions": [astuple(each) for each in self._order], "points": self._points}

    def take_row(self, row: GroupRow) -> None:
        """Take in the row of a group that has ended."""
        if self._left.pop(row.group, None) is not None:
            self._rows.append(row)
            self._tries, self._deaths = 0, []

    def take_end(self, ended: TaskEnded) -> None:
        """Take in that the task has ended; rows may still be on their way.

        Raises:
            ExecutorError: The cluster can't run tasks, or they keep failing before they begin.
        """
        self._ended = ended
        match ended.said:
            case {"unreachable": why}:
                raise UnreachableDriverError(why)
            case {"failed": why}:
                raise ExecutorError(f"a worker can't tune groups. {why}")
        check_said(ended.said)
        self._settle()

    def leave(self, connection: int) -> None:
        """Take note that the task's connection is gone, and all that it sent was taken in.

        Raises:
            ExecutorError: Tasks keep failing before they begin.
        """
        if connection == self._connection:
            self._connection = None
            if any(portion.group in self._left for portion in self._order):
                self._take_death()
            elif self._most is not None:
                self._most *= 2
            self._settle()

    def _take_death(self) -> None:
        """Go on with a single group; if there was only one, and not for the first time, fail it.

        Of several groups, any may be the cause: those that have ended since the last row was sent,
        or the next one.
        """
        self._most = 1
        if len(self._order) > 1:
            return
        self._deaths.append(time.monotonic() - self._began)
        if len(self._deaths) < _MOST_DEATHS:
            return
        portion = self._left[self._order[0].group]
        reason = (
            f"its worker died {len(self._deaths)} times with nothing but this group: what it runs "
            "ends the worker, or needs more memory than that has"
        )
        rows, seconds = portion.stop - portion.start, sum(self._deaths)
        self.take_row(GroupRow(portion.group, FAIL, reason, rows=rows, seconds=seconds))

    def _settle(self) -> None:
        """Begin a task with what is left, or be free for the next batch."""
        if self._ended is None or self._connection is not None:
            return
        if not self._left:
            self._is_working = False
            return
        self._tries += not self._has_joined
        if self._tries >= _MOST_TRIES:
            why = self._ended.error or (self._ended.said or {}).get("left", "")
            raise ExecutorError(
                f"the cluster failed while it tuned {len(self._left)} groups; what is on record "
                f"stays. {why}"
            )
        self._start()


class _Tasks:
    """Starts the tasks of a job, and hands what they send to their runners."""

    def __init__(
        self, executor: RemoteExecutor[Any], job: GroupJob, shared: Shared, study: str
    ) -> None:
        work = TuneBatch(job, shared).work(Path(), job.limits(executor.cpus))
        self._study = study
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._runners: list[RemoteRunner] = []
        self._by_key: dict[str, RemoteRunner] = {}
        self._connections: dict[int, RemoteRunner] = {}
        with contextlib.ExitStack() as undo:
            self._cluster = executor.cluster(work)
            self._equipment = executor.equip(work)
            undo.callback(self._equipment.broadcasts.close)
            self._hub, settings = executor.listen(self._cluster, self._equipment, self._inbox)
            undo.pop_all()
        self._tell_at: float | None = time.monotonic() + self._hub.timings.patience
        self._watch = Watch(self._cluster, self._inbox.put, self._hub.timings)
        self._settings = {
            **settings,
            "token": self._equipment.setup.token,
            "job": job.settings(),
        }

    def runners(self, count: int) -> list[RemoteRunner]:
        while len(self._runners) < count:
            self._runners.append(RemoteRunner(self))
        return self._runners[:count]

    def start(self, runner: RemoteRunner) -> None:
        key = secrets.token_hex(8)
        self._by_key[key] = runner
        settings = {**self._settings, "key": key}
        entry = "manyfit.groups.run.remote_task:tune"
        try:
            self._cluster.start(entry, settings, lambda ended: self._inbox.put((key, ended)))
        except Exception as error:  # noqa: BLE001 - a cluster that is gone raises what it likes
            self._inbox.put((key, TaskEnded(None, f"{type(error).__name__}: {error}")))

    def take(self, seconds: float) -> None:
        """Take in all messages, waiting for a first one."""
        with contextlib.suppress(queue.Empty):
            message = self._inbox.get(timeout=seconds)
            while True:
                self._take_one(message)
                message = self._inbox.get_nowait()
        if not self._connections:  # no task tells that the cluster is there
            self._watch.look()
        if self._tell_at is not None and time.monotonic() > self._tell_at:
            self._tell_at = None
            logger.warning(
                "no group is being tuned yet: the cluster has no free slot, or is still starting "
                "machines"
            )

    def _take_one(self, message: Any) -> None:
        match message:
            case News(connection, None):
                if connection in self._connections:
                    self._connections.pop(connection).leave(connection)
            case News(connection):
                self._hub.took(message)
                try:
                    self._hear(message)
                except (NonsenseError, ValueError, TypeError):  # a worker of another version
                    self._hub.hang_up(connection)
            case ClusterEnded(reason):
                if not self._connections:
                    raise cluster_error(reason, self._study)
            case key, ended:
                if ended.said is None and (reason := self._cluster.ended()) is not None:
                    raise cluster_error(reason, self._study)
                self._by_key.pop(key).take_end(ended)

    def _hear(self, news: News) -> None:
        connection, message = news.connection, news.frame.message if news.frame else {}
        runner = self._connections.get(connection)
        match message:
            case {"hello": {"name": where}, "batch": key, **rest} if key in self._by_key:
                self._greet(connection, self._by_key[key], str(where), rest)
            case {"row": str(line)} if runner is not None and news.frame is not None:
                row = from_json(line)
                runner.take_row(replace(row, model=news.frame.blob or None))
            case {"beat": True} if runner is not None:
                pass
            case _:
                self._hub.hang_up(connection)

    def _greet(
        self, connection: int, runner: RemoteRunner, where: str, said: Mapping[str, Any]
    ) -> None:
        """Give a task its order, unless its machine lacks what the objective needs."""
        findings = check(self._equipment.listing, facts_in(said.get("facts")), where)
        if findings.errors:
            raise ExecutorError("\n".join(findings.errors))
        self._connections[connection] = runner
        self._tell_at = None
        order, blob = runner.join(connection), b""
        if said.get("has_setup") is not True:
            order["setup"], blob = self._equipment.setup.packed()
        self._hub.send(connection, order, blob)

    def close(self) -> None:
        """End the tasks: those that run notice that nobody listens, the others are cancelled."""
        self._cluster.cancel()
        self._hub.close()
        self._equipment.broadcasts.close()
