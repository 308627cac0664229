"""What all callbacks have in common: the reports of a training, round by round."""

import re
import warnings
from collections.abc import Iterable

from manyfit._checks import check_number
from manyfit.errors import MetricError, TrialStopped
from manyfit.metric import to_number
from manyfit.worker.context import Context, reporting


class Rounds:
    """Reports rounds of a training to the current trial; outside of a trial, it does nothing.

    Args:
        callback: The name of the callback, for messages.
        remedy: What to do if the library doesn't compute a metric, for messages.
        first_step: The step of the library's round 0. It isn't 0 if this training continues an
            earlier one of the same trial, whose steps the library doesn't count.

    Raises:
        ArgumentError: `first_step` isn't a whole number of at least 0.
    """

    def __init__(self, callback: str, remedy: str, first_step: int) -> None:
        self._callback = callback
        self._remedy = remedy
        self._first_step = check_number("first_step", first_step, least=0, whole=True)
        self._left_out: set[str] = set()

    def report(self, number: int, metrics: Iterable[tuple[str, object]]) -> None:
        """Report the metrics of a round.

        A metric that isn't a number is left out, with a warning. After an error the trial fails,
        even if the library or the objective catches it.

        Args:
            number: The library's count of the round.
            metrics: Pairs of the library's name of a metric and its value.

        Raises:
            TrialStopped: The trial need not go on.
            MetricError: The tuned metric is missing or isn't a number, two metrics have the same
                legal name, or the step was reported before.
        """
        context = reporting()
        if context is None:
            return
        context.raise_if_stopped()
        step = self._first_step + number
        try:
            named = self._named(metrics, context.metric)
            self._check(context, step, named)
            context.report(step, named)
        except MetricError as error:
            context.refusal = error
            raise

    def refuse(self, why: str) -> None:
        """Fail the current trial, if there is one.

        Raises:
            MetricError: There is one.
        """
        context = reporting()
        if context is not None:
            context.refusal = MetricError(f"{self._callback} {why}")
            raise context.refusal

    def stops(self, number: int, metrics: Iterable[tuple[str, object]]) -> bool:
        """Report a round as `report` does, but return whether the training must end."""
        try:
            self.report(number, metrics)
        except TrialStopped:
            return True
        return False

    def _named(self, metrics: Iterable[tuple[str, object]], tuned: str | None) -> dict[str, object]:
        """Return the metrics that are numbers, under legal names."""
        named: dict[str, object] = {}
        for given, value in metrics:
            name = legal_name(given)
            if name in named:
                raise MetricError(
                    f"{self._callback}: two metrics are called {name} once each character of their "
                    "names other than a letter, a digit or _ has become _. Rename one"
                )
            if name == tuned or self._is_number(name, value):
                named[name] = value
        return named

    def _is_number(self, name: str, value: object) -> bool:
        try:
            to_number(name, value)
        except MetricError as error:
            if name not in self._left_out:
                self._left_out.add(name)
                warnings.warn(f"{self._callback} leaves out a metric: {error}", stacklevel=2)
            return False
        return True

    def _check(self, context: Context, step: int, named: dict[str, object]) -> None:
        tuned, last = context.metric, context.last_step
        if tuned is not None and tuned not in named:
            names = ", ".join(named) or "none"
            if context.is_optunas:
                raise MetricError(
                    f"{self._callback} has no use in manyfit.optuna.optimize, whose only metric is "
                    f"called {tuned!r}: the training has {names}. Use Optuna's own callback, of "
                    "the package optuna-integration, or one that calls trial.report. Or name the "
                    "metric: manyfit.tune(..., metric=...)"
                )
            raise MetricError(
                f"{self._callback} can't find {tuned!r}, the metric being tuned. The training has "
                f"{names}. Tune one of them, by metric=..., or {self._remedy}"
            )
        if step <= last:
            raise MetricError(
                f"{self._callback} would report step {step} after step {last}: this trial has "
                "trained before. If this training continues that one, give the callback "
                f"first_step={last + 1}. If they are folds, train without a callback, and "
                f"manyfit.report(fold, {tuned}=...) after each (FoldPruner)"
            )


def legal_name(name: str) -> str:
    """Return a name in which each character other than a letter, a digit or _ has become _.

    Example:
        >>> legal_name("valid_0-ndcg@3")
        'valid_0_ndcg_3'
    """
    return re.sub(r"\W", "_", name)
