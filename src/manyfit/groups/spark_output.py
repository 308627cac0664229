"""Rows of groups written by Spark, where they are; models never come to the driver."""

from collections.abc import Callable
from typing import Any

from manyfit._optional import load
from manyfit.errors import ArgumentError, JournalError
from manyfit.executors.spark_pilots import gist_of
from manyfit.groups.output import MODEL, Output
from manyfit.groups.row import CALL, Table


def append(output: Output, rows: Any, collect: Callable[[Any], Table]) -> Table:
    """Append the rows of a DataFrame, as a job that writes all of them or none; returns them.

    They are kept on the cluster meanwhile, so that no group is tuned twice.

    Args:
        output: Where they go.
        rows: A DataFrame of rows.
        collect: Returns a DataFrame as an Arrow table.

    Returns:
        The rows without their models.
    """
    kept = rows.persist()
    try:
        _write(output, kept)
        return collect(_slim(kept))
    finally:
        kept.unpersist()


def written(output: Output, spark: Any, ddl: str, collect: Callable[[Any], Table]) -> Table:
    """Make sure that rows can be written; returns those this call has written, without models.

    Args:
        output: Where they go.
        spark: The session that writes.
        ddl: The columns of rows, as Spark writes them.
        collect: Returns a DataFrame as an Arrow table.

    Raises:
        ArgumentError: What is there already has other columns.
        JournalError: It can't be written.
    """
    functions = load("pyspark.sql.functions")
    empty = spark.createDataFrame([], ddl)
    wanted = [CALL, *empty.columns]
    known = _known(output, spark)
    if known is None:
        try:
            _write(output, empty)
        except Exception as error:
            raise JournalError(
                f"Spark can't write to output={output.place.path!r}:\n{gist_of(error)}"
            ) from error
        return collect(empty)
    if known.columns != wanted:
        raise ArgumentError(output.refusal(known.columns, wanted))
    own = known.where(functions.col(CALL) == output.call)
    return collect(_slim(own.drop(CALL)))


def _known(output: Output, spark: Any) -> Any:
    """Return what is there; None if nothing is."""
    try:
        frame = spark.read.format(output.format).load(output.place.path)
        names = frame.columns  # through Connect nothing is looked for before
    except Exception:  # noqa: BLE001 - whatever it is, writing will meet it too, and say it
        return None
    return frame if names else None


def _write(output: Output, rows: Any) -> None:
    functions = load("pyspark.sql.functions")
    named = rows.select(functions.lit(output.call).alias(CALL), "*")
    named.write.format(output.format).mode("append").save(output.place.path)


def _slim(rows: Any) -> Any:
    """Return rows whose models are null."""
    functions = load("pyspark.sql.functions")
    return rows.withColumn(MODEL, functions.lit(None).cast("binary"))
