"""What trials teach: complete, pruned, failed and diverged ones; and one scale for all of it."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manyfit.metric import Metric
from manyfit.samplers.outcomes import Outcomes, cross_section, standardised
from manyfit.testing.samplers import LOSS, finished, trial
from manyfit.trial import Attempt, Failed, Finished, Measurement, Pruned, Trial

reals = st.floats(allow_nan=False, allow_infinity=False)


def complete(number, *reports):
    return trial(number, {}, Finished(reports[-1], {"loss": reports[-1]}), *reports)


def pruned(number, *reports):
    return trial(number, {}, Pruned("hopeless"), *reports)


def losses_of(*trials, metric=LOSS):
    outcomes = Outcomes(metric)
    for each in trials:
        outcomes.add(each)
    return outcomes.losses().tolist()


class TestOutcomes:
    def test_complete_trials_have_their_own(self):
        """A complete trial's loss is its own; of a metric to be maximized it is the negative."""
        trials = [finished(0, {}, 0.5), finished(1, {}, -2.0)]

        assert losses_of(*trials) == [0.5, -2.0]
        assert losses_of(*trials, metric=Metric("loss", "maximize")) == [-0.5, 2.0]

    def test_how_many(self):
        """It counts what has ended, and what has completed."""
        outcomes = Outcomes(LOSS)
        assert (len(outcomes), outcomes.completed) == (0, 0)
        for each in (finished(0, {}, 0.5), pruned(1, 0.3), trial(2, {}, Failed("it raised"))):
            outcomes.add(each)

        assert (len(outcomes), outcomes.completed) == (3, 1)

    def test_failures_are_as_bad_as_the_worst(self):
        """A failed trial has the worst loss that completed, whatever it had reported."""
        failed = trial(2, {}, Failed("it raised"), 0.001)

        assert losses_of(finished(0, {}, 0.5), finished(1, {}, 3.0), failed) == [0.5, 3.0, 3.0]

    def test_without_a_report(self):
        """A trial pruned before any report is as bad as the worst."""
        assert losses_of(complete(0, 1.0, 0.5), complete(1, 3.0, 2.0), pruned(2))[2] == 2.0

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_divergence(self, value):
        """A pruned trial that has ever reported no number is as bad as the worst."""
        trials = [complete(0, 1.0, 0.5), complete(1, 3.0, 2.0)]

        assert losses_of(*trials, pruned(2, 0.1, value))[2] == 2.0
        assert losses_of(*trials, pruned(2, 0.1, value, 0.1))[2] == 2.0

    def test_a_complete_trial_that_had_diverged(self):
        """One that recovered counts with its own loss, and its curve foretells nothing."""
        trials = [complete(0, math.nan, 0.5), complete(1, 3.0, 2.0)]

        assert losses_of(*trials, pruned(2, 3.0)) == [0.5, 2.0, 2.0]

    def test_a_pruned_trial_comes_to_what_others_came_to(self):
        """From a median at its last step follows the median of what came of such."""
        trials = [complete(n, 10.0 + n, n / 10) for n in range(5)]

        assert losses_of(*trials, pruned(5, 12.0))[5] == pytest.approx(0.2)
        assert losses_of(*trials, pruned(5, 10.5))[5] == pytest.approx(0.05)

    def test_each_step_has_a_map_of_its_own(self):
        """A value is judged by what others had at that very step."""
        trials = [complete(n, 100.0 + n, 10.0 + n, 1.0 + n) for n in range(3)]

        assert losses_of(*trials, pruned(3, 101.0))[3] == 2.0
        assert losses_of(*trials, pruned(3, 101.0, 11.0))[3] == 2.0
        assert losses_of(*trials, pruned(3, 200.0, 10.0))[3] == 1.0

    def test_the_lowest_so_far_counts(self):
        """A curve that has risen again is taken at its lowest."""
        trials = [complete(n, 10.0 + n, 20.0, n / 10) for n in range(3)]

        assert losses_of(*trials, pruned(3, 11.0, 50.0))[3] == pytest.approx(0.1)

    def test_beyond_the_ends(self):
        """Worse than all that completed stays worse, by as much; better stays better."""
        trials = [complete(n, 10.0 + n, n / 10) for n in range(3)]

        assert losses_of(*trials, pruned(3, 15.0))[3] == pytest.approx(0.2 + 3)
        assert losses_of(*trials, pruned(3, 9.0))[3] == pytest.approx(0.0 - 1)

    def test_further_than_any(self):
        """Pruned at a step that nobody who completed has reached, it is as bad as the worst."""
        assert losses_of(complete(0, 3.0), complete(1, 1.0), pruned(2, 0.5, 0.25)) == [3, 1, 3]

    def test_steps_between_reports(self):
        """Between two reports of another trial, what it had at the earlier one counts."""

        def at_steps(number, end, *points):
            measured = tuple(Measurement(s, {"loss": v}, 0.0) for s, v in points)
            return Trial(number, {}, attempts=(Attempt(1, "w", 0.0, measured, end=end),))

        done = Finished(0.5, {"loss": 0.5})
        trials = [
            at_steps(0, done, (0, 9.0), (10, 5.0), (20, 0.5)),
            at_steps(1, done, (11, 7.0), (20, 0.5)),  # began to report too late to tell
            at_steps(2, Pruned("hopeless"), (10, 5.0)),
            at_steps(3, Pruned("hopeless"), (9, 9.0)),
        ]

        assert losses_of(*trials)[2:] == [0.5, 0.5]

    def test_other_metrics_are_passed_over(self):
        """Reports without the tuned metric say nothing."""
        only = Measurement(0, {"accuracy": 0.9}, 0.0)
        silent = Trial(1, {}, attempts=(Attempt(1, "w", 0.0, (only,), end=Pruned("hopeless")),))

        assert losses_of(complete(0, 3.0, 2.0), silent) == [2.0, 2.0]

    def test_maximized(self):
        """A pruned trial of a metric to be maximized is foreseen from its highest report."""
        trials = [complete(n, n / 10, float(n)) for n in range(3)]

        metric = Metric("loss", "maximize")
        assert losses_of(*trials, pruned(3, 1.0, 0.05), metric=metric)[3] == pytest.approx(-1)

    @given(lows=st.lists(st.floats(-5, 5), min_size=2, max_size=8, unique=True))
    def test_the_order_is_kept(self, lows):
        """Of trials that got equally far, the better one is never foreseen as worse."""
        trials = [complete(n, math.sin(5 * n), math.cos(3 * n)) for n in range(6)]
        foreseen = losses_of(*trials, *(pruned(6 + n, low) for n, low in enumerate(lows)))[6:]

        ordered = [loss for _, loss in sorted(zip(lows, foreseen, strict=True))]
        assert ordered == sorted(ordered)

    def test_news_are_seen(self):
        """What completes later changes what is foreseen of earlier ones, but not of the first."""
        outcomes = Outcomes(LOSS)
        for each in (complete(0, 3.0, 2.0), trial(1, {}, Failed("it raised"))):
            outcomes.add(each)
        assert outcomes.losses().tolist() == [2.0, 2.0]
        outcomes.add(complete(2, 9.0, 8.0))

        assert outcomes.losses().tolist() == [2.0, 8.0, 8.0]
        assert outcomes.first_losses(2).tolist() == [2.0, 2.0]

    def test_nothing_completed(self):
        """Where no trial has completed, all are alike."""
        assert losses_of(pruned(0, 0.5), trial(1, {}, Failed("it raised"))) == [0.0, 0.0]
        assert losses_of() == []

    @given(data=st.data())
    def test_any_numbers(self, data):
        """Whatever was reported, each loss is finite, and nothing overflows."""
        metric = Metric("loss", data.draw(st.sampled_from(["minimize", "maximize"])))
        trials = []
        for number in range(data.draw(st.integers(1, 8))):
            reports = data.draw(st.lists(reals, min_size=1, max_size=3))
            make = complete if number == 0 or data.draw(st.booleans()) else pruned
            trials.append(make(number, *reports))
        losses = np.array(losses_of(*trials, metric=metric))

        assert np.isfinite(losses).all()
        assert np.isfinite(standardised(losses)).all()


class TestStandardised:
    @given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30))
    def test_mean_and_deviation(self, losses):
        """The mean is 0 and the standard deviation 1, or all are 0 where all are the same."""
        scaled = standardised(np.array(losses))

        assert scaled.mean() == pytest.approx(0, abs=1e-9)
        assert scaled.std() == pytest.approx(0 if len(set(losses)) == 1 else 1)

    @given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=30))
    def test_the_order_is_kept(self, losses):
        """Sorted losses stay sorted, and equal ones equal."""
        losses = np.sort(losses)
        gaps = np.diff(standardised(losses))

        assert (gaps >= 0).all()
        assert (gaps[np.diff(losses) == 0] == 0).all()

    @given(st.lists(st.integers(-100, 100), min_size=4, max_size=30, unique=True))
    @example([*range(29)])  # the rank of the middle one is above 0.5 by a rounding error
    def test_the_better_half_keeps_its_shape(self, losses):
        """Differences among the better half are in proportion to what they were."""
        losses = np.sort(np.array(losses, dtype=float))
        better = losses <= np.median(losses)
        gaps = np.diff(standardised(losses)[better]) / np.diff(losses[better])

        assert gaps == pytest.approx(np.full(len(gaps), gaps[0]))

    def test_the_worse_half_goes_by_rank(self):
        """How bad the bad ones are makes no difference, as long as their order is the same."""
        bad = standardised(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))

        assert standardised(np.array([1.0, 2.0, 3.0, 400.0, 5e10, 1e300])) == pytest.approx(bad)

    @given(st.lists(st.integers(-50, 50), min_size=3, max_size=20), st.integers(1, 9))
    def test_units_do_not_matter(self, losses, factor):
        """Another unit, or another zero, gives the same."""
        losses = np.array(losses, dtype=float)

        assert standardised(losses * factor + 7) == pytest.approx(standardised(losses), abs=1e-6)

    @pytest.mark.parametrize("value", [0.0, -3.0, 1e300, 5e-324])
    def test_constants(self, value):
        """Where all losses are the same, all become zero."""
        assert standardised(np.full(5, value)).tolist() == [0.0] * 5

    def test_the_better_half_is_one_value(self):
        """With many equal best ones, the others still stand above them, each by its rank."""
        scaled = standardised(np.array([1.0, 1.0, 1.0, 1.0, 5.0, 4.0]))

        assert scaled[:4].tolist() == [scaled[0]] * 4
        assert scaled[0] < scaled[5] < scaled[4]

    def test_tiny_numbers(self):
        """The smallest numbers there are have a shape, too."""
        tiny = 5e-324
        scaled = standardised(np.array([0.0, tiny, 2 * tiny, 3 * tiny]))

        assert len(set(scaled)) >= 3


class TestCrossSection:
    def test_few_are_all_kept(self):
        """As many as may be kept are kept, in order."""
        assert cross_section(np.array([3.0, 1.0, 2.0]), 3).tolist() == [0, 1, 2]

    @given(st.lists(st.floats(-9, 9), min_size=11, max_size=60))
    def test_the_best_and_some_of_each_kind(self, losses):
        """Half are the best ones; the others go up to the worst; each is there once, in order."""
        losses = np.array(losses)
        kept = cross_section(losses, 10)

        assert len(kept) == 10
        assert (np.diff(kept) > 0).all()
        assert np.sort(losses[kept])[:5] == pytest.approx(np.sort(losses)[:5])
        assert losses[kept].max() == losses.max()
