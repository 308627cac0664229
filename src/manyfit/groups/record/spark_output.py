"""Rows of groups that Spark writes from its executors; models never reach the driver.

Jobs that append to one folder at the same time share its `_temporary`: the first to end removes it,
with what the others have there. So a process writes one wave at a time, each job has a part of that
folder to itself, and rows count as written when they are found in the output. Those that are not,
since another process writes to the same place, are written again.
"""

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

from manyfit._optional import load
from manyfit.data.references import Parquet
from manyfit.errors import ArgumentError, JournalError
from manyfit.groups.record.output import DELTA_LOG, MODEL, Output
from manyfit.groups.record.row import CALL, Table
from manyfit.spark.jobs import spark_message

_TRIES = 5  # attempts to write rows
_writing = threading.Lock()
# The columns that distinguish rows of the same group.
_IDENTITY = ["group", "seconds", "worker"]
# The name of the folder below `_temporary` is this number.
_ATTEMPT = "mapreduce.job.application.attempt.id"


def append(output: Output, rows: Any, collect: Callable[[Any], Table]) -> Table:
    """Append the rows of a DataFrame; returns them once they are there.

    They are kept on the cluster meanwhile, so that no group is tuned twice.

    Args:
        output: Where they go.
        rows: A DataFrame of rows.
        collect: Returns a DataFrame as an Arrow table.

    Returns:
        The rows without their models.

    Raises:
        JournalError: They can't be written, or are gone as soon as they are.
    """
    kept = rows.persist()
    try:
        count = kept.count()  # this tunes the groups
        problem: Exception | None = None
        for attempt in range(_TRIES):
            with _writing:
                problem = _tried(output, kept if attempt == 0 else _missing(output, kept))
            found = collect(_found(output, kept))
            if len(found) == count:
                return found
        raise JournalError(
            f"Spark can't write to output={output.place.path!r}, where {count - len(found)} of "
            f"{count} rows are missing after {_TRIES} attempts:\n"
            f"{spark_message(problem) if problem else 'does something else remove files there?'}"
        ) from problem
    finally:
        kept.unpersist()


def _tried(output: Output, rows: Any) -> Exception | None:
    """Write rows; returns what went wrong, which need not mean that nothing was written."""
    try:
        write(output, rows)
    except Exception as error:  # noqa: BLE001 - Py4J, gRPC and Spark have errors of their own
        return error
    return None


def _written(output: Output, spark: Any, *, merged: bool = False) -> Any:
    """Return all that this call has written; `merged`: with columns that only some files have."""
    functions = load("pyspark.sql.functions")
    reader = spark.read.format(output.format).option("mergeSchema", str(merged).lower())
    frame = reader.load(output.place.path)
    return frame.where(functions.col(CALL) == output.call).drop(CALL)


def _found(output: Output, rows: Any) -> Any:
    """Return those of the rows that are in the output, without models."""
    there = _written(output, rows.sparkSession).select(_IDENTITY)
    return _slim(rows).join(there, _IDENTITY, "left_semi").select(rows.columns)


def _missing(output: Output, rows: Any) -> Any:
    """Return those of the rows that are not in the output."""
    there = _written(output, rows.sparkSession).select(_IDENTITY)
    return rows.join(there, _IDENTITY, "left_anti").select(rows.columns)


def written(output: Output, spark: Any, ddl: str, collect: Callable[[Any], Table]) -> Table:
    """Make sure that rows can be written; returns those this call has written, without models.

    Args:
        output: Where they go.
        spark: The session that writes.
        ddl: The columns of rows, as Spark writes them.
        collect: Returns a DataFrame as an Arrow table.

    Raises:
        ArgumentError: What is there already is something else.
        JournalError: It can't be read or written.
    """
    empty = _nothing(spark, ddl)
    if not _has_files(output.place.path, spark):
        if (problem := _tried(output, empty)) is not None:
            raise JournalError(
                f"Spark can't write to output={output.place.path!r}:\n{spark_message(problem)}"
            ) from problem
        return collect(empty)
    output.check(_columns(output, spark), [(CALL, "string"), *empty.dtypes])
    known = _slim(_written(output, spark, merged=True))
    return collect(empty.unionByName(known, allowMissingColumns=True))


def _nothing(spark: Any, ddl: str) -> Any:
    """Return a DataFrame without rows. One of an empty list would start Python workers."""
    functions = load("pyspark.sql.functions")
    row = functions.from_json(functions.lit(None).cast("string"), ddl)
    return spark.range(0).select(row.alias("row")).select("row.*")


def _columns(output: Output, spark: Any) -> Sequence[tuple[str, str]]:
    """Return the names and types of the columns that are there.

    Raises:
        ArgumentError: What is there has another format.
    """
    path = output.place.path
    if isinstance(output.place, Parquet) and _has_files(f"{path}/{DELTA_LOG}", spark):
        raise ArgumentError(output.delta_advice)
    try:
        found: list[tuple[str, str]] = spark.read.format(output.format).load(path).dtypes
    except Exception as error:
        raise ArgumentError(output.unreadable(spark_message(error))) from error
    return found


def _has_files(path: str, spark: Any) -> bool:
    """Whether there are files in a folder or below it, of any kind.

    Raises:
        JournalError: Spark can't tell.
    """
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    try:
        return bool(files.load(path).select("path").limit(1).collect())
    except Exception as error:
        if "PATH_NOT_FOUND" in str(error):
            return False
        raise JournalError(f"Spark can't read output={path!r}:\n{spark_message(error)}") from error


def write(output: Output, rows: Any) -> None:
    """Append rows as one Spark job, in a temporary folder until the job has finished."""
    functions = load("pyspark.sql.functions")
    writer = rows.select(functions.lit(output.call).alias(CALL), "*").write.format(output.format)
    writer = writer.option("mergeSchema", "true")  # an option of Delta: newer columns are added
    if isinstance(output.place, Parquet):
        writer = writer.option(_ATTEMPT, str(secrets.randbits(30)))
    writer.mode("append").save(output.place.path)


def _slim(rows: Any) -> Any:
    """Return rows whose models are null."""
    functions = load("pyspark.sql.functions")
    return rows.withColumn(MODEL, functions.lit(None).cast("binary"))
