"""What a person is told of groups that are being tuned."""

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from manyfit.metric import Metric
from manyfit.testing.groups import group_ended, groups_info, tell_groups
from manyfit.testing.trackers import Story
from manyfit.trackers.group_progress import GroupTally, Standing
from manyfit.trackers.terminal import Lines, ProgressTracker, Terminal, draw

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


def tally(n_trials=20, parallelism=None, **given):
    study = groups_info(Path(), n_trials=n_trials, parallelism=parallelism, **given)
    return GroupTally(study, study.groups, 0.0)


class TestTally:
    """Counts and figures."""

    def test_counts(self):
        """States, gains and values are those of all groups so far."""
        counted = tally(total=10)
        for n, group in enumerate(
            (
                group_ended(0),
                group_ended(1, state="FAIL"),
                group_ended(2, state="BASELINE", baseline=2.0),
                group_ended(3, value=0.4, baseline=1.0),
            )
        ):
            assert counted.view(8.0).done == n
            counted.take(group, None)
        view = counted.view(8.0)
        assert (view.done, view.failed, view.kept, view.total) == (4, 1, 1, 10)
        assert view.median_gain == pytest.approx(0.4)
        assert view.best_gain == pytest.approx(0.6)
        assert view.mean_value == pytest.approx(0.6)
        assert view.seconds_left == pytest.approx(12.0)

    def test_nothing_yet(self):
        """Before the first group there are no figures, and no time left is guessed."""
        view = tally().view(5.0)
        assert (view.done, view.median_gain, view.mean_value, view.seconds_left) == (0, *[None] * 3)

    def test_no_numbers(self):
        """Groups that failed, or whose values are no finite numbers, have no figures."""
        counted = tally()
        counted.take(group_ended(0, state="FAIL"), None)
        assert counted.has_failed
        counted.take(group_ended(1, value=math.inf, baseline=math.nan), None)
        assert counted.view(1.0).best_gain is counted.view(1.0).mean_value is None
        assert not counted.has_failed

    def test_the_metrics_direction(self):
        """Where large is good, a gain is how much larger the value is."""
        study = replace(groups_info(Path()), metric=Metric("accuracy", "maximize"))
        counted = GroupTally(study, study.groups, 0.0)
        counted.take(group_ended(0, value=0.9, baseline=0.5), None)
        assert counted.view(0.0).best_gain == pytest.approx(0.4)

    def test_resumed(self):
        """Groups of earlier calls count as done, and not for the pace."""
        counted = tally(total=10, before=6)
        for n in range(2):
            counted.take(group_ended(n), None)
        view = counted.view(4.0)
        assert (view.done, view.seconds_left) == (8, 4.0)

    def test_the_opening(self):
        """What is tuned, by what, how many groups there are, and what earlier calls have done."""
        assert tally(total=10, before=3, again=1).opening == [
            "sales: minimize mase by store, item, independent: 10 groups, 20 trials each",
            "resumed, with 3 groups done before",
            "1 group failed before: tuned again",
        ]
        (line,) = tally(mode="shared", total=None, parallelism=8).opening
        assert line.endswith("shared: groups, 20 trials for all, 8 at a time")

    def test_trials_of_shared_params(self):
        """Each that has ended is a sentence."""

        class Told:
            def __init__(self):
                self.tally, self.sentences = tally(mode="shared"), []

            def open(self, study, history):
                pass

            def prepare(self, trial):
                return {}

            def record(self, event, trial):
                self.sentences.append(self.tally.take(event, trial))

        story = Story(told := Told(), folder=Path())
        for _ in range(2):
            story.start(story.ask())
        story.finish(0, loss=0.25)
        story.prune(1, "hopeless")
        assert list(filter(None, told.sentences)) == [
            "trial 0: COMPLETE, mase 0.25",
            "trial 1: PRUNED, worse than the best on a sample of the groups",
        ]


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
        assert VIEW.status == (
            "40/1,414 groups, 3 with their baseline only, 2 failed, median gain 0.05, "
            "1 min 1 s so far, about 9 min 30 s left"
        )


class TestScreens:
    """The tracker that shows progress, told of groups."""

    def test_a_terminal(self, tmp_path):
        """The drawing gives way to how it ended."""
        console = Console(file=io.StringIO(), force_terminal=True, width=100)
        tell_groups(ProgressTracker(Terminal(console)), tmp_path, mode="shared", before=3)
        text = console.file.getvalue()
        assert "sales: minimize mase by store, item, shared: 3 groups" in text
        assert "resumed, with 3 groups done before" in text
        assert text.rstrip().endswith("groups 3")

    def test_lines(self, tmp_path):
        """Plain lines tell of the beginning, of where it stands, and of the end."""
        stream = io.StringIO()
        tell_groups(ProgressTracker(Lines(stream, interval=0.0)), tmp_path)
        text = stream.getvalue()
        assert "[manyfit] sales: minimize mase by store, item, independent: 3 groups" in text
        assert text.endswith("[manyfit] Groups sales\n[manyfit]   groups 3\n")

    def test_a_call_that_raised(self, tmp_path):
        """Without an outcome the reason is told."""
        stream = io.StringIO()
        tracker = ProgressTracker(Lines(stream))
        tracker.open(groups_info(tmp_path), ())
        tracker.close("the driver ended with ValueError: no", ())
        assert stream.getvalue().endswith("the driver ended with ValueError: no\n")
