"""Pruning between folds, by example and against what it promises."""

import random
import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.folds import FoldPruner
from manyfit.testing.pruners import PrunerStory

LOSS = Metric("val_rmse", "minimize")
ACCURACY = Metric("val_accuracy", "maximize")
# The last fold is hard, and the trials differ in it by little.
CROWD = (
    [0.50, 0.42, 0.40, 0.60, 0.80],
    [0.52, 0.43, 0.41, 0.61, 0.81],
    [0.55, 0.48, 0.44, 0.66, 0.83],
    [0.60, 0.51, 0.52, 0.70, 0.90],
)
LATE = [-0.05, -0.01, 0.0, 0.0, 0.0]


def with_company(*rows: Sequence[float], metric: Metric = LOSS) -> PrunerStory:
    """Begin a study with trials that completed all of their folds."""
    story = PrunerStory(FoldPruner(len(rows[0])).bind(metric), metric)
    for number, row in enumerate(rows):
        story.curve(number, row)
        story.finish(number, sum(row) / len(row))
    return story


def ended_at(story: PrunerStory, number: int, row: Sequence[float]) -> int | None:
    """Return the fold at which a trial is ended; None if it goes on to its end."""
    for step, value in enumerate(row):
        if story.report(number, step, value) is not None:
            return step
    return None


def plus(row: Sequence[float], by: float) -> list[float]:
    """Return a row that is worse by the same on each fold."""
    return [value + by for value in row]


class TestWhom:
    def test_the_hopeless(self) -> None:
        """A trial that is far behind the best on the first fold is ended there."""
        assert ended_at(with_company(*CROWD), 9, plus(CROWD[0], 2.0)) == 0

    def test_within_reach(self) -> None:
        """A trial that is behind by no more than others have made up goes on."""
        assert ended_at(with_company(*CROWD), 9, plus(CROWD[0], 0.01)) is None

    def test_the_better_the_longer(self) -> None:
        """The less a trial is behind, the more folds it takes to be sure."""
        story = with_company(*CROWD)
        steps = [ended_at(story, 9 + i, plus(CROWD[0], by)) for i, by in enumerate([2, 0.2, 0.1])]

        assert steps == sorted(steps, key=lambda step: 9 if step is None else step)
        assert steps[0] == 0
        assert steps[1] is not None

    def test_a_hard_fold_is_hard_for_everybody(self) -> None:
        """A trial is not ended for a fold that is as hard for the best as for it."""
        hard_first = [row[::-1] for row in CROWD]

        assert ended_at(with_company(*hard_first), 9, plus(hard_first[0], -0.01)) is None

    def test_a_fold_that_scatters(self) -> None:
        """Where trials differ wildly on the first fold and then hardly, the first says little."""
        rows = [[first, 0.5, 0.51, 0.5, 0.49] for first in (0.5, 0.9, 0.4, 0.8, 0.7, 0.6)]
        swapped = [[row[1], row[0], *row[2:]] for row in rows]

        assert ended_at(with_company(*rows), 9, [0.9, 0.3, 0.3, 0.3, 0.3]) is None
        assert ended_at(with_company(*swapped), 9, [0.9, 0.3, 0.3, 0.3, 0.3]) == 0

    def test_never_at_the_last_fold(self) -> None:
        """Who has been on all folds is not ended, since nothing is left to save."""
        story = with_company(*CROWD)

        assert ended_at(story, 9, [*CROWD[0][:4], 50.0]) is None

    @settings(deadline=None)  # a story is long for a slow machine
    @given(st.integers(2, 10).flatmap(lambda k: st.tuples(st.just(k), st.integers(0, 10**6))))
    def test_never_the_best(self, drawn: tuple[int, int]) -> None:
        """A trial that is no worse than the best on every fold is never ended."""
        folds, seed = drawn
        rng = random.Random(seed)
        rows = [[rng.gauss(0, 10**scale) for _ in range(folds)] for scale in range(-3, 3)]
        story = with_company(*rows)
        best = min(rows, key=sum)

        assert ended_at(story, 99, [value - rng.random() for value in best]) is None

    def test_maximizing_is_a_mirror(self) -> None:
        """Where large is good, the same trials are ended at the same folds."""
        mirrored = [[-value for value in row] for row in CROWD]
        late = [2.0, 0.3, 0.2, 0.1, 0.05, -0.1]
        minimized, maximized = with_company(*CROWD), with_company(*mirrored, metric=ACCURACY)

        assert [ended_at(minimized, 9 + i, plus(CROWD[0], by)) for i, by in enumerate(late)] == [
            ended_at(maximized, 9 + i, plus(mirrored[0], -by)) for i, by in enumerate(late)
        ]


class TestWhen:
    def test_four_trials_are_seen_to_their_end(self) -> None:
        """With three complete trials nobody is ended, with four somebody is."""
        story = with_company(*CROWD[:3])

        assert ended_at(story, 3, plus(CROWD[0], 3.0)) is None
        story.finish(3)
        assert ended_at(story, 9, plus(CROWD[0], 3.0)) is not None

    def test_the_same_values_count_once(self) -> None:
        """Trials with the same values on all folds say nothing about how much trials differ."""
        story = with_company(*CROWD[:3], *[CROWD[0]] * 20)

        assert ended_at(story, 99, plus(CROWD[0], 9.0)) is None

    def test_trials_alike(self) -> None:
        """After trials that hardly differ, a trial of another kind isn't ended for a little."""
        story = with_company(*[plus(CROWD[0], number / 1e6) for number in range(9)])
        other = [value + late for value, late in zip(CROWD[0], [0.1, -0.1, 0, 0, 0], strict=True)]

        assert ended_at(story, 98, other) is None
        assert ended_at(story, 99, plus(CROWD[0], 1.0)) == 0

    def test_no_scatter_at_all(self) -> None:
        """Where all folds are alike, whatever is behind is ended, and a tie is not."""
        story = with_company(*[[level] * 4 for level in (0.5, 0.6, 0.7, 0.8)])

        assert ended_at(story, 8, [0.5] * 4) is None
        assert ended_at(story, 9, [0.55] * 4) == 0

    def test_an_outlier_does_not_stop_it(self) -> None:
        """A complete trial that exploded on a fold doesn't let everybody go on for good."""
        story = with_company([1e9, *CROWD[0][1:]], *CROWD)

        assert ended_at(story, 9, plus(CROWD[0], 2.0)) == 0

    def test_two_folds(self) -> None:
        """With two folds the verdict comes after the first."""
        story = with_company(*[row[:2] for row in CROWD])

        assert ended_at(story, 9, [2.0, 2.0]) == 0
        assert ended_at(story, 10, [0.5, 2.0]) is None

    @pytest.mark.parametrize("huge", [1e200, 1e308, -1e308])
    def test_values_that_overflow(self, huge: float) -> None:
        """Values near the largest number break nothing."""
        story = with_company(*CROWD, [huge] * 5, [-huge, huge, huge, huge, huge])

        assert ended_at(story, 9, CROWD[0]) in (None, 0, 1, 2, 3)


class TestWhatCounts:
    def test_pruned_and_failed_trials_do_not(self) -> None:
        """What ended before its last fold, or failed after it, plays no part."""
        story = with_company(*CROWD)
        for number in range(50, 60):
            story.curve(number, [0.0001] * 3)
            story.prune(number)
        for number in range(60, 70):
            story.curve(number, [0.0001] * 5)
            story.fail(number)

        assert ended_at(story, 99, CROWD[0]) is None

    def test_a_new_attempt_starts_again(self) -> None:
        """What a lost attempt reported is forgotten, and the new one is judged from fold 0."""
        story = with_company(*CROWD)
        story.curve(9, CROWD[0][:3])
        story.lose(9)

        assert ended_at(story, 9, plus(CROWD[0], 2.0)) == 0

    def test_a_lost_attempt_is_not_completed_by_the_next(self) -> None:
        """An attempt that returns without reporting is no company."""
        story = with_company(*CROWD[:3])
        story.curve(3, CROWD[3])
        story.lose(3)
        story.finish(3)

        assert ended_at(story, 9, plus(CROWD[0], 9.0)) is None

    @pytest.mark.parametrize("steps", [(1, 2, 3, 4), (0, 2, 3, 4), (0, 5, 6, 700)])
    def test_a_trial_that_skips_folds(self, steps: tuple[int, ...]) -> None:
        """A trial that skips a fold is not judged after it, and breaks nothing."""
        story = with_company(*CROWD)
        assert story.curve(9, [CROWD[0][0], 9.0, 9.0, 9.0], steps) is None
        story.finish(9)

        assert ended_at(story, 10, plus(CROWD[0], 2.0)) == 0

    def test_more_reports_than_folds(self) -> None:
        """A step beyond the last fold is ignored."""
        story = with_company(*CROWD)
        assert story.curve(9, [*CROWD[0], 99.0, 99.0]) is None
        story.finish(9)

        assert ended_at(story, 10, plus(CROWD[0], 2.0)) == 0

    def test_the_mean_of_the_folds_counts(self) -> None:
        """A trial's value plays no part, should it be something else than their mean."""
        story = PrunerStory(FoldPruner(5).bind(LOSS), LOSS)
        for number, row in enumerate(CROWD):
            story.curve(number, row)
            story.finish(number, -1000.0)

        assert ended_at(story, 9, CROWD[0]) is None


# Losses of a model that grows on its first fold, at 1/4 and 1/2 of its rounds, then of three folds.
GROWING = (
    [0.90, 0.70, 0.50, 0.52, 0.48],
    [0.95, 0.72, 0.51, 0.55, 0.50],
    [0.92, 0.75, 0.54, 0.55, 0.53],
    [0.99, 0.80, 0.57, 0.58, 0.54],
)


def growing(*rows: Sequence[float]) -> PrunerStory:
    story = PrunerStory(FoldPruner(3, stages=2).bind(LOSS), LOSS)
    for number, row in enumerate(rows):
        story.curve(number, row)
        story.finish(number, sum(row[2:]) / 3)
    return story


class TestStages:
    def test_the_hopeless(self) -> None:
        """A trial that is far behind, and not gaining, ends within its first fold; why is said."""
        story = growing(*GROWING)
        assert story.report(9, 0, 3.0) is None  # one stage shows no pace

        reason = story.report(9, 1, 2.99)

        assert reason is not None
        assert reason.startswith("val_rmse is 2.99 after 1/2 of fold 0, where trial 0 had 0.7: ")
        assert (
            "even at its present pace it ends the fold at 2.97, and to win it needs 0.5" in reason
        )

    def test_a_slow_starter(self) -> None:
        """A trial that would catch up at its present pace goes on, however far behind it is."""
        assert ended_at(growing(*GROWING), 9, [3.0, 1.75, 0.5, 0.5, 0.5]) is None

    def test_what_is_usually_made_up(self) -> None:
        """If complete trials began worse and caught up, a trial that stands still goes on, too."""
        slow = [[row[0] + by, row[1] + by, *row[2:]] for by, row in enumerate(GROWING)]

        assert ended_at(growing(*slow), 9, [2.0, 2.0, 0.5, 0.5, 0.5]) is None

    def test_trials_without_stages(self) -> None:
        """They are judged by their folds, and teach nothing about stages."""
        story = growing()
        for number, row in enumerate(GROWING):
            for step, value in enumerate(row[2:], start=2):
                story.report(number, step, value)
            story.finish(number, 0.5)

        assert ended_at(story, 9, [9.0, 9.0]) is None
        assert story.report(10, 2, 9.0) is not None

    def test_a_single_fold(self) -> None:
        """Its stages are judged all the same."""
        story = PrunerStory(FoldPruner(1, stages=2).bind(LOSS), LOSS)
        for number, row in enumerate(GROWING):
            story.curve(number, row[:3])
            story.finish(number, row[2])

        assert ended_at(story, 9, [3.0, 3.0, 3.0]) == 1


class TestWhy:
    def test_the_reason(self) -> None:
        """The reason names the folds, the best trial, and what it could come to at best."""
        reason = with_company(*CROWD).report(9, 0, 2.5)

        assert reason is not None
        assert re.fullmatch(
            r"val_rmse averages 2.5 on fold 0, where trial 0 had 0.5: at best it ends at "
            r"[12]\.\d+, which doesn't beat the 0.544 of that trial",
            reason,
        )

    def test_several_folds_and_maximizing(self) -> None:
        """Later it names the first and the last of the folds; values are as they were reported."""
        story = with_company(*[[1 - value for value in row] for row in CROWD], metric=ACCURACY)
        story.report(9, 0, 0.5)

        reason = story.report(9, 1, -3.0)

        assert reason is not None
        assert "val_accuracy averages -1.25 on folds 0 to 1, where trial 0 had 0.54: " in reason
        assert "which doesn't beat the 0.456 of that trial" in reason


@pytest.mark.parametrize("folds", [1, 0, -3])
def test_settings_are_checked(folds: int) -> None:
    """Fewer than two folds leave nothing to prune between, and are refused when written."""
    with pytest.raises(ArgumentError, match=f"folds must be a whole .* 2, but got {folds}"):
        FoldPruner(folds)
    with pytest.raises(ArgumentError, match="stages must be a whole number, at least 0"):
        FoldPruner(3, stages=-1)


def test_random_rows_are_mostly_kept_when_they_would_win() -> None:
    """In pure noise, where nothing can be foreseen, the later winner is hardly ever ended."""
    rng = random.Random(0)
    ended = 0
    for _ in range(300):
        story = with_company(*[[rng.gauss(0, 1) for _ in range(5)] for _ in range(8)])
        winner = [rng.gauss(0, 1) for _ in range(5)]
        shift = sum(winner) / 5 + 1.5  # better than all of nearly every eight
        ended += ended_at(story, 9, plus(winner, -shift)) is not None

    assert ended <= 3


def test_it_is_cheap() -> None:
    """After hundreds of trials of ten folds, a report is judged in far less than a millisecond."""
    rng = random.Random(0)
    story = with_company(*[[rng.random() for _ in range(10)] for _ in range(400)])
    started = time.process_time()
    for number in range(1000, 1100):
        story.report(number, 0, 0.5)

    assert time.process_time() - started < 0.5
