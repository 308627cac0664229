"""Axes of values and of params: linear, logarithmic, or one place per option."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from manyfit._redact import redact_value
from manyfit.choice import Choice, Domain
from manyfit.domain import Float, Int
from manyfit.metric import Metric
from manyfit.plots.chart import LARGEST, Axis, on_one_line

# Positive values whose better three quarters span this ratio are on a logarithmic axis.
_SPREAD = 100.0
# Values further than this many interquartile ranges from the quartiles are beyond the axis.
_FAR = 5.0
_MARGIN = 0.05
# The share of a prior's values below those shown, and above; their ratio on a logarithmic axis.
_UNUSUAL, _WIDE = 0.001, 1000.0


def value_axis(metric: Metric, values: Sequence[float]) -> Axis:
    """Return the axis of a metric; a few values much worse than the others are beyond it.

    Example:
        >>> value_axis(Metric("loss"), [1.0, 1.1, 1.2, 1.3, 500.0]).ends[1] < 3.0
        True
        >>> value_axis(Metric("loss"), [0.001, 0.01, 0.1, 1.0]).log
        True
    """
    data = np.array([value for value in values if np.isfinite(value)]).clip(-LARGEST, LARGEST)
    if not len(data):
        return Axis(metric.name)
    if data.min() > 0 and np.quantile(data, 0.75) / _SPREAD > data.min():
        return Axis(metric.name, log=True)
    first, third = np.quantile(data, [0.25, 0.75])
    reach = _FAR * (third - first) or np.ptp(data)
    low, high = max(data.min(), first - reach), min(data.max(), third + reach)
    low, high = (low, data.max()) if metric.direction == "maximize" else (data.min(), high)
    margin = _MARGIN * (high - low) or abs(high) * _MARGIN or 1.0
    return Axis(metric.name, ends=(float(low - margin), float(high + margin)))


def within(axis: Axis, values: Sequence[float]) -> list[float]:
    """Return values, of which those beyond an axis are at its edge."""
    if axis.ends is None:
        return list(values)
    low, high = axis.ends
    return [min(max(value, low), high) for value in values]


def extent(domain: Float | Int) -> tuple[float, float, bool]:
    """Return the ends of a range, and whether it is logarithmic; with a prior, of its usual values.

    Example:
        >>> extent(Float(0.01, 1.0, log=True))
        (0.01, 1.0, True)
        >>> extent(Float.normal(0, 1))[2], extent(Float.lognormal(0, 2))[2]
        (False, True)
    """
    if domain.prior is None:
        return float(domain.low), float(domain.high), domain.log
    low, high = float(domain.decode(_UNUSUAL)), float(domain.decode(1.0 - _UNUSUAL))
    return low, max(high, low + 1e-9), low > 0.0 and high / low > _WIDE


@dataclass(frozen=True, slots=True)
class ParamScale:
    """The axis of a param, and the places of its stored values.

    Example:
        >>> scale = ParamScale("kind", Choice(["a", "b"]))
        >>> scale.place("b"), scale.axis.ticks
        (1.0, ((0.0, 'a'), (1.0, 'b')))
        >>> ParamScale("rate", Float(0.01, 1.0, log=True)).axis.log
        True
    """

    name: str
    domain: Domain

    @property
    def axis(self) -> Axis:
        """The axis."""
        if isinstance(self.domain, Choice):
            texts = [self.shown(each) for each in self.domain.labels]
            ticks = tuple((float(place), text) for place, text in enumerate(texts))
            return Axis(self.name, ticks=ticks, ends=(-0.5, len(texts) - 0.5), grid=False)
        low, high, log = extent(self.domain)
        return Axis(self.name, log=log, ends=None if self.domain.prior else (low, high))

    def place(self, value: Any) -> float:
        """Return the coordinate of a value."""
        if isinstance(self.domain, Choice):
            place = self.domain.place(value)
            return float("nan") if place is None else float(place)
        return float(value)

    def unit(self, value: Any) -> float:
        """Return where on the axis a value is, from 0 to 1."""
        if isinstance(self.domain, Choice):
            return (self.place(value) + 0.5) / len(self.domain.labels)
        return self.domain.encode(value)

    def shown(self, value: Any) -> str:
        """Return a value as a short text, without credentials."""
        text = f"{value:.4g}" if isinstance(value, float) else str(redact_value(self.name, value))
        return on_one_line(text, 24)
