"""Applies one group's model to its new rows; on Spark this file is pickled by value for workers.

It therefore uses only `keys` and `cells` of Manyfit, and imports other packages where it uses them.
"""

import importlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from manyfit.groups.record.keys import key_text, key_values
from manyfit.groups.search.cells import changeable, owned

PREDICTION = "prediction"
GROUP = "_manyfit_group"  # the column with the texts of keys, on Spark


class BrokenRuleError(ValueError):
    """A model or a function returned something that breaks its rule."""


@dataclass(frozen=True)
class KnownGroup:
    """The params and the model of a group.

    Attributes:
        params: The params, as the objective received them; None if there are none.
        model: The pickled model; None if it is in a file, or there is none.
        path: The path of the model, if it is in a file.
    """

    params: Any = None
    model: bytes | None = None
    path: str | None = None

    @property
    def has_model(self) -> bool:
        """Whether there is a model."""
        return self.model is not None or self.path is not None

    def load(self) -> Any:
        """Return the model; None if there is none.

        Raises:
            OSError: Its file is missing.
        """
        if self.model is not None:
            return pickle.loads(self.model)  # noqa: S301 - the user's own, like the next one
        if self.path is None:
            return None
        opened = importlib.import_module("fsspec").open if "://" in self.path else open
        with opened(self.path, "rb") as file:
            return pickle.load(file)  # noqa: S301


def predictions_of(found: KnownGroup, rows: Any) -> Any:
    """Return the predictions of a group's model, an array of shape (rows,).

    Raises:
        BrokenRuleError: The model returned something else.
    """
    numpy = importlib.import_module("numpy")
    model = found.load()
    names = getattr(model, "feature_names_in_", None)
    if names is not None and set(names) <= set(rows.columns):
        rows = rows[list(names)]
    predict = getattr(model, "predict", model)
    if not callable(predict):
        raise BrokenRuleError(
            f"its model, {type(model).__name__}, has no predict and can't be called: use "
            "result.apply"
        )
    values = numpy.array(predict(rows))  # a copy, because the model may reuse an array
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (len(rows),):
        raise BrokenRuleError(
            f"its model returned values of shape {values.shape} for {len(rows)} rows, not one per "
            "row: use result.apply"
        )
    return values


def key_texts(keys: Any, schema: Any) -> list[str]:
    """Return the text of each row's key.

    Args:
        keys: An Arrow table of key columns.
        schema: Their schema when groups were tuned, to which equivalent types are converted.
    """
    columns = [key_values(_like(keys.column(field.name), field.type)) for field in schema]
    known: dict[Any, str] = {}
    texts = []
    for key in zip(*columns, strict=True):
        # With types, because 1, 1.0 and True are equal, but three different keys.
        marked = (*key, *map(type, key))
        if marked not in known:
            known[marked] = key_text(key)
        texts.append(known[marked])
    return texts


def _like(column: Any, kind: Any) -> Any:
    """Cast a key column to another type, if that can hold its values."""
    arrow = importlib.import_module("pyarrow")
    compute = importlib.import_module("pyarrow.compute")
    is_time = arrow.types.is_timestamp
    if arrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type == kind:
        return column
    try:
        if is_time(column.type) and is_time(kind) and bool(column.type.tz) != bool(kind.tz):
            # Spark's times have the session's zone; those of pandas mostly have none.
            column = (
                compute.local_timestamp(column)
                if column.type.tz
                else compute.assume_timezone(
                    column, kind.tz, ambiguous="earliest", nonexistent="earliest"
                )
            )
        return column.cast(kind)
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError):
        return column


# ── on Spark ──────────────────────────────────────────────────────────────────────────────────


def adding_groups(by: Sequence[str], schema: Any) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """Return a function for `mapInArrow` that adds the column `GROUP` to rows."""

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        arrow = importlib.import_module("pyarrow")
        for batch in batches:
            keys = arrow.Table.from_batches([batch]).select(list(by))
            texts = arrow.array(key_texts(keys, schema), arrow.string())
            names = [*batch.schema.names, GROUP]
            yield arrow.RecordBatch.from_arrays([*batch.columns, texts], names=names)

    return run


def predicting(*, strict: bool) -> Callable[[Any, Any], Any]:
    """Return a function that predicts a group's rows, given these and its model in Arrow tables."""

    def run(rows: Any, known: Any) -> Any:
        arrow = importlib.import_module("pyarrow")
        group, found, rows = _met(rows, known)
        if not rows.num_rows or found is None or not found.has_model:
            _refuse(group, strict and rows.num_rows > 0)
            values = arrow.nulls(rows.num_rows, arrow.float64())
        else:
            given = named(group, lambda: predictions_of(found, _frame(rows)))
            values = arrow.array(given.astype("float64"), from_pandas=True)
        return _in_utc(rows.append_column(PREDICTION, values))

    return run


def applying(
    function: Callable[..., Any], schema: Any, *, strict: bool
) -> Callable[[Any, Any], Any]:
    """Return a function that applies the user's function to a group's rows.

    Args:
        function: `function(rows, params, model)`.
        schema: The Arrow schema of its result.
        strict: Whether an unknown group is an error.
    """

    def run(rows: Any, known: Any) -> Any:
        arrow = importlib.import_module("pyarrow")
        group, found, rows = _met(rows, known)
        if not rows.num_rows or found is None or is_bare(found):
            _refuse(group, strict and rows.num_rows > 0)
            return _in_utc(schema.empty_table())
        given = named(group, lambda: _zoned(called(function, found, _frame(rows)), schema))
        return _in_utc(arrow.Table.from_pandas(given, schema=schema, preserve_index=False))

    return run


def is_bare(found: KnownGroup) -> bool:
    """Return whether a group has neither params nor a model."""
    return found.params is None and not found.has_model


def called(function: Callable[..., Any], found: KnownGroup, frame: Any) -> Any:
    """Return the result of a function for a group's rows.

    Raises:
        BrokenRuleError: The result isn't a DataFrame.
    """
    returned = function(frame, found.params, found.load())
    if not hasattr(returned, "columns") or not hasattr(returned, "index"):
        raise BrokenRuleError(f"the function must return a DataFrame, but got {returned!r:.100}")
    return returned.copy()  # the function may reuse a frame for the next group


def named(group: str, work: Callable[[], Any]) -> Any:
    """Do a group's work; exceptions get a note that names the group."""
    try:
        return work()
    except Exception as error:
        error.add_note(f"in group {group}")
        raise


def _refuse(group: str, is_refused: bool) -> None:
    if is_refused:
        raise ValueError(f"group {group} has nothing to apply to its rows, and on_missing='raise'")


def _frame(rows: Any) -> Any:
    """Return rows as the objective received them: times are naive, in the session's zone."""
    compute = importlib.import_module("pyarrow.compute")
    for place, field in enumerate(rows.schema):
        if getattr(field.type, "tz", None):
            rows = rows.set_column(place, field.name, compute.local_timestamp(rows.column(place)))
    frame = rows.to_pandas(date_as_object=True)
    return owned(frame, changeable(frame))


def _zoned(frame: Any, schema: Any) -> Any:
    """Give naive times of a frame the zone that the schema has."""
    local = {
        field.name: frame[field.name].dt.tz_localize(field.type.tz)
        for field in schema
        if getattr(field.type, "tz", None)
        and getattr(frame[field.name].dtype, "kind", "") == "M"
        and frame[field.name].dt.tz is None
    }
    return frame.assign(**local) if local else frame


def _in_utc(table: Any) -> Any:
    """Return a table whose times are in UTC, as Spark expects them."""
    arrow = importlib.import_module("pyarrow")
    fields = [
        field.with_type(arrow.timestamp("us", "UTC")) if getattr(field.type, "tz", None) else field
        for field in table.schema
    ]
    return table.cast(arrow.schema(fields))


def _met(rows: Any, known: Any) -> tuple[str, KnownGroup | None, Any]:
    """Return the group that two tables are of, its params and model, and its rows."""
    group = str((rows if rows.num_rows else known).column(GROUP)[0].as_py())
    rows = rows.drop_columns([GROUP])
    if not known.num_rows:
        return group, None, rows
    params, model, path = (known.column(name)[0].as_py() for name in ("params", "model", "path"))
    if params is not None:
        params = pickle.loads(params)  # noqa: S301 - the driver's
    return group, KnownGroup(params, model, path), rows
