import hashlib
import random
import statistics
import threading

import pytest

from manyfit.budget import Budget, Target
from manyfit.driver import Driver, trial_seed
from manyfit.engine import Engine
from manyfit.errors import ArgumentError, JournalError
from manyfit.events import (
    AttemptFinished,
    AttemptLost,
    AttemptStarted,
    DriverStarted,
    StopRequested,
    StudyEnded,
    TrialAsked,
)
from manyfit.metric import Metric
from manyfit.pruners.auto import make_pruner
from manyfit.recorder import Recorder
from manyfit.repeats import best_trial, repeated
from manyfit.samplers.random import RandomSampler
from manyfit.space import Float, Space
from manyfit.testing.journals import MemoryJournal
from manyfit.testing.scripted import (
    FakeClock,
    ScriptedExecutor,
    dies,
    finishes,
    raises,
    reports,
)
from manyfit.trial import State
from manyfit.worker.work import Work

LOSS = Metric("loss")
SPACE = Space({"x": Float(0.0, 1.0)})


class BatchRunner:
    """A driver with fakes all round, and what it left behind."""

    def __init__(
        self,
        script,
        tmp_path,
        *,
        parallelism=1,
        pruner=None,
        journal=None,
        sampler=None,
        engine=None,
        **limits,
    ):
        self.fake = FakeClock()
        self.journal = journal or MemoryJournal()
        self.sampler = sampler or RandomSampler(SPACE, 0)
        self.engine = Engine(
            space=SPACE,
            metric=LOSS,
            sampler=self.sampler,
            pruner=pruner or make_pruner(None, LOSS),
            budget=Budget(**limits),
            **(engine or {}),
        )
        self.executor = ScriptedExecutor(script, parallelism=parallelism, clock=self.fake)
        self.recorder = Recorder(self.engine, self.journal)
        self.work = Work(print, SPACE, LOSS, "study", tmp_path)

    def run(self, **options):
        driver = Driver(
            self.recorder, self.executor, self.work, seed=0, clock=self.fake.clock, **options
        )
        return driver.run()

    def events(self, kind):
        return [event for event in self.journal.read() if isinstance(event, kind)]

    def states(self):
        return [trial.state for trial in self.engine.trials]


@pytest.fixture
def runner(tmp_path):
    return lambda script, **options: BatchRunner(script, tmp_path, **options)


class TestRunning:
    def test_runs_n_trials_and_says_why_it_ended(self, runner):
        """The budget's last trial ends the study, and the reason is on record."""
        study = runner(lambda task: finishes(task, task.params["x"]), n_trials=5, parallelism=2)

        reason = study.run()

        assert reason == "all 5 trials done"
        assert study.states() == [State.COMPLETE] * 5
        assert [event.reason for event in study.events(StudyEnded)] == [reason]
        assert study.executor.closed

    def test_never_more_in_flight_than_the_executor_runs(self, runner):
        """Slots are kept full, and never overfilled."""
        running = set()
        peak = []

        def script(task):
            running.add(task.number)
            peak.append(len(running))
            yield from reports(task, [1.0, 0.5])[:2]
            running.discard(task.number)
            yield from finishes(task, 0.5)

        study = runner(script, n_trials=9, parallelism=3)
        study.run()

        assert max(peak) == 3

    def test_every_trial_has_its_own_seed_and_keeps_it(self, runner):
        """The seed depends on the study's seed and the trial's number only, not on the attempt."""
        study = runner(
            lambda task: dies(task) if task.attempt == 1 else finishes(task, 1.0), n_trials=3
        )
        study.run()

        seeds = {(task.number, task.seed) for task in study.executor.submitted}
        assert seeds == {(number, trial_seed(0, number)) for number in range(3)}
        assert len({seed for _, seed in seeds}) == 3

    def test_an_executor_runs_one_study_at_a_time(self, runner):
        """A second study that is to use it is refused, and the first one doesn't notice."""
        refused = []

        def script(task):
            other = runner(script, n_trials=1)
            other.executor = study.executor
            with pytest.raises(ArgumentError, match=r"runs the trials of 'study' .* of its own"):
                other.run()
            refused.append(task.number)
            return finishes(task, 1.0)

        study = runner(script, n_trials=2)
        assert study.run() == "all 2 trials done"
        assert refused == [0, 1]
        later = runner(script, n_trials=2)
        later.executor = study.executor
        assert later.run() == "all 2 trials done"

    def test_a_lost_attempt_is_made_again(self, runner):
        """A worker's death costs an attempt, not the trial."""
        study = runner(
            lambda task: dies(task) if task.attempt == 1 else finishes(task, 1.0), n_trials=2
        )
        study.run()

        assert study.states() == [State.COMPLETE] * 2
        assert [len(trial.attempts) for trial in study.engine.trials] == [2, 2]

    def test_a_trial_whose_workers_keep_dying_fails(self, runner):
        """After max_attempts it is a FAIL, and the others go on."""
        study = runner(
            lambda task: dies(task) if task.number == 0 else finishes(task, 1.0), n_trials=3
        )
        study.run()

        assert study.states() == [State.FAIL, State.COMPLETE, State.COMPLETE]
        assert "killed by SIGKILL" in study.engine.trials[0].reason

    def test_a_hopeless_trial_is_asked_to_stop(self, runner):
        """The pruner's verdict reaches the executor, and the trial is PRUNED with the reason."""
        study = runner(
            lambda task: (
                reports(task, [9.0] * 20 if task.number == 8 else [1.0 / task.number] * 20)
                if task.number
                else finishes(task, 1.0)
            ),
            n_trials=9,
            pruner=make_pruner("median", LOSS),
        )
        study.run()

        assert study.states()[8] is State.PRUNED
        assert study.executor.stopped == [(8, 1, study.engine.trials[8].reason, False)]

    def test_first_trials_failing_alike_end_the_study(self, runner):
        """A bug in the objective costs some trials, not the whole budget."""
        study = runner(raises, n_trials=50)

        reason = study.run()

        failed = len(study.engine.trials)
        assert f"the first {failed} trials, all over the space, all failed with Value" in reason
        assert failed < 25


class TestEnding:
    def test_timeout_cuts_off_what_runs(self, runner):
        """At the timeout running attempts are killed, and go on when the study resumes."""
        study = runner(lambda task: reports(task, [1.0] * 1000), timeout=10.0, parallelism=2)

        reason = study.run()

        assert reason == "timeout of 10 s reached"
        assert study.fake.seconds < 20
        assert study.states() == [State.WAITING] * 2
        lost = study.events(AttemptLost)
        assert [event.counts for event in lost] == [False, False]
        assert {event.reason for event in lost} == {reason}

    def test_target_ends_it(self, runner):
        """Reaching the target cuts the others off."""
        study = runner(
            lambda task: finishes(task, 0.1) if task.number == 1 else reports(task, [1.0] * 50),
            stop=(Target(0.2),),
            parallelism=3,
        )

        assert study.run() == "target reached: loss 0.1, wanted 0.2"

    def test_a_result_that_arrives_while_the_study_ends_still_counts(self, runner):
        """Nothing finished is ever lost."""
        study = runner(lambda task: finishes(task, 0.1), stop=(Target(0.2),), parallelism=2)
        study.run()

        assert study.states()[0] is State.COMPLETE

    def test_an_executor_that_never_answers_is_written_off(self, runner):
        """Attempts that can't be killed are put on record as lost after a grace period."""
        study = runner(lambda task: reports(task, [1.0] * 1000), timeout=3.0)
        study.executor.stop = lambda *args, **kwargs: None
        study.run()

        assert study.states() == [State.WAITING]
        assert study.fake.seconds < 15

    def test_a_disk_that_refuses_ends_it_with_an_error(self, runner):
        """No trial runs unrecorded: the executor is closed and the error comes out."""

        class FullDisk(MemoryJournal):
            def commit(self):
                raise JournalError("no space left on device")

        study = runner(lambda task: finishes(task, 1.0), n_trials=3, journal=FullDisk())

        with pytest.raises(JournalError, match="no space left"):
            study.run()
        assert study.executor.closed
        assert study.executor.submitted == []


class TestOrder:
    def test_journal_before_effect(self, runner):
        """Whatever is submitted or stopped is on disk by then, and so is what caused it."""
        order = []

        class Watched(MemoryJournal):
            def append(self, event):
                order.append(type(event).__name__)
                super().append(event)

            def commit(self):
                order.append("commit")
                super().commit()

        study = runner(lambda task: finishes(task, 1.0), n_trials=2, journal=Watched())
        submit = study.executor.submit

        def watched_submit(task):
            order.append("submit")
            submit(task)

        study.executor.submit = watched_submit
        study.run()

        for index, what in enumerate(order):
            if what == "submit":
                assert order[index - 1] == "commit"
                assert order[index - 2] == "TrialAsked"

    def test_reports_share_commits(self, runner):
        """A thousand reports don't cost a thousand fsyncs."""
        commits = []

        class Counting(MemoryJournal):
            def commit(self):
                commits.append(1)
                super().commit()

        study = runner(
            lambda task: reports(task, [1.0] * 100), n_trials=8, parallelism=8, journal=Counting()
        )
        study.run()

        assert len(commits) < 150

    def test_starts_share_commits(self, runner):
        """A thousand slots are filled with a few fsyncs, and each trial is on disk by its start."""
        commits, known = [], set()

        class Counting(MemoryJournal):
            def commit(self):
                super().commit()
                commits.append(len(study.executor.submitted))
                known.update(e.number for e in self.read() if isinstance(e, TrialAsked))

        study = runner(
            lambda task: finishes(task, 1.0), n_trials=1000, parallelism=1000, journal=Counting()
        )
        submit = study.executor.submit

        def watched_submit(task):
            assert task.number in known
            submit(task)

        study.executor.submit = watched_submit
        study.run()

        assert len([count for count in commits if count < 1000]) < 5

    def test_a_slow_sampler_keeps_no_other_trial_waiting(self, runner):
        """Starts are gathered for a moment, not until the last proposal has been made."""
        study = runner(lambda task: finishes(task, 1.0), n_trials=10, parallelism=10)
        propose, waiting = study.sampler.ask, []

        def slowly(number):
            study.fake.advance(1.0)
            waiting.append(number - len(study.executor.submitted))
            return propose(number)

        study.sampler.ask = slowly
        study.run()

        assert max(waiting) <= 1

    def test_stops_share_commits(self, runner):
        """Many hopeless trials cost few fsyncs, and each stop is on disk before it is asked for."""
        commits, known = [], set()

        class Counting(MemoryJournal):
            def commit(self):
                super().commit()
                commits.append(len(study.executor.stopped))
                known.update(e.number for e in self.read() if isinstance(e, StopRequested))

        class Never:
            def report(self, trial, step, value):
                return "hopeless"

            def end(self, trial):
                pass

        study = runner(
            lambda task: reports(task, [1.0] * 5),
            n_trials=100,
            parallelism=100,
            pruner=Never(),
            journal=Counting(),
        )
        stop = study.executor.stop

        def watched_stop(number, attempt, reason, **options):
            assert number in known
            stop(number, attempt, reason, **options)

        study.executor.stop = watched_stop
        study.run()

        assert study.states() == [State.PRUNED] * 100
        assert len([count for count in commits if 0 < count < 100]) < 5

    def test_trackers_see_only_what_is_on_disk(self, runner):
        """A mirror never shows what a crash could still take back."""
        study = runner(lambda task: finishes(task, 1.0), n_trials=3)
        durable = []

        class Journal(MemoryJournal):
            def commit(self):
                super().commit()
                durable[:] = list(self.read())

        class Mirror:
            def open(self, study, history):
                pass

            def prepare(self, trial):
                return {"RUN": str(trial.number)}

            def record(self, event, trial):
                assert event in durable

            def close(self, reason, trials):
                pass

        study.recorder = Recorder(study.engine, Journal())
        study.recorder.trackers = (Mirror(),)
        study.run()

        assert [task.env for task in study.executor.submitted] == [
            {"RUN": str(n)} for n in range(3)
        ]


class TestResuming:
    def events(self):
        return [
            TrialAsked(0, {"x": 0.5}, "sampler", 0.0),
            AttemptStarted(0, 1, "worker", 0.0),
        ]

    def test_what_an_earlier_driver_left_running_runs_again(self, runner):
        """The same trial, the next attempt; the first one is lost and doesn't count."""
        study = runner(lambda task: finishes(task, 1.0), n_trials=1)
        for event in self.events():
            study.recorder.put(event)
        study.run()

        assert [task.attempt for task in study.executor.submitted] == [2]
        assert [event.counts for event in study.events(AttemptLost)] == [False]
        assert study.states() == [State.COMPLETE]

    def test_a_trial_that_may_have_killed_its_driver_loses_an_attempt(self, runner):
        """Where trials share the driver's process, a death in one counts against max_attempts."""
        study = runner(lambda task: finishes(task, 1.0), n_trials=2)
        for event in [*self.events(), AttemptLost(0, 1, "died", True, 0.0)]:
            study.recorder.put(event)
        study.recorder.put(AttemptStarted(0, 2, "worker", 0.0))
        study.run(orphans_count=True)

        assert study.states() == [State.FAIL, State.COMPLETE]

    def test_a_finished_study_runs_nothing(self, runner):
        """All trials done is all trials done: a second call returns at once."""
        study = runner(lambda task: finishes(task, 1.0), n_trials=2)
        study.run()
        before = len(study.executor.submitted)

        assert study.run() == "all 2 trials done"
        assert len(study.executor.submitted) == before
        assert len(study.events(DriverStarted)) == 2

    def test_a_late_result_of_a_lost_attempt_is_dropped(self, runner):
        """The result of an attempt that was lost no longer counts."""

        def script(task):
            if task.attempt == 1:
                yield from dies(task)
                return
            yield AttemptFinished(task.number, 1, {"loss": -100.0}, 1.0, 0.0)
            yield from finishes(task, 1.0)

        study = runner(script, n_trials=1)
        study.run()

        assert study.engine.best.value == 1.0


class TestAskingAhead:
    def test_trials_are_ready_before_slots_are_free(self, runner):
        """One trial is asked ahead for eight slots, and none below that."""

        def run(parallelism):
            study = runner(
                lambda task: reports(task, [1.0] * 5), n_trials=64, parallelism=parallelism
            )
            peak = []
            poll = study.executor.poll

            def watched_poll(handle, timeout):
                started = {task.number for task in study.executor.submitted}
                peak.append(sum(t.number not in started for t in study.engine.trials))
                poll(handle, timeout)

            study.executor.poll = watched_poll
            assert study.run() == "all 64 trials done"
            assert len(study.engine.trials) == 64
            return max(peak)

        assert [run(parallelism) for parallelism in (1, 7, 8, 16, 64)] == [0, 0, 1, 2, 0]

    def test_news_waits_for_one_proposal_at_most(self, runner):
        """Between two proposals made ahead the executor is polled, without sleeping."""
        study = runner(lambda task: reports(task, [1.0] * 50), n_trials=99, parallelism=32)
        order = []
        propose, poll = study.sampler.ask, study.executor.poll

        def watched_ask(number):
            order.append("ask")
            return propose(number)

        def watched_poll(handle, timeout):
            order.append(timeout)
            poll(handle, timeout)

        study.sampler.ask, study.executor.poll = watched_ask, watched_poll
        study.run()

        assert order[32:41] == ["ask", 0.0, "ask", 0.0, "ask", 0.0, "ask", 0.0, 0.25]


class Chaotic:
    """A sampler whose proposals depend on each thing it was told, and on the order."""

    def __init__(self):
        self.told = []

    def tell(self, trial):
        self.told.append((trial.number, trial.state.name, trial.value))

    def ask(self, number):
        digest = hashlib.sha256(repr((number, self.told)).encode()).digest()
        return {"x": int.from_bytes(digest[:6], "big") / 2**48}


def eventful(disorder):
    """Return a script: trials take long or short, raise, die once or twice, in their own disorder.

    What becomes of a trial in the end depends on its number and params only.
    """

    def script(task):
        rng = random.Random(f"{disorder} {task.number} {task.attempt}")
        yield from reports(task, [1.0] * rng.randint(1, 12))[:-1]
        if task.attempt == 1 and rng.random() < 0.2:
            yield from dies(task)
        elif task.number % 7 == 3:
            yield from raises(task, f"ValueError: {task.number}")
        elif task.number % 11 == 5:
            yield from dies(task)
        else:
            yield from finishes(task, task.params["x"] + task.seed / 2**40)

    return script


class TestLag:
    def run(self, runner, parallelism, disorder, **options):
        options = {"n_trials": 40, "repeats": 2, "sampler": Chaotic()} | options
        study = runner(
            eventful(disorder),
            parallelism=parallelism,
            engine={"lag": 5, "start_with": [{"x": 0.25}, {"x": 0.5}]},
            **options,
        )
        study.run()
        return study

    def asked(self, study):
        return [(trial.number, trial.params, trial.origin) for trial in study.engine.trials]

    def test_proposals_are_the_same_at_any_parallelism_and_timing(self, runner):
        """However many run, fail, die and overtake each other: the same trials, repeats too."""
        expected = self.asked(self.run(runner, 1, 0))
        assert len(expected) == 50
        assert [origin for *_, origin in expected[40:]] == ["repeat"] * 10

        for parallelism in (1, 2, 5, 16):
            for disorder in range(4):
                assert self.asked(self.run(runner, parallelism, disorder)) == expected

    def test_without_it_they_are_not(self, runner):
        """The test above could fail: timing matters to this sampler."""
        runs = []
        for disorder in (0, 1):
            study = runner(eventful(disorder), parallelism=5, n_trials=40, sampler=Chaotic())
            study.run()
            runs.append(self.asked(study))

        assert runs[0] != runs[1]

    @pytest.mark.parametrize("cut", range(7, 400, 31))
    def test_a_killed_driver_changes_nothing(self, runner, cut):
        """Cut off at any event and resumed with another parallelism, the trials are the same."""
        whole = self.run(runner, 5, 0)
        resumed = runner(
            eventful(1),
            parallelism=3,
            n_trials=40,
            repeats=2,
            sampler=Chaotic(),
            engine={"lag": 5, "start_with": [{"x": 0.25}, {"x": 0.5}]},
        )
        for event in list(whole.journal.read())[:cut]:
            resumed.recorder.put(event)
        resumed.run()

        assert self.asked(resumed) == self.asked(whole)

    def test_no_more_than_lag_run_at_once(self, runner):
        """Slots beyond the lag stay empty, since no trial may be proposed for them yet."""
        peak = []
        study = runner(
            lambda task: reports(task, [1.0] * 5),
            n_trials=20,
            parallelism=16,
            engine={"lag": 3},
        )
        poll = study.executor.poll

        def watched_poll(handle, timeout):
            peak.append(len(study.engine.running))
            poll(handle, timeout)

        study.executor.poll = watched_poll
        study.run()

        assert max(peak) == 3


class TestRepeats:
    def test_each_runs_over_a_seed_of_its_own(self, runner):
        """A repeat has its leader's params, and another seed."""
        study = runner(lambda task: finishes(task, task.params["x"]), n_trials=9, repeats=3)

        assert study.run() == "all 9 trials done, and 15 repeats"
        submitted = {task.number: task for task in study.executor.submitted}
        assert len({task.seed for task in submitted.values()}) == 24
        for trial in study.engine.trials[9:]:
            assert submitted[trial.number].params == submitted[trial.repeat_of].params

    def test_a_finished_study_repeats_nothing_again(self, runner):
        """Called again, it returns at once; with more repeats, it runs what is missing."""
        study = runner(lambda task: finishes(task, task.params["x"]), n_trials=6, repeats=2)
        first = study.run()
        assert study.run() == first == "all 6 trials done, and 10 repeats"
        study.engine.budget = Budget(n_trials=6, repeats=3)

        assert study.run() == "all 6 trials done, and 15 repeats"

    def test_naming_by_repeats_lowers_the_true_regret(self, runner):
        """Over many noisy studies, what repeats name is truly better than what led the search."""
        naive, named = [], []
        for seed in range(60):

            def noisy(task, seed=seed):
                noise = random.Random(f"{seed} {task.seed}").gauss(0.0, 0.15)
                return finishes(task, task.params["x"] + noise)

            study = runner(
                noisy, n_trials=30, repeats=4, parallelism=4, sampler=RandomSampler(SPACE, seed)
            )
            study.run()
            search = study.engine.trials[:30]
            least = min(trial.params["x"] for trial in search)
            naive.append(best_trial(search, LOSS).params["x"] - least)
            named.append(best_trial(study.engine.trials, LOSS).params["x"] - least)

        assert statistics.fmean(named) < 0.75 * statistics.fmean(naive)

    def test_its_interval_holds_the_true_mean(self, runner):
        """Fresh values are no luckier than others: the leader's own value is no part of them."""
        held, own = 0, []
        for seed in range(60):

            def noise(task, seed=seed):
                return finishes(task, random.Random(f"{seed} {task.seed}").gauss(0.0, 1.0))

            study = runner(noise, n_trials=20, repeats=5, sampler=RandomSampler(SPACE, seed))
            study.run()
            for each in repeated(study.engine.trials, LOSS):
                held += each.low <= 0.0 <= each.high
                own.append(study.engine.trials[each.number].value)

        assert 0.9 < held / 300 < 0.99
        assert statistics.fmean(own) < -1.0


def test_runs_in_a_thread_that_is_not_the_main_one(runner):
    """Only the main thread is told of Ctrl-C; tuning works in any other."""
    study = runner(lambda task: finishes(task, 1.0), n_trials=2)
    reasons = []
    thread = threading.Thread(target=lambda: reasons.append(study.run()))
    thread.start()
    thread.join()

    assert reasons == ["all 2 trials done"]
