"""Draws pictures as plotly figures: the only module that imports plotly."""

import html
import math
import textwrap
from typing import Any

from manyfit._optional import require
from manyfit.plots.chart import (
    COLOURS,
    Axis,
    Band,
    Bars,
    Cells,
    Chart,
    Dots,
    Line,
    Mark,
    Panel,
    Role,
    Tell,
    Words,
    on_one_line,
)
from manyfit.plots.pixels import Scale, ends

_INK, _SOFT, _GRID = "#1f2933", "#5f6b7a", "#e8ecf0"
_SYMBOLS = {"circle": "circle", "cross": "x-thin", "diamond": "diamond"}
_COLUMNS = 3
# Above and below the panels, and between two rows of them, in pixels.
_TOP, _BELOW, _BETWEEN = 120, 60, 75
# The height of a panel's title, and of a line of the note, which has no more characters than fit
# into 700 pixels.
_TITLE, _LINE, _NOTE = 26, 18, 100


def figure(chart: Chart) -> Any:
    """Return a picture as a plotly figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    subplots = require("plotly.subplots", extra="plots", purpose="a picture")
    panels = chart.panels or [Panel(())]
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    inside = rows * chart.height + (rows - 1) * _BETWEEN
    drawn = subplots.make_subplots(
        rows,
        columns,
        subplot_titles=[f"<b>{_text(panel.title)}</b>" if panel.title else "" for panel in panels],
        horizontal_spacing=0.08,
        vertical_spacing=_BETWEEN / inside if rows > 1 else 0.2,
    )
    labelled: set[str] = set()
    for place, panel in enumerate(panels):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        _draw(drawn, panel, where, labelled)
    _dress(drawn, chart, inside)
    return drawn if chart.panels else _emptied(drawn)


def _draw(drawn: Any, panel: Panel, where: dict[str, int], labelled: set[str]) -> None:
    for mark in panel.marks:
        for trace in _traces(mark):
            label = trace.name
            trace.showlegend = bool(label) and label not in labelled
            labelled.add(label or "")
            drawn.add_trace(trace, **where)
    drawn.update_xaxes(**_axis(panel, panel.x, 0), **where)
    drawn.update_yaxes(**_axis(panel, panel.y, 1), **where)


def _axis(panel: Panel, axis: Axis, which: int) -> dict[str, Any]:
    given: dict[str, Any] = {"title_text": _text(axis.title), "showgrid": axis.grid}
    ticks = axis.ticks
    if ticks:
        given["zeroline"] = False  # places of options have no zero
    if axis.log:
        given["type"] = "log"
        ticks = tuple(Scale(axis, *ends(panel, axis, which)).ticks)
    if axis.ends is not None:
        given["range"] = [math.log10(end) if axis.log else end for end in axis.ends]
    if ticks:
        given["tickvals"] = [at for at, _ in ticks]
        given["ticktext"] = [_text(on_one_line(text, 30)) for _, text in ticks]
    return given


def _traces(mark: Mark) -> list[Any]:
    match mark:
        case Dots():
            return [_dots(mark)]
        case Line():
            return [_line(mark)]
        case Band():
            return [_band(mark)]
        case Bars():
            return [_bars(mark)]
        case Cells():
            return [_cells(mark)]
        case Words():
            return [_words(mark)]


def _dots(mark: Dots) -> Any:
    colour = _colour(mark.role)
    is_thin = mark.symbol == "cross"
    return _graphs().Scatter(
        x=list(mark.x),
        y=list(mark.y),
        mode="markers",
        name=_text(mark.label),
        marker={
            "color": colour,
            "symbol": _SYMBOLS[mark.symbol],
            "size": 11 if mark.symbol == "diamond" else 6,
            "line": {"width": 1.5 if is_thin else 0, "color": colour},
        },
        **_hover(_told(mark.tell, len(mark.x))),
    )


def _line(mark: Line) -> Any:
    return _graphs().Scatter(
        x=list(mark.x),
        y=list(mark.y),
        mode="lines",
        name=_text(mark.label),
        opacity=mark.strength,
        line={
            "color": _colour(mark.role),
            "width": 2,
            "shape": "hv" if mark.step else "linear",
            "dash": "dot" if mark.dashed else "solid",
        },
        **_hover([_lines(mark.text)] * len(mark.x) if mark.text else []),
    )


def _band(mark: Band) -> Any:
    return _graphs().Scatter(
        x=[*mark.x, *reversed(mark.x)],
        y=[*mark.high, *reversed(mark.low)],
        mode="lines",
        name=_text(mark.label),
        fill="toself",
        fillcolor=_colour(mark.role),
        opacity=mark.strength,
        line={"width": 0},
        hoverinfo="skip",
    )


def _bars(mark: Bars) -> Any:
    along, beside = ("x", "y") if mark.across else ("y", "x")
    ends = [
        b + n for b, n in zip(mark.base or [0.0] * len(mark.lengths), mark.lengths, strict=True)
    ]
    given: dict[str, Any] = {along: list(mark.lengths), beside: list(mark.places)}
    if mark.spans:
        pairs = list(zip(ends, mark.spans, strict=True))
        given[f"error_{along}"] = {
            "type": "data",
            "symmetric": False,
            "array": [high - end for end, (_, high) in pairs],
            "arrayminus": [end - low for end, (low, _) in pairs],
            "color": _INK,
        }
    return _graphs().Bar(
        **given,
        base=list(mark.base) or None,
        orientation="h" if mark.across else "v",
        name=_text(mark.label),
        width=mark.width,
        marker={"color": _colour(mark.role), "line_width": 0},
        **_hover(_told(mark.tell, len(mark.places))),
    )


def _cells(mark: Cells) -> Any:
    signed = any(each < 0 for row in mark.strengths for each in row)
    low, high = _colour(mark.against), _colour(mark.role)
    scale = (
        [[0.0, low], [0.5, "#ffffff"], [1.0, high]] if signed else [[0.0, "#ffffff"], [1.0, high]]
    )
    return _graphs().Heatmap(
        x=list(mark.x),
        y=list(mark.y),
        z=[list(row) for row in mark.strengths],
        zmin=-1.0 if signed else 0.0,
        zmax=1.0,
        colorscale=scale,
        showscale=False,
        text=[[_text(word) for word in row] for row in mark.words] or None,
        texttemplate="%{text}" if mark.words else None,
        **_hover([[_lines(text) for text in row] for row in mark.texts]),
    )


def _words(mark: Words) -> Any:
    return _graphs().Scatter(
        x=list(mark.x),
        y=list(mark.y),
        mode="text",
        text=[f" {_text(text)}" for text in mark.texts],
        textposition="middle right",
        textfont={"color": _SOFT, "size": 11},
        cliponaxis=False,
        hoverinfo="skip",
    )


def _told(tell: Tell | None, count: int) -> list[str]:
    return [_lines(tell(place)) for place in range(count)] if tell else []


def _hover(texts: list[Any]) -> dict[str, Any]:
    if not texts:
        return {"hoverinfo": "skip"}
    return {"customdata": texts, "hovertemplate": "%{customdata}<extra></extra>"}


def _colour(role: Role) -> str:
    return COLOURS[role][0]


def _text(text: str) -> str:
    """Return text that plotly doesn't interpret as markup."""
    return html.escape(" ".join(text.split()), quote=False)


def _lines(text: str) -> str:
    return "<br>".join(map(_text, text.split("\n")))


def _graphs() -> Any:
    return require("plotly.graph_objects", extra="plots", purpose="a picture")


def _dress(drawn: Any, chart: Chart, inside: int) -> None:
    titles = {"size": 13, "color": _SOFT}
    note = textwrap.wrap(chart.note, _NOTE) or [""]
    above = _TITLE if any(panel.title for panel in chart.panels) else 4
    top = _TOP + above + _LINE * (len(note) - 1)
    drawn.update_layout(
        template="plotly_white",
        height=top + inside + _BELOW,
        barmode="overlay",
        title={
            "text": f"<b>{_text(chart.title)}</b>",
            "subtitle": {"text": _lines("\n".join(note)), "font": titles},
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 22},
        },
        font={"family": "Inter, Helvetica, Arial, sans-serif", "size": 13, "color": _INK},
        margin={"l": 70, "r": 30, "t": top, "b": _BELOW},
        legend={"orientation": "h", "x": 0, "y": 1.0 + above / inside, "yanchor": "bottom"},
        hoverlabel={"bgcolor": "white", "align": "left", "font": {"color": _INK}},
    )
    drawn.update_annotations(font_size=14)
    shared = {"automargin": True, "gridcolor": _GRID, "title_font": titles, "exponentformat": "e"}
    drawn.update_xaxes(zeroline=False, linecolor=_GRID, **shared)
    drawn.update_yaxes(zerolinecolor=_SOFT, zerolinewidth=1, **shared)


def _emptied(drawn: Any) -> Any:
    """Add a note that there is nothing to show."""
    drawn.update_xaxes(visible=False)
    drawn.update_yaxes(visible=False)
    drawn.add_annotation(
        text="nothing to show yet",
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 16, "color": _SOFT},
    )
    return drawn
