"""Tunes the groups of a Spark DataFrame, classic or Connect, where their rows are.

::

    sizes ──► plan ──► wave ──a job──► partition ──► task: a worker process, one group after another
                                          │ groups, assigned explicitly, sorted by key
"""

import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.groups.job import GroupJob
from manyfit.groups.record.keys import key_values, texts_of
from manyfit.groups.record.output import Output
from manyfit.groups.record.row import SPARK_COLUMNS, Schema, Table, key_names
from manyfit.groups.record.spark_output import append, written
from manyfit.groups.run.base import Points, check_columns, check_names
from manyfit.groups.run.batch import TuneBatch
from manyfit.groups.run.plan import FIXED, Plan, Unit, Wave
from manyfit.groups.run.spark_frames import collected, kinds_of, without_nan
from manyfit.groups.run.waves import Waves
from manyfit.remote.equipment import Equipment
from manyfit.spark.executor import SparkExecutor
from manyfit.spark.task import task_function
from manyfit.spark.watch import check_session

# The types of keys, without their parameters.
_KEYS = (
    *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "string"),
    *("char", "varchar", "binary", "date", "timestamp", "timestamp_ntz"),
)
_CELLS = 1024
_CANDIDATES = 16  # groups per cell that may be large
_HASH, _CELL, _BIN = "manyfit_hash", "manyfit_cell", "manyfit_bin"


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The sizes of groups, without their keys."""

    large: tuple[Unit, ...]
    cells: tuple[Unit, ...]
    cell_of: Mapping[int, int]

    @property
    def groups(self) -> int:
        return sum(cell.groups for cell in self.cells)


class SparkPopulation:
    """The groups of a Spark DataFrame.

    The DataFrame is read once for each wave, and must have the same rows each time. Persist one
    that is expensive to compute; otherwise waves get longer, and rows arrive later.

    Args:
        frame: The rows.
        by: The key columns.
        shared_by: Further columns for `keys`.
        executor: Says what is sent to workers, and their environment.
        study: The name with which the call is resumed.

    Attributes:
        session: The session of the rows.

    Raises:
        ArgumentError: A column is missing, or can't be a key.
        ExecutorError: The session has ended.
    """

    def __init__(
        self,
        frame: Any,
        by: Sequence[str],
        shared_by: Sequence[str],
        executor: SparkExecutor,
        study: str | None = None,
    ) -> None:
        self.session = executor.session
        self._study = study
        check_session(self.session, study)
        check_columns(frame.columns, (*by, *shared_by))
        check_names(frame.columns)
        kinds = kinds_of(frame)
        for name in (*by, *shared_by):
            if re.split(r"\W", kinds[name])[0] not in _KEYS:
                raise ArgumentError(
                    f"{name!r} can't be a key: its type is {kinds[name]}. Convert it: "
                    "cast('string')"
                )
        self._kinds = {name: kinds[name] for name in by}
        self._frame = without_nan(frame, self._kinds)
        self._by = tuple(by)
        self._shared_by = tuple(name for name in shared_by if name not in self._by)
        self._executor = executor
        self._fitting = _Fitting(executor)
        self._known: _Sizes | None = None
        self._reading = 0.0  # seconds to read all rows once
        self._held: Any = None
        self._schema: Schema = None

    @property
    def keys_schema(self) -> Schema:
        """The names and types of the key columns; times are instants, in the session's zone."""
        if self._schema is None:
            self._schema = collected(self._frame.select(*self._by).limit(0)).schema
        return self._schema

    @property
    def slots(self) -> int:
        """The number of tasks that the cluster runs at once, as far as known."""
        slots = self.session.slots()
        return max(1, int(slots.now or min(slots.dependable or 2, 1_000)))

    @property
    def remote(self) -> bool:
        return True

    def count(self) -> int:
        """Return the number of groups, with a Spark job the first time."""
        return self._sizes().groups

    def keys(self) -> Table:
        functions = load("pyspark.sql.functions")
        firsts = [functions.first(name).alias(name) for name in self._shared_by]
        found = self._frame.select(*self._by).distinct()
        if firsts:
            found = self._frame.groupBy(*self._by).agg(*firsts)
        table = collected(found)
        texts = texts_of(table, self._by)
        return table.take(sorted(range(len(texts)), key=texts.__getitem__))

    def sizes(self, keys: Table) -> Mapping[str, int]:
        found = self.part(keys)._frame.groupBy(*self._by).count()
        table = collected(found)
        counts = table.column(table.num_columns - 1).to_pylist()
        return dict(zip(texts_of(table, self._by), counts, strict=True))

    def digests(self) -> None:
        """Return None, because digests would require reading all rows."""

    def part(self, keys: Table) -> "SparkPopulation":
        return self._joined(keys, "left_semi")

    def without(self, keys: Table) -> "SparkPopulation":
        return self._joined(keys, "left_anti")

    def _joined(self, keys: Table, how: str) -> "SparkPopulation":
        functions = load("pyspark.sql.functions")
        names = {name: f"{name}_{secrets.token_hex(4)}" for name in self._by}  # of their own
        ddl = ", ".join(f"`{names[name]}` {kind}" for name, kind in self._kinds.items())
        rows = list(zip(*(key_values(keys.column(name)) for name in self._by), strict=True))
        wanted = functions.broadcast(self._spark.createDataFrame(rows, ddl))
        condition = None
        for name in self._by:
            same = self._frame[name].eqNullSafe(wanted[names[name]])
            condition = same if condition is None else condition & same
        other = SparkPopulation(
            self._frame.join(wanted, condition, how),
            self._by,
            self._shared_by,
            self._executor,
            self._study,
        )
        other._fitting = self._fitting
        other._schema = self._schema
        return other

    @property
    def _spark(self) -> Any:
        return self._frame.sparkSession

    def written(self, output: Output) -> Table:
        return written(output, self._spark, self._row_ddl, collected)

    def hold(self) -> None:
        """Persist the rows in the cluster's memory, or on its disks, until `close`.

        Rows that the user has persisted are left alone.
        """
        level = self._frame.storageLevel
        if self._held is None and not (level.useMemory or level.useDisk):
            self._held = self._frame.persist()

    def close(self) -> None:
        """Release the rows and the workers' equipment. Safe to call twice."""
        if self._held is not None:
            held, self._held = self._held, None
            if self.session.ended() is None:
                held.unpersist()
        self._fitting.close()

    # ── sizes ─────────────────────────────────────────────────────────────────────────────────

    def _sizes(self) -> _Sizes:
        """Count rows by group; only sums and the largest groups are sent to the driver."""
        if self._known is None:
            began = time.monotonic()
            self._known = _sizes_of(self._marked().groupBy(*self._by, _HASH, _CELL).count())
            self._reading = time.monotonic() - began
        return self._known

    def _marked(self) -> Any:
        """Return the rows with the hash of their key, and their cell."""
        functions = load("pyspark.sql.functions")
        hashed = functions.xxhash64(*self._by)
        frame = self._frame.withColumn(_HASH, hashed)
        cell = functions.pmod(functions.col(_HASH), functions.lit(_CELLS)).cast("int")
        return frame.withColumn(_CELL, cell)

    # ── runs ──────────────────────────────────────────────────────────────────────────────────

    def run(self, job: GroupJob, points: Points | None = None) -> Iterator[Table]:
        sizes = self._sizes()
        if not sizes.groups:
            return
        plan = Plan(sizes.large, sizes.cells, dict(sizes.cell_of), self.slots)
        settings = self._fitting.settings(job, points)
        output = job.output if points is None else None
        waves = Waves(
            self.session,
            lambda wave: self._tuned(wave, plan.alone, settings, output, job.order_by),
            self._reading,
            self._study,
        )
        try:
            yield from waves.run(plan, at_once=points is not None)
        finally:
            waves.end()
            self._fitting.take_back(settings)

    def _tuned(
        self,
        wave: Wave,
        alone: frozenset[int],
        settings: Mapping[str, Any],
        output: Output | None,
        order: Sequence[str],
    ) -> Table:
        """Run a wave as a Spark job, in this thread; returns its rows."""
        functions = load("pyspark.sql.functions")
        count = len(wave.tasks)
        binned = self._marked().withColumn(_BIN, self._bin_of(wave, alone))
        binned = binned.where(functions.col(_BIN) >= 0).repartition(count, _BIN)
        sorted_by = [functions.col(name).asc_nulls_last() for name in order]
        binned = binned.sortWithinPartitions(_BIN, *self._by, *sorted_by)
        function = task_function("manyfit.groups.run.spark_task:tune", settings, streams=True)
        rows = binned.mapInArrow(function, self._row_ddl)
        return collected(rows) if output is None else append(output, rows, collected)

    def _bin_of(self, wave: Wave, alone: frozenset[int]) -> Any:
        """Return a column with the index of a row's task in the wave; -1 for none."""
        functions = load("pyspark.sql.functions")
        cells = [-1] * _CELLS
        large = dict.fromkeys(alone, -1)
        for label, task in zip(_labels(self._spark, len(wave.tasks)), wave.tasks, strict=True):
            for unit in task:
                if unit.is_large:
                    large[unit.code] = label
                else:
                    cells[unit.code] = label
        # One expression, since each literal made here would be a call into Java.
        place = functions.expr(f"array({', '.join(map(str, cells))})[`{_CELL}`]")
        if not large:
            return place
        pairs = [f"CAST('{code}' AS BIGINT), {label}" for code, label in large.items()]
        return functions.coalesce(functions.expr(f"map({', '.join(pairs)})[`{_HASH}`]"), place)

    @property
    def _row_ddl(self) -> str:
        """The columns of rows as a DDL string."""
        named = zip(key_names(self._by), self._kinds.values(), strict=True)
        return ", ".join([*(f"`{name}` {kind}" for name, kind in named), SPARK_COLUMNS])


class _Fitting:
    """The workers' equipment for a job, packed once for all runs that differ in points only."""

    def __init__(self, executor: SparkExecutor) -> None:
        self._executor = executor
        self._job: GroupJob | None = None
        self._equipment: Equipment | None = None
        self._setup: Any = None  # in a parcel

    def settings(self, job: GroupJob, points: Points | None) -> dict[str, Any]:
        """Return the settings of tasks.

        Raises:
            ObjectiveError: The objective can't be pickled; the message names the part.
        """
        if self._equipment is None or job != self._job:
            self.close()
            # Rows arrive sorted: by then their times are naive, and may be ambiguous.
            sorted_job = replace(job, order_by=())
            work = TuneBatch(sorted_job, None).work(Path(), job.limits(self._executor.cpus))
            self._equipment, self._job = self._executor.equip(work), job
            self._setup = self._equipment.broadcasts.parcel(self._equipment.setup.packed())
        broadcasts = self._equipment.broadcasts
        told = None if points is None else {key: list(each) for key, each in points.items()}
        return {
            "token": self._equipment.setup.token,
            "setup": self._setup,
            "broadcasts": dict(broadcasts.broadcasts),
            "by": job.by,
            "shared_by": job.shared_by,
            "dropped": [_HASH, _CELL, _BIN],
            "points": None if told is None else broadcasts.parcel(told),
            "metric": (job.metric.name, job.metric.direction),
            "job": job.settings(),
        }

    def take_back(self, settings: Mapping[str, Any]) -> None:
        """Release the points, which only one run needed."""
        if self._equipment is not None and settings["points"] is not None:
            self._equipment.broadcasts.take_back(settings["points"])

    def close(self) -> None:
        """Release everything that was offered to workers."""
        if self._equipment is not None:
            equipment, self._equipment = self._equipment, None
            equipment.broadcasts.close()


def _labels(spark: Any, count: int) -> list[int]:
    """Return, for each of `count` partitions, a number that Spark's hash assigns to it."""
    if count not in _known_labels:
        functions = load("pyspark.sql.functions")
        numbers = spark.range(count * 40 + 200).select(functions.col("id").cast("int").alias("n"))
        place = functions.pmod(functions.hash("n"), functions.lit(count))
        found: dict[int, int] = {}
        for row in numbers.select("n", place.alias("place")).collect():
            found.setdefault(row["place"], row["n"])
        _known_labels[count] = [found[place] for place in range(count)]
    return _known_labels[count]


_known_labels: dict[int, list[int]] = {}


def _sizes_of(counted: Any) -> _Sizes:
    """Return the sizes of groups, from one row per group with `count`, hash and cell."""
    functions = load("pyspark.sql.functions")
    weight = (functions.col("count") + FIXED).alias("weight")
    pairs = counted.select(_CELL, weight, functions.struct(weight, _HASH).alias("pair"))
    heaviest = functions.sort_array(functions.collect_list("pair"), asc=False)
    cells = pairs.groupBy(_CELL).agg(
        functions.sum("weight").alias("weight"),
        functions.count(functions.lit(1)).alias("groups"),
        functions.slice(heaviest, 1, _CANDIDATES).alias("heaviest"),
    )
    rows = cells.collect()
    large = {pair[_HASH]: (pair["weight"], row[_CELL]) for row in rows for pair in row["heaviest"]}
    return _Sizes(
        tuple(Unit(code, weight) for code, (weight, _) in large.items()),
        tuple(Unit(row[_CELL], row["weight"], row["groups"]) for row in rows),
        {code: cell for code, (_, cell) in large.items()},
    )
