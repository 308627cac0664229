"""All tasks by name: tables, then functions, then real fits."""

from collections.abc import Callable
from functools import cache

from benchmarks.search import fits, functions, tables
from benchmarks.search.tasks import Task


def makers() -> dict[str, Callable[[], Task]]:
    """Return what makes each task."""
    return {**tables.makers(), **functions.makers(), **fits.makers()}


@cache
def make(name: str) -> Task:
    """Return the task of a name."""
    return makers()[name]()
