"""All tasks by name, in groups."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache

from benchmarks.search import failing, fits, functions, noisy, tables
from benchmarks.search.tasks import Task

Makers = Mapping[str, Callable[[], Task]]
# The groups that samplers are compared on unless others are asked for.
USUAL = ("tables", "functions", "fits")


@cache
def groups() -> Mapping[str, Makers]:
    """Return what makes each task, by group and name."""
    return {
        "tables": tables.makers(),
        "functions": functions.makers(),
        "fits": fits.makers(),
        "noisy": noisy.makers(),
        "failing": failing.makers(),
    }


def makers(words: Iterable[str] = USUAL) -> Makers:
    """Return what makes each of the tasks of some groups, or of some names."""
    every = {name: maker for group in groups().values() for name, maker in group.items()}
    names = [name for word in words for name in groups().get(word, [word])]
    return {name: every[name] for name in names}


@cache
def make(name: str) -> Task:
    """Return the task of a name."""
    return makers([name])[name]()
