"""A baseline to beat."""

import math

import pytest

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.baseline import BaselinePruner
from manyfit.testing.pruners import PrunerStory

LOSS = Metric("val_loss", "minimize")
ACCURACY = Metric("val_accuracy", "maximize")


def ended_at(pruner: BaselinePruner, values: list[float], metric: Metric = LOSS) -> int | None:
    """Return the step at which a trial is ended; None if it goes on to its end."""
    story = PrunerStory(pruner.bind(metric), metric)
    for step, value in enumerate(values):
        if story.report(0, step, value) is not None:
            return step
    return None


def test_a_trial_that_stands_still_below_it() -> None:
    """A trial that hasn't beaten the baseline is ended at `by_step`, and not before."""
    assert ended_at(BaselinePruner(0.6, by_step=5), [0.7] * 20) == 5


def test_a_trial_that_still_improves() -> None:
    """A slow trial goes on for as long as it improves, and is ended once it has settled."""
    slow = [0.9 - step / 100 for step in range(15)]

    assert ended_at(BaselinePruner(0.6, by_step=5, patience=3), slow) is None
    assert ended_at(BaselinePruner(0.6, by_step=5, patience=3), slow + [0.9] * 10) == 17


def test_a_trial_that_has_beaten_it() -> None:
    """Once the baseline is beaten, nothing ends the trial."""
    assert ended_at(BaselinePruner(0.6, by_step=5), [0.5] + [0.9] * 50) is None


def test_to_equal_it_is_not_to_beat_it() -> None:
    """A trial that only reaches the baseline is ended: the majority vote is no achievement."""
    assert ended_at(BaselinePruner(0.6, by_step=5), [0.6] * 20) == 5


def test_maximizing() -> None:
    """Where large is good, the baseline is beaten from below."""
    pruner = BaselinePruner(0.1, by_step=5)

    assert ended_at(pruner, [0.09] * 20, ACCURACY) == 5
    assert ended_at(pruner, [0.11] * 20, ACCURACY) is None


def test_the_reason_has_the_numbers() -> None:
    """The reason names the best value, the baseline, and since when nothing has improved."""
    story = PrunerStory(BaselinePruner(0.1, by_step=4).bind(ACCURACY), ACCURACY)

    assert story.curve(0, [0.05, 0.09, 0.08, 0.08, 0.08]) == (
        "val_accuracy 0.09 up to step 4 doesn't beat the baseline 0.1 "
        "and hasn't improved for 3 steps"
    )


def test_the_reason_when_they_are_equal() -> None:
    """A trial that sits on the baseline is told so with the number as it is."""
    story = PrunerStory(BaselinePruner(0.1, by_step=2).bind(ACCURACY), ACCURACY)

    reason = story.curve(0, [0.1] * 3)

    assert reason is not None
    assert "val_accuracy 0.1 up to step 2 doesn't beat the baseline 0.1 and" in reason


@pytest.mark.parametrize(("by_step", "patience"), [(0, 2), (10, 2), (50, 10), (10_000, 2_000)])
def test_patience_follows_the_step(by_step: int, patience: int) -> None:
    """By default patience is a fifth of `by_step`, whatever a step is, and at least 2."""
    assert BaselinePruner(0.6, by_step=by_step).patience == patience


@pytest.mark.parametrize(
    ("baseline", "by_step", "patience", "message"),
    [
        (math.nan, 5, 1, "baseline must be a number, but got nan"),
        (0.5, -1, 1, "by_step must be a whole number, at least 0, but got -1"),
        (0.5, 5, 0, "patience must be a whole number, at least 1, or None, but got 0"),
    ],
)
def test_settings_are_checked(baseline: float, by_step: int, patience: int, message: str) -> None:
    """A setting that makes no sense is refused when it is written."""
    with pytest.raises(ArgumentError, match=message):
        BaselinePruner(baseline, by_step=by_step, patience=patience)
