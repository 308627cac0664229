"""A user's objective as one of Manyfit: params in, metrics and notes out."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from manyfit.errors import FatalError
from manyfit.hyperopt.layout import Layout
from manyfit.hyperopt.results import STATUS_FAIL, checked, sent
from manyfit.worker.context import current_trial, note
from manyfit.worker.work import Objective


@dataclass
class Kept:
    """What trials in this process leave behind: it never travels.

    Attributes:
        results: What the objective returned, by the trial's number.
        catch: Whether an exception of the objective only fails its trial.
        error: The exception that ended the study.
    """

    catch: bool
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    error: Exception | None = None


def objective_of(fn: Callable[[Any], Any], layout: Layout, kept: Kept | None) -> Objective:
    """Return an objective of Manyfit that calls one of Hyperopt.

    Args:
        fn: Takes a point of the user's space.
        layout: Makes that point of params.
        kept: Where to leave results, if trials run in this process.
    """

    @functools.wraps(fn)
    def objective(params: Mapping[str, Any]) -> dict[str, Any]:
        point = layout.materialize(params)
        result = checked(fn(point)) if kept is None else _kept(kept, fn, point)
        metrics, notes = sent(result)
        note(**notes)
        return metrics or {"status": STATUS_FAIL}

    vars(objective).pop("__wrapped__")  # a notice of changes would name it
    return objective


def _kept(kept: Kept, fn: Callable[[Any], Any], point: Any) -> dict[str, Any]:
    """Call an objective, and keep what it returned or raised.

    Raises:
        FatalError: It has raised, and the study is to end.
    """
    try:
        result = checked(fn(point))
    except FatalError as error:
        kept.error = error
        raise
    except Exception as error:
        if kept.catch:
            raise
        kept.error = error
        raise FatalError(f"{type(error).__name__}: {error}") from error
    trial = current_trial()
    if trial is not None:
        kept.results[trial.number] = result
    return result


def by_keyword(fn: Callable[..., Any]) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function of a dict that calls `fn` with its items as arguments."""

    def called(point: Mapping[str, Any]) -> Any:
        return fn(**point)

    called.__name__, called.__qualname__ = fn.__name__, fn.__qualname__
    called.__module__ = fn.__module__
    return called
