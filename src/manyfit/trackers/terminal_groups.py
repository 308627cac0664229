"""Shows how groups get on: live on a terminal, in a notebook's cell, or as plain lines."""

import contextlib
import threading
from collections import deque
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from manyfit.errors import ArgumentError
from manyfit.trackers.groups import GroupsInfo, Outcome, Standing, opening, status
from manyfit.trackers.progress import duration, number
from manyfit.trackers.terminal import PATIENCE, Lines, Notebook, Screen, Terminal, find_screen


class GroupLines(Lines):
    """Plain lines: where a call stands, every half minute."""

    def refresh(self, view: Any) -> None:
        """Write now and then where the call stands."""
        if view.elapsed - self._said_at >= self._interval:
            self._said_at = view.elapsed
            self.say(status(view))


class GroupTerminal(Terminal):
    """Two lines at the bottom of a terminal."""

    def drawn(self, view: Any) -> RenderableType:
        """Return a view as it is drawn."""
        return draw(view)


class GroupNotebook(Notebook):
    """The output of one cell."""

    def drawn(self, view: Any) -> RenderableType:
        """Return a view as it is drawn."""
        return draw(view)


class GroupsProgress:
    """Shows how a call of `tune_groups` gets on; only a thread of its own writes.

    Args:
        screen: Where; by default live on a terminal, in the cell of a notebook, and as plain lines
            elsewhere, on standard error.
    """

    def __init__(self, screen: Screen | None = None) -> None:
        self._screen = screen
        self._standing = Standing(0)
        self._unsaid: deque[str] = deque()
        self._wake = threading.Event()
        self._outcome: Outcome | None = None
        self._thread: threading.Thread | None = None

    def open(self, info: GroupsInfo) -> None:
        """Begin to show."""
        screen = self._screen or find_screen(GroupNotebook, GroupTerminal, GroupLines)
        self._standing = Standing(info.before, total=info.total)
        self._unsaid.extend(opening(info))
        self._outcome = None
        with contextlib.suppress(OSError, ValueError):
            screen.open()
        self._thread = threading.Thread(
            target=self._draw, args=(screen,), name="manyfit-progress", daemon=True
        )
        self._thread.start()

    def say(self, sentence: str) -> None:
        """Show a sentence that stays."""
        self._unsaid.append(sentence)
        self._wake.set()

    def progress(self, standing: Standing) -> None:
        """Show this from the next look on."""
        self._standing = standing

    def close(self, outcome: Outcome) -> None:
        """Say how it ended, and stop drawing."""
        if self._thread is None:
            return
        self._outcome = outcome
        self._wake.set()
        self._thread.join(PATIENCE)
        self._thread = None

    def _draw(self, screen: Any) -> None:
        # A terminal that goes away (a closed pipe, a lost connection) ends the drawing alone.
        with contextlib.suppress(OSError, ValueError):
            while self._outcome is None:
                self._say(screen)
                screen.refresh(self._standing)
                self._wake.wait(screen.period)
                self._wake.clear()
            self._say(screen)
            screen.close(self._standing, self._outcome.lines or [self._outcome.reason])

    def _say(self, screen: Screen) -> None:
        while self._unsaid:
            screen.say(self._unsaid.popleft())


def make_groups_progress(progress: str | bool | None) -> GroupsProgress | None:
    """Return what `progress=` asks for: `"auto"` or True, `"plain"` lines, or None or False.

    Raises:
        ArgumentError: It is something else.

    Example:
        >>> make_groups_progress(None) is None
        True
    """
    if progress in (False, None):
        return None
    if progress in (True, "auto"):
        return GroupsProgress()
    if progress == "plain":
        return GroupsProgress(GroupLines())
    raise ArgumentError(f"progress must be 'auto', 'plain' or None, but got {progress!r}")


def draw(view: Standing) -> RenderableType:
    """Return where a call stands as two lines: how far, and how it went."""
    return Group(_bar(view), _figures(view))


def _bar(view: Standing) -> RenderableType:
    row = Table.grid(padding=(0, 2))
    bar = ProgressBar(
        total=view.total,
        completed=view.done,
        width=40,
        pulse=view.total is None,
        complete_style="cyan",
        finished_style="green",
    )
    shown = f"{view.done:,}" if view.total is None else f"{view.done:,}/{view.total:,}"
    times = [duration(view.elapsed)]
    if view.seconds_left is not None and view.done != view.total:
        times.append(f"about {duration(view.seconds_left)} left")
    row.add_row(bar, Text(f"{shown} groups", "bold"), Text(", ".join(times)))
    return row


def _figures(view: Standing) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append("gain  ", "dim")
    if view.median_gain is None or view.best_gain is None:
        line.append("none yet   ", "dim")
    else:
        style = "bold green" if view.median_gain > 0 else "bold yellow"
        line.append(number(view.median_gain), style).append(" median   ", "dim")
        line.append(number(view.best_gain)).append(" best   ", "dim")
    for count, word, style in (
        (view.kept, "baseline only", "yellow"),
        (view.failed, "failed", "red"),
    ):
        line.append(f"{count:,} ", style if count else "dim").append(f"{word}   ", "dim")
    return line
