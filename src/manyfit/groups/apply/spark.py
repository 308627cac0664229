"""Applies each group's params and model to rows of a Spark DataFrame, where these rows are.

::

    rows ──text of the key──► by text ─┐
                                       ├─ a group's rows, params and model ──► its function
    params, models ─────────► by text ─┘

Both are partitioned by that text into an explicit number of partitions, which Spark's adaptive
execution doesn't change; otherwise it would merge small data into one partition, and one task.
"""

from collections.abc import Callable, Mapping
from typing import Any

from manyfit._optional import load
from manyfit.errors import ArgumentError
from manyfit.groups.apply import calling
from manyfit.groups.apply.calling import GROUP, PREDICTION, KnownGroup
from manyfit.groups.record import keys
from manyfit.groups.run.base import check_names
from manyfit.groups.search import cells

_PARTS = 200  # if spark.sql.shuffle.partitions isn't a number


def predict(known: Mapping[str, KnownGroup], data: Any, schema: Any, *, strict: bool) -> Any:
    """Return the rows with a column of predictions.

    Args:
        known: The params and model of each group, by the text of its key.
        data: A Spark DataFrame, classic or Connect.
        schema: The Arrow schema of the recorded key columns.
        strict: Whether rows of a group without a model are an error.
    """
    types = load("pyspark.sql.types")
    prediction = types.StructField(PREDICTION, types.DoubleType())
    wanted = types.StructType([*data.schema.fields, prediction])
    return _met(known, calling.predicting(strict=strict), data, wanted, schema)


def apply(
    known: Mapping[str, KnownGroup],
    function: Callable[..., Any],
    data: Any,
    wanted: Any,
    schema: Any,
    *,
    strict: bool,
) -> Any:
    """Return the result of a function for each group's rows.

    Args:
        known: The params and model of each group, by the text of its key.
        function: `function(rows, params, model) -> DataFrame`.
        data: A Spark DataFrame, classic or Connect.
        wanted: The Spark schema of the function's result.
        schema: The Arrow schema of the recorded key columns.
        strict: Whether unknown groups are an error.
    """
    returned = data.sparkSession.createDataFrame([], wanted)
    call = calling.applying(function, _arrow(returned), strict=strict)
    return _met(known, call, data, returned.schema, schema)


def _met(
    known: Mapping[str, KnownGroup], call: Callable[..., Any], data: Any, wanted: Any, schema: Any
) -> Any:
    """Cogroup each group's rows with its params and model, and call a function with both."""
    check_names(data.columns)
    spark, types = data.sparkSession, load("pyspark.sql.types")
    if spark.version.startswith("3."):
        raise ArgumentError(
            f"applying models of groups on Spark needs Spark 4, but this is {spark.version}: tune "
            "and apply them in pandas, or load them in a mapInPandas of your own (model_of)"
        )
    text = types.StructField(GROUP, types.StringType())
    adding, calling_back = packed(calling.adding_groups(schema.names, schema)), packed(call)

    # Nested, because names of this module would be looked up in a worker's Manyfit.
    def add(batches: Any) -> Any:
        return adding()(batches)

    def meet(rows: Any, known: Any) -> Any:
        return calling_back()(rows, known)

    rows = data.mapInArrow(add, types.StructType([*data.schema.fields, text]))
    found = spark.createDataFrame(_table(known))
    parts = _parts(spark, len(known))
    left = rows.repartition(parts, GROUP).groupBy(GROUP)
    right = found.repartition(parts, GROUP).groupBy(GROUP)
    return left.cogroup(right).applyInArrow(meet, wanted)


def _table(known: Mapping[str, KnownGroup]) -> Any:
    """Return what is known as an Arrow table. A list would pass through Python workers."""
    arrow, dumps = load("pyarrow"), load("pyspark.cloudpickle").dumps
    params = [None if each.params is None else dumps(each.params) for each in known.values()]
    columns = {
        GROUP: arrow.array(known, arrow.string()),
        "params": arrow.array(params, arrow.binary()),
        "model": arrow.array((each.model for each in known.values()), arrow.binary()),
        "path": arrow.array((each.path for each in known.values()), arrow.string()),
    }
    return arrow.table(columns)


def packed(function: Callable[..., Any]) -> Callable[[], Callable[..., Any]]:
    """Return a function that returns a function of `calling`, even if a worker lacks Manyfit."""
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

    # Nested, so that it is pickled by value; unpickled once per process, not once per group.
    def unpacked() -> Callable[..., Any]:
        import pickle  # noqa: PLC0415

        if not loaded:
            loaded.append(pickle.loads(data))  # noqa: S301 - the driver's own
        function: Callable[..., Any] = loaded[0]
        return function

    return unpacked


def _parts(spark: Any, groups: int) -> int:
    """Return the number of partitions: Spark's own for shuffles, at most one per group."""
    said = str(spark.conf.get("spark.sql.shuffle.partitions"))
    return max(1, min(groups, int(said) if said.isdigit() else _PARTS))


def _arrow(frame: Any) -> Any:
    """Return the Arrow schema of a Spark DataFrame."""
    return frame.toArrow().schema
