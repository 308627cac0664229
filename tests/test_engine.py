import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from manyfit.budget import Budget, NoImprovement, Target
from manyfit.engine import Abandon, Ask, EndStudy, Engine, IllegalEventError, Start, StopAttempt
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
        assert study.decide(free=1) == EndStudy(
            "the space is exhausted: all 2 configurations have been tried"
        )

    def test_a_sampler_that_has_nothing_more_ends_the_study(self):
        """A sampler may stop before the space does: the reason names the sampler."""
        study = engine(sampler=NoSampler())

        assert study.decide(free=1) == EndStudy("the sampler has nothing more to propose")


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
        """The study ends when so many trials in a row brought nothing better, failures included."""
        study = engine(budget=Budget(stop=(NoImprovement(2),)))
        finish(study, 1.0)
        finish(study, 0.5)
        finish(study, 0.5)
        assert isinstance(study.decide(free=1), Ask)
        number = ask(study).number
        start(study, number)
        study.apply(failed(number))

        assert study.decide(free=1) == EndStudy("no improvement in the last 2 trials")

    def test_first_trials_that_fail_alike_end_the_study(self):
        """First failures that differ only in their numbers are one bug, not bad points."""
        study = engine()
        for number in range(3):
            ask(study)
            start(study, number)
            study.apply(failed(number, f"ValueError: x is 0.{number}"))

        ended = study.decide(free=1)

        assert ended == EndStudy("the first 3 trials all failed with ValueError: x is 0.0")

    @pytest.mark.parametrize("reason", ["KeyError: 'y'", "ran longer than trial_timeout=5 s"])
    def test_first_failures_that_differ_do_not_end_it(self, reason):
        """One different failure, or a limit among them, and the study goes on."""
        study = engine()
        for number in range(3):
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
        for number in range(1, 6):
            ask(study)
            start(study, number)
            study.apply(failed(number))

        assert isinstance(study.decide(free=1), Ask)

    def test_a_new_driver_forgives_earlier_failures(self):
        """A study that ended with a bug can be resumed once it is mended."""
        study = engine()
        for number in range(3):
            ask(study)
            start(study, number)
            study.apply(failed(number))
        study.apply(DriverStarted("host", 1, at=3.0))

        assert isinstance(study.decide(free=1), Ask)

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
            budget=Budget(self.N_TRIALS),
            max_attempts=self.MAX_ATTEMPTS,
            pruner=make_pruner("median", LOSS),
        )

    def put(self, event):
        self.engine.apply(event)
        self.events.append(event)

    @precondition(lambda self: self.over is None)
    @rule(free=st.integers(0, 3))
    def obey(self, free):
        match self.engine.decide(free=free):
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
        assert len(self.engine.trials) <= self.N_TRIALS

    @invariant()
    def no_configuration_twice(self):
        keys = [self.space.key(trial.params) for trial in self.engine.trials]
        assert len(keys) == len(set(keys))

    @invariant()
    def counted_losses_within_max_attempts(self):
        for trial in self.engine.trials:
            counted = [a for a in trial.attempts if getattr(a.end, "counts", False)]
            assert len(counted) <= self.MAX_ATTEMPTS

    @invariant()
    def best_is_the_best(self):
        values = [t.value for t in self.engine.trials if t.value is not None]
        assert (self.engine.best.value if values else None) == (min(values) if values else None)

    @invariant()
    def ends_only_when_all_is_done_or_broken(self):
        if self.over is not None and "all" in self.over and "trials done" in self.over:
            assert all(trial.state.is_finished for trial in self.engine.trials)
            assert len(self.engine.trials) == self.N_TRIALS

    def teardown(self):
        """Replaying the same facts gives the same engine, and the same next decision."""
        again = self._fresh()
        for event in self.events:
            again.apply(event)
        assert again.trials == self.engine.trials
        assert again.tally == self.engine.tally
        assert again.decide(free=1) == self.engine.decide(free=1)


TestTrialLife = TrialLife.TestCase
TestTrialLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
