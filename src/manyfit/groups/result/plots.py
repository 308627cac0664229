"""Plots of tuned groups, as plotly figures: the only file that imports plotly."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyfit._optional import require
from manyfit._redact import redact
from manyfit.errors import ArgumentError
from manyfit.groups.record.row import BASELINE, COMPLETE, FAIL
from manyfit.groups.result.summary import numbers
from manyfit.groups.result.table import TunedGroups, keys_of, label, stored_params
from manyfit.plots.bins import Histogram, histogram
from manyfit.trackers.progress import counted, duration, number

# Colours that colour-blind readers can tell apart.
_BETTER, _WORSE, _KEPT, _FAILED = "#2a78b8", "#e08a1e", "#8c96a3", "#c8322b"
_INK, _SOFT, _GRID = "#1f2933", "#5f6b7a", "#e8ecf0"
# With more bars, each is narrower than a pixel: an outline is drawn instead, of at most this many
# points.
_MOST_BARS = 1500
_MOST_POINTS = 20_000
_MOST_NAMED = 40  # bars with their keys below
_MOST_MARKS = 400
# Gains that are this many times larger than the 90 % quantile would flatten the others: the axis
# is cut off.
_TOWERING = 4.0
_COLUMNS = 3
_LONGEST = 30


def gains(result: TunedGroups) -> Any:
    """Return a plot of each group's gain over its baseline, sorted; then the groups without."""
    data = numbers(result.rows, "gain")
    known = np.flatnonzero(np.isfinite(data))
    order = known[np.argsort(-data[known], kind="stable")]
    view = _view(data[order])
    figure = _figure(f"Gain over the baseline in {_text(result.metric.name)}", "")
    _subtitle(figure, _gain_words(data[order], view, result.metric.direction))
    better = int((data[order] > 0).sum())
    parts = (
        (order[:better], 1, _BETTER, "better"),
        (order[better:], better + 1, _WORSE, "not better"),
    )
    for some, begin, colour, word in parts:
        if len(some):
            places = np.arange(begin, begin + len(some))
            draw = _bars if len(order) <= _MOST_BARS else _outline
            trace = draw(result, some, places, data[some], colour)
            figure.add_trace(trace.update(name=f"{word} than the baseline: {len(some):,}"))
    rest = _without_gain(figure, result, data, len(order) + 1)
    if len(order):
        _mark_median(figure, float(np.median(data[order])), result.rows.num_rows)
    figure.update_yaxes(range=view)
    figure.update_xaxes(range=[0.3, max(result.rows.num_rows, 1) + 0.7])
    _name_groups(figure, result, np.concatenate([order, *rest]))
    return figure if result.rows.num_rows else _empty(figure)


def params(result: TunedGroups, name: str | None = None) -> Any:
    """Return a plot of the distribution of the best params over groups, one panel per param."""
    domains = result.space.params
    if name is not None and name not in domains:
        raise ArgumentError(f"there is no param {name!r}: the space has {', '.join(domains)}")
    names = list(domains) if name is None else [name]
    found = [each for each in stored_params(result.rows) if each is not None]
    if not found:
        return _empty(_figure("Best params", "no group has any"))
    columns = min(_COLUMNS, max(1, len(names)))
    lines = max(1, math.ceil(len(names) / columns))
    values = {each: [params[each] for params in found if each in params] for each in names}
    titles = [_panel_title(each, len(values[each]), len(found)) for each in names]
    figure = _panels(lines, columns, titles)
    _dress(figure, "Best params", f"of {counted_groups(len(found))}", 170 + 250 * lines)
    for place, each in enumerate(names):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        _draw_histogram(figure, histogram(domains[each], values[each], each), where)
    return figure


def slowest(result: TunedGroups, n: int = 20) -> Any:
    """Return a plot of the slowest groups: time in the user's functions, and other time."""
    rows = result.rows
    seconds, fits = numbers(rows, "seconds"), numbers(rows, "fit_seconds")
    order = np.argsort(-seconds, kind="stable")[: max(1, n)]
    total = float(seconds.sum())
    share = f"{seconds[order].sum() / total:.0%} of all worker time" if total else "no time at all"
    took = (
        f"{len(order)} of {counted_groups(result.rows.num_rows)} took {share} ({duration(total)})"
    )
    figure = _figure("The slowest groups", took)
    hovers = _hovers(result, order)
    places = list(range(len(order)))
    besides = np.maximum(seconds - fits, 0.0)
    parts = (("in your functions", fits, _BETTER), ("everything else", besides, _KEPT))
    for word, data, colour in parts:
        figure.add_bar(
            x=data[order],
            y=places,
            orientation="h",
            name=word,
            marker_color=colour,
            customdata=hovers,
            hovertemplate=f"%{{customdata}}<br>{word}: %{{x:.3g}} s<extra></extra>",
        )
    figure.add_scatter(
        x=seconds[order],
        y=places,
        mode="text",
        text=[f" {duration(each)}" for each in seconds[order]],
        textposition="middle right",
        textfont={"color": _SOFT, "size": 12},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_layout(legend_traceorder="normal", margin_r=90)
    figure.update_layout(barmode="stack", bargap=0.35, height=190 + 24 * max(len(order), 5))
    labels = _labels(result, order)
    figure.update_yaxes(
        autorange="reversed", tickvals=places, ticktext=labels, showgrid=False, zeroline=False
    )
    figure.update_xaxes(title_text="seconds", showgrid=True, rangemode="tozero")
    return figure if result.rows.num_rows else _empty(figure)


def page(result: TunedGroups) -> str:
    """Return all three plots as one self-contained HTML page."""
    figures = [gains(result), params(result), slowest(result)]
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=place == 0)
        for place, figure in enumerate(figures)
    ]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(result.name)}'
    return "\n".join([f"{head}</title>", *parts, "</html>"])


# ── gains ─────────────────────────────────────────────────────────────────────────────────────


def _gain_words(data: NDArray[np.float64], view: Sequence[float], direction: str) -> str:
    if not len(data):
        return "no group has a gain"
    better, cut = int((data > 0).sum()), int(((data < view[0]) | (data > view[1])).sum())
    words = f"{better:,} of {counted_groups(len(data))} did better ({better / len(data):.0%})"
    words += "; lower is better" if direction == "minimize" else "; higher is better"
    return f"{words}; {cut:,} beyond the axis" if cut else words


def _bars(result: TunedGroups, some: Any, places: Any, data: Any, colour: str) -> Any:
    return _graphs().Bar(
        x=places,
        y=data,
        width=1.0 if result.rows.num_rows > _MOST_NAMED else 0.72,
        marker={"color": colour, "line_width": 0},
        customdata=_hovers(result, some),
        hovertemplate="%{customdata}<extra></extra>",
    )


def _outline(result: TunedGroups, some: Any, places: Any, data: Any, colour: str) -> Any:
    kept = np.unique(np.linspace(0, len(some) - 1, _MOST_POINTS).astype(int))
    return _graphs().Scatter(
        x=places[kept],
        y=data[kept],
        mode="lines",
        fill="tozeroy",
        fillcolor=colour,
        line={"width": 1, "color": colour},
        customdata=_hovers(result, some[kept]),
        hovertemplate="%{customdata}<extra></extra>",
    )


def _without_gain(
    figure: Any, result: TunedGroups, data: NDArray[np.float64], begin: int
) -> list[Any]:
    """Add the groups without a gain after the others; returns them in that order."""
    states = np.array(result.rows.column("state").to_pylist(), dtype=object)
    kinds = (
        (COMPLETE, "tuned, without a baseline", _BETTER, "circle-open"),
        (BASELINE, "baseline only", _KEPT, "circle"),
        (FAIL, "failed", _FAILED, "x"),
    )
    found = [np.flatnonzero((states == state) & ~np.isfinite(data)) for state, *_ in kinds]
    for some, (_, word, colour, symbol) in zip(found, kinds, strict=True):
        if not len(some):
            continue
        kept = some[np.unique(np.linspace(0, len(some) - 1, _MOST_MARKS).astype(int))]
        figure.add_scatter(
            x=np.linspace(begin, begin + len(some) - 1, len(kept)),
            y=np.zeros(len(kept)),
            mode="markers",
            name=f"{word}: {len(some):,}",
            marker={"color": colour, "symbol": symbol, "size": 8 if len(data) < 100 else 5},
            customdata=_hovers(result, kept),
            hovertemplate="%{customdata}<extra></extra>",
        )
        begin += len(some)
    return found


def _mark_median(figure: Any, median: float, end: int) -> None:
    figure.add_hline(y=median, line={"color": _INK, "width": 1, "dash": "dot"})
    figure.add_annotation(
        x=end + 0.7,
        y=median,
        text=f"median {median:.3g}",
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font={"color": _INK, "size": 12},
    )


def _view(data: NDArray[np.float64]) -> list[float]:
    """Return the initial range of the axis: all gains, except a few that are much larger."""
    if not len(data):
        return [-1.0, 1.0]
    low, high = min(0.0, float(data.min())), max(0.0, float(data.max()))
    usual = _TOWERING * float(np.quantile(np.abs(data), 0.9))
    if usual > 0:
        low, high = max(low, -usual), min(high, usual)
    margin = 0.06 * (high - low) or 1.0
    return [low - margin, high + margin]


def _name_groups(figure: Any, result: TunedGroups, places: NDArray[np.intp]) -> None:
    """Label the bars with keys, if there is room for all."""
    figure.update_xaxes(showgrid=False)
    if not 0 < len(places) <= _MOST_NAMED:
        figure.update_xaxes(title_text="groups, by gain")
        return
    figure.update_xaxes(
        tickvals=list(range(1, len(places) + 1)),
        ticktext=_labels(result, places),
        tickangle=-45 if len(places) > 8 else 0,
    )


# ── params ────────────────────────────────────────────────────────────────────────────────────


def _panel_title(name: str, active: int, groups: int) -> str:
    title = f"<b>{_text(name)}</b>"
    return title if active == groups else f"{title} <i>active in {active:,}</i>"


def _panels(lines: int, columns: int, titles: Sequence[str]) -> Any:
    subplots = require("plotly.subplots", extra="plots", purpose="a picture of params")
    height = 170 + 250 * lines
    return subplots.make_subplots(
        lines,
        columns,
        subplot_titles=titles,
        horizontal_spacing=0.07,
        vertical_spacing=min(0.6, 75 / height) if lines > 1 else 0.2,
    )


def _draw_histogram(figure: Any, bars: Histogram, where: dict[str, int]) -> None:
    total = max(1, sum(bars.counts))
    shares = [f"{count / total:.0%}" for count in bars.counts]
    figure.add_bar(
        x=bars.centers,
        y=bars.counts,
        width=[0.94 * width for width in bars.widths],
        marker={"color": _BETTER, "line_width": 0},
        customdata=[[_text(name), share] for name, share in zip(bars.names, shares, strict=True)],
        hovertemplate="%{customdata[0]}<br>%{y:,} groups, %{customdata[1]}<extra></extra>",
        showlegend=False,
        **where,
    )
    low = bars.centers[0] - bars.widths[0] / 2
    high = bars.centers[-1] + bars.widths[-1] / 2
    figure.update_xaxes(range=[low, high], showgrid=False, **where)
    if bars.ticks:
        texts = [_text(_cut(text, 14)) for _, text in bars.ticks]
        figure.update_xaxes(tickvals=[at for at, _ in bars.ticks], ticktext=texts, **where)
    figure.update_yaxes(rangemode="tozero", nticks=5, **where)


# ── all of them ───────────────────────────────────────────────────────────────────────────────


def counted_groups(count: int) -> str:
    """Return a count of groups, as in `1 group` and `2,000 groups`."""
    return counted(count, "group") if count < 1000 else f"{count:,} groups"


def _hovers(result: TunedGroups, places: Any) -> list[str]:
    """Return the hover texts of groups."""
    rows = result.rows.take(places)
    names = ("state", "reason", "rows", "value", "baseline", "gain", "trials", "seconds")
    columns = [rows.column(name).to_pylist() for name in names]
    keys = keys_of(rows, result.by)
    return [
        _hover(label(key), dict(zip(names, row, strict=True)))
        for key, row in zip(keys, zip(*columns, strict=True), strict=True)
    ]


def _hover(key: str, row: dict[str, Any]) -> str:
    lines = [f"<b>{_text(_cut(key, 80))}</b>"]
    lines += [
        f"{name} {number(row[name])}"
        for name in ("gain", "value", "baseline")
        if row[name] is not None
    ]
    lines.append(f"{row['rows']:,} rows, {counted(row['trials'], 'trial')}")
    lines.append(duration(row["seconds"]))
    if row["reason"]:
        lines.append(_text(_cut(f"{row['state']}: {redact(row['reason'])}", 100)))
    return "<br>".join(lines)


def _labels(result: TunedGroups, places: Any) -> list[str]:
    keys = keys_of(result.rows.take(places), result.by)
    return [_text(_cut(label(key), _LONGEST)) for key in keys]


def _text(text: str) -> str:
    """Return text that plotly doesn't interpret as markup."""
    return html.escape(" ".join(text.split()))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _graphs() -> Any:
    return require("plotly.graph_objects", extra="plots", purpose="a picture of groups")


def _figure(title: str, subtitle: str) -> Any:
    figure = _graphs().Figure()
    _dress(figure, title, subtitle, 460)
    return figure


def _subtitle(figure: Any, text: str) -> None:
    figure.update_layout(title_subtitle_text=text)


def _dress(figure: Any, title: str, subtitle: str, height: int) -> None:
    figure.update_layout(
        template="plotly_white",
        height=height,
        title={
            "text": f"<b>{title}</b>",
            "subtitle": {"text": subtitle, "font": {"size": 13, "color": _SOFT}},
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 22},
        },
        font={"family": "Inter, Helvetica, Arial, sans-serif", "size": 13, "color": _INK},
        margin={"l": 70, "r": 30, "t": 110, "b": 60},
        legend={"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
        hoverlabel={"bgcolor": "white", "align": "left", "font": {"color": _INK}},
    )
    titles = {"size": 13, "color": _SOFT}
    figure.update_annotations(font_size=14)
    figure.update_xaxes(
        automargin=True, gridcolor=_GRID, zeroline=False, linecolor=_GRID, title_font=titles
    )
    figure.update_yaxes(automargin=True, gridcolor=_GRID, zerolinecolor=_SOFT, zerolinewidth=1)


def _empty(figure: Any) -> Any:
    """Add a note that there is nothing to show."""
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(
        text="nothing to show yet",
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 16, "color": _SOFT},
    )
    return figure
