"""The default rule, by example and against a model that does it the slow way."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfit.metric import Metric
from manyfit.pruners.auto import AutoPruner
from manyfit.testing.pruners import PrunerStory
from manyfit.trial import Trial

LOSS = Metric("val_loss", "minimize")
ACCURACY = Metric("val_accuracy", "maximize")


def with_company(*curves: Sequence[float], metric: Metric = LOSS) -> PrunerStory:
    """Begin a study with completed trials, whose values are the last they reported."""
    story = PrunerStory(AutoPruner().bind(metric), metric)
    for number, curve in enumerate(curves):
        story.curve(number, curve)
        story.finish(number, curve[-1])
    return story


def first_verdict(story: PrunerStory, number: int, curve: Sequence[float]) -> int | None:
    """Have a trial report a curve until it is to end; return the step of that."""
    for step, value in enumerate(curve):
        if story.report(number, step, value) is not None:
            return step
    return None


class TestWhen:
    @pytest.mark.parametrize(
        ("length", "first"), [(3, 1), (5, 1), (11, 1), (12, 2), (51, 5), (101, 10), (1001, 100)]
    )
    def test_the_first_verdict_comes_after_a_tenth(self, length: int, first: int) -> None:
        """Whatever the length of the curves, the first tenth, at least a report, ends nobody."""
        story = with_company(*[[0.1] * length] * 5)

        assert first_verdict(story, 9, [0.9] * length) == first

    def test_typical_is_the_median(self) -> None:
        """One very long trial doesn't put the first verdict off for the others."""
        story = with_company(*[[0.1] * length for length in (10, 10, 10, 10, 1000)])

        assert first_verdict(story, 9, [0.9] * 3) == 1

    def test_pruned_trials_do_not_shorten_it(self) -> None:
        """How far pruned trials came says nothing about the length of a curve."""
        story = with_company(*[[0.1] * 100] * 5)
        for number in range(10, 40):
            story.curve(number, [0.1] * 2)
            story.prune(number)

        assert first_verdict(story, 50, [0.9] * 10) is None

    def test_three_trials_are_seen_to_their_end(self) -> None:
        """With two completed trials nobody is ended, with three somebody is."""
        story = with_company([0.1] * 20, [0.1] * 20)

        assert first_verdict(story, 8, [0.9] * 20) is None
        story.finish(8, 0.9)
        assert first_verdict(story, 9, [0.95] * 20) is not None

    def test_trials_without_reports(self) -> None:
        """Objectives that never report are never ended, and don't count as complete."""
        story = with_company()
        for number in range(10):
            story.finish(number)

        assert first_verdict(story, 20, [0.9] * 50) is None

    def test_a_first_report_decides_nothing(self) -> None:
        """A trial that begins to report late is judged from its second report on."""
        story = with_company(*[[0.1] * 50] * 5)

        assert story.report(9, 30, 0.9) is None
        assert story.report(9, 31, 0.9) is not None

    def test_curves_of_one_report(self) -> None:
        """Where trials report once, a trial that goes on beyond is judged, and nothing breaks."""
        story = with_company(*[[0.1]] * 5)

        assert first_verdict(story, 9, [0.9, 0.9, 0.9]) == 1


class TestHowMany:
    @pytest.mark.parametrize(("step", "go_on"), [(10, 21), (20, 11), (50, 5), (98, 3)])
    def test_the_share_halves_whenever_the_distance_doubles(self, step: int, go_on: int) -> None:
        """At a tenth half of the trials go on, at a fifth a quarter, at the end one in twenty."""
        story = with_company(*[[rank] * 101 for rank in range(1, 41)])

        def goes_on(number: int, value: float) -> bool:
            story.report(number, step - 1, value)
            return story.report(number, step, value) is None

        # 40 others and the trial itself are 41; equals of the last one to go on, go on.
        assert goes_on(50, go_on)
        story.fail(50)
        assert not goes_on(51, go_on + 0.5)

    def test_equals_go_on(self) -> None:
        """Trials that are all alike all go on."""
        story = with_company(*[[0.5] * 30] * 10)

        assert first_verdict(story, 20, [0.5] * 30) is None

    def test_the_best_so_far_counts(self) -> None:
        """A trial that was the best once isn't ended for the bad steps that follow."""
        story = with_company(*[[0.3] * 20] * 5)

        assert first_verdict(story, 9, [0.9, 0.2] + [0.9] * 18) is None

    def test_longer_trials_are_judged_as_at_the_end(self) -> None:
        """A trial that goes on beyond a typical curve is measured by what the others came to."""
        story = with_company(*[[0.3] * 20] * 5)

        assert first_verdict(story, 8, [0.2] * 100) is None
        assert story.report(9, 60, 0.4) is None
        assert story.report(9, 70, 0.4) is not None


class TestSafeguards:
    def test_a_winner_was_once_as_bad(self) -> None:
        """Where a slow starter has won, slow starters go on as long as it had been slow."""
        slow = [0.9] * 10 + [0.1] * 11
        fast = [[0.5] * 21] * 10

        assert first_verdict(with_company(*fast), 50, slow) == 2
        assert first_verdict(with_company(*fast, slow), 50, slow) is None
        assert first_verdict(with_company(*fast, slow), 50, [0.9] * 21) == 10

    def test_the_second_best_counts_as_a_winner(self) -> None:
        """How the second-best completed trial began protects as well, how the third did doesn't."""
        fast, slow = [[0.1] * 20] * 10, [0.9] * 10 + [0.2] * 10

        protected = with_company([0.1] * 20, slow, *[[0.5] * 20] * 10)
        assert first_verdict(protected, 50, [0.9] * 20) == 10
        assert first_verdict(with_company(*fast, slow), 50, [0.9] * 20) == 2

    def test_on_its_way_to_win(self) -> None:
        """The worst of all goes on while its pace leads to a win, and not when it flattens out."""
        story = with_company(*[[0.5] * 21] * 10)

        assert first_verdict(story, 50, [1 - 0.03 * step for step in range(21)]) is None
        assert first_verdict(story, 51, [1 - 0.02 * step for step in range(21)]) == 2
        flattens = [1 - 0.03 * min(step, 8) for step in range(21)]
        assert 8 < (first_verdict(story, 52, flattens) or 0) < 16

    def test_where_the_slowest_win_they_are_found(self) -> None:
        """Among curves that cross, the better the slower, the best trial comes to its end."""
        story = with_company()
        ends = [(7 * number % 40) / 40 for number in range(40)]
        for number, end in enumerate(ends):
            times = [step / 50 for step in range(51)]
            curve = [end + (1.5 - end) * math.exp(-time * (1 + 12 * end)) for time in times]
            stopped = first_verdict(story, number, curve)
            if stopped is None:
                story.finish(number, curve[-1])
            else:
                assert end > min(ends)
                story.prune(number)


def scheduled(*lengths: int, ends: Sequence[float]) -> PrunerStory:
    """Begin a study with completed trials that fall in proportion to their own length."""
    story = PrunerStory(AutoPruner().bind(LOSS), LOSS)
    for number, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        story.trials[number] = Trial(number, {"epochs": length})
        story.curve(number, decayed(length, end))
        story.finish(number, end)
    return story


def decayed(length: int, end: float) -> list[float]:
    """Return a curve from near 1 to its end; at the same share, the better end is the lower."""
    return [1 - (1 - end) * (step + 1) / length for step in range(length)]


class TestLengths:
    def test_a_long_trial_is_compared_at_its_own_share(self) -> None:
        """A long trial that wins comes to its end, though it is behind short ones at every step."""
        story = scheduled(9, 12, 15, 18, ends=[0.5, 0.4, 0.3, 0.2])
        story.trials[9] = Trial(9, {"epochs": 50})
        story.trials[10] = Trial(10, {"epochs": 50})

        assert first_verdict(story, 9, decayed(50, 0.1)) is None
        assert (first_verdict(story, 10, decayed(50, 0.6)) or 50) < 10

    def test_what_ran_before_counts(self) -> None:
        """Trials that were pruned or running when lengths are learned are company after it."""
        story = scheduled(9, 12, ends=[0.5, 0.4])
        for number, length in ((5, 20), (6, 40), (7, 30)):
            story.trials[number] = Trial(number, {"epochs": length})
            story.curve(number, decayed(length, 0.6)[: length // 2])
        story.prune(5)
        story.trials[8] = Trial(8, {"epochs": 15})
        story.curve(8, decayed(15, 0.3))
        story.finish(8, 0.3)

        story.trials[9] = Trial(9, {"epochs": 50})
        story.curve(9, decayed(50, 0.6)[:24])
        reason = story.report(9, 24, 0.81)
        assert reason is not None
        assert "of 7 trials" in reason

    def test_an_unknown_length(self) -> None:
        """A trial whose length isn't known, among others whose is, goes on."""
        story = scheduled(9, 12, 15, 18, ends=[0.5, 0.4, 0.3, 0.2])

        assert first_verdict(story, 9, [0.99] * 30) is None

    def test_a_broken_rule(self) -> None:
        """Once a length contradicts the rule, trials are compared by steps again."""
        story = scheduled(9, 12, 15, 18, ends=[0.5, 0.4, 0.3, 0.2])
        story.trials[8] = Trial(8, {"epochs": 50})
        story.curve(8, decayed(10, 0.7))
        story.finish(8, 0.7)

        reasons = [story.report(9, step, 0.99) for step in range(9)]
        found = next(reason for reason in reasons if reason is not None)
        assert "length" not in found

    def test_a_lost_attempt_before_lengths_are_learned(self) -> None:
        """An attempt that was lost leaves nothing behind when trials are placed again."""

        def play(*lost: float) -> list[str | None]:
            story = scheduled(9, 12, ends=[0.5, 0.4])
            story.trials.update(
                {n: Trial(n, {"epochs": e}) for n, e in ((7, 15), (8, 20), (9, 50))}
            )
            if lost:
                story.curve(8, lost)
                story.lose(8)
            story.curve(7, decayed(15, 0.3))
            story.finish(7, 0.3)
            story.curve(8, decayed(20, 0.6))
            return [story.report(9, step, value) for step, value in enumerate(decayed(50, 0.55))]

        assert play(*[0.001] * 15) == play()


class TestReasons:
    def test_the_share_of_a_known_length(self) -> None:
        """If lengths follow from params, the reason has the share of the trial's own length."""
        story = scheduled(9, 12, 15, 18, ends=[0.5, 0.4, 0.3, 0.2])
        story.trials[9] = Trial(9, {"epochs": 50})
        story.report(9, 9, 0.99)

        assert story.report(9, 24, 0.95) == (
            "val_loss 0.95 up to step 24, 50% of its length, is worse than 0.6, where the best "
            "1 of 5 trials and the winners so far stood"
        )

    def test_the_numbers(self) -> None:
        """The reason has what the trial showed, what it took, and where it was bound."""
        story = with_company(*[[rank / 10] * 21 for rank in range(1, 6)])
        story.report(9, 0, 0.9)

        assert story.report(9, 4, 0.8) == (
            "val_loss 0.8 up to step 4 is worse than 0.2, where the best 2 of 6 trials and the "
            "winners so far stood, and at its pace it ends at 0.4, which doesn't beat 0.1"
        )

    def test_maximizing(self) -> None:
        """Where large is good the reason shows the values as reported."""
        company = [[rank / 10] * 21 for rank in range(5, 10)]
        story = with_company(*company, metric=ACCURACY)
        story.report(9, 0, 0.1)

        assert story.report(9, 4, 0.2) == (
            "val_accuracy 0.2 up to step 4 is worse than 0.8, where the best 2 of 6 trials and "
            "the winners so far stood, and at its pace it ends at 0.6, which doesn't beat 0.9"
        )

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_largest_numbers(self, sign: int) -> None:
        """Values of 1e308 on either side of zero are judged without a NaN in any reason."""
        metric = LOSS if sign == 1 else ACCURACY
        story = with_company(*[[-sign * 1e308] * 21] * 5, metric=metric)

        for step in range(30):
            reason = story.report(9, step, sign * (1e308 if step < 21 else -0.99e308))
            assert reason is None or "nan" not in reason


class SlowNarrowing:
    """The rule as its docstring states it, for steps below 64: all trials, at every report."""

    def __init__(self) -> None:
        self.curves: dict[int, dict[int, float]] = {}
        self.values: dict[int, float] = {}
        self.pruned: set[int] = set()

    def goes_on(self, number: int, step: int, value: float) -> bool:
        """Take a report in; say whether the trial should go on."""
        before = dict(self.curves.setdefault(number, {}))
        self.curves[number][step] = value
        complete = [other for other in self.values if self.curves.get(other)]
        if len(complete) < 3 or not before:
            return True
        lengths = sorted(max(self.curves[other]) for other in complete)
        if lengths[0] == step == lengths[-1]:
            return True
        typical = lengths[len(lengths) // 2]
        share, power, paced = (
            (0.09, 0.4, False) if self.lengths_are_a_setting() else (0.05, 1, True)
        )
        progress = step / max(1, typical) if paced else (step + 1) / (typical + 1)
        if (step < max(1, typical / 10)) if paced else (progress < 0.03):
            return True
        low = min([value, *before.values()])
        others = sorted(
            self.low(other, step)
            for other, curve in self.curves.items()
            if other != number and curve and min(curve) <= step
            if other in self.values or other in self.pruned or max(curve) >= step
        )
        go_on = max(1, math.ceil(share / min(1, progress) ** power * (len(others) + 1)))
        winners = sorted(complete, key=lambda other: (self.values[other], other))[:2]
        begun = [self.low(other, step) for other in winners if min(self.curves[other]) <= step]
        if len(others) < go_on or low <= max([others[go_on - 1], *begun]):
            return True
        since = max([at for at in before if at <= step // 2], default=min(before))
        gain = (min(v for at, v in before.items() if at <= since) - low) / (step - since)
        forecast = low - gain * max(0, max(1, typical) - step)
        return paced and forecast < self.values[winners[0]]

    def lengths_are_a_setting(self) -> bool:
        """Say whether lengths differ, and not because trials end when they no longer improve."""
        curves = [
            list(self.curves[other].values()) for other in self.values if self.curves.get(other)
        ]
        lengths = sorted(max(self.curves[o]) + 1 for o in self.values if self.curves.get(o))
        waits = [len(curve) - 1 - curve.index(min(curve)) for curve in curves]
        patient = any(2 * waits.count(wait) > len(waits) for wait in waits if wait > 0)
        fifth = len(lengths) // 5
        return lengths[-1 - fifth] > 1.25 * lengths[fifth] and not patient

    def low(self, number: int, step: int) -> float:
        """Return a trial's best up to a step."""
        return min(value for at, value in self.curves[number].items() if at <= step)


VALUE = st.integers(0, 30)
# Trials that have completed, then reports and ends of others.
COMPANY = st.lists(st.lists(VALUE, min_size=2, max_size=20), min_size=2, max_size=6)
EVENTS = st.lists(
    st.tuples(
        st.integers(10, 13),
        st.sampled_from(["report"] * 30 + ["finish", "prune", "fail", "lose"]),
        st.integers(1, 4),
        VALUE,
    ),
    min_size=10,
    max_size=80,
)


@given(company=COMPANY, events=EVENTS)
def test_it_agrees_with_the_slow_model(
    company: list[list[int]], events: list[tuple[int, str, int, int]]
) -> None:
    """The tallies give the verdicts that going over all trials gives, whatever happens."""
    story, model = with_company(*company), SlowNarrowing()
    for number, curve in enumerate(company):
        model.curves[number] = dict(enumerate(curve))
        model.values[number] = curve[-1]
    lost: set[int] = set()
    for number, what, gap, value in events:
        if number in model.values or number in model.pruned:
            continue
        if number in lost and what != "lose":  # a new attempt
            lost.discard(number)
            model.curves.pop(number, None)
        if what == "report":
            steps = model.curves.get(number, {})
            step = max(steps) + gap if steps else gap - 1
            if step < 64:
                verdict = story.report(number, step, value)
                assert (verdict is None) == model.goes_on(number, step, value)
        elif what == "finish":
            story.finish(number, value)
            model.values[number] = value
        elif what == "lose":
            story.lose(number)
            lost.add(number)
        else:
            getattr(story, what)(number)
            model.pruned.add(number)
            if what == "fail":
                model.curves.pop(number, None)
