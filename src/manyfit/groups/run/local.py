"""Tunes the groups of a pandas DataFrame, in worker processes here or on a cluster."""

import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from manyfit._names import from_file_name
from manyfit._optional import load, require
from manyfit.data.shared import Shared, share
from manyfit.digest import digest
from manyfit.errors import ArgumentError
from manyfit.executors.remote import RemoteExecutor
from manyfit.groups.job import GroupJob
from manyfit.groups.record.keys import texts_of
from manyfit.groups.record.output import Output
from manyfit.groups.record.resume import digests_of
from manyfit.groups.record.row import GroupRow, Schema, Table, row_schema, to_table
from manyfit.groups.run.base import Points, Runner, check_columns
from manyfit.groups.run.batch import SHARED, Portion, TuneBatch
from manyfit.groups.run.batch_runner import BatchRunner, GroupBatch, wait
from manyfit.groups.run.plan import FIXED
from manyfit.groups.run.remote import RemoteRunners
from manyfit.metric import Metric
from manyfit.worker.limits import usable_cpus
from manyfit.worker.payload import Payload, pack
from manyfit.worker.slot import Slot
from manyfit.worker.work import Site

# A batch is at most 1 / 4 of the rest, divided by the number of processes, so that these end at
# about the same time.
_PARTS = 4
_MOST_GROUPS = 64  # in a batch, so that a process that dies early is noticed
_GRACE = 2.0
# The types of keys, by the names of pyarrow's functions `is_...`.
_KEYS = (
    *("boolean", "integer", "floating", "decimal", "string"),
    *("binary", "large_binary", "date", "time", "duration"),
)


class LocalPopulation:
    """The groups of a pandas DataFrame.

    The frame is sorted by group once, and mapped into every process.

    Args:
        frame: The rows.
        by: The key columns.
        shared_by: Further columns for `keys`.
        parallelism: The number of processes on this machine.
        folder: The folder for logs and exchanged files.
        executor: The cluster, and what is sent there; None for this machine.

    Raises:
        ArgumentError: A column is missing, or can't be a key.
        ExecutorError: The cluster has ended.
    """

    def __init__(
        self,
        frame: Any,
        by: Sequence[str],
        shared_by: Sequence[str] = (),
        *,
        parallelism: int | None = None,
        folder: Path,
        executor: RemoteExecutor[Any] | None = None,
    ) -> None:
        check_columns(list(frame.columns), (*by, *shared_by))
        self._by = tuple(by)
        self._shared_by = tuple(name for name in shared_by if name not in self._by)
        codes = _codes(frame, self._by)
        order = np.argsort(codes, kind="stable")
        edges = np.flatnonzero(np.diff(codes[order], prepend=-1, append=-1))
        starts = edges[:-1] if len(codes) else np.empty(0, dtype=np.intp)
        rows = frame.iloc[order].reset_index(drop=True)
        self._runners: _Runners | RemoteRunners = (
            _Runners(rows, folder, parallelism or usable_cpus())
            if executor is None
            else RemoteRunners(rows, executor, from_file_name(folder.name))
        )
        keys = rows[[*self._by, *self._shared_by]].iloc[starts]
        self._start(_key_table(keys), starts, np.diff(edges))

    def _start(self, keys: Table, starts: Any, sizes: Any) -> None:
        """Set the groups: their keys, and the starts and numbers of their rows."""
        texts = texts_of(keys, self._by)
        order = sorted(range(len(texts)), key=texts.__getitem__)
        self._texts = [texts[place] for place in order]
        self._places = {text: place for place, text in enumerate(self._texts)}
        self._starts = np.asarray(starts)[order].tolist()
        self._sizes = np.asarray(sizes)[order].tolist()
        self._keys = keys.take(order) if order else keys

    @property
    def keys_schema(self) -> Schema:
        """The names and types of the key columns."""
        return self._keys.select(list(self._by)).schema

    @property
    def slots(self) -> int:
        """The number of processes."""
        return self._runners.slots

    @property
    def remote(self) -> bool:
        return isinstance(self._runners, RemoteRunners)

    def count(self) -> int:
        return len(self._texts)

    def keys(self) -> Table:
        return self._keys

    def sizes(self, keys: Table) -> Mapping[str, int]:
        found = ((text, self._places.get(text)) for text in self._listed(keys))
        return {text: self._sizes[place] for text, place in found if place is not None}

    def digests(self) -> Table:
        hashes = _hashes(self._runners.frame)
        columns = [f"{name}: {kind}" for name, kind in self._runners.frame.dtypes.items()]
        found = []
        for start, size in zip(self._starts, self._sizes, strict=True):
            odd = np.arange(size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)  # order counts
            found.append(digest(*columns, str(np.sum(hashes[start : start + size] * odd))))
        return digests_of(self._texts, found)

    def part(self, keys: Table) -> "LocalPopulation":
        wanted = self._listed(keys)
        return self._of([text in wanted for text in self._texts])

    def without(self, keys: Table) -> "LocalPopulation":
        unwanted = self._listed(keys)
        return self._of([text not in unwanted for text in self._texts])

    def _listed(self, keys: Table) -> set[str]:
        return set(texts_of(keys, self._by))

    def _of(self, chosen: Sequence[bool]) -> "LocalPopulation":
        """Return a population of chosen groups, which shares the rows of this one."""
        places = np.flatnonzero(chosen)
        other = object.__new__(LocalPopulation)
        other.__dict__.update(self.__dict__)
        other._start(
            self._keys.take(places), np.array(self._starts)[places], np.array(self._sizes)[places]
        )
        return other

    def written(self, output: Output) -> Table:
        schema = row_schema(self.keys_schema)
        output.open(schema)
        return output.rows(schema)

    def hold(self) -> None:
        """Keep processes between runs, until `close`."""
        self._runners.is_held = True

    def close(self) -> None:
        """End the processes."""
        self._runners.close()

    def run(self, job: GroupJob, points: Points | None = None) -> Iterator[Table]:
        if not self._texts:
            return
        try:
            runners = self._runners.runners(job, min(self.slots, len(self._texts)))
            rows = self._drive(runners, job, points)
            yield from (
                rows if job.output is None or points is not None else job.output.through(rows)
            )
        except BaseException:
            self._runners.close()  # they may be in the middle of a batch
            raise
        if not self._runners.is_held:
            self._runners.close()

    def _drive(
        self, runners: Sequence[Runner], job: GroupJob, points: Points | None
    ) -> Iterator[Table]:
        clusters = texts_of(self._keys, job.shared_by)
        batches = self._batches(len(runners), clusters, points)
        while True:
            for runner in runners:
                if not runner.busy and (batch := next(batches, None)) is not None:
                    runner.submit(batch)
            working = [runner for runner in runners if runner.busy]
            if not working:
                return
            rows = [row for runner in working for row in runner.poll()]
            if rows:
                yield self._table(rows, job.metric)
            elif all(runner.busy for runner in working):  # otherwise one is free for a batch
                self._runners.wait(1.0)

    def _batches(
        self, processes: int, clusters: Sequence[str], points: Points | None
    ) -> Iterator[GroupBatch]:
        """Yield batches, the largest groups first, with ever smaller batches."""
        heap = [(-size - FIXED, place) for place, size in enumerate(self._sizes)]
        heapq.heapify(heap)
        left = -sum(weight for weight, _ in heap)
        while heap:
            most = left / (processes * _PARTS)
            portions: list[Portion] = []
            taken = 0
            while (
                heap
                and len(portions) < _MOST_GROUPS
                and (not portions or taken - heap[0][0] <= most)
            ):
                weight, place = heapq.heappop(heap)
                taken -= weight
                start, stop = self._starts[place], self._starts[place] + self._sizes[place]
                portions.append(Portion(self._texts[place], start, stop, clusters[place]))
            left -= taken
            yield GroupBatch(tuple(portions), points=points)

    def _table(self, rows: list[GroupRow], metric: Metric) -> Table:
        places = [self._places[row.group] for row in rows]
        keys = self._keys.select(list(self._by)).take(places)
        return to_table(list(_rows(keys)), rows, metric, row_schema(self.keys_schema))


class _Runners:
    """Processes that tune groups of a frame, which are kept for further runs.

    Args:
        frame: All rows, sorted by group.
        folder: The folder for logs and exchanged files.
        slots: The number of processes.
    """

    def __init__(self, frame: Any, folder: Path, slots: int) -> None:
        self.is_held = False
        self.frame = frame
        self.slots = slots
        self._shared: Shared | None = None
        self._folder = folder
        self._cpus = max(1, usable_cpus() // slots)
        self._job: GroupJob | None = None
        self._payload: Payload | None = None
        self._runners: list[BatchRunner] = []

    def runners(self, job: GroupJob, count: int) -> list[BatchRunner]:
        """Return `count` processes for a job: those of the last run, if the job is the same.

        Raises:
            ObjectiveError: The objective can't be sent to processes; the message names the part.
        """
        if self._payload is None or job != self._job:
            self.close()
            self._job, self._payload = job, self._packed(job)
        while len(self._runners) < count:
            self._runners.append(BatchRunner(Slot(self._payload), self._folder, job))
        return self._runners[:count]

    def wait(self, seconds: float) -> None:
        """Wait until one of them has something to say or must be looked at."""
        wait(self._runners, seconds)

    def _packed(self, job: GroupJob) -> Payload:
        if self._shared is None:
            self._shared = share(**{SHARED: self.frame})
        limits = job.limits(self._cpus)
        work = TuneBatch(job, self._shared).work(self._folder, limits)
        return Payload(pack(work), Site(self._folder, limits))

    def close(self) -> None:
        """End the processes; idle ones are given a moment to exit by themselves."""
        runners, self._runners = self._runners, []
        for runner in runners:
            runner.leave()
        deadline = time.monotonic() + _GRACE
        for runner in runners:
            runner.close(deadline - time.monotonic())
        if self._payload is not None:
            self._payload.close()
            self._payload = None


def _codes(frame: Any, by: Sequence[str]) -> Any:
    """Return a number for each row, equal within a group; missing values are a key."""
    grouped = frame.groupby(list(by), dropna=False, sort=False, observed=True)
    try:
        return grouped.ngroup().to_numpy()
    except TypeError as error:  # a list or a dict
        raise ArgumentError(
            f"the key columns have values that can't be keys: {error}. Convert them: astype(str)"
        ) from error


def _hashes(frame: Any) -> Any:
    """Return a 64-bit hash of each row, shape (rows,)."""
    hashed = load("pandas").util.hash_pandas_object
    try:
        return hashed(frame, index=False).to_numpy()
    except TypeError:  # a cell is unhashable, such as a list
        texts = frame.copy(deep=False)
        for name in frame.select_dtypes("object").columns:
            texts[name] = frame[name].map(repr)
        return hashed(texts, index=False).to_numpy()


def _key_table(frame: Any) -> Table:
    """Return key columns as an Arrow table of values, not categories, as on every backend."""
    arrow = require("pyarrow", extra="arrow", purpose="tune_groups")
    try:
        table = arrow.Table.from_pandas(frame, preserve_index=False)
        fields = [
            arrow.field(each.name, _key_type(arrow, each.name, each.type)) for each in table.schema
        ]
        return table.cast(arrow.schema(fields))
    except (arrow.ArrowException, TypeError, UnicodeError) as error:
        raise ArgumentError(
            f"the key columns have values that can't be keys: {error}. Convert them, astype(str), "
            "or round times to microseconds, dt.round('us')"
        ) from error


def _key_type(arrow: Any, name: str, kind: Any) -> Any:
    """Return the type of a key column's values; equivalent types become one.

    Raises:
        ArgumentError: Values of this type can't be keys.
    """
    types = arrow.types
    if types.is_dictionary(kind):
        return _key_type(arrow, name, kind.value_type)
    if types.is_large_string(kind) or types.is_null(kind):
        return arrow.string()
    if types.is_timestamp(kind):
        return arrow.timestamp("us", kind.tz)
    if not any(getattr(types, f"is_{word}")(kind) for word in _KEYS):
        raise ArgumentError(f"{name!r} can't be a key: its type is {kind}. Convert it: astype(str)")
    return kind


def _rows(table: Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
