"""Functions for `early_stop_fn`."""

from collections.abc import Callable
from typing import Any

from manyfit.hyperopt.base import Trials

__all__ = ["no_progress_loss"]

_Verdict = tuple[bool, list[Any]]


def no_progress_loss(
    iteration_stop_count: int = 20, percent_increase: float = 0.0
) -> Callable[..., _Verdict]:
    """Return a function that ends the search after some trials in a row without progress.

    A trial without a loss, because it failed or was pruned, is one without progress.

    Args:
        iteration_stop_count: The number of trials.
        percent_increase: By how much a loss must be below the best so far to be progress, in
            percent of that.
    """

    def stop_fn(
        trials: Trials, best_loss: float | None = None, iteration_no_progress: int = 0
    ) -> _Verdict:
        new_loss = trials.trials[-1]["result"].get("loss")
        if best_loss is None:
            return False, [new_loss, 1]
        least = best_loss - abs(best_loss * (percent_increase / 100.0))
        if new_loss is not None and new_loss < least:
            return iteration_stop_count <= 0, [new_loss, 0]
        count = iteration_no_progress + 1
        return count >= iteration_stop_count, [best_loss, count]

    return stop_fn
