"""Halving by rows."""

import pytest

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.rows import RowsPruner
from manyfit.testing.pruners import PrunerStory

ACCURACY = Metric("accuracy", "maximize")


def story_of(reduction: int = 3) -> PrunerStory:
    """Begin a study."""
    return PrunerStory(RowsPruner(reduction).bind(ACCURACY), ACCURACY)


def test_one_in_three_goes_on() -> None:
    """A trial goes on if it is among the best third of those that have had as many rows."""
    story = story_of()
    values = [0.5, 0.4, 0.6, 0.7, 0.3, 0.65, 0.55]

    goes_on = [story.report(number, 20, value) is None for number, value in enumerate(values)]

    assert goes_on == [True, True, True, True, False, True, False]


def test_one_in_three_of_equals_goes_on() -> None:
    """Of trials with equal scores, the first go on, and later as many as are due."""
    story = story_of()

    goes_on = [story.report(number, 20, 0.9) is None for number in range(12)]

    assert [number for number, each in enumerate(goes_on) if each] == [0, 1, 8, 11]


def test_only_scores_on_as_many_rows_count() -> None:
    """Scores that shrink with the rows, such as sums, are compared with those on as many rows."""
    story = story_of()
    for number in range(5):
        story.curve(number, [-10.0 - number, -30.0 - number], steps=[20, 60])

    assert story.report(9, 20, -1.0) is None
    assert story.report(9, 60, -99.0) is not None


def test_what_failed_or_began_again_is_forgotten() -> None:
    """A failed trial and a lost attempt take nobody's place."""
    story = story_of(reduction=2)
    story.report(0, 20, 0.9)
    story.fail(0)
    story.report(1, 20, 0.8)
    story.lose(1)

    assert story.report(1, 20, 0.8) is None
    assert story.report(2, 20, 0.7) is not None


def test_the_reason_has_the_numbers() -> None:
    """The reason says what the trial had, among how many, and what was needed."""
    story = story_of()
    for number in range(5):
        story.report(number, 20, 0.5 + number / 10)

    group = "that of the last of the best 2 of"
    assert story.report(8, 20, 0.75) == (
        f"accuracy 0.75 is worse than 0.8, {group} 6 trials on 20 rows"
    )
    assert story.report(9, 20, 0.8) == (
        f"accuracy 0.8 is no better than {group} 7 trials on 20 rows"
    )


def test_settings_are_checked() -> None:
    """A reduction that makes no sense is refused when it is written."""
    with pytest.raises(ArgumentError, match="reduction must be a whole number, at least 2"):
        RowsPruner(1)
