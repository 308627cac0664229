"""The median rule, by example and against a model that does it the slow way."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.median import MedianPruner
from manyfit.testing.pruners import PrunerStory

LOSS = Metric("val_loss", "minimize")
ACCURACY = Metric("val_accuracy", "maximize")


def story_of(pruner: MedianPruner, metric: Metric = LOSS) -> PrunerStory:
    """Begin a study."""
    return PrunerStory(pruner.bind(metric), metric)


def with_company(pruner: MedianPruner, *lows: float, metric: Metric = LOSS) -> PrunerStory:
    """Begin a study with completed trials, flat over five steps at these values."""
    story = story_of(pruner, metric)
    for number, low in enumerate(lows):
        story.curve(number, [low] * 5)
        story.finish(number)
    return story


class TestVerdicts:
    def test_worse_than_the_median(self) -> None:
        """A trial whose best lies above the median of the others is ended, with the numbers."""
        story = with_company(MedianPruner(), 0.1, 0.2, 0.3, 0.4, 0.5)
        story.report(9, 0, 0.35)

        assert story.report(9, 1, 0.31) == (
            "val_loss 0.31 up to step 1 is worse than the median 0.3 of 5 trials"
        )

    def test_maximizing(self) -> None:
        """Where large is good, small is worse, and the reason shows the values as reported."""
        story = with_company(MedianPruner(), 0.9, 0.8, 0.7, 0.6, 0.5, metric=ACCURACY)

        assert story.report(8, 1, 0.75) is None
        assert story.report(9, 1, 0.65) == (
            "val_accuracy 0.65 up to step 1 is worse than the median 0.725 of 6 trials"
        )

    def test_as_good_as_the_median(self) -> None:
        """A trial at the median goes on: nobody is ended for being like the others."""
        story = with_company(MedianPruner(), *[0.3] * 5)

        assert story.curve(9, [0.3] * 5) is None

    def test_an_even_number_of_others(self) -> None:
        """The median of an even number lies halfway between the two in the middle."""
        story = with_company(MedianPruner(), 0.1, 0.2, 0.2, 0.4, 0.5, 0.6)

        assert story.report(8, 1, 0.3) is None
        assert story.report(9, 1, 0.301) is not None

    def test_the_best_so_far_counts(self) -> None:
        """A trial that was good once isn't ended for a bad step."""
        story = with_company(MedianPruner(), *[0.3] * 5)

        assert story.curve(9, [0.2, 0.9, 0.9]) is None

    def test_close_numbers_are_told_apart(self) -> None:
        """The reason never says that a number is worse than itself."""
        story = with_company(MedianPruner(), *[0.69314000] * 5)

        reason = story.report(9, 1, 0.69314718)

        assert reason is not None
        assert "0.69315 up to step 1 is worse than the median 0.69314 of" in reason


class TestPatience:
    def test_min_steps(self) -> None:
        """No trial is ended before `min_steps`, and the first hopeless one at it is."""
        story = with_company(MedianPruner(min_steps=3), *[0.3] * 5)

        verdicts = [story.report(9, step, 0.9) is None for step in range(4)]

        assert verdicts == [True, True, True, False]

    def test_startup_counts_completed_trials(self) -> None:
        """Trials that were pruned or failed don't hasten the first verdict."""
        story = with_company(MedianPruner(n_startup=3), 0.3, 0.3)
        for number in range(20, 30):
            story.curve(number, [0.3] * 5)
        story.prune(20)
        story.fail(21)

        assert story.curve(8, [0.9] * 5) is None
        story.finish(22)
        assert story.curve(9, [0.9] * 5) is not None

    def test_too_little_company(self) -> None:
        """Completed trials that never reported the metric are no company to judge by."""
        story = story_of(MedianPruner(n_startup=3))
        for number in range(5):
            story.finish(number)

        assert story.curve(9, [0.9] * 5) is None

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (
                {"min_steps": -1},
                "min_steps must be a whole .* 0, or None, but got -1",
            ),
            ({"n_startup": 0}, "n_startup must be a whole number, at least 1, but got 0"),
        ],
    )
    def test_settings_are_checked(self, settings: dict[str, int], message: str) -> None:
        """A setting that makes no sense is refused when it is written."""
        with pytest.raises(ArgumentError, match=message):
            MedianPruner(**settings)


class TestCompany:
    def test_pruned_trials_stay_in_the_company(self) -> None:
        """The survivors aren't halved again at every step: the pruned are remembered."""
        story = with_company(MedianPruner(), 0.1, 0.1, 0.1, 0.1, 0.1)
        for number in range(10, 20):
            story.report(number, 0, 0.9)
            story.prune(number)

        # At step 4 the median of all 15 is 0.9, that of the five others alone 0.1.
        assert story.curve(30, [0.5] * 5) is None

    def test_short_trials_stay_in_the_company(self) -> None:
        """A trial that completed early is compared with, at later steps, by the best it had."""
        story = with_company(MedianPruner(), *[0.3] * 5)

        assert story.curve(9, [0.2] * 5 + [0.2] * 50) is None
        assert story.report(8, 80, 0.4) is not None

    def test_running_trials_count_where_they_have_been(self) -> None:
        """A running trial is company up to its last step and not beyond."""
        story = with_company(MedianPruner(n_startup=1), 0.1)
        for number in (5, 6):
            story.curve(number, [0.9, 0.9])

        assert story.report(8, 1, 0.8) is None
        assert story.report(9, 2, 0.8) is not None

    def test_a_trial_is_not_its_own_company(self) -> None:
        """A trial is compared with the others only."""
        story = with_company(MedianPruner(n_startup=1), 0.3)

        assert story.report(9, 1, 0.31) is not None

    def test_reports_that_go_back_are_not_counted(self) -> None:
        """A step reported twice, or out of order, changes nothing."""
        story = with_company(MedianPruner(n_startup=1), 0.3)
        story.report(7, 3, 0.2)

        assert story.report(7, 3, 0.9) is None
        assert story.report(7, 2, 0.9) is None
        assert story.report(7, 4, 0.9) is None

    def test_steps_that_never_meet(self) -> None:
        """Trials with steps of their own are compared at the last step both have been at."""
        story = story_of(MedianPruner(n_startup=5))
        for number in range(5):
            story.curve(number, [0.5, 0.1], steps=[0, 10])
            story.finish(number)

        assert story.report(7, 9, 0.5) is None
        assert story.report(8, 11, 0.5) is not None

    def test_nothing_to_compare_with_yet(self) -> None:
        """A trial that reports before the others' first step has no company there."""
        story = story_of(MedianPruner(n_startup=5))
        for number in range(5):
            story.curve(number, [0.1], steps=[10])
            story.finish(number)

        assert story.report(8, 9, 0.5) is None
        assert story.report(9, 10, 0.5) is not None

    def test_long_steps_are_judged_once_in_a_while(self) -> None:
        """Steps that count samples are compared within a thirty-second of their size."""
        story = story_of(MedianPruner(n_startup=5))
        for number in range(5):
            story.curve(number, [0.9, 0.1], steps=[1_000_000, 2_000_000])
            story.finish(number)

        assert story.report(8, 1_990_000, 0.5) is None
        assert story.report(8, 2_040_000, 0.5) is not None
        assert story.report(8, 2_041_000, 0.5) is None
        assert story.report(8, 2_140_000, 0.5) is not None


class TestAttempts:
    def test_an_end_without_a_report_of_the_new_attempt(self) -> None:
        """What a lost attempt reported is no company even if the next one reports nothing."""
        story = with_company(MedianPruner(n_startup=5), *[0.5] * 5)
        for number in range(10, 20):
            story.curve(number, [0.1] * 5)
            story.lose(number)
            story.finish(number)

        assert story.curve(30, [0.4] * 5) is None


class SlowMedian:
    """The rule as its docstring states it, for steps below 64: all trials, at every report."""

    def __init__(self, n_startup: int) -> None:
        self.n_startup = n_startup
        self.curves: dict[int, dict[int, float]] = {}
        self.ended: dict[int, str] = {}

    def verdict(self, number: int, step: int, value: float) -> bool:
        """Take a report in; say whether the trial should go on."""
        own = self.curves.setdefault(number, {})
        own[step] = value
        lows = [
            min(known)
            for other, curve in self.curves.items()
            if other != number and (other in self.ended or (curve and max(curve) >= step))
            if (known := [value for at, value in curve.items() if at <= step])
        ]
        complete = list(self.ended.values()).count("finish")
        if min(complete, len(lows)) < self.n_startup:
            return True
        return min(own.values()) <= median(lows)

    def end(self, number: int, how: str) -> None:
        """Take an end in."""
        if how == "fail":
            self.curves.pop(number, None)
        elif how == "lose":
            return
        else:
            self.curves.setdefault(number, {})
            self.ended[number] = how


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.sampled_from(["report"] * 12 + ["finish", "finish", "prune", "fail", "lose"]),
        st.integers(1, 20),
        st.integers(0, 9),
    ),
    max_size=120,
)


@given(events=EVENTS, n_startup=st.integers(1, 3))
def test_it_agrees_with_the_slow_model(
    events: list[tuple[int, str, int, int]], n_startup: int
) -> None:
    """The tallies give the verdicts that going over all trials gives, whatever happens."""
    story = story_of(MedianPruner(min_steps=0, n_startup=n_startup))
    model = SlowMedian(n_startup)
    over: set[int] = set()
    lost: set[int] = set()
    at: dict[int, int] = {}
    for number, what, gap, value in events:
        if number in over:
            continue
        if what != "report":
            if number in lost and what != "lose":
                model.curves.pop(number, None)  # a new attempt ends without a report
            getattr(story, what)(number)
            model.end(number, what)
            (lost if what == "lose" else over).add(number)
            continue
        if number in lost:
            lost.discard(number)
            at.pop(number, None)
            model.curves.pop(number, None)
        at[number] = at.get(number, -gap) + gap
        if at[number] > 63:
            continue

        goes_on = story.report(number, at[number], float(value)) is None

        assert goes_on == model.verdict(number, at[number], float(value))
