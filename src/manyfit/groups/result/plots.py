"""Pictures of tuned groups: gains, best params, the slowest groups, and where groups stand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit._redact import redact
from manyfit.errors import ArgumentError
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL
from manyfit.groups.result.summary import numbers
from manyfit.groups.result.table import TunedGroups, keys_of, label, stored_params
from manyfit.plots.bins import Histogram, histogram
from manyfit.plots.chart import Axis, Band, Bars, Chart, Dots, Line, Mark, Panel, Role, Words
from manyfit.plots.chart import on_one_line as cut
from manyfit.trackers.progress import counted, duration, number

# With more bars, each is narrower than a pixel: an area is drawn instead, of at most this many
# points.
_MOST_BARS = 1500
_MOST_POINTS = 3000
_MOST_NAMED = 40  # bars with their keys below
_MOST_MARKS = 400
# Gains that are this many times larger than the 90 % quantile would flatten the others: the axis
# is cut off.
_TOWERING = 4.0
_LONGEST = 30


def gains(result: TunedGroups) -> Chart:
    """Return each group's gain over its baseline, sorted; then the groups without."""
    data = numbers(result.rows, "gain")
    known = np.flatnonzero(np.isfinite(data))
    order = known[np.argsort(-data[known], kind="stable")]
    view = _view(data[order])
    title = f"Gain over the baseline in {result.metric.name}"
    note = _gain_words(data[order], view, result.metric.direction)
    if not result.rows.num_rows:
        return Chart("gains", title, note, wide=True)
    better = int((data[order] > 0).sum())
    marks = [
        *_gained(result, data, order[:better], 1, "better"),
        *_gained(result, data, order[better:], better + 1, "not better"),
    ]
    rest = _without_gain(result, data, len(order) + 1)
    marks += [mark for mark, _ in rest]
    count = result.rows.num_rows
    if len(order):
        median = float(np.median(data[order]))
        marks.append(Line([0.3, count + 0.7], [median] * 2, "quiet", "median", dashed=True))
        note += f"; the median gain is {median:.3g}"
    ticks = _keys(result, np.concatenate([order, *(some for _, some in rest)]))
    x = Axis("" if ticks else "groups, by gain", ticks=ticks, ends=(0.3, count + 0.7), grid=False)
    panel = Panel(marks, x, Axis("gain", ends=view))
    return Chart("gains", title, note, [panel], wide=True, height=340)


def params(result: TunedGroups, name: str | None = None) -> Chart:
    """Return the distribution of the best params over groups, one panel per param."""
    domains = result.space.params
    if name is not None and name not in domains:
        raise ArgumentError(f"there is no param {name!r}: the space has {', '.join(domains)}")
    names = list(domains) if name is None else [name]
    found = [each for each in stored_params(result.rows) if each is not None]
    if not found:
        return Chart("params", "Best params", "no group has any", wide=True)
    panels = []
    for each in names:
        values = [params[each] for params in found if each in params]
        active = "" if len(values) == len(found) else f", active in {len(values):,}"
        panels.append(_panel(histogram(domains[each], values, each), f"{each}{active}"))
    note = f"of {counted_groups(len(found))}"
    return Chart("params", "Best params", note, panels, wide=True, height=230)


def slowest(result: TunedGroups, n: int = 20) -> Chart:
    """Return the slowest groups: time in the user's functions, and other time."""
    rows, title = result.rows, "The slowest groups"
    seconds, fits = numbers(rows, "seconds"), numbers(rows, "fit_seconds")
    order = np.argsort(-seconds, kind="stable")[: max(1, n)]
    total = float(seconds.sum())
    share = f"{seconds[order].sum() / total:.0%} of all worker time" if total else "no time at all"
    note = f"{len(order)} of {counted_groups(rows.num_rows)} took {share} ({duration(total)})"
    if not rows.num_rows:
        return Chart("slowest", title, note)
    places = [float(place) for place in range(len(order))]
    tell = _Telling(result, order)
    fit, other = fits[order], np.maximum(seconds[order] - fits[order], 0.0)
    marks: list[Mark] = [
        Bars(places, fit.tolist(), "complete", "in your functions", tell, across=True),
        Bars(
            places, other.tolist(), "quiet", "everything else", tell, base=fit.tolist(), across=True
        ),
        Words((fit + other).tolist(), places, [f" {duration(float(s))}" for s in seconds[order]]),
    ]
    ticks = tuple(zip(places, _labels(result, order), strict=True))
    y = Axis("", ticks=ticks, ends=(len(order) - 0.5, -0.5), grid=False)
    x = Axis("seconds", ends=(0.0, 1.15 * max(float((fit + other).max()), 1e-9)))
    return Chart("slowest", title, note, [Panel(marks, x, y)], height=90 + 24 * len(order))


def counted_groups(count: int) -> str:
    """Return a count of groups, as in `1 group` and `2,000 groups`."""
    return counted(count, "group") if count < 1000 else f"{count:,} groups"


# ── gains ─────────────────────────────────────────────────────────────────────────────────────


def _gain_words(data: NDArray[np.float64], view: Sequence[float], direction: str) -> str:
    if not len(data):
        return "no group has a gain"
    better, hidden = int((data > 0).sum()), int(((data < view[0]) | (data > view[1])).sum())
    words = f"{better:,} of {counted_groups(len(data))} did better ({better / len(data):.0%})"
    words += "; lower is better" if direction == "minimize" else "; higher is better"
    return f"{words}; {hidden:,} beyond the axis" if hidden else words


def _gained(
    result: TunedGroups, data: Any, some: NDArray[np.intp], begin: int, word: str
) -> list[Mark]:
    if not len(some):
        return []
    role: Role = "complete" if word == "better" else "pruned"
    title = f"{word} than the baseline: {len(some):,}"
    places = np.arange(begin, begin + len(some))
    if result.rows.num_rows <= _MOST_BARS:
        width = 1.0 if result.rows.num_rows > _MOST_NAMED else 0.72
        tell = _Telling(result, some)
        return [Bars(places.tolist(), data[some].tolist(), role, title, tell, width=width)]
    kept = np.unique(np.linspace(0, len(some) - 1, _MOST_POINTS).astype(int))
    heights = data[some][kept].tolist()
    return [Band(places[kept].tolist(), [0.0] * len(kept), heights, role, title, strength=1.0)]


def _without_gain(
    result: TunedGroups, data: NDArray[np.float64], begin: int
) -> list[tuple[Mark, NDArray[np.intp]]]:
    """Return the groups without a gain, as marks that follow the others."""
    states = np.array(result.rows.column("state").to_pylist(), dtype=object)
    kinds: tuple[tuple[str, str, Role], ...] = (
        (COMPLETE, "tuned, without a baseline", "best"),
        (BASELINE, "baseline only", "quiet"),
        (FAIL, "failed", "failed"),
    )
    marks: list[tuple[Mark, NDArray[np.intp]]] = []
    for state, word, role in kinds:
        some = np.flatnonzero((states == state) & ~np.isfinite(data))
        if not len(some):
            continue
        kept = some[np.unique(np.linspace(0, len(some) - 1, _MOST_MARKS).astype(int))]
        dots = Dots(
            np.linspace(begin, begin + len(some) - 1, len(kept)).tolist(),
            [0.0] * len(kept),
            role,
            f"{word}: {len(some):,}",
            keys=kept.tolist(),
            tell=_Telling(result, kept),
            symbol="cross" if state == FAIL else "circle",
        )
        marks.append((dots, some))
        begin += len(some)
    return marks


def _view(data: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of the axis: all gains, except a few that are much larger."""
    if not len(data):
        return (-1.0, 1.0)
    low, high = min(0.0, float(data.min())), max(0.0, float(data.max()))
    usual = _TOWERING * float(np.quantile(np.abs(data), 0.9))
    if usual > 0:
        low, high = max(low, -usual), min(high, usual)
    margin = 0.06 * (high - low) or 1.0
    return (low - margin, high + margin)


def _keys(result: TunedGroups, places: NDArray[np.intp]) -> tuple[tuple[float, str], ...]:
    """Return the keys for the axis, if there is room for all."""
    if not 0 < len(places) <= _MOST_NAMED:
        return ()
    return tuple((float(n), text) for n, text in enumerate(_labels(result, places), start=1))


# ── params ────────────────────────────────────────────────────────────────────────────────────


def _panel(bars: Histogram, title: str) -> Panel:
    total = max(1, sum(bars.counts))

    def tell(place: int) -> str:
        count = bars.counts[place]
        return f"{bars.names[place]}\n{counted_groups(count)}, {count / total:.0%}"

    width = 0.94 * min(bars.widths)
    counts = [float(count) for count in bars.counts]
    mark = Bars(bars.centers, counts, "complete", "", tell, width=width)
    ends = (bars.centers[0] - bars.widths[0] / 2, bars.centers[-1] + bars.widths[-1] / 2)
    most = 1.05 * max(*counts, 1.0) if counts else 1.0
    y = Axis("groups", ends=(0.0, most), whole=True)
    return Panel([mark], Axis("", ticks=bars.ticks, ends=ends, grid=False), y, title)


# ── all of them ───────────────────────────────────────────────────────────────────────────────


class _Telling:
    """Tells of groups, by their places in a picture."""

    def __init__(self, result: TunedGroups, rows: NDArray[np.intp]) -> None:
        self._result = result
        self._rows = rows

    def __call__(self, place: int) -> str:
        rows = self._result.rows.slice(int(self._rows[place]), 1)
        names = ("state", "reason", "rows", "value", "baseline", "gain", "trials", "seconds")
        row = {name: rows.column(name)[0].as_py() for name in names}
        (key,) = keys_of(rows, self._result.by)
        lines = [cut(redact(label(key)), 80)]
        lines += [
            f"{name} {number(row[name])}"
            for name in ("gain", "value", "baseline")
            if row[name] is not None
        ]
        lines.append(f"{row['rows']:,} rows, {counted(row['trials'], 'trial')}")
        lines.append(duration(row["seconds"]))
        if row["reason"]:
            lines.append(cut(f"{row['state']}: {redact(row['reason'])}", 100))
        return "\n".join(lines)


def _labels(result: TunedGroups, places: Any) -> list[str]:
    keys = keys_of(result.rows.take(places), result.by)
    return [cut(redact(label(key)), _LONGEST) for key in keys]
