"""The functions that a driver calls after each trial: those of `stop`, and `on_trial_end`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from manyfit.arguments import check_hook
from manyfit.budget import Budget
from manyfit.errors import ArgumentError
from manyfit.trial import Trial

# The result so far is a `StudyResult`, whose module imports the driver, to plan.
StopFunction: TypeAlias = Callable[[Any], Any]
OnTrialEnd: TypeAlias = Callable[[Any, Trial], object]

_RUNNING = "still running"  # the reason of the result so far


class Hooks:
    """Calls the functions, and keeps what one raises: it ends the study, and is then raised.

    Args:
        stop: Functions of the result so far, which return whether the search is over, or why.
        on_trial_end: A function of the result so far and the trial that has ended.
        result: Returns the result so far.
    """

    def __init__(
        self,
        stop: Sequence[StopFunction],
        on_trial_end: OnTrialEnd | None,
        result: Callable[[], Any],
    ) -> None:
        self._stop = stop
        self._on_trial_end = on_trial_end
        self._result = result
        self.error: Exception | None = None
        self.failure: str | None = None

    def after(self, number: int | None) -> str | None:
        """Call the functions after a trial, or at first; returns why to end the search.

        Args:
            number: The trial's number; None when a study begins or is resumed. Then only the
                functions of `stop` are called, because an earlier driver may have died before.
        """
        if self.error is not None or not (self._stop or self._on_trial_end):
            return None
        result = replace(self._result(), reason=_RUNNING)
        name = "on_trial_end"
        try:
            if number is not None and self._on_trial_end is not None:
                self._on_trial_end(result, result.trials[number])
            for function in self._stop if result.trials else ():
                name = f"the stop function {_name(function)}"
                if reason := _reason(name, function(result)):
                    return reason
        except Exception as error:  # noqa: BLE001 - it is the user's code
            self.error = error
            kind = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            when = "" if number is None else f" after trial {number}"
            self.failure = f"the driver ended with {kind}, which {name} raised{when}"
        return None

    def raise_error(self) -> None:
        """Raise what one of the functions has raised, with a note that says so."""
        if self.error is not None:
            self.error.add_note(f"{self.failure}. The trials so far are on record.")
            raise self.error


def hooks_of(budget: Budget, on_trial_end: OnTrialEnd | None, result: Callable[[], Any]) -> Hooks:
    """Return the hooks of a study; see `Hooks`.

    Raises:
        ArgumentError: A function can't be called with its arguments.
    """
    for function in budget.functions:
        check_hook("stop", function, "the result so far")
    if on_trial_end is not None:
        check_hook("on_trial_end", on_trial_end, "the result so far", "the trial that ended")
    return Hooks(budget.functions, on_trial_end, result)


def _name(function: StopFunction) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _reason(name: str, said: object) -> str | None:
    if said is None or isinstance(said, bool | np.bool_):
        return f"{name} ended the search" if said else None
    if isinstance(said, str):
        return said or None
    raise ArgumentError(
        f"{name} must return whether to end the search (True, False or None), or why, as a string, "
        f"but returned {said!r:.200}"
    )
