"""Optuna's samplers: what they get to see, what becomes of what they say, and resuming."""

import math
import warnings
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.samplers.distinct import distinct_params
from manyfit.samplers.optuna import OptunaSampler
from manyfit.samplers.random import RandomSampler
from manyfit.space import Choice, Float, Int, Space
from manyfit.testing.samplers import LOSS, finished, loss_of, some_end, trial
from manyfit.trial import Failed, Measurement, Pruned, Trial

NESTED = Space(
    {
        "rate": Float(1e-4, 1, log=True),
        "model": Choice({"svm": {"C": Float(0, 9, step=0.3)}, "forest": {"depth": Int(2, 9)}}),
    }
)


class Spy(optuna.samplers.RandomSampler):
    """Sees what a sampler of Optuna gets to see."""

    def __init__(self):
        super().__init__(seed=0)
        self.seen = []
        self.distributions = {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        self.seen = [t for t in study.get_trials() if t.number != trial.number]
        self.distributions[param_name] = param_distribution
        return super().sample_independent(study, trial, param_name, param_distribution)


def spied(space, metric, trials):
    """Return what a sampler of Optuna sees after it was told these trials."""
    spy = Spy()
    sampler = OptunaSampler(space, metric, 0, spy)
    for each in trials:
        sampler.tell(each)
    sampler.ask(99)
    return spy


SVM = {"rate": 0.01, "model": "svm", "C": 0.9}
FOREST = {"rate": 0.1, "model": "forest", "depth": 3}


class TestWhatOptunaSees:
    @pytest.mark.parametrize("at_once", [True, False], ids=["ended before the next ask", "live"])
    def test_states_and_values(self, at_once):
        """Trials are running, complete with a value, failed, or pruned with their last report."""
        ends = [
            finished(0, SVM, 0.25),
            trial(1, FOREST, Pruned("hopeless"), 0.75, 0.5),
            trial(2, SVM, Failed("it raised"), 0.5),
            trial(3, FOREST, Pruned("hopeless at once")),
            trial(4, FOREST, Pruned("diverged"), 0.5, math.nan),
            replace(Trial(5, FOREST), abandoned="its worker died twice"),
        ]
        spy = Spy()
        sampler = OptunaSampler(NESTED, LOSS, 0, spy)
        for number in range(7):
            sampler.tell(Trial(number, ends[number].params if number < 6 else SVM))
        if not at_once:
            sampler.ask(7)
        for end in ends:
            sampler.tell(end)
        sampler.ask(8)

        assert [t.state for t in spy.seen[:7]] == [
            TrialState.COMPLETE,
            TrialState.PRUNED,
            TrialState.FAIL,
            TrialState.PRUNED,
            TrialState.PRUNED,
            TrialState.FAIL,
            TrialState.RUNNING,
        ]
        assert [t.value for t in spy.seen[:7]] == [0.25, 0.5, None, None, None, None, None]
        assert spy.seen[1].intermediate_values == {1: 0.5}
        assert spy.seen[3].intermediate_values == {}
        assert repr(spy.seen[4].intermediate_values) == "{1: nan}"
        assert [t.params for t in spy.seen[:2]] == [SVM, FOREST]

    def test_only_reports_of_the_tuned_metric_count(self):
        """A pruned trial is judged by its last report of the tuned metric, at a step from 0 on."""
        pruned = trial(0, SVM, Pruned("hopeless"), 0.75, 0.5)
        others = (Measurement(-1, {"loss": 9.0}, 0.0), Measurement(7, {"accuracy": 0.1}, 0.0))
        attempt = pruned.attempts[0]
        attempt = replace(attempt, measurements=(others[0], *attempt.measurements, others[1]))
        only_before = replace(attempt, measurements=others)
        told = [replace(pruned, attempts=(a,)) for a in (attempt, only_before)]

        seen = spied(NESTED, LOSS, [told[0], replace(told[1], number=1)]).seen

        assert [t.intermediate_values for t in seen] == [{1: 0.5}, {}]

    def test_a_proposal_is_one_trial_through_its_life(self):
        """What Optuna proposed and was then told is one trial of its study, not two."""
        spy = Spy()
        sampler = OptunaSampler(NESTED, LOSS, 0, spy)
        for number in range(5):
            params = sampler.ask(number)
            sampler.tell(Trial(number, params))
            sampler.tell(finished(number, params, float(number)))
        sampler.ask(5)

        assert [t.value for t in spy.seen] == [0.0, 1.0, 2.0, 3.0, 4.0]

    def test_a_proposal_that_was_not_taken_is_given_up(self):
        """Where the engine takes another point, Optuna sees its own as failed and the other one."""
        spy = Spy()
        sampler = OptunaSampler(NESTED, LOSS, 0, spy)
        sampler.ask(0)
        sampler.tell(Trial(0, SVM))
        sampler.ask(1)

        states = {t.state: t.params for t in spy.seen}
        assert states.keys() == {TrialState.FAIL, TrialState.RUNNING}
        assert states[TrialState.RUNNING] == SVM

    def test_distributions(self):
        """Each domain becomes its counterpart, ending on the grid; inactive ones are not shown."""
        space = Space(
            {
                "a": Float(0, 1, step=0.3),
                "b": Float(1e-3, 1, log=True),
                "c": Int(1, 10, step=4),
                "d": Int(1, 10, log=True),
                "e": Choice(["x", None, (1, 2)]),
                "f": Choice([True, 1]),
                "g": Choice({"on": {"h": Int(1, 2)}}),
                "i": Choice({"off": {}, "on": {"j": Choice({"k": {"l": Int(1, 2)}})}}),
            }
        )
        spy = Spy()
        sampler = OptunaSampler(space, LOSS, 0, spy)
        for number in range(20):
            sampler.ask(number)

        assert spy.distributions == {
            "a": FloatDistribution(0, 0.9, step=0.3),
            "b": FloatDistribution(1e-3, 1, log=True),
            "c": IntDistribution(1, 9, step=4),
            "d": IntDistribution(1, 10, log=True),
            "e": CategoricalDistribution(["x", None, "(1, 2)"]),
            "f": CategoricalDistribution([0, 1]),
            "h": IntDistribution(1, 2),
            "i": CategoricalDistribution(["off", "on"]),
            "l": IntDistribution(1, 2),
        }

    def test_options_that_are_equal_in_python(self):
        """True, 1 and 1.0 stay apart on the way to Optuna and back."""
        space = Space({"x": Choice([True, 1, 1.0, "1"])})
        sampler = OptunaSampler(space, LOSS, 0, optuna.samplers.RandomSampler(seed=0))
        found = set()
        for number in range(40):
            params = sampler.ask(number)
            found.add(repr(params["x"]))
            sampler.tell(Trial(number, params))
            sampler.tell(finished(number, params, 1.0))

        assert found == {"True", "1", "1.0", "'1'"}

    def test_steps_that_rounding_spoils(self):
        """A step such as 3 * 0.1, which Optuna would warn of, is told and proposed exactly."""
        space = Space({"x": Float(0, 0.9, step=3 * 0.1), "m": Choice(["a", "b"])})
        values = set(space.params["x"].values())
        sampler = OptunaSampler(space, LOSS, 0)
        found = set()
        for number in range(20):
            sampler.tell(Trial(number, {"x": max(values), "m": "a"}))
            found.add(sampler.ask(number + 1)["x"])

        assert found == values

    def test_direction(self):
        """Optuna is told which way is good."""
        assert spied_direction("minimize") == "MINIMIZE"
        assert spied_direction("maximize") == "MAXIMIZE"


def spied_direction(direction):
    found = []

    class Directed(optuna.samplers.RandomSampler):
        def before_trial(self, study, trial):
            found.append(study.direction.name)

    OptunaSampler(NESTED, Metric("loss", direction), 0, Directed()).ask(0)
    return found[0]


@pytest.mark.filterwarnings("ignore:`constraints_func`", "ignore:Argument ``constraints_func``")
def test_a_constraints_func_is_refused():
    """It would read attributes of trials that the sampler is not told."""
    constrained = optuna.samplers.TPESampler(constraints_func=lambda trial: trial.user_attrs["c"])

    with pytest.raises(ArgumentError, match="TPESampler has a constraints_func"):
        OptunaSampler(NESTED, Metric("loss"), 0, constrained)


class TestTpe:
    def test_finds_better_points_than_chance(self):
        """On a smooth function the last trials are far better than random ones, either way."""
        space = Space({f"x{i}": Float(0, 1) for i in range(3)})
        for direction, sign in (("minimize", 1), ("maximize", -1)):
            sampler = OptunaSampler(space, Metric("loss", direction), 0)
            losses = []
            for number in range(60):
                params = sampler.ask(number)
                losses.append(loss_of(space, params))
                sampler.tell(Trial(number, params))
                sampler.tell(finished(number, params, sign * losses[-1]))
            chance = RandomSampler(space, 0)
            random = [loss_of(space, chance.ask(number)) for number in range(200)]

            assert np.mean(losses[-20:]) < 0.6 * np.mean(random)

    def test_pending_trials_are_seen(self):
        """A trial that is still running changes the next proposal."""
        done = [finished(n, NESTED.sample(np.random.default_rng(n)), n / 20) for n in range(20)]
        samplers = [OptunaSampler(NESTED, LOSS, 0) for _ in range(2)]
        for sampler in samplers:
            for each in done:
                sampler.tell(each)
        samplers[1].tell(Trial(20, dict(done[0].params)))

        assert samplers[0].ask(21) != samplers[1].ask(21)

    def test_rarely_repeats_itself_in_a_small_space(self):
        """When it would repeat a point it thinks again before chance has to help."""
        space = Space({"a": Int(1, 8), "b": Int(1, 8)})
        sampler = OptunaSampler(space, LOSS, 0)
        keys = []
        for number in range(30):
            params = sampler.ask(number)
            keys.append(space.key(params))
            sampler.tell(Trial(number, params))
            sampler.tell(finished(number, params, loss_of(space, params)))

        assert len(set(keys)) >= 25

    def test_a_resumed_study_is_the_uninterrupted_one(self):
        """Killed at any point, with trials running and a proposal just made, it goes on alike.

        The study holds points of the user's, repeats that were replaced, failures, pruned and
        pending trials, and ends out of order.
        """
        space = Space({"n": Int(1, 30), "m": Choice({"a": {"x": Int(1, 3)}, "b": {}})})

        def play(events, until, interrupted_at=None):
            sampler, seen, running = OptunaSampler(space, LOSS, 5), set(), []
            replay = list(events)
            for number in range(until):
                if number == interrupted_at:
                    sampler = OptunaSampler(space, LOSS, 5)
                    for event in replay:
                        sampler.tell(event)
                params = (
                    {"n": number + 1, "m": "b"}
                    if number < 2
                    else distinct_params(sampler, space, number, seen, seed=5)
                )
                if number == interrupted_at:
                    sampler.ask(number)  # the driver died between asking and writing it down
                seen.add(space.key(params))
                running.append(Trial(number, params))
                news = [running[-1]]
                if len(running) == 3:
                    ended = running.pop(number % 3)
                    news.append(some_end(ended.number, space, ended.params))
                for event in news:
                    sampler.tell(event)
                    replay.append(event)
            return replay

        whole = play([], 36)
        for stop in (3, 17, 33):
            assert play([], 36, interrupted_at=stop) == whole, f"stopped at {stop}"

    def test_asked_again_after_news(self):
        """Asked for the same number, it takes account of what it has learnt in between."""
        sampler = OptunaSampler(NESTED, LOSS, 0)
        twin = OptunaSampler(NESTED, LOSS, 0)
        for number in range(15):
            done = finished(number, NESTED.sample(np.random.default_rng(number)), number / 20)
            sampler.ask(15)
            sampler.tell(done)
            twin.tell(done)

        assert sampler.ask(15) == twin.ask(15)

    def test_a_long_record_is_told_without_work(self):
        """Telling does nothing with Optuna until a proposal is due: a replay asks for none."""
        sampler = OptunaSampler(NESTED, LOSS, 0)
        created = []
        original = optuna.trial.create_trial
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                optuna.trial, "create_trial", lambda **kw: created.append(kw) or original(**kw)
            )
            for number in range(50):
                sampler.tell(Trial(number, SVM))
                sampler.tell(finished(number, SVM, 1.0))
            assert created == []
            sampler.ask(50)

        assert len(created) == 50


class TestGivenSamplers:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: optuna.samplers.GridSampler({"n": [1, 2, 3], "c": ["a", "b"]}, seed=0),
            lambda: optuna.samplers.BruteForceSampler(seed=0),
        ],
        ids=["grid", "brute force"],
    )
    def test_one_that_is_done_proposes_no_more(self, make):
        """When a sampler asks to stop the study, there is nothing more to propose."""
        space = Space({"n": Int(1, 3), "c": Choice(["a", "b"])})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = OptunaSampler(space, LOSS, 0, make())
        seen = set()
        for number in range(20):
            params = sampler.ask(number)
            if params is None:
                break
            seen.add(space.key(params))
            sampler.tell(Trial(number, params))
            sampler.tell(finished(number, params, 1.0))

        assert number == len(seen) == space.size
        assert sampler.ask(20) is None

    def test_one_that_is_done_after_a_resume(self):
        """A grid of Optuna's knows a point that was tried before the study was resumed."""
        space = Space({"n": Int(1, 3)})
        sampler = OptunaSampler(space, LOSS, 0, optuna.samplers.GridSampler({"n": [1, 2, 3]}))
        sampler.tell(Trial(0, {"n": 2}))
        sampler.ask(1)
        sampler.tell(finished(0, {"n": 2}, 1.0))

        assert space.contains(sampler.ask(1))

    def test_names_and_labels_are_the_users(self):
        """A sampler made for this space knows its params by their names and labels."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            fixed = optuna.samplers.PartialFixedSampler(
                {"model": "forest", "depth": 7}, optuna.samplers.RandomSampler(seed=0)
            )
        sampler = OptunaSampler(NESTED, LOSS, 0, fixed)

        for number in range(5):
            params = sampler.ask(number)
            assert (params["model"], params["depth"]) == ("forest", 7)

    @pytest.mark.parametrize(
        "make",
        [
            lambda: optuna.samplers.NSGAIISampler(population_size=4, seed=0),
            lambda: optuna.samplers.CmaEsSampler(n_startup_trials=2, seed=0),
            lambda: optuna.samplers.TPESampler(n_startup_trials=2, multivariate=False, seed=0),
        ],
        ids=["nsga2", "cma-es", "independent tpe"],
    )
    def test_evolution_over_a_resume(self, make):
        """Samplers that keep notes in the study's trials do without them on resumed ones."""
        space = Space({"x": Float(-5, 5), "y": Float(-5, 5), "n": Int(1, 9)})
        sampler = OptunaSampler(space, LOSS, 0, make())
        for number in range(10):
            params = space.sample(np.random.default_rng(number))
            sampler.tell(Trial(number, params))
            sampler.tell(some_end(number, space, params))
        sampler.tell(Trial(10, space.sample(np.random.default_rng(10))))
        for number in range(11, 25):
            params = sampler.ask(number)
            space.check(params)
            sampler.tell(Trial(number, params))
            sampler.tell(some_end(number, space, params))
        sampler.tell(finished(10, space.sample(np.random.default_rng(10)), 0.1))

        assert space.contains(sampler.ask(25))


class TestManners:
    @pytest.mark.parametrize("level", [optuna.logging.DEBUG, optuna.logging.ERROR])
    def test_nothing_is_printed_and_the_verbosity_stays(self, level, capfd):
        """Optuna announces nothing, and the user's own studies log as the user wants."""
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(level)
        try:
            sampler = OptunaSampler(NESTED, LOSS, 0)
            assert optuna.logging.get_verbosity() == level
        finally:
            optuna.logging.set_verbosity(before)
        for number in range(15):
            params = sampler.ask(number)
            sampler.tell(Trial(number, params))
            sampler.tell(finished(number, params, 1.0))

        assert capfd.readouterr() == ("", "")

    def test_a_proposal_is_a_copy(self):
        """A caller that changes what it was given changes nothing here."""
        sampler = OptunaSampler(NESTED, LOSS, 0)
        for params in (sampler.ask(0), sampler.ask(0)):
            params.clear()

        assert NESTED.contains(sampler.ask(0))
