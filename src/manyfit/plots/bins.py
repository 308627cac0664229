"""Histograms of the params that groups chose, on the scale on which a param is searched."""

import itertools
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit._redact import redact_value
from manyfit.choice import Domain
from manyfit.domain import Float, Int
from manyfit.plots.scales import extent

_BINS = 24
# A param with at most this many values has a bar for each.
_FEW = 24
_STEPS = (1, 2, 5)  # ticks within a decade, on a log axis that spans few decades


@dataclass(frozen=True, slots=True)
class Histogram:
    """The bars of one param.

    Attributes:
        centers: Their positions; on a log axis these are exponents of 10.
        widths: Their widths.
        counts: The number of groups of each.
        names: The value or range of each.
        ticks: Positions on the axis and their labels; empty for plain numbers.
    """

    centers: Sequence[float]
    widths: Sequence[float]
    counts: Sequence[int]
    names: Sequence[str]
    ticks: tuple[tuple[float, str], ...] = ()


def histogram(domain: Domain, values: Sequence[Any], name: str = "") -> Histogram:
    """Return the bars of stored values of a param; options that no group chose have an empty bar.

    Values outside the domain, because the space has changed, are left out. Options of a param whose
    name is that of a credential are hidden.

    Example:
        >>> from manyfit.space import Choice, Float
        >>> histogram(Choice(["a", "b"]), ["b", "b"]).counts
        [0, 2]
        >>> logarithmic = histogram(Float(0.01, 1.0, log=True), [0.01, 1.0])
        >>> logarithmic.ticks
        ((-2.0, '0.01'), (-1.0, '0.1'), (0.0, '1'))
    """
    values = [value for value in values if domain.contains(value)]
    if not isinstance(domain, Float | Int) or (domain.size is not None and domain.size <= _FEW):
        return _by_value(domain, values, name)
    low, high, log = extent(domain)
    data = np.array(values, dtype=np.float64)
    if log:
        low, high, data = math.log10(low), math.log10(high), np.log10(np.maximum(data, low))
    edges = _edges(low, high, whole=isinstance(domain, Int) and not log)
    counts, _ = np.histogram(np.clip(data, edges[0], edges[-1]), edges)
    ends = 10.0**edges if log else edges
    return Histogram(
        ((edges[:-1] + edges[1:]) / 2).tolist(),
        np.diff(edges).tolist(),
        counts.tolist(),
        [f"{a:.3g} to {b:.3g}" for a, b in itertools.pairwise(ends)],
        log_ticks(low, high) if log else (),
    )


def _by_value(domain: Domain, values: Sequence[Any], name: str) -> Histogram:
    options = list(domain.labels if not isinstance(domain, Float | Int) else domain.values())
    names = [_name(redact_value(name, option)) for option in options]
    places = [float(place) for place in range(len(options))]
    chosen = Counter(map(json.dumps, values))  # 1, True and "1" are three options
    counts = [chosen[json.dumps(option)] for option in options]
    return Histogram(
        places, [0.8] * len(options), counts, names, tuple(zip(places, names, strict=True))
    )


def _name(option: Any) -> str:
    """Return an option as a short string."""
    return f"{option:g}" if isinstance(option, float) else str(option)


def _edges(low: float, high: float, *, whole: bool) -> NDArray[np.float64]:
    """Return the edges of bins; for whole numbers, these lie between two of them."""
    if not whole:
        return np.linspace(low, high, _BINS + 1)
    width = math.ceil((high - low + 1) / _BINS)
    return np.arange(low - 0.5, high + width, width, dtype=np.float64)


def log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return ticks of an axis from `10**low` to `10**high`: exponents and labels.

    Example:
        >>> log_ticks(0.0, 1.0)
        ((0.0, '1'), (0.30103, '2'), (0.69897, '5'), (1.0, '10'))
    """
    steps = _STEPS if high - low < 2 else (1,)
    every = max(1, math.ceil((high - low) / 6))
    ticks = []
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        for step in steps if exponent % every == 0 else ():
            place = round(exponent + math.log10(step), 5)
            if low - 1e-9 <= place <= high + 1e-9:
                ticks.append((place, f"{step * 10.0**exponent:g}"))
    return tuple(ticks)
