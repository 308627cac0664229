"""The metric being tuned: the only code that compares values or handles NaN."""

import contextlib
import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, SupportsFloat, TypeAlias, cast

from manyfit._redact import redact, redact_value
from manyfit.errors import ArgumentError, MetricError, UndefinedMetricError

# Hyperopt's status of a failed trial.
_FAILED = "fail"
# The length of a note, in characters: of a string, and of the repr of anything else.
_MOST_TEXT = 1000
_MOST_REPR = 200

Direction: TypeAlias = Literal["minimize", "maximize"]

# Words in a metric's name that suggest its direction. They are only used for a warning. A loss may
# be negative, as that of a density is; an error can't.
_ERRORS = ("error", "mse", "rmse", "mae", "mape", "smape", "mase", "perplexity", "logloss", "brier")
_LOSSES = ("loss", *_ERRORS)
_GAINS = ("accuracy", "acc", "auc", "f1", "r2", "precision", "recall", "score", "ndcg", "map")
# Names of reversed metrics, of differences and deviations, of scores that are better when smaller,
# and of times, such as the score_time of scikit-learn.
_UNCLEAR = re.compile(
    r"(-|(1|one)\s*[-_]|inver)|"
    r"(.*[-_])?(gap|drop|diff(erence)?|delta|anomaly|crps|bouldin|time|"
    r"std(v|ev|dev)?|sd|sem|var)([-_]|$)"
)
_NEGATED = ("neg", "negative", "minus")


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric that a study tunes, and whether smaller or larger values are better.

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
        """Return a value as a loss, where smaller is better; NaN becomes +inf, the worst."""
        if math.isnan(value):
            return math.inf
        return value if self.direction == "minimize" else -value

    def is_better(self, value: float, than: float) -> bool:
        """Return whether `value` strictly beats `than`; every number beats NaN."""
        return self.loss(value) < self.loss(than)

    def best(self, values: Iterable[float]) -> float:
        """Return the best of one or more values; NaN only if all are NaN."""
        return min(values, key=self.loss)

    def check(self, value: object) -> float:
        """Return a value of this metric as a finite float.

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
        """Return the metrics in what an objective returned: a number or a mapping.

        Metrics other than the tuned one may be NaN or infinite. Values that aren't numbers are left
        out: see `notes_in`.

        Raises:
            UndefinedMetricError: The tuned metric is NaN or infinite, or the objective returned
                Hyperopt's status for a failure: `{"status": "fail"}`.
            MetricError: The tuned metric is missing, or isn't a number.
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
            if type(value) is float:
                metrics[str(name)] = value
                continue
            with contextlib.suppress(MetricError):
                metrics[str(name)] = to_number(str(name), value)
        metrics[self.name] = self.check(returned[self.name])
        return metrics

    def suspicion(self, value: float | None = None) -> str | None:
        """Return a warning if the direction looks wrong for the name or the first value."""
        usual, words = usual_direction(self.name), _words(self.name)
        is_loss, is_gain = usual == "minimize", usual == "maximize"
        is_error = is_loss and not words.isdisjoint(_ERRORS)
        if self.direction == "minimize" and is_gain:
            return f"{self.name} is usually better when larger, but it is being minimized"
        if self.direction == "maximize" and is_loss and (value is None or value > 0):
            return f"{self.name} is usually better when smaller, but it is being maximized"
        if self.direction == "minimize" and is_error and value is not None and value < 0:
            return (
                f"{self.name} is negative ({value:g}), and it is being minimized, which finds the "
                "largest error if this is an error with its sign changed, as scikit-learn's scores "
                "are. Return it without the sign"
            )
        return None


def usual_direction(name: str) -> Direction | None:
    """Return the direction that a metric's name suggests; None if it suggests neither.

    Example:
        >>> [usual_direction(name) for name in ("val_loss", "accuracy", "score_error", "seconds")]
        ['minimize', 'maximize', 'minimize', None]
        >>> usual_direction("neg_root_mean_squared_error")  # of scikit-learn
        'maximize'
        >>> usual_direction("1-accuracy") is usual_direction("accuracy_std") is None
        True
    """
    words = _words(name)
    if _UNCLEAR.match(name.lower()):
        return None
    if not words.isdisjoint(_NEGATED):  # a "neg_loss" may also be that of negative examples
        return None if words.isdisjoint(_ERRORS) else "maximize"
    if not words.isdisjoint(_LOSSES):
        return "minimize"
    return None if words.isdisjoint(_GAINS) else "maximize"


def _words(name: str) -> set[str]:
    return set(name.lower().replace("-", "_").split("_"))


def notes_in(returned: object, metrics: Mapping[str, float]) -> dict[str, str]:
    """Return the values that an objective returned besides its metrics, as short strings.

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
    """Return a metric as a float: a Python or NumPy number, or a zero-dimensional array or tensor.

    Raises:
        MetricError: `value` is a string, a collection (even of one item), too large, or anything
            else that `float` refuses.
    """
    # `float` accepts some of these, but they hide a bug in the objective.
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
        step: The step, as given.
        metrics: The metrics, as given.
        after: The step of the previous report; -1 before the first.

    Raises:
        MetricError: The step isn't a whole number of at least 0 or doesn't rise, there are no
            metrics, or one of them isn't a number.
    """
    number = _to_step(step)
    if number <= after:
        raise MetricError(
            f"step {number} was reported after step {after}. Steps must rise: report once per "
            "step, with all its metrics"
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
    shown = " ".join(_text_of(value).split())  # on one line: the text of a table has many
    return f"{name} must be a number, but got {shown:.200} of type {type(value).__name__}"
