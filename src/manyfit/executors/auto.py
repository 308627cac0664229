"""Executors by name, and the default parallelism."""

from collections.abc import Callable

from manyfit._checks import check_optional, has_methods
from manyfit.errors import ArgumentError
from manyfit.executors.base import Executor
from manyfit.executors.inline import InlineExecutor
from manyfit.executors.processes import ProcessExecutor
from manyfit.executors.threads import ThreadExecutor
from manyfit.worker.limits import usable_cpus

_WORDS: dict[str, Callable[[int], Executor]] = {
    "inline": lambda _: InlineExecutor(),
    "processes": ProcessExecutor,
    "threads": ThreadExecutor,
}
_METHODS = ("open", "submit", "poll", "stop", "close")


def make_executor(
    executor: str | Executor,
    *,
    parallelism: int | None = None,
    cpus_per_trial: int | None = None,
    n_trials: int | None = None,
) -> Executor:
    """Return the executor that a user asked for.

    Args:
        executor: `"processes"`, `"threads"`, `"inline"`, or an `Executor`, which has its own
            parallelism.
        parallelism: The number of trials that run at once; by default the number of cores, or of a
            container's share of them, divided by `cpus_per_trial` (1 if not given), and at most
            `n_trials`.
        cpus_per_trial: The number of cores that one trial uses.
        n_trials: The number of trials.

    Raises:
        ArgumentError: `executor` is none of these, or numbers contradict each other.
    """
    parallelism = check_optional("parallelism", parallelism, least=1, whole=True)
    cpus_per_trial = check_optional("cpus_per_trial", cpus_per_trial, least=1, whole=True)
    if isinstance(executor, str) and executor in _WORDS:
        if executor == "inline" and parallelism not in (None, 1):
            raise ArgumentError(f"executor='inline' runs one trial at a time, not {parallelism}")
        wanted = parallelism or max(1, usable_cpus() // (cpus_per_trial or 1))
        return _WORDS[executor](min(wanted, n_trials or wanted))
    if isinstance(executor, str) or not has_methods(executor, *_METHODS):
        words = ", ".join(repr(word) for word in sorted(_WORDS))
        raise ArgumentError(
            f"executor must be {words} or an Executor, such as manyfit.SparkExecutor(spark) or "
            f"manyfit.DaskExecutor(client), but got {executor!r:.200}"
        )
    if parallelism not in (None, executor.parallelism):
        raise ArgumentError(
            f"parallelism={parallelism} contradicts the executor's own "
            f"{executor.parallelism}: give it to one of them"
        )
    return executor
