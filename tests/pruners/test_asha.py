"""Asynchronous successive halving."""

import pytest

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.asha import AshaPruner
from manyfit.testing.pruners import PrunerStory

LOSS = Metric("val_loss", "minimize")
ACCURACY = Metric("val_accuracy", "maximize")


def story_of(pruner: AshaPruner, metric: Metric = LOSS) -> PrunerStory:
    """Begin a study."""
    return PrunerStory(pruner.bind(metric), metric)


def test_one_in_three_goes_on() -> None:
    """At a rung, a trial goes on if it is among the best third of those that have been there."""
    story = story_of(AshaPruner(min_steps=1))
    values = [0.5, 0.6, 0.4, 0.3, 0.7, 0.35, 0.45]

    goes_on = [story.report(number, 1, value) is None for number, value in enumerate(values)]

    # The first two for want of company; then the best 1, 1, 1, 2, 2 of 3, 4, 5, 6, 7.
    assert goes_on == [True, True, True, True, False, True, False]


def test_the_reason_has_the_numbers() -> None:
    """The reason says what the trial had, what it needed, and among how many."""
    story = story_of(AshaPruner(min_steps=1), ACCURACY)
    for number, value in enumerate([0.9, 0.8, 0.7, 0.6, 0.5]):
        story.report(number, 1, value)

    assert story.report(9, 1, 0.75) == (
        "val_accuracy 0.75 up to step 1 is worse than 0.8, which is needed to be among the best "
        "2 of 6 trials there"
    )


def test_only_rungs_are_judged() -> None:
    """Between the rungs 2, 6, 18 nobody is ended."""
    story = story_of(AshaPruner(min_steps=2, reduction=3))
    for number in range(5):
        story.curve(number, [0.1] * 40)

    verdicts = [story.report(9, step, 0.9) is not None for step in range(40)]

    assert [step for step, ended in enumerate(verdicts) if ended] == [2, 6, 18]


def test_equals_go_on() -> None:
    """Trials that are as good as the last one to go on, go on."""
    story = story_of(AshaPruner(min_steps=1))

    assert [story.curve(number, [0.5] * 30) for number in range(10)] == [None] * 10


def test_the_best_so_far_counts() -> None:
    """A trial that was good before a rung isn't ended for a bad step at it."""
    story = story_of(AshaPruner(min_steps=1))
    for number in range(5):
        story.report(number, 3, 0.5)

    assert story.curve(9, [0.9, 0.4, 0.9, 0.9]) is None


def test_a_step_over_several_rungs_counts_for_the_highest() -> None:
    """A first report at step 10 is judged at rung 9, and leaves nothing at rungs 1 and 3."""
    story = story_of(AshaPruner(min_steps=1))
    for number in range(5):
        story.report(number, 10, 0.1)

    assert story.report(8, 3, 0.9) is None
    assert story.report(9, 11, 0.9) is not None


def test_a_rung_counts_once() -> None:
    """Later reports past the same rung are neither judged nor counted again."""
    story = story_of(AshaPruner(min_steps=1, reduction=4))
    for step in range(4, 16):
        story.report(0, step, 0.1)

    assert [story.report(number, 5, 0.9) for number in (1, 2)] == [None, None]


@pytest.mark.parametrize(("length", "first"), [(2, 1), (11, 1), (12, 3), (51, 9), (101, 27)])
def test_the_first_rung_fits_the_curves(length: int, first: int) -> None:
    """By default the first rung is the first power that is a tenth of a typical curve."""
    story = story_of(AshaPruner())
    for number in range(5):
        story.curve(number, [0.1] * length)
        story.finish(number)

    ended = [step for step in range(length) if story.report(9, step, 0.9) is not None]

    assert ended[0] == first


def test_nobody_is_ended_before_a_length_is_known() -> None:
    """By default no trial is ended before one that reported is complete."""
    story = story_of(AshaPruner())
    story.finish(99)
    for number in range(20):
        assert story.curve(number, [number] * 50) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_steps": 0}, "min_steps must be a whole number, at least 1, or None, but got 0"),
        ({"reduction": 1}, "reduction must be a whole number, at least 2, but got 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, int], message: str) -> None:
    """A setting that makes no sense is refused when it is written."""
    with pytest.raises(ArgumentError, match=message):
        AshaPruner(**settings)
