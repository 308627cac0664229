"""Axes in a drawing: the coordinates that they span, their ticks, and their pixels."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from manyfit.plots.chart import LARGEST, Axis, Band, Bars, Mark, Panel

_TICKS = 5  # about as many on an axis


@dataclass(slots=True)
class Scale:
    """Maps coordinates of an axis to pixels."""

    axis: Axis
    low: float
    high: float
    start: float = 0.0
    end: float = 1.0

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.axis.log:
            value, low, high = (math.log10(max(each, 1 / LARGEST)) for each in (value, low, high))
        share = (value - low) / (high - low or 1.0)
        return self.start + min(max(share, -2.0), 3.0) * (self.end - self.start)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Coordinates and labels; at most a few of many given ones."""
        if self.axis.ticks:
            return list(self.axis.ticks)
        low, high = sorted((self.low, self.high))
        decades = list(_log_ticks(low, high)) if self.axis.log else []
        if len(decades) > 1:
            return decades
        return list(_round_ticks(low, high, least=1.0 if self.axis.whole else 0.0))


def _round_ticks(low: float, high: float, least: float) -> Iterator[tuple[float, str]]:
    """Yield round numbers: steps of 1, 2 or 5 times a power of 10."""
    rough = max((high - low) / _TICKS, least) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield n * step, f"{n * step:.6g}"


def _log_ticks(low: float, high: float) -> Iterator[tuple[float, str]]:
    first, last = math.log10(low), math.log10(high)
    factors = (1, 2, 5) if last - first < 2 else (1,)
    every = max(1, math.ceil((last - first) / 6))
    for exponent in range(math.floor(first), math.ceil(last) + 1):
        for factor in factors if exponent % every == 0 else ():
            if low <= (value := factor * 10.0**exponent) * (1 + 1e-9) and value <= high * (
                1 + 1e-9
            ):
                yield value, f"{value:g}"


def ends(panel: Panel, axis: Axis, which: int) -> tuple[float, float]:
    """Return the ends of an axis: its own, or those of the marks."""
    if axis.ends is not None:
        return axis.ends
    values = np.array([v for mark in panel.marks for v in _extent(mark, which)], dtype=float)
    values = values[np.isfinite(values) & ((values > 0) | (not axis.log))]
    if not len(values):
        return (0.1, 1.0) if axis.log else (0.0, 1.0)
    low, high = (float(each) for each in np.clip([values.min(), values.max()], -LARGEST, LARGEST))
    if axis.log:
        first, last = (math.log10(max(each, 1 / LARGEST)) for each in (low, high))
        margin, most = max(0.04 * (last - first), 0.02), math.log10(LARGEST)
        return 10.0 ** max(first - margin, -most), 10.0 ** min(last + margin, most)
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin


def _extent(mark: Mark, which: int) -> Sequence[float]:
    match mark:
        case Band():
            return [*mark.x] if which == 0 else [*mark.low, *mark.high]
        case Bars():
            if mark.across == (which == 1):
                return [place + side for place in mark.places for side in (-0.5, 0.5)]
            base = mark.base or [0.0] * len(mark.lengths)
            return [*base, *(b + length for b, length in zip(base, mark.lengths, strict=True))]
        case _:
            return mark.x if which == 0 else mark.y
