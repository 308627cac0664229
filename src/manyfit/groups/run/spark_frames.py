"""Collects Spark DataFrames as Arrow tables, with times in the session's zone."""

from collections.abc import Mapping
from typing import Any

from manyfit._optional import load
from manyfit.groups.record.row import Table


def collected(frame: Any) -> Table:
    """Return a DataFrame as an Arrow table, times in the session's zone."""
    if hasattr(frame, "toArrow"):
        return _zoned(frame.toArrow(), frame.sparkSession)
    arrow, functions = load("pyarrow"), load("pyspark.sql.functions")
    types = load("pyspark.sql.pandas.types")
    schema = types.to_arrow_schema(frame.schema)
    for name, kind in frame.dtypes:
        if kind == "timestamp":  # as numbers, because Python's times would be in the system's zone
            frame = frame.withColumn(name, functions.unix_micros(name))
    table = arrow.Table.from_pylist([row.asDict() for row in frame.collect()], schema=schema)
    return _zoned(table, frame.sparkSession)


def _zoned(table: Table, spark: Any) -> Table:
    """Return a table with times in the session's zone, or in UTC if Python doesn't know it."""
    arrow = load("pyarrow")
    zone = str(spark.conf.get("spark.sql.session.timeZone"))
    try:
        arrow.scalar(0, arrow.timestamp("us", zone)).as_py()
    except (LookupError, ValueError):  # Java knows some that Python doesn't
        zone = "UTC"
    fields = [
        field.with_type(arrow.timestamp("us", zone)) if getattr(field.type, "tz", None) else field
        for field in table.schema
    ]
    return table.cast(arrow.schema(fields))


def without_nan(frame: Any, kinds: Mapping[str, str]) -> Any:
    """Return the rows with NULL instead of NaN in keys: both are missing, so one group."""
    functions = load("pyspark.sql.functions")
    for name, kind in kinds.items():
        if kind in ("float", "double"):
            column = functions.col(name)
            frame = frame.withColumn(name, functions.when(~functions.isnan(column), column))
    return frame


def kinds_of(frame: Any) -> dict[str, str]:
    """Return the type of each column, as Spark writes it."""
    return {field.name: field.dataType.simpleString() for field in frame.schema.fields}
