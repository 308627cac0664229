import pytest

from manyfit.budget import Budget, NoImprovement, Tally, Target
from manyfit.errors import ArgumentError
from manyfit.metric import Metric

LOSS = Metric("loss")


class TestArguments:
    def test_takes_one_rule_or_several_or_none(self):
        """A single stop rule needs no list around it."""
        assert Budget.of(1, None, None, Target(0.5)).stop == (Target(0.5),)
        assert Budget.of(1, None, None, [Target(0.5), NoImprovement(3)]).stop == (
            Target(0.5),
            NoImprovement(3),
        )
        assert Budget.of(1, None, None, None).stop == ()

    @pytest.mark.parametrize(
        "limits",
        [
            {"n_trials": 0},
            {"n_trials": -1},
            {"timeout": -1.0},
            {"max_failures": -1},
            {"repeats": 0},
        ],
    )
    def test_refuses_limits_that_mean_nothing(self, limits):
        """The message names the limit, the rule, and what was given."""
        name, value = next(iter(limits.items()))

        with pytest.raises(ArgumentError, match=f"{name} must be .*at least .* but got {value}"):
            Budget(**limits)

    def test_refuses_a_timeout_that_is_nan(self):
        """NaN would never be reached."""
        with pytest.raises(ArgumentError, match="timeout"):
            Budget(timeout=float("nan"))

    def test_refuses_a_rule_it_does_not_know(self):
        """A string, say, is not a stop rule."""
        with pytest.raises(ArgumentError, match=r"stop must be Target"):
            Budget.of(1, None, None, ["never"])

    def test_no_improvement_needs_a_positive_number(self):
        """Zero trials without improvement would end every study at its first best."""
        with pytest.raises(ArgumentError, match="at least 1"):
            NoImprovement(0)


class TestVerdict:
    def test_goes_on_while_nothing_is_reached(self):
        """No verdict is None, not an empty reason."""
        assert Budget(n_trials=2).verdict(Tally(asked=2, finished=1), LOSS) is None

    @pytest.mark.parametrize(
        ("budget", "tally", "reason"),
        [
            (Budget(n_trials=1), Tally(asked=1, finished=1), "the only trial is done"),
            (Budget(n_trials=2), Tally(asked=2, finished=2), "all 2 trials done"),
            (Budget(max_failures=0), Tally(failed=1), "1 trial failed, more than max_failures=0"),
            (
                Budget(stop=(NoImprovement(1),)),
                Tally(best=0.5, since_best=1),
                "no improvement in the last trial",
            ),
        ],
    )
    def test_one_is_no_plural(self, budget, tally, reason):
        """Reasons read well whatever the count."""
        assert budget.verdict(tally, LOSS) == reason

    @pytest.mark.parametrize(
        ("tally", "allowed"),
        [
            (Tally(finished=9), True),
            (Tally(finished=9, elapsed=5.0), False),
            (Tally(finished=9, failed=3), False),
            (Tally(finished=9, fatal="FatalError: no"), False),
        ],
    )
    def test_repeats_follow_a_search_that_ended_well(self, tally, allowed):
        """None follow one that failed or ran out of time, and none where none are wanted."""
        limits = {"n_trials": 9, "timeout": 5.0, "max_failures": 2}

        assert Budget(**limits, repeats=2).allows_repeats(tally) is allowed
        assert not Budget(**limits).allows_repeats(tally)

    @pytest.mark.parametrize(
        ("budget", "most"),
        [
            (Budget(), None),
            (Budget(repeats=3), None),
            (Budget(n_trials=2, repeats=3), 8),
            (Budget(n_trials=100, repeats=3), 115),
        ],
    )
    def test_repeats_come_on_top(self, budget, most):
        """So many trials run at most: those of the search, and repeats of up to five of them."""
        assert budget.most_trials == most

    def test_target_follows_the_direction(self):
        """When maximizing, a larger value reaches the target."""
        budget = Budget(stop=(Target(0.9),))

        assert budget.verdict(Tally(best=0.91), Metric("accuracy", "maximize")) is not None
        assert budget.verdict(Tally(best=0.89), Metric("accuracy", "maximize")) is None

    def test_failures_are_named_before_other_reasons(self):
        """A study whose trials all failed says that, even where n_trials is reached as well."""
        tally = Tally(asked=3, finished=3, failed=3, same_failure="ValueError: no")

        assert "all failed with ValueError: no" in Budget(n_trials=3).verdict(tally, LOSS)

    def test_rules_about_values_wait_for_a_value(self):
        """Before a trial completes there is nothing that could fail to improve."""
        budget = Budget(stop=(NoImprovement(2), Target(1.0)))

        assert budget.verdict(Tally(finished=5, since_best=5), LOSS) is None
