"""Assembles a report: a page in which nothing but its own script can run.

Its policy admits one style and one script, by their digests, and no connection at all. All text is
escaped, and the data of the table are JSON in which no character can end the element.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from manyfit._redact import redact
from manyfit._text import printable
from manyfit.plots.chart import COLOURS, Chart
from manyfit.plots.svg import drawn, escaped
from manyfit.reports.table import Table

# Characters of a traceback that are kept, at its end.
_MOST_TRACEBACK = 20_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind of failure: what happened, how often and to whom, and a traceback or log."""

    reason: str
    whom: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a report, in the order in which they are shown.

    Attributes:
        name: The heading.
        lead: Sentences on what was tuned.
        counts: A role of `chart.Role`, a number and a word, for each state.
        best: A heading, a value, and sentences on how sure it is.
        params: A name, a value and a note for each; of the best.
        advice: Sentences.
        charts: The pictures.
        table: The rows.
        troubles: The kinds of failures, the most frequent first.
        facts: A title and a text for each, by which the study can be reproduced.
        refresh: The seconds after which a browser loads the page again; None for a page that is
            complete.
    """

    name: str
    lead: Sequence[str]
    counts: Sequence[tuple[str, int, str]]
    best: tuple[str, str, Sequence[str]]
    params: Sequence[tuple[str, str, str]]
    advice: Sequence[str]
    charts: Sequence[Chart]
    table: Table
    troubles: Sequence[Trouble]
    facts: Sequence[tuple[str, str]]
    refresh: float | None = None


def html_of(report: Report) -> str:
    """Return a report as HTML."""
    style, script = _palette() + _asset("style.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    again = "" if report.refresh is None else _refresh(report.refresh)
    sections = (
        _top(report),
        _section("Pictures", "pictures", _pictures(report.charts)),
        _section(report.table.title, "rows", report.table.html()),
        _section("Failures", "failures-list", _troubles(report.troubles)),
        _section("How to reproduce", "reproduce", _pairs(report.facts)),
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{said(report.name)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#rows">To the table</a>\n<main>{"".join(sections)}</main>\n'
        f'<script type="application/json" id="data">{_json(report.table)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def said(text: str) -> str:
    """Return text for the page: without credentials and control characters, escaped."""
    return escaped(printable(redact(text)))


def _asset(name: str) -> str:
    return files("manyfit.reports").joinpath(name).read_text(encoding="utf-8")


def _palette() -> str:
    light = "".join(f".{role}{{--c:{colours[0]}}}" for role, colours in COLOURS.items())
    dark = "".join(f".{role}{{--c:{colours[1]}}}" for role, colours in COLOURS.items())
    return f"{light}@media screen and (prefers-color-scheme: dark){{{dark}}}\n"


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _refresh(seconds: float) -> str:
    return f'<meta http-equiv="refresh" content="{max(1, round(seconds))}">\n'


def _json(table: Table) -> str:
    r"""Return the rows as JSON for an element of HTML: `<`, `>` and `&` are written as escapes."""
    return table.json.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _section(title: str, name: str, inner: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{said(title)}</h2>{inner}</section>'


def _top(report: Report) -> str:
    lead = "".join(f"<p>{said(sentence)}</p>" for sentence in report.lead)
    counts = "".join(
        f'<li class="{role}"><b>{count:,}</b> {said(word)}</li>'
        for role, count, word in report.counts
    )
    title, value, words = report.best
    sure = "".join(f"<p>{said(sentence)}</p>" for sentence in words)
    best = f'<p class="soft">{said(title)}</p><p class="value">{said(value)}</p>{sure}'
    params = _params(report.params)
    card = f'<div class="card">{params}</div>' if params else ""
    return (
        f'<header><h1>{said(report.name)}</h1>{lead}<ul class="counts">{counts}</ul></header>'
        f'<div class="cards"><div class="card">{best}</div>{card}</div>{_advice(report.advice)}'
    )


def _params(params: Sequence[tuple[str, str, str]]) -> str:
    rows = "".join(
        f'<dt>{said(name)}</dt><dd><b>{said(value)}</b> <span class="soft">{said(note)}</span></dd>'
        for name, value, note in params
    )
    return f"<h3>Its params</h3><dl>{rows}</dl>" if rows else ""


def _advice(advice: Sequence[str]) -> str:
    if not advice:
        return ""
    items = "".join(f"<li>{said(sentence)}</li>" for sentence in advice)
    return _section("Advice", "advice", f'<ul class="advice">{items}</ul>')


def _pictures(charts: Iterable[Chart]) -> str:
    return f'<div class="charts">{"".join(map(drawn, charts))}</div>'


def _troubles(troubles: Sequence[Trouble]) -> str:
    return "".join(map(_trouble, troubles)) or "<p>None.</p>"


def _trouble(trouble: Trouble) -> str:
    summary = f"<summary>{said(trouble.reason)} <b>({said(trouble.whom)})</b></summary>"
    text = trouble.details.strip()
    if len(text) > _MOST_TRACEBACK:
        text = f"[the beginning is left out]\n{text[-_MOST_TRACEBACK:]}"
    inner = f"<pre>{said(text)}</pre>" if text else "<p>There is no traceback.</p>"
    return f"<details>{summary}{inner}</details>"


def _pairs(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{said(title)}</dt><dd>{said(text)}</dd>" for title, text in facts)
    return f"<dl>{rows}</dl>"
