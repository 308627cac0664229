"""Progress on a terminal, in a notebook, and as plain lines."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from manyfit.errors import ArgumentError
from manyfit.testing.trackers import Story
from manyfit.trackers import terminal
from manyfit.trackers.progress import Counts, View
from manyfit.trackers.terminal import Lines, ProgressTracker, Terminal, make_progress


class Scripted:
    """A screen that keeps what it is shown."""

    period = 0.005

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.views: list[View] = []
        self.threads: set[int] = set()
        self.closed = False
        self.block = threading.Event()
        self.block.set()

    def open(self) -> None:
        pass

    def say(self, line: str) -> None:
        self.block.wait(10)
        self.lines.append(line)

    def refresh(self, view: View) -> None:
        self.threads.add(threading.get_ident())
        self.views.append(view)

    def close(self, lines: Sequence[str]) -> None:
        self.lines.extend(lines)
        self.closed = True


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


def view(story: Story, **changes: Any) -> View:
    facts = {"study": story.study, "counts": Counts(), "best": None, "elapsed": 0.0}
    return View(**{**facts, "seconds_left": None, **changes})


def drawn(shown: View, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(terminal.draw(shown))
    return capture.get()


def test_draws_from_beginning_to_end(tmp_path: Path) -> None:
    """The opening, what goes wrong, where it stands, how it ended."""
    screen = Scripted()
    story = Story(ProgressTracker(screen), folder=tmp_path)
    story.run(2)
    story.start(story.ask())
    story.fail(2)
    story.end()
    assert screen.lines[0].startswith("tale: minimize loss")
    assert screen.lines[1] == "trial 2 failed: ValueError: no"
    assert "all trials are done (2 complete, 1 failed)" in screen.lines[2]
    assert screen.closed


def test_another_thread_draws(tmp_path: Path) -> None:
    """The driver's thread never writes to a screen."""
    screen = Scripted()
    story = Story(ProgressTracker(screen), folder=tmp_path)
    story.run(1)
    until(lambda: bool(screen.threads))
    story.end()
    assert threading.get_ident() not in screen.threads


def test_a_paused_terminal_pauses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-S, or a pipe nobody reads, holds up the drawing and not the study."""
    monkeypatch.setattr(terminal, "PATIENCE", 0.5)
    screen = Scripted()
    screen.block.clear()
    story = Story(ProgressTracker(screen), folder=tmp_path)
    begun = time.monotonic()
    story.run(100)
    story.end()
    assert time.monotonic() - begun < 25.0  # 100 draws of 0.5 s would take 50
    screen.block.set()
    until(lambda: screen.closed)


def test_a_screen_that_breaks_stops_drawing_alone(tmp_path: Path) -> None:
    """A terminal that goes away in the middle costs no trial."""

    class Broken(Scripted):
        def refresh(self, view: View) -> None:
            raise BrokenPipeError

    story = Story(ProgressTracker(Broken()), folder=tmp_path)
    story.run(3)
    story.end()


def test_a_tracker_shows_one_study_after_another(tmp_path: Path) -> None:
    """It can be opened again once it is closed."""
    screen = Scripted()
    tracker = ProgressTracker(screen)
    for _ in range(2):
        story = Story(tracker, folder=tmp_path)
        story.run(1)
        story.end()
    assert [line.startswith("tale: ") for line in screen.lines].count(True) == 2
    assert screen.lines[-2].endswith("(1 complete)")


def test_lines_tell_a_new_best_once(tmp_path: Path) -> None:
    """A best that stands is not told again."""
    stream = io.StringIO()
    lines = Lines(stream)
    story = Story(folder=tmp_path)
    story.run(2)
    for best in (story.trials[0], story.trials[0], story.trials[1]):
        lines.refresh(view(story, best=best))
    assert stream.getvalue().splitlines() == [
        "[manyfit] new best: loss 1 (trial 0: lr=0.1, size=S)",
        "[manyfit] new best: loss 0.5 (trial 1: lr=0.1, size=S)",
    ]


def test_lines_say_where_it_stands_now_and_then(tmp_path: Path) -> None:
    """Every thirty seconds, not more often."""
    stream = io.StringIO()
    lines = Lines(stream)
    story = Story(folder=tmp_path)
    for elapsed in range(0, 95, 5):
        lines.refresh(view(story, elapsed=float(elapsed)))
    assert [line.split(", ")[1] for line in stream.getvalue().splitlines()] == [
        "30 s so far",
        "1 min 0 s so far",
        "1 min 30 s so far",
    ]


def test_ten_thousand_trials_are_few_lines(tmp_path: Path) -> None:
    """However fast a study is and however often it improves, its lines can be read."""
    stream = io.StringIO()
    story = Story(ProgressTracker(Lines(stream)), folder=tmp_path, n_trials=None)
    story.run(10_000)
    story.end()
    assert len(stream.getvalue().splitlines()) < 20


def test_the_drawing(tmp_path: Path) -> None:
    """How far, how it went, the best."""
    story = Story(folder=tmp_path)
    story.run(1)
    shown = view(
        story,
        counts=Counts(3, 1, 1, 2),
        best=story.trials[0],
        elapsed=61.0,
        seconds_left=36.6,
    )
    bar, states, best = drawn(shown).splitlines()
    assert "5/8" in bar
    assert "1 min 1 s, about 37 s left" in bar
    assert states.split() == ["3", "complete", "1", "pruned", "1", "failed", "2", "running"]
    assert best.split() == ["best", "loss", "1", "trial", "0", "lr=0.1,", "size=S"]


def test_the_drawing_where_fewer_run_than_asked_for(tmp_path: Path) -> None:
    """How many there should be stands beside how many run."""
    text = drawn(view(Story(folder=tmp_path), counts=Counts(running=6, wanted=8)))
    assert "6 running (of 8)" in text


def test_the_drawing_of_nothing_yet(tmp_path: Path) -> None:
    """A study without an end and without a best has a drawing too."""
    story = Story(folder=tmp_path, n_trials=None)
    assert "none yet" in drawn(view(story))


def test_the_drawing_fits_a_narrow_terminal(tmp_path: Path) -> None:
    """Long params are cut, so that the lines drawn are the lines counted when redrawing."""
    story = Story(folder=tmp_path)
    story.run(1, lr=0.1, size="x" * 200)
    text = drawn(view(story, best=story.trials[0]), width=40)
    assert max(len(line) for line in text.splitlines()) <= 40
    assert len(text.splitlines()) <= 5


def test_the_terminal_ends_with_sentences(tmp_path: Path) -> None:
    """The drawing goes; what began, went wrong and ended the study stays."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120)
    story = Story(ProgressTracker(Terminal(console)), folder=tmp_path)
    story.run(2)
    story.end()
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).splitlines()[-1]
    assert last == "best: loss 0.5 (trial 1: lr=0.1, size=S)"
    assert stream.getvalue().count("\x1b[?25h") == 1, "the cursor is back"


TALE = """
import sys
from pathlib import Path
from manyfit.testing.trackers import Story
from manyfit.trackers.terminal import ProgressTracker
story = Story(ProgressTracker(), folder=Path({folder!r}))
story.run(2)
print("said by the objective")
print("complained by the objective", file=sys.stderr)
story.end()
print("after")
"""


def tell(folder: Path, **streams: Any) -> subprocess.CompletedProcess[bytes]:
    code = TALE.format(folder=str(folder))
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, **streams)


def test_a_pipe_gets_plain_lines_on_standard_error(tmp_path: Path) -> None:
    """Standard output is the user's alone."""
    told = tell(tmp_path, capture_output=True)
    assert told.stdout.decode().splitlines() == ["said by the objective", "after"]
    assert b"\x1b" not in told.stderr
    assert b"[manyfit] tale ended after" in told.stderr


def test_a_real_terminal_is_drawn_on(tmp_path: Path) -> None:
    """What the user prints meanwhile stands above the drawing; redirected output stays whole."""
    ours, theirs = pty.openpty()
    told = tell(tmp_path, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = read_all(ours)
    assert told.stdout.decode().splitlines() == ["said by the objective", "after"]
    assert "complained by the objective" in shown
    assert "/8" in shown
    assert "tale ended after" in shown
    assert shown.index("complained") < shown.index("tale ended")


def read_all(descriptor: int) -> str:
    chunks = []
    try:
        while chunk := os.read(descriptor, 65536):
            chunks.append(chunk)
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(descriptor)
    return b"".join(chunks).decode()


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that can't move its cursor is not drawn on."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(terminal.find_screen(), Lines)
        monkeypatch.setenv("TERM", "xterm")
        found = terminal.find_screen()
        assert isinstance(found, Terminal)
        found.close(())
    os.close(ours)


def test_a_closed_standard_error_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without a standard error is told nothing."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert isinstance(terminal.find_screen(), Lines)


def test_words_for_progress() -> None:
    """`"auto"` and True show, `"plain"` shows lines, None and False don't."""
    assert isinstance(make_progress("auto"), ProgressTracker)
    assert isinstance(make_progress(True), ProgressTracker)
    assert isinstance(make_progress("plain"), ProgressTracker)
    assert make_progress(None) is None
    assert make_progress(False) is None


@pytest.mark.parametrize("word", ["fancy", "", 3, object()])
def test_other_words_are_refused(word: Any) -> None:
    """The message lists the choices, and what was given."""
    with pytest.raises(ArgumentError, match=re.escape(f"but got {word!r}")):
        make_progress(word)


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_a_notebook_shows_one_output(tmp_path: Path) -> None:
    """The cell's output is updated in place, and keeps how it ended."""
    import nbformat
    from nbclient import NotebookClient

    code = TALE.format(folder=str(tmp_path))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    (shown,) = [output for output in outputs if output.output_type == "display_data"]
    assert "tale ended after" in shown.data["text/html"]
    assert "best: loss 0.5 (trial 1: lr=0.1, size=S)" in shown.data["text/plain"]
