import math
import statistics

import hypothesis.strategies as st
import pytest
import scipy.stats
from hypothesis import given

from manyfit.metric import Metric
from manyfit.repeats import Repeated, best_trial, repeated
from manyfit.trial import Attempt, Failed, Finished, Lost, Trial

LOSS = Metric("loss")
ACCURACY = Metric("accuracy", "maximize")


def trial(number, value=None, *, of=None, end=None, running=False):
    """Return a trial with that value; without one, failed, or running."""
    if end is None and not running:
        end = Failed("no") if value is None else Finished(value, {"loss": value})
    attempts = (Attempt(1, "worker", 0.0, end=end),)
    return Trial(number, {"x": 0.5}, attempts=attempts, repeat_of=of)


def numbers(trials, metric=LOSS):
    return [each.number for each in repeated(trials, metric)]


class TestInterval:
    @given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
    def test_is_students(self, values):
        """Mean and interval are those of scipy.stats for a normal sample of unknown spread."""
        found = Repeated(0, tuple(range(len(values))), tuple(values))
        mean, spread = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
        reach = scipy.stats.t.ppf(0.975, len(values) - 1) * spread

        assert found.mean == pytest.approx(mean, abs=1e-6)
        assert found.low == pytest.approx(mean - reach, abs=1e-4)
        assert found.high == pytest.approx(mean + reach, abs=1e-4)

    def test_one_value_has_a_mean_and_no_spread(self):
        """From one value nothing is known of the noise: the interval is everything."""
        found = Repeated(0, (1,), (0.5,))

        assert (found.low, found.mean, found.high) == (-math.inf, 0.5, math.inf)

    def test_no_value_has_no_mean(self):
        """Where all repeats failed the mean is NaN, not an error."""
        found = Repeated(0, (1, 2), ())

        assert math.isnan(found.mean)
        assert found.failed == 2

    @pytest.mark.parametrize("values", [(1e308, -1e308, 1e308), (1.7e308, 1.7e308), (5e-324,) * 3])
    def test_extreme_values_overflow_nothing(self, values):
        """Values at the ends of what a float holds give numbers or infinities."""
        found = Repeated(0, tuple(range(len(values))), values)

        assert math.isfinite(found.mean)
        assert found.low <= found.mean <= found.high

    def test_equal_values_leave_no_doubt(self):
        """An objective without noise has an interval of no width."""
        found = Repeated(0, (1, 2, 3), (0.25, 0.25, 0.25))

        assert found.low == found.mean == found.high == 0.25

    def test_covers_as_often_as_it_says(self):
        """Of many intervals from normal noise, 95 in 100 hold the true mean."""
        noise = scipy.stats.norm.rvs(size=(2000, 4), random_state=0)
        rows = (Repeated(0, (1, 2, 3, 4), tuple(map(float, row))) for row in noise)
        held = statistics.fmean(row.low <= 0.0 <= row.high for row in rows)

        assert held == pytest.approx(0.95, abs=0.015)


class TestOrder:
    def test_by_mean_in_the_metrics_direction(self):
        """The best mean comes first, and the search's own values count for nothing."""
        trials = [trial(0, 0.1), trial(1, 0.2)]
        trials += [trial(2, 0.4, of=0), trial(3, 0.3, of=1), trial(4, 0.6, of=0)]

        assert numbers(trials) == [1, 0]
        assert numbers(trials, ACCURACY) == [0, 1]

    def test_a_failed_repeat_costs_the_win(self):
        """A configuration that fails at times comes after all that never did."""
        trials = [trial(0, 0.1), trial(1, 0.2)]
        trials += [trial(2, 0.0, of=0), trial(3, 9.0, of=1), trial(4, of=0), trial(5, 9.0, of=1)]

        assert numbers(trials) == [1, 0]

    def test_where_all_failed_the_fewest_failures_win(self):
        """If none was spared, that with the fewest failed repeats is first."""
        trials = [trial(0, 0.1), trial(1, 0.2), trial(2, of=0), trial(3, of=0), trial(4, of=1)]

        assert numbers(trials) == [1, 0]

    def test_repeats_that_still_run_are_left_out(self):
        """What has not ended, or was lost and starts again, is no evaluation yet."""
        trials = [trial(0, 0.1), trial(1, 0.5, of=0), trial(2, of=0, running=True)]
        trials.append(trial(3, of=0, end=Lost("gone")))

        assert repeated(trials, LOSS) == (Repeated(0, (1,), (0.5,)),)


class TestBest:
    def test_without_repeats_it_is_the_best_value(self):
        """The earliest of equals; None where nothing has completed."""
        assert best_trial([trial(0), trial(1, 0.5), trial(2, 0.5)], LOSS).number == 1
        assert best_trial([trial(0)], LOSS) is None
        assert best_trial([], LOSS) is None

    def test_repeats_unmask_a_lucky_leader(self):
        """A value that was luck doesn't win once it has been repeated."""
        trials = [trial(0, 0.1), trial(1, 0.2), trial(2, 0.5, of=0), trial(3, 0.3, of=1)]

        assert best_trial(trials, LOSS).number == 1

    def test_a_repeat_itself_is_never_best(self):
        """However lucky a repeat, it stands for its configuration only."""
        assert best_trial([trial(0, 0.5), trial(1, 0.0, of=0)], LOSS).number == 0

    def test_whose_repeats_came_in_first_has_no_advantage(self):
        """While one that is repeated has no repeat that ended, the search's values decide."""
        trials = [trial(0, 0.1), trial(1, 0.2), trial(2, of=0, running=True), trial(3, 0.9, of=1)]

        assert best_trial(trials, LOSS).number == 0

    def test_a_search_that_went_on_is_not_held_back_by_old_repeats(self):
        """A new best that nobody has repeated yet is best by its value."""
        trials = [trial(0, 0.3), trial(1, 0.4, of=0), trial(2, 0.1)]

        assert best_trial(trials, LOSS).number == 2
