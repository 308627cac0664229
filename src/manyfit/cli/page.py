"""What commands print: lines and tables on standard output."""

import argparse
import contextlib
import io
import os
import sys
from typing import TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from manyfit._text import printable

# What `add_subparsers` returns. A command adds itself with `add_parser`.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# The width of output to a file or a pipe, so that no line is folded.
_WIDE = 10_000


class Page(Console):
    """Standard output, which a reader such as `head` or `less` may close at any time."""

    def __init__(self) -> None:
        on_screen = sys.stdout.isatty() or "COLUMNS" in os.environ
        if isinstance(sys.stdout, io.TextIOWrapper):  # what its encoding lacks stands as an escape
            sys.stdout.reconfigure(errors="backslashreplace")
        width = None if on_screen else _WIDE
        super().__init__(markup=False, emoji=False, highlight=False, width=width)

    def on_broken_pipe(self) -> None:
        """Exit without an error: the reader has seen enough."""
        with contextlib.suppress(SystemExit):
            super().on_broken_pipe()
        raise SystemExit(0)

    def say(self, text: str, style: str = "") -> None:
        """Print text unchanged, without folding lines."""
        self.print(Text(printable(text), style), soft_wrap=True)


def table(*columns: str) -> Table:
    """Make a table in which long values are folded, never cut off."""
    empty = Table()
    for column in columns:
        empty.add_column(cell(column), overflow="fold")
    return empty


def cell(value: object) -> Text:
    """Return a value as the text of a table's cell."""
    return Text(printable(f"{value:.4g}" if isinstance(value, float) else str(value)))


def count(text: str) -> int:
    """Read an option that counts: a whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, but got {text!r}")
    return int(text)
