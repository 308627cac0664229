"""From what a user passes to the pruner of a study."""

import math
from typing import Any

import pytest

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.auto import NoPruner, make_pruner
from manyfit.pruners.base import tell_apart
from manyfit.pruners.median import MedianPruner
from manyfit.testing.pruners import PrunerStory, ScriptedPruner

LOSS = Metric("val_loss", "minimize")
ACCURACY = Metric("val_accuracy", "maximize")


def story_of(pruner: Any, metric: Metric = LOSS) -> PrunerStory:
    """Begin a study."""
    return PrunerStory(make_pruner(pruner, metric), metric)


class TestWords:
    @pytest.mark.parametrize("word", ["auto", "median", "asha"])
    def test_each_word_makes_a_pruner(self, word: str) -> None:
        """The words end a hopeless trial in the end."""
        story = story_of(word)
        for number in range(6):
            story.curve(number, [0.1] * 10)
            story.finish(number)

        assert story.curve(9, [0.9] * 10) is not None

    @pytest.mark.parametrize("length", [2, 3, 10])
    def test_nobody_at_the_last_step(self, length: int) -> None:
        """By default no trial is ended at the step at which all completed trials have ended."""
        story = story_of("auto")
        for number in range(6):
            story.curve(number, [0.1] * length)
            story.finish(number)

        assert story.curve(9, [0.9, 0.9], steps=[0, length - 1]) is None

    def test_beyond_the_last_step(self) -> None:
        """A trial that is longer than all others may be ended, since it might go on for ever."""
        story = story_of("auto")
        for number in range(6):
            story.curve(number, [0.1] * 3)
            story.finish(number)

        assert story.curve(9, [0.9, 0.9], steps=[2, 3]) is not None

    @pytest.mark.parametrize("pruner", [None, "none", NoPruner()])
    def test_none_ends_nobody(self, pruner: Any) -> None:
        """Without a pruner even a trial that reports NaN goes on to its own end."""
        story = story_of(pruner)
        for number in range(6):
            story.curve(number, [0.1] * 10)
            story.finish(number)

        assert story.curve(9, [0.9] * 5 + [math.nan] * 5) is None

    @pytest.mark.parametrize("pruner", ["mean", 3, MedianPruner, object(), 0, ""])
    def test_anything_else_is_refused(self, pruner: Any) -> None:
        """The message lists the words, shows a pruner, and says what was given."""
        with pytest.raises(ArgumentError) as caught:
            make_pruner(pruner, LOSS)

        assert str(caught.value) == (
            "pruner must be one of 'auto', 'median', 'asha', 'none', None, a pruner such as "
            "MedianPruner(min_steps=3), or an instance of one of Optuna's pruners, but got "
            f"{pruner!r}"
        )

    def test_a_pruner_of_your_own(self) -> None:
        """Anything that can be bound to a metric is a pruner."""
        pruner = ScriptedPruner({(3, 2): "hopeless"})
        story = story_of(pruner)

        assert story.curve(3, [0.3, 0.2, 0.1]) == "hopeless"
        story.prune(3)
        assert pruner.reports == [(3, 0, 0.3), (3, 1, 0.2), (3, 2, 0.1)]
        assert [trial.number for trial in pruner.ended] == [3]


class TestDiverged:
    @pytest.mark.parametrize(
        ("value", "shown"), [(math.nan, "NaN"), (math.inf, "inf"), (-math.inf, "-inf")]
    )
    @pytest.mark.parametrize("metric", [LOSS, ACCURACY], ids=["minimize", "maximize"])
    def test_it_is_ended_whatever_the_pruner(
        self, metric: Metric, value: float, shown: str
    ) -> None:
        """A value that could never count ends the trial, and the pruner doesn't see it."""
        pruner = ScriptedPruner()
        story = story_of(pruner, metric)

        assert story.report(0, 7, value) == f"{metric.name} is {shown} at step 7: diverged"
        assert pruner.reports == []


@pytest.mark.parametrize(
    ("value", "other", "texts"),
    [
        (0.81, 0.52, ("0.81", "0.52")),
        (1234.5678, 0.1, ("1235", "0.1")),
        (0.123456789, 0.123456780, ("0.12345679", "0.12345678")),
        (0.1 + 0.2, 0.3, ("0.30000000000000004", "0.3")),
        (0.5, 0.5, ("0.5", "0.5")),
        (-0.25, 0.25, ("-0.25", "0.25")),
    ],
)
def test_numbers_are_told_apart(value: float, other: float, texts: tuple[str, str]) -> None:
    """Two numbers are shown in as few digits as tell them apart; equal ones as they are."""
    assert tell_apart(value, other) == texts
