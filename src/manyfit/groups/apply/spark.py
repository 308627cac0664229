"""Each group's params and model at work on rows of a Spark DataFrame, where these rows are.

::

    rows ──text of the key──► by text ─┐
                                       ├─ a group's rows meet what is known of it ──► its function
    params, models ─────────► by text ─┘

Both are split by that text into a number of parts that is said, so that Spark's adaptive execution
leaves them as they are; else it would put small data into one part, and one task.
"""

from collections.abc import Callable, Mapping
from typing import Any

from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.groups.apply import calling
from manyfit.groups.apply.calling import GROUP, PREDICTION, Found
from manyfit.groups.record import keys
from manyfit.groups.run.base import check_names
from manyfit.groups.search import cells

_PARTS = 200  # where Spark's own number is none


def predict(known: Mapping[str, Found], data: Any, schema: Any, *, strict: bool) -> Any:
    """Return the rows with a column of predictions.

    Args:
        known: What tuning left of each group, by the text of its key.
        data: A Spark DataFrame, classic or Connect.
        schema: The Arrow schema of the key columns as they are on record.
        strict: Whether rows of a group that has no model are an error.
    """
    types = load("pyspark.sql.types")
    prediction = types.StructField(PREDICTION, types.DoubleType())
    wanted = types.StructType([*data.schema.fields, prediction])
    return _met(known, calling.predicting(strict=strict), data, wanted, schema)


def apply(
    known: Mapping[str, Found],
    function: Callable[..., Any],
    data: Any,
    wanted: Any,
    schema: Any,
    *,
    strict: bool,
) -> Any:
    """Return what a function gives for each group's rows.

    Args:
        known: As for `predict`, and `data`, `schema` and `strict` too.
        function: `function(rows, params, model) -> DataFrame`.
        data: The rows.
        wanted: The Spark schema of what the function returns.
        schema: Of the key columns.
        strict: Whether unknown groups are an error.
    """
    returned = data.sparkSession.createDataFrame([], wanted)
    call = calling.applying(function, _arrow(returned), strict=strict)
    return _met(known, call, data, returned.schema, schema)


def _met(
    known: Mapping[str, Found], call: Callable[..., Any], data: Any, wanted: Any, schema: Any
) -> Any:
    """Bring each group's rows together with what is known of it, and call a function with both."""
    check_names(data.columns)
    spark, types = data.sparkSession, load("pyspark.sql.types")
    if spark.version.startswith("3."):
        raise ArgumentError(
            f"models of groups need Spark 4 to meet rows there, and this is {spark.version}: tune "
            "and apply them in pandas, or load them in a mapInPandas of your own (model_of)"
        )
    text = types.StructField(GROUP, types.StringType())
    adding, calling_back = packed(calling.adding_groups(schema.names, schema)), packed(call)

    # Nested, like what they call: names of this module would be looked up in a worker's Manyfit.
    def add(batches: Any) -> Any:
        return adding()(batches)

    def meet(rows: Any, known: Any) -> Any:
        return calling_back()(rows, known)

    rows = data.mapInArrow(add, types.StructType([*data.schema.fields, text]))
    dumps = load("pyspark.cloudpickle").dumps
    lines = [
        (group, None if found.params is None else dumps(found.params), found.model, found.path)
        for group, found in known.items()
    ]
    names = f"`{GROUP}` string, params binary, model binary, path string"
    found = spark.createDataFrame(lines, names)
    parts = _parts(spark, len(known))
    left = rows.repartition(parts, GROUP).groupBy(GROUP)
    right = found.repartition(parts, GROUP).groupBy(GROUP)
    return left.cogroup(right).applyInArrow(meet, wanted)


def packed(function: Callable[..., Any]) -> Callable[[], Callable[..., Any]]:
    """Return what gives a function of `calling` on a worker that may lack Manyfit."""
    pickler = load("pyspark.cloudpickle")
    modules = (calling, cells, keys)
    for module in modules:
        pickler.register_pickle_by_value(module)
    try:
        data = pickler.dumps(function)
    finally:
        for module in modules:
            pickler.unregister_pickle_by_value(module)
    loaded: list[Any] = []

    # Nested, so that it travels by value itself; unpickled once a process, not once a group.
    def unpacked() -> Callable[..., Any]:
        import pickle  # noqa: PLC0415

        if not loaded:
            loaded.append(pickle.loads(data))  # noqa: S301 - the driver's own
        function: Callable[..., Any] = loaded[0]
        return function

    return unpacked


def _parts(spark: Any, groups: int) -> int:
    """Return how many parts to split into: Spark's own number for shuffles, or one a group."""
    said = str(spark.conf.get("spark.sql.shuffle.partitions"))
    return max(1, min(groups, int(said) if said.isdigit() else _PARTS))


def _arrow(frame: Any) -> Any:
    """Return the schema of a Spark DataFrame as Arrow has it."""
    return frame.toArrow().schema
