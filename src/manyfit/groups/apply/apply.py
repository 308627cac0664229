"""Applies each group's params and model to new rows, of pandas or Spark."""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from manyfit._optional import load, require
from manyfit.errors import ArgumentError
from manyfit.groups.apply import spark as apply_spark
from manyfit.groups.apply.calling import (
    PREDICTION,
    BrokenRuleError,
    KnownGroup,
    called,
    is_bare,
    key_texts,
    predictions_of,
)
from manyfit.groups.apply.local import called_with
from manyfit.groups.record.models import fetch
from manyfit.groups.record.row import keys_in
from manyfit.groups.result.table import TunedGroups, stored_params
from manyfit.groups.run.base import is_frame
from manyfit.groups.search.cells import changeable, owned
from manyfit.spark.session import Session
from manyfit.spark.watch import check_session
from manyfit.trackers.progress import counted

logger = logging.getLogger("manyfit")

_FEW = 3  # groups that a message names


def predict(result: TunedGroups, data: Any, on_missing: str) -> Any:
    """Return new rows with a column of predictions; see `GroupsResult.predict`."""
    _check(result, data, on_missing)
    if PREDICTION in data.columns:
        raise ArgumentError(f"the data have a column {PREDICTION!r} already: rename or drop it")
    strict = on_missing == "raise"
    if not is_frame(data, "pandas"):
        known = _known(result)
        _tell(sum(not found.has_model for found in known.values()), len(known), "model")
        return apply_spark.predict(known, data, _schema(result), strict=strict)
    places, found = _called(result, data, predictions_of, _has_model, "model", strict=strict)
    pandas = load("pandas")
    parts = [pandas.Series(each, index=at) for at, each in zip(places, found, strict=True)]
    column = pandas.concat(parts) if parts else pandas.Series(dtype="float64")
    predicted = data.copy()
    predicted[PREDICTION] = column.reindex(range(len(data))).to_numpy()
    return predicted


def apply(
    result: TunedGroups, function: Callable[..., Any], data: Any, schema: Any, on_missing: str
) -> Any:
    """Call a function with each group's new rows; see `GroupsResult.apply`."""
    _check(result, data, on_missing)
    strict = on_missing == "raise"
    if not is_frame(data, "pandas"):
        if schema is None:
            raise ArgumentError("on Spark, apply needs the schema of what the function returns")
        known = _known(result)
        _tell(sum(map(is_bare, known.values())), len(known), "params and no model")
        return apply_spark.apply(known, function, data, schema, _schema(result), strict=strict)
    call = partial(called, function)
    places, found = _called(
        result, data, call, _has_something, "params and no model", strict=strict
    )
    return _joined(data, places, found)


def _called(
    result: TunedGroups,
    data: Any,
    call: Callable[[KnownGroup, Any], Any],
    is_enough: Callable[[KnownGroup], bool],
    what: str,
    *,
    strict: bool,
) -> tuple[list[Any], list[Any]]:
    """Call a function with each group's rows; returns their positions, and the results."""
    known, missing = _known(result, lazily=True), {}
    groups = []
    for text, at in _groups(result, data):
        if text in known and is_enough(known[text]):
            groups.append((text, at))
        else:
            missing[text] = len(at)
    _settle(missing, what, strict=strict)
    columns = changeable(data)
    portions = (
        (text, known[text], owned(data.take(at).reset_index(drop=True), columns))
        for text, at in groups
    )
    try:
        return [at for _, at in groups], called_with(call, portions)
    except BrokenRuleError as error:
        raise ArgumentError("; ".join([str(error), *error.__notes__])) from error


def _has_model(found: KnownGroup) -> bool:
    return found.has_model


def _has_something(found: KnownGroup) -> bool:
    return not is_bare(found)


def _joined(data: Any, places: Sequence[Any], frames: Sequence[Any]) -> Any:
    """Join the results, in the order of the data if there is one row for each."""
    pandas = load("pandas")
    if not frames:
        return pandas.DataFrame()
    joined = pandas.concat(frames, ignore_index=True)
    pairs = zip(places, frames, strict=True)
    if not all(frame.index.equals(pandas.RangeIndex(len(at))) for at, frame in pairs):
        return joined
    whole = load("numpy").concatenate(places)
    order = whole.argsort(kind="stable")
    return joined.take(order).set_axis(data.index.take(whole[order]))


def _check(result: TunedGroups, data: Any, on_missing: str) -> None:
    if on_missing not in ("null", "raise"):
        raise ArgumentError(f"on_missing must be 'null' or 'raise', but got {on_missing!r:.100}")
    if not (is_frame(data, "pandas") or is_frame(data, "pyspark.sql")):
        raise ArgumentError(
            f"data must be a pandas or a Spark DataFrame, but got {type(data).__name__}"
        )
    if not is_frame(data, "pandas"):
        check_session(Session(data.sparkSession))
    for name in result.by:
        if name not in data.columns:
            have = ", ".join(map(str, data.columns))
            raise ArgumentError(f"{name!r} is not a column of the data, which has {have:.300}")


def _known(result: TunedGroups, *, lazily: bool = False) -> dict[str, KnownGroup]:
    """Return the params and model of each group, by the text of its key.

    Args:
        result: The result of the call.
        lazily: Whether files of models on this machine are read only when needed.
    """
    rows = result.rows
    names = ("group", "model", "model_path")
    columns = [rows.column(name).to_pylist() for name in names]
    known = {}
    for params, (text, model, path) in zip(
        stored_params(rows), zip(*columns, strict=True), strict=True
    ):
        whole = None if params is None else result.space.materialize(params)
        found = KnownGroup(whole, model, path)
        if path is not None and "://" not in path and not lazily:
            found = KnownGroup(whole, fetch(path))
        known[text] = found
    return known


def _schema(result: TunedGroups) -> Any:
    """Return the schema of the key columns, with their names in the data."""
    return keys_in(result.rows, result.by).schema


def _groups(result: TunedGroups, data: Any) -> Iterator[tuple[str, Any]]:
    """Yield the text of each key in the data, in order of appearance, and its rows' positions."""
    arrow = require("pyarrow", extra="arrow", purpose="models of groups")
    numpy = load("numpy")
    by = list(result.by)
    codes = data.groupby(by, dropna=False, sort=False, observed=True).ngroup().to_numpy()
    order = codes.argsort(kind="stable")
    starts = numpy.flatnonzero(numpy.diff(codes[order], prepend=-1))
    parts = numpy.split(order, starts[1:]) if len(order) else []
    keys = data[by].take(order[starts]) if len(order) else data[by].iloc[:0]
    try:
        table = arrow.Table.from_pandas(keys, preserve_index=False)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, UnicodeError) as error:
        raise ArgumentError(f"the key columns hold what can't be a key: {error}") from error
    yield from zip(key_texts(table, _schema(result)), parts, strict=True)


def _settle(missing: dict[str, int], what: str, *, strict: bool) -> None:
    """Warn of groups without a model or params, or raise."""
    if not missing:
        return
    some = ", ".join(list(missing)[:_FEW]) + (", ..." if len(missing) > _FEW else "")
    rows, groups = counted(sum(missing.values()), "row"), counted(len(missing), "group")
    message = f"{rows} of {groups} that have no {what}: {some}"
    if strict:
        raise ArgumentError(f"{message}. on_missing='null' skips them")
    logger.warning("%s", message)


def _tell(without: int, of: int, what: str) -> None:
    if without:
        logger.warning(
            "%d of %s have no %s: their rows are skipped",
            without,
            counted(of, "group"),
            what,
        )
