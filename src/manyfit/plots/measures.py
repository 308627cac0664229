"""Pictures of figures about a study: how much params matter, and how metrics go together."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from manyfit.plots.chart import Axis, Bars, Cells, Chart, Panel, on_one_line
from manyfit.plots.study import Studied, completed
from manyfit.trackers.progress import counted

_MOST_PARAMS = 20
_MOST_METRICS = 14
_FEWEST = 4  # completed trials that have two metrics


class Share(Protocol):
    """How much a param matters."""

    @property
    def params(self) -> tuple[str, ...]:
        """The param."""

    @property
    def share(self) -> float:
        """Its share of the variance."""

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""

    @property
    def high(self) -> float:
        """The upper end."""


class Importances(Protocol):
    """How much params matter."""

    @property
    def params(self) -> Sequence[Share]:
        """The share of each param, the largest first."""


def importances(study: Studied, shares: Sequence[Share]) -> Chart:
    """Return how much each param matters, with intervals.

    Args:
        study: The study.
        shares: The share of each param, the largest first; none if too few trials have completed.
    """
    title = "What matters"
    if not shares:
        return Chart("importances", title, "Too few trials have completed to tell what matters.")
    shown = shares[:_MOST_PARAMS]
    places = [float(place) for place in range(len(shown))]
    names = [" and ".join(each.params) for each in shown]
    texts = [
        f"{name}\n{each.share:.0%}, 95 % interval {each.low:.0%} to {each.high:.0%}"
        for name, each in zip(names, shown, strict=True)
    ]
    bars = Bars(
        places,
        [each.share for each in shown],
        "complete",
        "share of the variance",
        texts.__getitem__,
        width=0.6,
        across=True,
        spans=[(each.low, each.high) for each in shown],
    )
    most = max(1.0, *(each.high for each in shown))
    ticks = tuple((n / 5, f"{n / 5:.0%}") for n in range(int(5 * most) + 1))
    x = Axis(f"share of the variance of {study.metric.name}", ticks=ticks, ends=(0.0, most))
    labels = tuple((p, on_one_line(name, 28)) for p, name in zip(places, names, strict=True))
    y = Axis("", ticks=labels, ends=(len(shown) - 0.5, -0.5), grid=False)
    note = f"{names[0]} matters most: {shown[0].share:.0%} of the variance of {study.metric.name} "
    note += f"over the whole space (95 % interval {shown[0].low:.0%} to {shown[0].high:.0%}). "
    note += (
        "Params that interact share what they explain, so the bars may add up to more than 100 %."
    )
    return Chart("importances", title, note, [Panel([bars], x, y)], height=90 + 26 * len(shown))


def correlation(study: Studied) -> Chart:
    """Return the rank correlations (Spearman's) of the metrics of completed trials."""
    title, done = "Metrics together", completed(study)
    counts: dict[str, int] = {}
    for trial in done:
        for name, value in trial.metrics.items():
            counts[name] = counts.get(name, 0) + bool(np.isfinite(value))
    names = [name for name, count in counts.items() if count >= _FEWEST][:_MOST_METRICS]
    if len(names) < 2:
        note = f"It takes two metrics that {_FEWEST} completed trials have."
        return Chart("correlation", title, note)
    data = np.array([[trial.metrics.get(name, np.nan) for name in names] for trial in done])
    grid = [
        [_spearman(data[:, i], data[:, j]) for j in range(len(names))] for i in range(len(names))
    ]
    words = [["" if np.isnan(each) else f"{each:.2f}" for each in row] for row in grid]
    texts = [
        [f"{a} and {b}\n{word}" for b, word in zip(names, row, strict=True)]
        for a, row in zip(names, words, strict=True)
    ]
    places = [float(place) for place in range(len(names))]
    ticks = tuple((p, on_one_line(name, 20)) for p, name in zip(places, names, strict=True))
    x = Axis("", ticks=ticks, ends=(-0.5, len(names) - 0.5), grid=False)
    y = Axis("", ticks=ticks, ends=(len(names) - 0.5, -0.5), grid=False)
    marks = [Cells(places, places, grid, words=words, texts=texts)]
    note = (
        f"Rank correlations over {counted(len(done), 'completed trial')}: 1 if two metrics always "
    )
    note += "rise together, -1 if one falls as the other rises."
    height = 130 + 34 * len(names)
    return Chart("correlation", title, note, [Panel(marks, x, y)], height=height)


def _spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    known = np.isfinite(one) & np.isfinite(other)
    one, other = one[known], other[known]
    if len(one) < _FEWEST or (one == one[0]).all() or (other == other[0]).all():
        return float("nan")
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks; equal values share their middle rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])
