"""What a person sees while groups are tuned."""

import io

import pytest
from rich.console import Console

from manyfit import ArgumentError
from manyfit.trackers.groups import Outcome, Standing, status
from manyfit.trackers.terminal_groups import (
    GroupsProgress,
    GroupTerminal,
    draw,
    make_groups_progress,
)

VIEW = Standing(
    40,
    failed=2,
    kept=3,
    total=1414,
    median_gain=0.05,
    best_gain=1.5,
    mean_value=0.9,
    elapsed=61.0,
    seconds_left=570.0,
)


def text_of(view, width=110):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(draw(view))
    return console.file.getvalue()


class TestDrawing:
    """The picture of a standing."""

    def test_figures(self):
        """Groups done, time left, gains and failures are there."""
        text = text_of(VIEW)
        assert "40/1,414 groups" in text
        assert "1 min 1 s, about 9 min 30 s left" in text
        assert "0.05 median" in text
        assert "1.5 best" in text
        assert "3 baseline only" in text
        assert "2 failed" in text

    def test_nothing_yet(self):
        """Before the first group there is no gain, and where the total isn't known none is told."""
        text = text_of(Standing(0))
        assert "0 groups" in text
        assert "none yet" in text

    def test_narrow(self):
        """A narrow terminal has two lines all the same."""
        assert text_of(VIEW, width=60).splitlines()[-1].startswith("gain")

    def test_one_line(self):
        """A line says the same."""
        assert status(VIEW) == (
            "40/1,414 groups, 3 with their baseline only, 2 failed, median gain 0.05, "
            "1 min 1 s so far, about 9 min 30 s left"
        )


class TestTerminal:
    """A live terminal."""

    def test_end(self, tmp_path):
        """The drawing gives way to how it ended."""
        from manyfit import Float, Metric, Space
        from manyfit.trackers.groups import GroupsInfo

        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        shown = GroupsProgress(GroupTerminal(console))
        space = Space({"x": Float(0.0, 1.0)})
        shown.open(GroupsInfo("m4", tmp_path, Metric("mase"), space, ("g",), "shared", 0, before=3))
        shown.progress(VIEW)
        shown.close(Outcome("all done", ["Groups m4: all done"]))
        text = console.file.getvalue()
        assert "m4: minimize mase by g, shared: groups" in text
        assert "resumed, with 3 groups done before" in text
        assert text.rstrip().endswith("Groups m4: all done")

    def test_closed_without_being_opened(self):
        """Closing what was never opened does nothing."""
        GroupsProgress().close(Outcome("no"))

    def test_words(self):
        """`progress=` takes its words, and no others."""
        assert make_groups_progress(None) is None
        assert make_groups_progress("plain") is not None
        assert make_groups_progress(True) is not None
        with pytest.raises(ArgumentError, match="but got 'loud'"):
            make_groups_progress("loud")
