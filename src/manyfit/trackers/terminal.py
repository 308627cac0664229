"""Shows progress: live on a terminal, in a notebook's cell, or as plain lines.

::

    driver's thread ──count──► Tally ──view──► drawing thread ──► screen
                                      news

Only the drawing thread writes, a few times a second. Ten thousand fast trials therefore cost as
little as ten slow ones, and a paused terminal delays no trial.
"""

import contextlib
import importlib
import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TextIO, TypeAlias

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from manyfit._text import printable
from manyfit.errors import ArgumentError
from manyfit.events import Event
from manyfit.trackers.base import Outcome, StudyInfo
from manyfit.trackers.group_progress import GroupTally, Standing
from manyfit.trackers.progress import Tally, View, duration
from manyfit.trial import Trial

# A snapshot of a study, or of a call over groups; both have the same properties.
Shown: TypeAlias = View | Standing

# Seconds for which `close` waits for a terminal that accepts no text.
PATIENCE = 2.0


class Screen(Protocol):
    """A place to show progress; its methods may raise OSError or ValueError when it is closed.

    Attributes:
        period: The interval of refreshes, in seconds.
    """

    period: float

    def open(self) -> None:
        """Prepare, on the driver's thread; the drawing thread calls the other methods."""

    def say(self, line: str) -> None:
        """Show a sentence permanently."""

    def refresh(self, view: Shown) -> None:
        """Show the progress."""

    def close(self, lines: Sequence[str]) -> None:
        """Show the end, and release the screen."""


class Lines:
    """Plain lines, for files, pipes and continuous integration: few, however fast the study.

    Args:
        stream: The stream; standard error by default.
        interval: Seconds between lines with the progress.
    """

    period = 1.0

    def __init__(self, stream: TextIO | None = None, interval: float = 30.0) -> None:
        self._stream = stream
        self._interval = interval
        self._news = ""
        self._said_at = 0.0

    def open(self) -> None:
        """Nothing to make ready."""

    def say(self, line: str) -> None:
        """Write a line."""
        stream = self._stream or sys.stderr
        print(f"[manyfit] {printable(line)}", file=stream, flush=True)

    def refresh(self, view: Shown) -> None:
        """Write news, and the progress at intervals."""
        if view.news != self._news:
            self._news = view.news
            self.say(view.news)
        if view.elapsed - self._said_at >= self._interval:
            self._said_at = view.elapsed
            self.say(view.status)

    def close(self, lines: Sequence[str]) -> None:
        """Write how it ended."""
        for line in lines:
            self.say(line)


class Terminal:
    """A few lines at the bottom of a terminal, redrawn in place, and replaced by the end.

    Args:
        console: By default standard error, with a descriptor of its own, so that drawings never
            get into the captured output of a trial that runs in this process.
    """

    period = 0.25

    def __init__(self, console: Console | None = None) -> None:
        self._own = None if console else _own_stderr()
        self._console = console or Console(file=self._own)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),  # otherwise `> file` would lose the user's output
            transient=True,
            vertical_overflow="crop",
        )

    def open(self) -> None:
        """Show the user's output above the drawing from now on.

        Call it while no trial runs: a trial in this process replaces `sys.stdout`.
        """
        self._live.start()

    def say(self, line: str) -> None:
        """Print a line above the drawing."""
        self._console.print(Text(printable(line)), soft_wrap=True)

    def refresh(self, view: Shown) -> None:
        """Draw."""
        self._live.update(draw(view), refresh=True)

    def close(self, lines: Sequence[str]) -> None:
        """Replace the drawing by the end, and restore the cursor."""
        self._live.stop()
        for line in lines:
            self.say(line)
        if self._own is not None:
            self._own.close()


class Notebook:
    """The output of one cell, updated in place."""

    period = 0.5

    def __init__(self) -> None:
        # IPython is installed wherever this is used, and isn't a dependency.
        self._display = importlib.import_module("IPython.display").display
        self._handle: Any = None
        self._lines: list[str] = []
        self._view: Shown | None = None

    def open(self) -> None:
        """Nothing to make ready."""

    def say(self, line: str) -> None:
        """Add a line above the drawing."""
        self._lines.append(line)
        self._show()

    def refresh(self, view: Shown) -> None:
        """Draw."""
        self._view = view
        self._show()

    def close(self, lines: Sequence[str]) -> None:
        """Replace the drawing by the end."""
        self._lines.extend(lines)
        self._view = None
        self._show()

    def _show(self) -> None:
        console = Console(file=io.StringIO(), record=True, width=110, force_jupyter=False)
        for line in self._lines:
            console.print(Text(printable(line)))
        if self._view is not None:
            console.print(draw(self._view))
        form = '<pre style="font-family:monospace;line-height:1.4;margin:0">{code}</pre>'
        html = console.export_html(inline_styles=True, code_format=form, clear=False)
        data = {"text/html": html, "text/plain": console.export_text()}
        if self._handle is None:
            self._handle = self._display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


class ProgressTracker:
    """Shows the progress of a study, or of a call of `tune_groups`.

    Args:
        screen: The screen; by default live on a terminal, in the cell of a notebook, and as plain
            lines elsewhere, on standard error.
        clock: Monotonic time.

    Example:
        >>> import sys
        >>> tracker = ProgressTracker(Lines(sys.stdout))
    """

    def __init__(
        self, screen: Screen | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._screen = screen
        self._clock = clock
        self._lock = threading.Lock()
        self._tally: Tally | GroupTally | None = None
        self._unsaid: deque[str] = deque()
        self._wake = threading.Event()
        self._end: tuple[str, Outcome | None] | None = None
        self._thread: threading.Thread | None = None

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Begin to show."""
        screen = self._screen or find_screen()
        self._tally = _tally(study, history, self._clock())
        self._unsaid.extend(self._tally.opening)
        self._end = None
        with contextlib.suppress(OSError, ValueError):
            screen.open()
        self._thread = threading.Thread(
            target=self._draw, args=(screen, self._tally), name="manyfit-progress", daemon=True
        )
        self._thread.start()

    def prepare(self, trial: Trial) -> Mapping[str, str]:  # noqa: ARG002 - the seam's signature
        """Nothing to prepare."""
        return {}

    def record(self, event: Event, trial: Trial | None) -> None:
        """Count."""
        if self._tally is None:
            return
        with self._lock:
            sentence = self._tally.take(event, trial)
        if sentence is not None:
            self._unsaid.append(sentence)
            self._wake.set()

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """Say how it ended, and stop drawing."""
        if self._thread is None or self._tally is None:
            return
        with self._lock:
            self._tally.settle(trials, reason)
        self._end = reason, outcome
        self._wake.set()
        self._thread.join(PATIENCE)
        self._thread = None

    def _draw(self, screen: Screen, tally: Tally | GroupTally) -> None:
        # A terminal that is closed (a closed pipe, a lost connection) ends only the drawing.
        with contextlib.suppress(OSError, ValueError):
            while self._end is None:
                self._say(screen)
                with self._lock:
                    view: Shown = tally.view(self._clock())
                screen.refresh(view)
                self._wake.wait(screen.period)
                self._wake.clear()
            self._say(screen)
            screen.close(tally.closing(self._clock(), *self._end))

    def _say(self, screen: Screen) -> None:
        while self._unsaid:
            screen.say(self._unsaid.popleft())


def _tally(study: StudyInfo, history: Sequence[Trial], now: float) -> Tally | GroupTally:
    if study.groups is not None:
        return GroupTally(study, study.groups, now)
    return Tally(study, history, now)


def find_screen() -> Screen:
    """Return the best available screen: a notebook's cell, a terminal, or plain lines."""
    if _in_notebook():
        return Notebook()
    try:
        return Terminal() if can_redraw() else Lines()
    except (OSError, ValueError):  # standard error is closed, or no file
        return Lines()


def can_redraw() -> bool:
    """Return whether standard error is a terminal on which lines can be redrawn."""
    try:
        live = Console(stderr=True).is_terminal and sys.stderr.isatty()
    except (OSError, ValueError):  # it is closed
        return False
    return live and os.environ.get("TERM") not in ("dumb", "unknown")


def make_progress(progress: str | bool | None) -> ProgressTracker | None:
    """Return the tracker for `progress=`: `"auto"` or True, `"plain"` lines, or None or False.

    Raises:
        ArgumentError: `progress` is something else.

    Example:
        >>> make_progress(False) is None
        True
    """
    if progress in (False, None):
        return None
    if progress in (True, "auto"):
        return ProgressTracker()
    if progress == "plain":
        return ProgressTracker(Lines())
    raise ArgumentError(f"progress must be 'auto', 'plain' or None, but got {progress!r}")


def draw(view: Shown) -> RenderableType:
    """Return the progress as a few lines: how far, and the figures."""
    row = Table.grid(padding=(0, 2))
    bar = ProgressBar(
        total=view.total,
        completed=view.done,
        width=40,
        pulse=view.total is None,
        complete_style="cyan",
        finished_style="green",
    )
    times = [duration(view.elapsed)]
    if view.seconds_left is not None and view.done != view.total:
        times.append(f"about {duration(view.seconds_left)} left")
    row.add_row(bar, Text(view.headline, "bold"), Text(", ".join(times)))
    lines = [Text.assemble(*each, no_wrap=True, overflow="ellipsis") for each in view.figures]
    return Group(row, *lines)


def _own_stderr() -> TextIO:
    """Open standard error again; characters that its encoding lacks are escaped."""
    descriptor = os.dup(sys.stderr.fileno())
    return os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="backslashreplace")


def _in_notebook() -> bool:
    if "ipykernel" not in sys.modules:
        return False
    shell = importlib.import_module("IPython").get_ipython()
    return hasattr(shell, "kernel")
