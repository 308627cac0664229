"""The table of a report: rows as data, and its first rows as HTML for readers without a script."""

import bisect
import functools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from manyfit._redact import redact, secret_values
from manyfit._text import printable
from manyfit.plots.svg import escaped

Cell: TypeAlias = float | str | None

_FIRST = 50  # rows written as HTML
_MOST_BYTES = 2_000_000  # of rows; more would make a page slow to open
_NOT_FINITE = ("nan", "inf", "-inf")  # metrics may be; JSON has no number for them
_MOST_TEXT = 300  # characters of a cell


@dataclass(frozen=True)
class Table:
    """Rows with the same columns.

    Attributes:
        title: The heading.
        columns: Their names.
        rows: A cell for each column.
        states: What the column `state` may have.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    states: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        states: Sequence[str] = (),
    ) -> "Table":
        """Return the table of any values, which become cells."""
        cell = _maker()
        return cls(title, columns, [list(map(cell, row)) for row in rows], states)

    @property
    def json(self) -> str:
        """The table as JSON; without the last rows, if it would be too large for a page."""
        kinds = self._numeric
        columns = [
            {"name": name, "number": number}
            for name, number in zip(self.columns, kinds, strict=True)
        ]
        lines = self._lines[: self.shown]
        return f'{{"columns":{_compact(columns)},"rows":[{",".join(lines)}]}}'

    @property
    def shown(self) -> int:
        """The number of rows that the page has."""
        return bisect.bisect(list(accumulate(map(len, self._lines))), _MOST_BYTES)

    @functools.cached_property
    def _lines(self) -> list[str]:
        return list(map(_compact, self.rows))

    @property
    def _numeric(self) -> list[bool]:
        return [
            all(not isinstance(row[place], str) or row[place] in _NOT_FINITE for row in self.rows)
            for place in range(len(self.columns))
        ]

    def html(self) -> str:
        """Return the tools and the first rows."""
        if not self.rows:
            return '<p id="table">There are none yet.</p>'
        heads = "".join(
            f'<th scope="col" aria-sort="none"><button type="button">{escaped(name)}</button></th>'
            for name in self.columns
        )
        kinds = self._numeric
        hidden = len(self.rows) - self.shown
        note = f"<p>The last {hidden:,} rows are left out, for want of room.</p>" if hidden else ""
        lines = "".join(f"<tr>{_cells(row, kinds)}</tr>" for row in self.rows[:_FIRST])
        return (
            f"{note}{self._tools()}"
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(self.title)}">'
            f'<table id="table"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
            '<p><button type="button" id="more" hidden>Show more</button></p>'
        )

    def _tools(self) -> str:
        options = "".join(f"<option>{escaped(state)}</option>" for state in self.states)
        select = (
            '<label>State <select id="state"><option value="">all</option>'
            f"{options}</select></label>"
            if options
            else ""
        )
        return (
            '<div class="tools"><label>Find <input type="search" id="query"></label>'
            f'{select}<button type="button" id="csv">Download CSV</button>'
            f'<span id="count" class="soft" role="status">{len(self.rows)} in all</span></div>'
        )


# Made once, because an encoder is made for each call with arguments.
_compact = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def _maker() -> Callable[[Any], Cell]:
    """Return a function that makes cells: finite numbers, short texts without credentials, None."""
    secrets = secret_values()

    @functools.cache
    def clean(text: str) -> str:
        return printable(redact(" ".join(text.split()), secrets)[:_MOST_TEXT])

    def cell(value: Any) -> Cell:
        if value is None or (type(value) in (int, float) and math.isfinite(value)):
            return value  # type: ignore[no-any-return]
        return clean(str(value))

    return cell


def _cells(row: Sequence[Cell], numeric: Sequence[bool]) -> str:
    return "".join(
        f'<td class="number">{_shown(value)}</td>' if number else f"<td>{_shown(value)}</td>"
        for value, number in zip(row, numeric, strict=True)
    )


def _shown(value: Cell) -> str:
    if value is None:
        return ""
    return escaped(f"{value:.6g}" if isinstance(value, float) else str(value))
