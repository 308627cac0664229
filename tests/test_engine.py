import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from manyfit.budget import Budget, NoImprovement, Target
from manyfit.commands import Abandon, Ask, EndStudy, Start, StopAttempt
from manyfit.engine import Engine, IllegalEventError
from manyfit.events import (
    AttemptFailed,
    AttemptFinished,
    AttemptLost,
    AttemptPruned,
    AttemptStarted,
    DriverStarted,
    Reported,
    StopRequested,
    TrialAbandoned,
    TrialAsked,
)
from manyfit.metric import Metric
from manyfit.pruners.auto import make_pruner
from manyfit.samplers.base import NoSampler
from manyfit.samplers.grid import GridSampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.trial import State

LOSS = Metric("loss", "minimize")
LINE = Space({"x": Float(0.0, 1.0)})


class Impatient:
    """A pruner that ends every trial at its first report."""

    def report(self, trial, step, value):
        return f"{value} at step {step} is too much"

    def end(self, trial):
        pass


def engine(space=LINE, *, pruner=None, sampler=None, **options):
    return Engine(
        space=space,
        metric=LOSS,
        sampler=sampler or RandomSampler(space, 0),
        pruner=pruner or make_pruner(None, LOSS),
        **options,
    )


def ask(engine):
    """Put the next proposed trial on record."""
    command = engine.decide(free=1)
    assert isinstance(command, Ask)
    engine.apply(TrialAsked(command.number, command.params, command.origin, at=0.0))
    return command


def start(engine, number=0, attempt=1):
    engine.apply(AttemptStarted(number, attempt, "worker", at=1.0))


def failed(number, reason="ValueError: no", *, error="ValueError", fatal=False):
    return AttemptFailed(number, 1, reason, error, "Traceback ...", fatal, seconds=1.0, at=2.0)


def finish(engine, value, number=None):
    """Run the next trial to the given value."""
    number = ask(engine).number if number is None else number
    start(engine, number)
    engine.apply(AttemptFinished(number, 1, {"loss": value}, seconds=1.0, at=2.0))


class TestAsking:
    def test_asks_then_starts_then_asks_again_while_slots_are_free(self):
        """A trial is put on record before it is started, and the next one asked once it runs."""
        study = engine()

        ask(study)

        assert study.decide(free=1) == Start(0, 1)
        start(study)
        assert isinstance(study.decide(free=1), Ask)

    def test_waits_when_no_slot_is_free(self):
        """Nothing is asked for, or started, ahead of its time."""
        study = engine()

        assert study.decide(free=0) is None

    def test_start_with_comes_first_and_in_order(self):
        """Known good points are the first trials, in the order given."""
        points = [{"x": 0.5}, {"x": 0.25}]
        study = engine(start_with=points)

        commands = [ask(study), start(study), ask(study), start(study, 1), ask(study)]

        asked = [c for c in commands if c]
        assert [c.params for c in asked[:2]] == points
        assert [c.origin for c in asked] == ["start_with", "start_with", "sampler"]

    def test_a_submitted_trial_is_not_started_twice(self):
        """Between submit and the worker's first word, a trial is neither started nor abandoned."""
        study = engine(budget=Budget(n_trials=1))
        ask(study)

        assert study.decide(free=1, submitted={0: 1}) is None

    def test_asking_changes_nothing(self):
        """Decisions are values: the same question gets the same answer."""
        study = engine()

        assert study.decide(free=1) == study.decide(free=1)

    def test_an_exhausted_space_ends_the_study_after_the_last_trial_has(self):
        """Every configuration is tried once; then the study ends, and says why."""
        space = Space({"a": Choice(["p", "q"])})
        study = engine(space, sampler=GridSampler(space, 0))
        finish(study, 1.0)
        ask(study)
        start(study, 1)

        assert study.decide(free=1) is None
        study.apply(AttemptFinished(1, 1, {"loss": 2.0}, seconds=1.0, at=2.0))
        assert study.decide(free=1) == EndStudy("the space is exhausted: it has 2 configurations")

    def test_a_space_without_params_is_one_configuration(self):
        """It ends after one trial, and the reason is in the singular."""
        study = engine(Space({"fixed": 1}))
        finish(study, 1.0)

        assert study.decide(free=1) == EndStudy("the space is exhausted: it has 1 configuration")

    def test_a_sampler_that_has_nothing_more_ends_the_study(self):
        """A sampler may stop before the space does: the reason names the sampler."""
        study = engine(sampler=NoSampler())

        assert study.decide(free=1) == EndStudy("the sampler has no more proposals")


class TestEnding:
    def test_n_trials_is_exact(self):
        """No more than n_trials are asked for, and the study ends when that many have finished."""
        study = engine(budget=Budget(n_trials=2))
        finish(study, 1.0)
        ask(study)
        start(study, 1)

        assert study.decide(free=5) is None
        study.apply(failed(1))
        assert study.decide(free=5) == EndStudy("all 2 trials done")

    def test_timeout_ends_the_study_while_trials_run(self):
        """Elapsed time is told, not measured, and ends the study at the limit."""
        study = engine(budget=Budget(timeout=10))

        assert isinstance(study.decide(free=1, elapsed=9.9), Ask)
        assert study.decide(free=1, elapsed=10.0) == EndStudy("timeout of 10 s reached")

    @pytest.mark.parametrize(("value", "ended"), [(0.2, True), (0.1, True), (0.21, False)])
    def test_target(self, value, ended):
        """A value as good as the target ends the study; a worse one doesn't."""
        study = engine(budget=Budget(stop=(Target(0.2),)))
        finish(study, value)

        assert isinstance(study.decide(free=1), EndStudy) is ended

    def test_no_improvement_counts_from_the_best_trial(self):
        """The study ends after this many trials in a row without improvement, failures included."""
        study = engine(budget=Budget(stop=(NoImprovement(2),)))
        finish(study, 1.0)
        finish(study, 0.5)
        finish(study, 0.5)
        assert isinstance(study.decide(free=1), Ask)
        number = ask(study).number
        start(study, number)
        study.apply(failed(number))

        assert study.decide(free=1) == EndStudy("no improvement in the last 2 trials")

    @pytest.mark.parametrize("limit", [None, 50])
    def test_first_trials_that_fail_alike_end_the_study(self, limit):
        """First failures all over the space are one bug; a number of max_failures may go on."""
        study = engine(budget=Budget(max_failures=limit))
        number = 0
        while isinstance(study.decide(free=1), Ask) and number < 50:
            ask(study)
            start(study, number)
            study.apply(failed(number, f"ValueError: x is 0.{number}"))
            number += 1

        if limit is None:
            assert number < 25
            assert (
                "all over the space, all failed with ValueError: x" in study.decide(free=1).reason
            )
        else:
            assert number == 50

    @pytest.mark.parametrize("reason", ["KeyError: 'y'", "ran longer than trial_timeout=5 s"])
    def test_first_failures_that_differ_do_not_end_it(self, reason):
        """One different failure, or a limit among them, and the study goes on."""
        study = engine()
        for number in range(30):
            ask(study)
            start(study, number)
            last = number == 2
            error = "" if last and "timeout" in reason else "ValueError"
            study.apply(failed(number, reason if last else "ValueError: no", error=error))

        assert isinstance(study.decide(free=1), Ask)

    def test_one_success_excuses_later_failures(self):
        """Only the first trials are taken for a bug."""
        study = engine()
        finish(study, 1.0)
        for number in range(1, 30):
            ask(study)
            start(study, number)
            study.apply(failed(number))

        assert isinstance(study.decide(free=1), Ask)

    def test_a_new_driver_forgives_earlier_failures(self):
        """A study that ended with a bug can be resumed once it is mended."""
        study = engine()
        while not isinstance(study.decide(free=1), EndStudy):
            number = ask(study).number
            start(study, number)
            study.apply(failed(number))
        study.apply(DriverStarted("host", 1, at=3.0))

        assert isinstance(study.decide(free=1), Ask)

    def test_a_step_of_old_that_is_no_number_reaches_no_pruner(self):
        """There was a time when any step was taken: such a study still opens, with any pruner."""
        study = engine(pruner=make_pruner("median", LOSS))
        ask(study)
        start(study)
        for step in ("1", None, 1.5):
            study.apply(Reported(0, 1, step, {"loss": 1.0}, at=2.0))

        assert len(study.trials[0].measurements) == 3

    def test_max_failures(self):
        """More failures than allowed end the study."""
        study = engine(budget=Budget(max_failures=1))
        finish(study, 1.0)
        for number in (1, 2):
            assert isinstance(study.decide(free=1), Ask)
            ask(study)
            start(study, number)
            study.apply(failed(number))

        assert study.decide(free=1) == EndStudy("2 trials failed, more than max_failures=1")

    def test_fatal_error_ends_the_study_at_once(self):
        """A FatalError is the objective's word that going on makes no sense."""
        study = engine()
        finish(study, 1.0)
        ask(study)
        start(study, 1)
        study.apply(failed(1, "FatalError: disk full", fatal=True))

        assert study.decide(free=1) == EndStudy("FatalError: disk full")

    def test_a_fatal_error_in_a_later_attempt(self):
        """It counts as well when the trial's first worker died."""
        study = engine()
        ask(study)
        start(study, 0)
        study.apply(AttemptLost(0, 1, "the worker died", True, 2.0))
        start(study, 0, attempt=2)
        study.apply(AttemptFailed(0, 2, "disk full", "FatalError", "", True, seconds=1.0, at=2.0))

        assert study.decide(free=1) == EndStudy("disk full")


class TestAskingAhead:
    def test_asks_while_no_slot_is_free_for_as_many_as_may_wait(self):
        """With all slots busy, proposals for the slots ahead are made ready, and no more."""
        study = engine()
        ask(study)
        start(study)

        for number in (1, 2):
            command = study.decide(free=0, ahead=2)
            assert (type(command), command.number) == (Ask, number)
            study.apply(command.event(0.0))
        assert study.decide(free=0, ahead=2) is None
        assert study.decide(free=1, ahead=2) == Start(1, 1)

    def test_never_asks_beyond_n_trials(self):
        """Trials that wait count like those that run."""
        study = engine(budget=Budget(n_trials=2))
        ask(study)
        start(study)
        ask(study)

        assert study.decide(free=0, ahead=5) is None

    def test_whatever_else_is_to_be_done_comes_first(self):
        """A stop request, the end of the study and a lost trial's next attempt go before."""
        study = engine(pruner=Impatient(), budget=Budget(stop=(Target(0.2),)))
        ask(study)
        start(study)
        ask(study)
        start(study, 1)
        study.apply(Reported(0, 1, 0, {"loss": 1.0}, at=1.0))
        assert isinstance(study.decide(free=0, ahead=5), StopAttempt)
        study.apply(StopRequested(0, 1, "hopeless", at=1.0))
        assert isinstance(study.decide(free=0, ahead=5), Ask)
        study.apply(AttemptLost(0, 1, "gone", counts=True, at=2.0))
        assert study.decide(free=1, ahead=5) == Start(0, 2)
        study.apply(AttemptFinished(1, 1, {"loss": 0.1}, seconds=1.0, at=2.0))

        assert isinstance(study.decide(free=0, ahead=5), EndStudy)

    def test_what_was_asked_ahead_waits_for_the_study_to_be_resumed(self):
        """A study that ends first leaves such a trial on record, and it is the next to start."""
        study = engine(budget=Budget(stop=(Target(0.2),)))
        ask(study)
        start(study)
        ask(study)
        study.apply(AttemptFinished(0, 1, {"loss": 0.1}, seconds=1.0, at=2.0))
        assert isinstance(study.decide(free=1), EndStudy)
        study.budget = Budget(n_trials=5)

        assert study.trials[1].state is State.WAITING
        assert study.decide(free=1) == Start(1, 1)


class TestRepeating:
    def study(self, values, *, repeats=2, **options):
        """Return an engine whose search has ended, with these values."""
        study = engine(budget=Budget(n_trials=len(values), repeats=repeats), **options)
        for value in values:
            finish(study, value)
        return study

    def run(self, study, value=1.0):
        """Run a repeat to its end; returns whom it repeats."""
        command = study.decide(free=1)
        assert (type(command), command.origin) == (Ask, "repeat")
        study.apply(command.event(0.0))
        assert study.decide(free=1) == Start(command.number, 1)
        start(study, command.number)
        study.apply(AttemptFinished(command.number, 1, {"loss": value}, 1.0, at=2.0))
        return study.trials[command.number].repeat_of

    def test_the_leaders_take_turns_when_the_search_is_over(self):
        """The best five, the best one first, are run again in turn, each as often as wanted."""
        study = self.study([0.7, 0.1, 0.6, 0.2, 0.5, 0.3, 0.4])

        assert [self.run(study) for _ in range(10)] == [1, 3, 5, 6, 4] * 2
        assert study.decide(free=1) == EndStudy("all 7 trials done, and 10 repeats")

    def test_fewer_completed_trials_are_fewer_leaders(self):
        """Where three have completed, three are repeated; where none has, the study ends."""
        study = self.study([0.1, 0.2])
        assert [self.run(study) for _ in range(4)] == [0, 1, 0, 1]

        study = engine(budget=Budget(n_trials=1, repeats=3))
        ask(study)
        start(study)
        study.apply(failed(0))
        assert study.decide(free=1) == EndStudy("the only trial is done")

    def test_they_count_for_nothing_in_the_search(self):
        """Tally, best trial, sampler and pruner are as if no repeat had ever run."""
        told = []

        class Listener(RandomSampler):
            def tell(self, trial):
                told.append(trial.number)

        study = self.study([0.1, 0.2], sampler=Listener(LINE, 0), pruner=Impatient())
        tally = study.tally
        command = study.decide(free=1)
        study.apply(command.event(0.0))
        start(study, command.number)
        study.apply(Reported(2, 1, 0, {"loss": 9.0}, at=1.0))

        assert study.decide(free=0) is None  # the pruner, who ends all, was not asked
        study.apply(AttemptFinished(2, 1, {"loss": -1.0}, 1.0, at=2.0))
        assert (study.tally, study.best.number) == (tally, 0)
        assert set(told) == {0, 1}

    def test_a_lost_repeat_starts_again_and_is_given_up_in_the_end(self):
        """Repeats are trials: they have attempts, and one whose workers all died is a FAIL."""
        study = self.study([0.1], repeats=1, max_attempts=2)
        study.apply(study.decide(free=1).event(0.0))
        for attempt in (1, 2):
            assert study.decide(free=1) == Start(1, attempt)
            start(study, 1, attempt)
            study.apply(AttemptLost(1, attempt, "gone", counts=True, at=2.0))
        command = study.decide(free=1)
        assert isinstance(command, Abandon)
        study.apply(command.event(3.0))

        assert study.trials[1].state is State.FAIL
        assert study.decide(free=1) == EndStudy("the only trial is done, and 1 repeat")

    def test_as_many_run_at_once_as_there_are_slots(self):
        """Nobody waits for the first round before the second begins."""
        study = self.study([0.1, 0.2])
        for number in (2, 3, 4, 5):
            study.apply(study.decide(free=1).event(0.0))
            start(study, number)

        assert [trial.number for trial in study.running] == [2, 3, 4, 5]
        assert study.decide(free=1) is None

    @pytest.mark.parametrize(
        ("budget", "reason"),
        [
            (Budget(stop=(Target(0.2),), repeats=1), "target reached: loss 0.1, wanted 0.2"),
            (Budget(stop=(NoImprovement(1),), repeats=1), "no improvement in the last trial"),
        ],
    )
    def test_they_follow_a_stop_rule_too(self, budget, reason):
        """A search that ended since it found enough is over, and its leaders are repeated."""
        study = engine(budget=budget)
        finish(study, 0.1)
        if budget.stop == (NoImprovement(1),):
            finish(study, 0.3)
        while isinstance(study.decide(free=1), Ask):
            self.run(study)

        count = len(study.trials) - study.tally.finished
        also = "1 repeat" if count == 1 else f"{count} repeats"
        assert study.decide(free=1) == EndStudy(f"{reason}, and {also}")

    def test_they_follow_an_exhausted_space(self):
        """When all configurations have been tried, the best of them are repeated."""
        space = Space({"a": Choice(["p", "q"])})
        study = engine(space, sampler=GridSampler(space, 0), budget=Budget(repeats=2))
        finish(study, 1.0)
        finish(study, 2.0)

        assert [self.run(study) for _ in range(4)] == [0, 1, 0, 1]
        assert study.decide(free=1).reason.endswith("configurations, and 4 repeats")

    def test_none_follows_a_timeout_or_a_failed_search(self):
        """A study that ran out of time, or gave up, has no repeats."""
        study = engine(budget=Budget(n_trials=1, timeout=5, repeats=3))
        finish(study, 0.1)
        assert isinstance(study.decide(free=1, elapsed=4), Ask)
        assert isinstance(study.decide(free=1, elapsed=5), EndStudy)

        study = engine(budget=Budget(max_failures=0, repeats=3))
        finish(study, 0.1)
        ask(study)
        start(study, 1)
        study.apply(failed(1))
        assert isinstance(study.decide(free=1), EndStudy)

    def test_a_fatal_error_in_one_ends_the_study(self):
        """A FatalError ends the study from any trial; other failures of repeats end nothing."""
        study = self.study([0.1])
        study.apply(study.decide(free=1).event(0.0))
        start(study, 1)
        study.apply(failed(1))
        study.apply(study.decide(free=1).event(0.0))
        start(study, 2)
        study.apply(failed(2, "FatalError: disk full", fatal=True))

        assert study.decide(free=1) == EndStudy("FatalError: disk full")

    def test_a_search_that_goes_on_repeats_its_new_leaders_only(self):
        """Resumed with more trials, who leads now is repeated, and nobody once more."""
        study = self.study([0.1], repeats=1)
        assert self.run(study) == 0
        study.budget = Budget(n_trials=2, repeats=1)
        assert ask(study).origin == "sampler"
        start(study, 2)
        study.apply(AttemptFinished(2, 1, {"loss": 0.05}, 1.0, at=2.0))

        assert self.run(study) == 2
        assert study.decide(free=1) == EndStudy("all 2 trials done, and 2 repeats")

    def test_a_repeat_of_nothing_is_refused(self):
        """A record in which a repeat has no trial that it repeats was edited."""
        with pytest.raises(IllegalEventError, match="repeats no trial"):
            engine().apply(TrialAsked(0, {"x": 0.5}, "repeat", at=0.0))


class TestLag:
    def test_waits_for_the_trials_a_proposal_builds_on(self):
        """With a lag of 2, trial 2 is asked for once trial 0 has ended, whichever others have."""
        study = engine(lag=2)
        for number in (0, 1):
            ask(study)
            start(study, number)
        assert study.decide(free=5) is None
        study.apply(AttemptFinished(1, 1, {"loss": 1.0}, 1.0, at=2.0))
        assert study.decide(free=5) is None
        study.apply(AttemptFinished(0, 1, {"loss": 1.0}, 1.0, at=2.0))

        assert isinstance(study.decide(free=5), Ask)

    def test_points_to_start_with_wait_for_nobody(self):
        """What is no proposal doesn't depend on results."""
        study = engine(lag=1, start_with=[{"x": 0.1}, {"x": 0.2}])
        ask(study)
        start(study)

        assert study.decide(free=1) == Ask(1, {"x": 0.2}, "start_with")

    def test_an_exhausted_space_ends_the_study(self):
        """Waiting for results is not taken for having nothing to propose, nor the reverse."""
        space = Space({"a": Choice(["p", "q"])})
        study = engine(space, sampler=GridSampler(space, 0), lag=1)
        ask(study)
        start(study)
        assert study.decide(free=1) is None
        study.apply(AttemptFinished(0, 1, {"loss": 1.0}, 1.0, at=2.0))
        finish(study, 2.0)

        assert isinstance(study.decide(free=1), EndStudy)


class TestLosing:
    def test_a_lost_trial_is_started_again_under_its_number(self):
        """A lost attempt is followed by the next one, before any new trial is asked for."""
        study = engine()
        ask(study)
        start(study)
        study.apply(AttemptLost(0, 1, "killed by SIGKILL", counts=True, at=2.0))

        assert study.trials[0].state is State.WAITING
        assert study.decide(free=1) == Start(0, 2)

    def test_a_trial_lost_too_often_is_abandoned(self):
        """After max_attempts counted losses the trial is a FAIL that says so."""
        study = engine(max_attempts=2)
        ask(study)
        for attempt in (1, 2):
            start(study, attempt=attempt)
            study.apply(AttemptLost(0, attempt, "killed by SIGKILL", counts=True, at=2.0))

        command = study.decide(free=0)

        assert command == Abandon(0, "its worker died 2 times; at last: killed by SIGKILL")
        study.apply(TrialAbandoned(0, command.reason, at=3.0))
        assert study.trials[0].state is State.FAIL
        assert study.trials[0].reason == command.reason

    def test_an_interrupt_uses_up_no_attempt(self):
        """Losses that don't count can happen any number of times."""
        study = engine(max_attempts=1)
        ask(study)
        for attempt in range(1, 6):
            start(study, attempt=attempt)
            study.apply(AttemptLost(0, attempt, "interrupted", counts=False, at=2.0))

        assert study.decide(free=1) == Start(0, 6)

    def test_a_late_word_of_a_lost_attempt_is_not_accepted(self):
        """A result counts once: what a lost attempt still says is to be dropped."""
        study = engine()
        ask(study)
        start(study)
        study.apply(AttemptLost(0, 1, "gone", counts=True, at=2.0))
        late = AttemptFinished(0, 1, {"loss": 1.0}, seconds=1.0, at=3.0)

        assert not study.accepts(late)
        start(study, attempt=2)
        assert not study.accepts(late)


class TestPruning:
    def test_a_verdict_becomes_a_stop_request_once(self):
        """The pruner's reason is handed on as a command, until it is on record."""
        study = engine(pruner=Impatient())
        ask(study)
        start(study)
        study.apply(Reported(0, 1, 3, {"loss": 9.0}, at=2.0))

        command = study.decide(free=0)

        assert command == StopAttempt(0, 1, "9.0 at step 3 is too much")
        study.apply(StopRequested(0, 1, command.reason, at=2.0))
        study.apply(Reported(0, 1, 4, {"loss": 9.0}, at=2.0))
        assert study.decide(free=0) is None

    def test_a_trial_that_finishes_all_the_same_is_complete(self):
        """Facts count more than wishes: a stop request that came too late changes nothing."""
        study = engine(pruner=Impatient())
        ask(study)
        start(study)
        study.apply(Reported(0, 1, 3, {"loss": 9.0}, at=2.0))
        study.apply(StopRequested(0, 1, "hopeless", at=2.0))
        study.apply(AttemptFinished(0, 1, {"loss": 0.5}, seconds=1.0, at=3.0))

        assert study.trials[0].state is State.COMPLETE
        assert study.best.number == 0

    def test_reports_without_the_tuned_metric_are_recorded_only(self):
        """Other metrics are kept, and judged by nobody."""
        study = engine(pruner=Impatient())
        ask(study)
        start(study)
        study.apply(Reported(0, 1, 3, {"accuracy": 0.5}, at=2.0))

        assert study.decide(free=0) is None
        assert study.trials[0].metrics == {"accuracy": 0.5}


class TestChangedSpace:
    def test_trials_outside_the_space_stay_on_record_and_count_no_more(self):
        """After a change of space an old trial outside it is neither best nor counted nor run."""
        study = engine(Space({"x": Float(0.0, 0.5)}), budget=Budget(n_trials=2))
        study.apply(TrialAsked(0, {"x": 0.9}, "sampler", at=0.0))
        start(study)
        study.apply(AttemptFinished(0, 1, {"loss": -1.0}, seconds=1.0, at=2.0))
        finish(study, 5.0)

        assert study.outside == {0}
        assert study.best.number == 1
        assert study.tally.asked == study.tally.finished == 1

    def test_an_unfinished_trial_outside_the_space_is_not_run(self):
        """A trial waiting since before the change is left alone, also after it is lost."""
        study = engine(Space({"x": Float(0.0, 0.5)}))
        study.apply(TrialAsked(0, {"x": 0.9}, "sampler", at=0.0))
        assert isinstance(study.decide(free=1), Ask)
        start(study)
        study.apply(Reported(0, 1, 0, {"loss": 1.0}, at=1.0))
        study.apply(AttemptLost(0, 1, "gone", counts=False, at=2.0))

        assert isinstance(study.decide(free=1), Ask)


class TestRefusing:
    @pytest.mark.parametrize(
        "event",
        [
            TrialAsked(5, {"x": 0.1}, "sampler", at=0.0),
            TrialAsked(0, {"x": 0.1}, "sampler", at=0.0),
            AttemptStarted(0, 2, "worker", at=0.0),
            AttemptStarted(7, 1, "worker", at=0.0),
            AttemptFinished(0, 1, {"loss": 1.0}, seconds=1.0, at=0.0),
            Reported(0, 1, 0, {"loss": 1.0}, at=0.0),
            TrialAbandoned(3, "gone", at=0.0),
        ],
    )
    def test_an_event_that_cannot_follow_is_refused(self, event):
        """A journal that contradicts itself is told apart from one that doesn't."""
        study = engine()
        ask(study)

        with pytest.raises(IllegalEventError, match="can't follow"):
            study.apply(event)

    def test_a_trial_ends_once(self):
        """A second end of the same attempt is refused."""
        study = engine()
        finish(study, 1.0)

        with pytest.raises(IllegalEventError):
            study.apply(failed(0))


class TrialLife(RuleBasedStateMachine):
    """Whatever happens to attempts, in whatever order, the rules of a trial's life hold."""

    N_TRIALS = 6
    REPEATS = 1
    MAX_ATTEMPTS = 2

    def __init__(self):
        super().__init__()
        self.space = Space({"x": Int(0, 7), "y": Choice(["a", "b"])})
        self.engine = self._fresh()
        self.events = []
        self.over = None

    def _fresh(self):
        return engine(
            self.space,
            budget=Budget(self.N_TRIALS, repeats=self.REPEATS),
            max_attempts=self.MAX_ATTEMPTS,
            pruner=make_pruner("median", LOSS),
        )

    @property
    def search(self):
        return [trial for trial in self.engine.trials if trial.repeat_of is None]

    def put(self, event):
        self.engine.apply(event)
        self.events.append(event)

    @precondition(lambda self: self.over is None)
    @rule(free=st.integers(0, 3), ahead=st.integers(0, 2))
    def obey(self, free, ahead):
        match self.engine.decide(free=free, ahead=ahead):
            case Ask(number, params, origin):
                self.put(TrialAsked(number, params, origin, at=0.0))
            case Start(number, attempt):
                self.put(AttemptStarted(number, attempt, "worker", at=0.0))
            case StopAttempt(number, attempt, reason):
                self.put(StopRequested(number, attempt, reason, at=0.0))
            case Abandon(number, reason):
                self.put(TrialAbandoned(number, reason, at=0.0))
            case EndStudy(reason):
                self.over = reason
            case None:
                pass

    @rule(
        data=st.data(),
        value=st.floats(allow_nan=False, allow_infinity=False),
        kind=st.sampled_from(["report", "finish", "prune", "fail", "lose", "interrupt"]),
    )
    @precondition(lambda self: self.engine.running)
    def happen(self, data, value, kind):
        trial = data.draw(st.sampled_from(self.engine.running))
        number, attempt = trial.number, len(trial.attempts)
        step = len(trial.measurements)
        self.put(
            {
                "report": Reported(number, attempt, step, {"loss": value}, at=0.0),
                "finish": AttemptFinished(number, attempt, {"loss": value}, 1.0, at=0.0),
                "prune": AttemptPruned(number, attempt, "hopeless", 1.0, at=0.0),
                "fail": AttemptFailed(number, attempt, f"{step}", "E", "", False, 1.0, at=0.0),
                "lose": AttemptLost(number, attempt, "gone", counts=True, at=0.0),
                "interrupt": AttemptLost(number, attempt, "stopped", counts=False, at=0.0),
            }[kind]
        )

    @rule(data=st.data())
    @precondition(
        lambda self: any(t.attempts and t not in self.engine.running for t in self.engine.trials)
    )
    def speak_late(self, data):
        closed = [t for t in self.engine.trials if t.attempts and t not in self.engine.running]
        trial = data.draw(st.sampled_from(closed))
        late = AttemptFinished(trial.number, len(trial.attempts), {"loss": -1e9}, 1.0, at=0.0)
        assert not self.engine.accepts(late)

    @invariant()
    def never_more_than_n_trials(self):
        assert len(self.search) <= self.N_TRIALS
        assert len(self.engine.trials) <= self.engine.budget.most_trials

    @invariant()
    def no_configuration_twice(self):
        keys = [self.space.key(trial.params) for trial in self.search]
        assert len(keys) == len(set(keys))

    @invariant()
    def counted_losses_within_max_attempts(self):
        for trial in self.engine.trials:
            counted = [a for a in trial.attempts if getattr(a.end, "counts", False)]
            assert len(counted) <= self.MAX_ATTEMPTS

    @invariant()
    def best_is_the_best(self):
        values = [t.value for t in self.search if t.value is not None]
        assert (self.engine.best.value if values else None) == (min(values) if values else None)

    @invariant()
    def ends_only_when_all_is_done_or_broken(self):
        if self.over is not None and "all" in self.over and "trials done" in self.over:
            assert all(trial.state.is_finished for trial in self.engine.trials)
            assert len(self.search) == self.N_TRIALS
            completed = sum(trial.state is State.COMPLETE for trial in self.search)
            assert len(self.engine.trials) - self.N_TRIALS == min(5, completed)

    def teardown(self):
        """Replaying the same facts gives the same engine, and the same next decision."""
        again = self._fresh()
        for event in self.events:
            again.apply(event)
        assert again.trials == self.engine.trials
        assert again.tally == self.engine.tally
        assert again.decide(free=1) == self.engine.decide(free=1)


TestTrialLife = TrialLife.TestCase
TestTrialLife.settings = settings(
    max_examples=settings.default.max_examples // 2, stateful_step_count=40
)
