"""What commands print on standard output: lines, tables, JSON and CSV."""

import argparse
import contextlib
import csv
import io
import json
import math
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from manyfit._text import printable

# What `add_subparsers` returns. A command adds itself with `add_parser`.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Row: TypeAlias = Mapping[str, Any]

# The width of output to a file or a pipe, so that no line is folded.
_WIDE = 10_000
# The characters that a line of prose needs at least, and those between two columns.
_PROSE = 16
_BETWEEN = 3


class Page(Console):
    """Standard output, which a reader such as `head` or `less` may close at any time."""

    def __init__(self) -> None:
        self._on_screen = sys.stdout.isatty() or "COLUMNS" in os.environ
        if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks stands as an escape
            sys.stdout.reconfigure(errors="backslashreplace")
        width = None if self._on_screen else _WIDE
        super().__init__(markup=False, emoji=False, highlight=False, width=width)

    def on_broken_pipe(self) -> None:
        """Exit without an error: the reader has seen enough."""
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()
        raise SystemExit(0)

    def say(self, text: str, style: str = "") -> None:
        """Print text unchanged, without folding lines."""
        self.print(Text(printable(text), style), soft_wrap=True)

    def prose(self, sentence: str) -> None:
        """Print a sentence, on a screen folded between words only."""
        self.print(Text(printable(sentence)))

    def write(self, text: str) -> None:
        """Write text of any length as it is."""
        try:
            self.file.write(text)
            self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()

    def as_json(self, value: object) -> None:
        """Print a value as JSON. NaN and infinities are null, since JSON has no numbers for them.

        Anything that JSON doesn't know is printed as text.
        """
        self.write(json.dumps(_plain(value), indent=1) + "\n")

    def as_csv(self, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
        """Print rows as CSV, with a column for each key of any row; missing values are empty."""
        names = list(columns) or list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(map(printable, names))
        for row in rows:
            values = (row.get(name) for name in names)
            writer.writerow("" if each is None else printable(str(each)) for each in values)
        self.write(text.getvalue())

    def as_table(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], prose: Collection[str] = ()
    ) -> None:
        """Print rows as a table, in which no name or number is cut off or divided.

        If the table is wider than the screen, its columns are distributed over several tables, each
        of which begins with the first column.

        Args:
            columns: The names of the columns.
            rows: Their values. On a screen, numbers have six digits; in a pipe, all of them.
            prose: The columns with sentences, which are wrapped between words.
        """
        heads = [Text(printable(each)) for each in columns]
        cells = [[self._cell(value) for value in row] for row in rows]
        whole = [
            max(self.measure(text).maximum for text in column)
            for column in zip(heads, *cells, strict=True)
        ]
        needs = [
            min(width, _PROSE) if name in prose else min(width, self.width // 2 - _BETWEEN)
            for name, width in zip(columns, whole, strict=True)
        ]
        for places in _parts(needs, self.width):
            table = Table()
            for place in places:
                fits = needs[place] == whole[place]
                table.add_column(heads[place], overflow="fold", no_wrap=fits)
            for row in cells:
                table.add_row(*(row[place] for place in places))
            self.print(table)

    def _cell(self, value: object) -> Text:
        text = f"{value:g}" if self._on_screen and isinstance(value, float) else str(value)
        return Text("" if value is None else printable(text))


def _parts(needs: Sequence[int], width: int) -> Iterator[list[int]]:
    """Yield the columns of each table, so that it is no wider than `width` if that is possible."""
    part, used = [0], needs[0] + _BETWEEN + 1
    for place, need in enumerate(needs[1:], start=1):
        if len(part) > 1 and used + need + _BETWEEN > width:
            yield part
            part, used = [0], needs[0] + _BETWEEN + 1
        part.append(place)
        used += need + _BETWEEN
    yield part


def _plain(value: object) -> object:
    """Return a value for JSON: without NaN, with text for what JSON doesn't know."""
    match value:
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(each) for each in value]
        case float():
            return value if math.isfinite(value) else None
        case None | bool() | int() | str():
            return value
    return os.fspath(value) if isinstance(value, Path) else str(value)


def add_forms(parser: argparse.ArgumentParser) -> None:
    """Add the options for output that programs read."""
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print JSON, with all there is")
    forms.add_argument("--csv", action="store_true", help="print CSV, one line per row")


def count(text: str) -> int:
    """Read an option that counts: a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, but got {text!r}")
    return int(text)
