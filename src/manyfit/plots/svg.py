"""Draws pictures as SVG for a page of HTML, which brings the styles: no attribute has a colour."""

import html
import math
from collections.abc import Callable, Iterator, Sequence

from manyfit.plots.chart import (
    MOST_BARS,
    Band,
    Bars,
    Cells,
    Chart,
    Dots,
    Line,
    Mark,
    Panel,
    Words,
    labels,
    on_one_line,
)
from manyfit.plots.pixels import Scale, ends

# In pixels of the drawing.
_WIDTH, _WIDE, _NARROW = 560, 1140, 360
_LETTER = 6.9  # the width of a letter of an axis
_TOP, _RIGHT, _BELOW, _TITLE = 10, 12, 42, 16
_MOST_TICK = 22  # letters
_SLANTED = 110
_UNDER_WORDS = 0.6  # the opacity of cells, so that words in them can be read


def drawn(chart: Chart) -> str:
    """Return a picture as a `<figure>`; without panels, as a sentence.

    Example:
        >>> drawn(Chart("x", "A <title>", "Nothing."))[:65]
        '<figure class="chart" id="x"><figcaption><h3>A &lt;title&gt;</h3>'
    """
    name, title, note = map(escaped, (chart.name, chart.title, chart.note))
    caption = f"<figcaption><h3>{title}</h3><p>{note}</p></figcaption>"
    if not chart.panels:
        return f'<figure class="chart" id="{name}">{caption}</figure>'
    several = len(chart.panels) > 1
    width = _NARROW if several else _WIDE if chart.wide else _WIDTH
    pictures = [
        _Drawing(f"{chart.name}-{place}", panel, width, chart.height).svg(
            f"{chart.title}{f', {panel.title}' if panel.title else ''}: {chart.note}"
        )
        for place, panel in enumerate(chart.panels)
    ]
    kind = "panels" if several else "stretch" if chart.wide else "one"
    legend = _legend(chart)
    return (
        f'<figure class="chart {"wide" if chart.wide else ""}" id="{name}">{caption}{legend}'
        f'<div class="{kind}">{"".join(pictures)}</div></figure>'
    )


def escaped(text: str) -> str:
    """Return text for HTML, inside and outside of quotes."""
    return html.escape(text, quote=True)


def _legend(chart: Chart) -> str:
    found = labels(mark for panel in chart.panels for mark in panel.marks)
    if len(found) < 2:
        return ""
    items = [
        f'<li><svg width="18" height="12" viewBox="0 0 18 12" aria-hidden="true">{_swatch(mark)}'
        f"</svg>{escaped(label)}</li>"
        for label, mark in found
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _swatch(mark: Mark) -> str:
    match mark:
        case Dots():
            return f'<g class="{mark.role}">{_symbols(mark, [9.0], [6.0])}</g>'
        case Line():
            dash = " dashed" if mark.dashed else ""
            return f'<path class="{mark.role} line{dash}" d="M0 6H18"/>'
        case Band():
            return (
                f'<rect class="{mark.role} area" opacity="{mark.strength}" width="18" height="12"/>'
            )
        case Bars():
            return f'<rect class="{mark.role} area" x="3" width="12" height="12"/>'
        case _:
            return ""


class _Drawing:
    """One panel as SVG."""

    def __init__(self, name: str, panel: Panel, width: int, height: int) -> None:
        self._name = name
        self._panel = panel
        self._size = width, height
        self._x = Scale(panel.x, *ends(panel, panel.x, 0))
        self._y = Scale(panel.y, *ends(panel, panel.y, 1))
        widest = max((len(_cut(text)) for _, text in self._y.ticks), default=0)
        title = _TITLE if panel.y.title else 0
        self._x.start = 8 + title + min(_LETTER * widest, 0.4 * width)
        self._x.end = width - _RIGHT
        self._slanted = self._needs_slant()
        if self._slanted:  # room to the left, for the label of the first tick
            self._x.start = max(self._x.start, _SLANTED)
        below = _BELOW - (0 if panel.x.title else 12) + (44 if self._slanted else 0)
        self._y.start, self._y.end = height - below, _TOP + (_TITLE if panel.title else 0)

    def _needs_slant(self) -> bool:
        ticks = self._x.ticks
        widest = max((len(_cut(text)) for _, text in ticks), default=0)
        room = (self._x.end - self._x.start) / max(len(ticks), 1)
        return _LETTER * (widest + 1) > room and bool(self._panel.x.ticks)

    def svg(self, alt: str) -> str:
        width, height = self._size
        left, top = min(self._x.start, self._x.end), min(self._y.start, self._y.end)
        area = f'x="{left:.1f}" y="{top:.1f}" width="{abs(self._x.end - self._x.start):.1f}" '
        area += f'height="{abs(self._y.end - self._y.start):.1f}"'
        clip = f'<clipPath id="clip-{escaped(self._name)}"><rect {area}/></clipPath>'
        marks = "".join(self._mark(mark) for mark in self._panel.marks)
        return (
            f'<svg viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escaped(alt)}">{clip}{self._axes()}'
            f'<g clip-path="url(#clip-{escaped(self._name)})">{marks}</g></svg>'
        )

    # ── axes ──────────────────────────────────────────────────────────────────────────────────

    def _axes(self) -> str:
        x, y, panel = self._x, self._y, self._panel
        parts = [*self._x_ticks(), *self._y_ticks()]
        parts.append(f'<path class="axis" d="M{x.start:.1f} {y.start:.1f}H{x.end:.1f}"/>')
        if panel.x.title:
            middle = (x.start + x.end) / 2
            parts.append(_text(middle, self._size[1] - 4, panel.x.title, "middle", "title"))
        if panel.y.title:
            middle = (y.start + y.end) / 2
            turn = f' transform="rotate(-90 10 {middle:.1f})"'
            parts.append(_text(10, middle, panel.y.title, "middle", "title", turn=turn))
        if panel.title:
            parts.append(_text(x.start, 12, panel.title, "start", "name"))
        return "".join(parts)

    def _x_ticks(self) -> Iterator[str]:
        at = self._y.start
        for value, label in _thinned(self._x, _LETTER * 1.4, slanted=self._slanted):
            place = self._x(value)
            if self._panel.x.grid:
                yield f'<path class="grid" d="M{place:.1f} {at:.1f}V{self._y.end:.1f}"/>'
            if self._slanted:
                turn = f' transform="rotate(-35 {place:.1f} {at + 12:.1f})"'
                turned = math.radians(35)  # the label ends before the left and the lower edge
                room = min(place / math.cos(turned), (self._size[1] - at - 18) / math.sin(turned))
                shown = on_one_line(_cut(label), max(4, int(room / _LETTER)))
                yield _text(place, at + 12, shown, "end", "tick", turn=turn)
            else:
                half = _LETTER * len(_cut(label)) / 2
                inside = max(half, min(place, self._size[0] - half))
                yield _text(inside, at + 15, _cut(label), "middle", "tick")

    def _y_ticks(self) -> Iterator[str]:
        for value, label in self._y.ticks:
            place = self._y(value)
            if self._panel.y.grid:
                yield f'<path class="grid" d="M{self._x.start:.1f} {place:.1f}H{self._x.end:.1f}"/>'
            yield _text(self._x.start - 5, place + 3.5, _cut(label), "end", "tick")

    # ── marks ─────────────────────────────────────────────────────────────────────────────────

    def _mark(self, mark: Mark) -> str:
        match mark:
            case Dots():
                return self._dots(mark)
            case Line():
                return self._line(mark)
            case Band():
                return self._band(mark)
            case Bars():
                return self._bars(mark)
            case Cells():
                return self._cells(mark)
            case Words():
                return "".join(
                    _text(self._x(x) + 3, self._y(y) + 3, text, "start", "tick halo")
                    for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True)
                )

    def _dots(self, mark: Dots) -> str:
        known = [
            n
            for n, pair in enumerate(zip(mark.x, mark.y, strict=True))
            if not any(map(math.isnan, pair))
        ]
        x, y = [self._x(mark.x[n]) for n in known], [self._y(mark.y[n]) for n in known]
        keys = " ".join(str(mark.keys[n]) for n in known) if mark.keys else ""
        return f'<g class="{mark.role}" data-keys="{keys}">{_symbols(mark, x, y)}</g>'

    def _line(self, mark: Line) -> str:
        dash = " dashed" if mark.dashed else ""
        path = self._path(mark.x, mark.y, step=mark.step)
        return (
            f'<path class="{mark.role} line{dash}" opacity="{mark.strength:.2f}" d="{path}">'
            f"{_tip(mark.text)}</path>"
        )

    def _path(self, xs: Sequence[float], ys: Sequence[float], *, step: bool = False) -> str:
        parts, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if math.isnan(x) or not math.isfinite(y):
                pen = "M"
                continue
            left, up = self._x(x), self._y(y)
            parts.append(
                f"H{left:.1f}V{up:.1f}" if step and pen == "L" else f"{pen}{left:.1f} {up:.1f}"
            )
            pen = "L"
        return "".join(parts)

    def _band(self, mark: Band) -> str:
        there = self._path(mark.x, mark.high)
        back = self._path(list(mark.x)[::-1], list(mark.low)[::-1]).replace("M", "L", 1)
        return f'<path class="{mark.role} area" opacity="{mark.strength:.2f}" d="{there}{back}Z"/>'

    def _bars(self, mark: Bars) -> str:
        boxes = [self._box(mark, n) for n in range(len(mark.places))]
        if len(boxes) > MOST_BARS:
            path = "".join(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}z" for x, y, w, h in boxes)
            drawn = f'<path class="{mark.role} area" d="{path}"/>'
        else:
            drawn = "".join(
                f'<rect class="{mark.role} area" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" '
                f'height="{h:.1f}">{_tip(mark.tell(place) if mark.tell else "")}</rect>'
                for place, (x, y, w, h) in enumerate(boxes)
                if w > 0 and h > 0
            )
        return drawn + "".join(map(self._whisker(mark), mark.places, mark.spans))

    def _box(self, mark: Bars, n: int) -> tuple[float, float, float, float]:
        """Return a bar's left and upper ends, its width and its height."""
        along, beside = (self._x, self._y) if mark.across else (self._y, self._x)
        base = mark.base[n] if mark.base else 0.0
        one, two = sorted((along(base), along(base + mark.lengths[n])))
        half = mark.width / 2
        low, high = sorted((beside(mark.places[n] - half), beside(mark.places[n] + half)))
        sizes = two - one, high - low
        return (one, low, *sizes) if mark.across else (low, one, *sizes[::-1])

    def _whisker(self, mark: Bars) -> Callable[[float, tuple[float, float]], str]:
        def drawn(place: float, span: tuple[float, float]) -> str:
            along, beside = (self._x, self._y) if mark.across else (self._y, self._x)
            at, (low, high) = beside(place), (along(each) for each in span)
            line = (
                f"M{low:.1f} {at:.1f}H{high:.1f}"
                if mark.across
                else f"M{at:.1f} {low:.1f}V{high:.1f}"
            )
            return f'<path class="whisker" d="{line}"/>'

        return drawn

    def _cells(self, mark: Cells) -> str:
        width, height = self._cell_sizes(mark)
        parts = []
        for row, y in enumerate(mark.y):
            for column, x in enumerate(mark.x):
                strength = mark.strengths[row][column] * (_UNDER_WORDS if mark.words else 1.0)
                if math.isnan(strength):
                    continue
                role = mark.role if strength >= 0 else mark.against
                left, up = self._x(x) - width / 2, self._y(y) - height / 2
                tip = _tip(mark.texts[row][column]) if mark.texts else ""
                parts.append(
                    f'<rect class="{role} area" opacity="{abs(strength):.2f}" x="{left:.1f}" '
                    f'y="{up:.1f}" width="{width + 0.3:.1f}" height="{height + 0.3:.1f}">'
                    f"{tip}</rect>"
                )
                if mark.words:
                    word = mark.words[row][column]
                    parts.append(
                        _text(left + width / 2, up + height / 2 + 4, word, "middle", "word")
                    )
        return "".join(parts)

    def _cell_sizes(self, mark: Cells) -> tuple[float, float]:
        x, y = mark.x, mark.y
        steps = [each[1] - each[0] if len(each) > 1 else 1.0 for each in (x, y)]
        return (
            abs(self._x(x[0] + steps[0]) - self._x(x[0])),
            abs(self._y(y[0] + steps[1]) - self._y(y[0])),
        )


def _thinned(scale: Scale, gap: float, *, slanted: bool) -> list[tuple[float, str]]:
    """Return the ticks that have room for their labels."""
    kept: list[tuple[float, str]] = []
    reached = -math.inf
    for value, label in sorted(scale.ticks, key=lambda tick: scale(tick[0])):
        half = 0.0 if slanted else _LETTER * len(_cut(label)) / 2
        if scale(value) - half >= reached + (gap if not slanted else 6.0) or not kept:
            kept.append((value, label))
            reached = scale(value) + half
    return kept


def _symbols(mark: Dots, x: Sequence[float], y: Sequence[float]) -> str:
    """Return all dots as one path, which is smaller and faster than an element for each."""
    match mark.symbol:
        case "circle":
            path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))
            return f'<path class="dots" d="{path}"/>'
        case "cross":
            path = "".join(
                f"M{a - 3:.1f} {b - 3:.1f}l6 6m0-6l-6 6" for a, b in zip(x, y, strict=True)
            )
            return f'<path class="crosses" d="{path}"/>'
        case "diamond":
            path = "".join(
                f"M{a:.1f} {b - 7:.1f}l6 7l-6 7l-6-7z" for a, b in zip(x, y, strict=True)
            )
            return f'<path class="diamonds" d="{path}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str, *, turn: str = "") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>'
        f"{escaped(on_one_line(text, 80))}</text>"
    )


def _tip(text: str) -> str:
    return f"<title>{escaped(text)}</title>" if text else ""


def _cut(label: str) -> str:
    return on_one_line(label, _MOST_TICK)
