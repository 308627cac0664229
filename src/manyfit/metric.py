"""The metric being tuned: the only code that compares scores or meets NaN."""

import contextlib
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, SupportsFloat, TypeAlias, cast

from manyfit._redact import redact, redact_value
from manyfit.errors import ArgumentError, MetricError, UndefinedMetricError

# What Hyperopt calls a trial that failed.
_FAILED = "fail"
# Characters of a note: of a text, and of what stands for something else.
_MOST_TEXT = 1000
_MOST_REPR = 200

Direction: TypeAlias = Literal["minimize", "maximize"]

# Words that say which way a metric is good. Only used to ask "did you mean the other direction?".
_LOSSES = ("loss", "error", "mse", "rmse", "mae", "mape", "smape", "mase", "perplexity", "logloss")
_GAINS = ("accuracy", "acc", "auc", "f1", "r2", "precision", "recall", "score", "ndcg", "map")


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric a study tunes, and whether small or large is good.

    Args:
        name: The key under which the objective returns and reports it.
        direction: `"minimize"` or `"maximize"`.

    Example:
        >>> Metric("val_loss", "minimize").best([0.3, 0.1, 0.2])
        0.1
    """

    name: str
    direction: Direction = "minimize"

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ArgumentError(f"metric must be the name of a metric, but got {self.name!r}")
        if self.direction not in ("minimize", "maximize"):
            raise ArgumentError(
                f"direction must be 'minimize' or 'maximize', but got {self.direction!r}"
            )

    def loss(self, value: float) -> float:
        """Turn a value into one where smaller is better; NaN becomes +inf, worse than all."""
        if math.isnan(value):
            return math.inf
        return value if self.direction == "minimize" else -value

    def is_better(self, value: float, than: float) -> bool:
        """Whether `value` strictly beats `than`; NaN beats nothing, and any number beats NaN."""
        return self.loss(value) < self.loss(than)

    def best(self, values: Iterable[float]) -> float:
        """Return the best of one or more values; NaN only if there is nothing else."""
        return min(values, key=self.loss)

    def check(self, value: object) -> float:
        """Return a tuned value as a finite float.

        Raises:
            UndefinedMetricError: `value` is NaN or infinite.
            MetricError: It is not a number.
        """
        number = to_number(self.name, value)
        if math.isnan(number):
            raise UndefinedMetricError(
                f"{self.name} is NaN. The model diverged or a score was undefined; "
                "a NaN never counts as a result"
            )
        if math.isinf(number):
            raise UndefinedMetricError(
                f"{self.name} is {number}. An infinity never counts as a result"
            )
        return number

    def to_metrics(self, returned: object) -> dict[str, float]:
        """Turn what an objective returned, a number or a mapping, into checked metrics.

        Metrics other than the tuned one may be NaN or infinite, and are kept as they are. What is
        no number is left out: see `notes_in`.

        Raises:
            UndefinedMetricError: The tuned metric is NaN or infinite, or the objective says, as
                Hyperopt has it, that it failed: `{"status": "fail"}`.
            MetricError: The tuned metric is missing, or no number.
        """
        if not isinstance(returned, Mapping):
            if returned is None:
                raise MetricError(
                    f"the objective returned None. Return {self.name} as a number, "
                    f"or a dict such as {{{self.name!r}: ...}}"
                )
            return {self.name: self.check(returned)}
        if self.name != "status" and str(returned.get("status")) == _FAILED:
            raise UndefinedMetricError(f"the objective returned the status {_FAILED!r}")
        if self.name not in returned:
            given = ", ".join(sorted(map(str, returned))) or "nothing"
            raise MetricError(
                f"the objective returned no {self.name!r}, the metric being tuned. "
                f"It returned: {given}"
            )
        metrics: dict[str, float] = {}
        for name, value in returned.items():
            with contextlib.suppress(MetricError):
                metrics[str(name)] = to_number(str(name), value)
        metrics[self.name] = self.check(returned[self.name])
        return metrics

    def suspicion(self, value: float | None = None) -> str | None:
        """Say so when the direction looks wrong for this metric's name, or for a first value."""
        words = self.name.lower().replace("-", "_").split("_")
        is_loss = any(word in _LOSSES for word in words)
        is_gain = any(word in _GAINS for word in words) and not is_loss
        if self.direction == "minimize" and is_gain:
            return f"{self.name} is usually better when larger, but it is being minimized"
        if self.direction == "maximize" and is_loss and (value is None or value > 0):
            return f"{self.name} is usually better when smaller, but it is being maximized"
        if self.direction == "minimize" and is_loss and value is not None and value < 0:
            return (
                f"{self.name} is negative ({value:g}), and it is being minimized. If it is a "
                "negated score, return the score as it is, with direction='maximize'"
            )
        return None


def notes_in(returned: object, metrics: Mapping[str, float]) -> dict[str, str]:
    """Return what an objective returned beside its metrics, as short texts.

    Example:
        >>> returned = {"loss": 0.5, "status": "ok", "history": [0.9, 0.5]}
        >>> notes_in(returned, Metric("loss").to_metrics(returned))
        {'status': 'ok', 'history': '[0.9, 0.5]'}
    """
    items = returned.items() if isinstance(returned, Mapping) else ()
    notes = {str(name): _note(value) for name, value in items if str(name) not in metrics}
    return {name: redact(str(redact_value(name, text))) for name, text in notes.items()}


def _note(value: object) -> str:
    return value[:_MOST_TEXT] if isinstance(value, str) else _text_of(value)[:_MOST_REPR]


def _text_of(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - it is the user's code, and no reason to lose a result
        return f"<{type(value).__name__}>"


def to_number(name: str, value: object) -> float:
    """Return a metric as a float: Python and NumPy numbers, and arrays or tensors of no dimension.

    Raises:
        MetricError: `value` is a string, a collection, even of one item, too large, or anything
            `float` refuses.
    """
    # Those that `float` takes nevertheless would hide a bug in the objective.
    if isinstance(value, str | bytes) or _has_dimensions(value):
        raise MetricError(_no_number(name, value))
    try:
        return float(cast("SupportsFloat", value))
    except (TypeError, ValueError, OverflowError) as error:
        raise MetricError(_no_number(name, value)) from error


def _has_dimensions(value: object) -> bool:
    dimensions = getattr(value, "ndim", 0)
    return isinstance(dimensions, int) and dimensions > 0


def to_report(
    step: object, metrics: Mapping[str, object], *, after: int
) -> tuple[int, dict[str, float]]:
    """Return the step and the metrics of a report.

    Args:
        step: What was given as the step.
        metrics: What was given as metrics.
        after: The step of the report before; -1 before the first.

    Raises:
        MetricError: The step is no whole number from 0 up or doesn't rise, there are no metrics, or
            one of them is no number.
    """
    number = _to_step(step)
    if number <= after:
        raise MetricError(
            f"step {number} was reported after step {after}. Steps must rise: report once a step, "
            "with all its metrics"
        )
    if not metrics:
        raise MetricError(f"report({step}) has no metrics: report({step}, loss=...)")
    return number, {str(name): to_number(str(name), value) for name, value in metrics.items()}


def _to_step(step: Any) -> int:
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)
    except TypeError as error:
        raise MetricError(f"step must be a whole number, but got {step!r:.200}") from error
    if number < 0:
        raise MetricError(f"step must be a whole number, 0 or more, but got {step!r:.200}")
    return number


def _no_number(name: str, value: object) -> str:
    shown = " ".join(_text_of(value).split())  # in one line: a table's has many
    return f"{name} must be a number, but got {shown:.200} of type {type(value).__name__}"
