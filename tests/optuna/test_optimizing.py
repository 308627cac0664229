"""Optuna's objectives: what they receive, what is proposed to them, and what is recorded."""

import math
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import optuna
import pytest

from manyfit import Choice, Float, Int, SparkExecutor, State, load_study, replay_trial, tune
from manyfit.callbacks.rounds import Rounds
from manyfit.errors import ArgumentError, ObjectiveError, StudyChangedError
from manyfit.optuna import optimize
from manyfit.testing.remote import LocalSpark


@pytest.fixture
def run(tmp_path):
    def run(objective, n_trials=10, **options):
        settings = {"executor": "inline", "tracker": None, "progress": None, "seed": 0}
        return optimize(objective, n_trials, folder=tmp_path, **{**settings, **options})

    return run


def params_of(result):
    return [trial.params for trial in result.trials]


def layers(trial):
    """Loops, a condition on an option that is no string, log scales and steps."""
    count = trial.suggest_int("n_layers", 1, 3)
    units = [trial.suggest_int(f"units_{i}", 4, 128, log=True) for i in range(count)]
    value = sum(abs(math.log(each / 32)) for each in units)
    if trial.suggest_categorical("norm", [None, True, 3]) is True:
        value += trial.suggest_float("momentum", 0.0, 1.0, step=0.25)
    return value + trial.suggest_float("rate", 1e-4, 1e-1, log=True)


def bowl(trial):
    x = trial.suggest_float("x", -5, 5)
    return (x - 2) ** 2 + abs(trial.suggest_int("k", 0, 20, step=5) - 10)


def falling(trial):
    floor = trial.suggest_float("floor", 0, 1)
    for step in range(10):
        trial.report(floor + 0.5**step, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return floor


def levels(trial):
    count = trial.suggest_int("n", 1, 3)
    return count + sum(trial.suggest_float(f"y{i}", 0, 1) for i in range(count))


KILLED = """
import os, signal, sys
from manyfit.optuna import optimize

def levels(trial):
    count = trial.suggest_int("n", 1, 3)
    if trial.number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return count + sum(trial.suggest_float(f"y{i}", 0, 1) for i in range(count))

optimize(levels, 14, name="parts", folder=sys.argv[1], seed=0, executor="inline", tracker=None,
         progress=None)
"""


class TestParams:
    def test_each_trial_has_what_it_asked_for(self, run):
        """Params are those of the objective, with their types, and no others."""
        result = run(layers, 30)

        for trial in result.trials:
            params = trial.params
            units = [name for name in params if name.startswith("units_")]
            assert len(units) == params["n_layers"]
            assert ("momentum" in params) == (params["norm"] is True)
            assert type(params["n_layers"]) is int
        assert {type(each["norm"]) for each in params_of(result)} <= {type(None), bool, int}
        assert result.best.value < 1.0

    def test_the_space_is_what_was_asked_for(self, run):
        """The result's space has all params, those of an option in its branch."""
        space = run(layers, 30).space

        assert space.params["units_0"] == Int(4, 128, log=True)
        assert space.params["rate"] == Float(1e-4, 1e-1, log=True)
        assert space.paths("momentum") == ((("norm", True),),)
        assert space.params["norm"].labels == (None, True, 3)

    def test_proposals_are_better_than_chance(self, run):
        """The sampler learns from the trials: the last ones are near the optimum."""
        result = run(bowl, 25)

        assert result.best.value < 0.1
        assert sorted(trial.value for trial in result.trials[10:])[7] < 6

    def test_no_trial_is_a_repeat(self, run):
        """What an earlier trial was given is not proposed again while there is anything else."""
        given = [tuple(sorted(each.items())) for each in params_of(run(layers, 40))]

        assert len(set(given)) == 40

    def test_a_small_space_is_not_its_end(self, run):
        """As in Optuna, trials repeat others once all has been tried."""
        result = run(lambda trial: trial.suggest_int("k", 1, 3), 6)

        assert len(result) == 6
        assert {each["k"] for each in params_of(result)} == {1, 2, 3}

    def test_a_seed_decides(self, run):
        """Two studies with the same seed are equal, and one with another isn't."""
        first = params_of(run(layers, 12, seed=3))

        assert first == params_of(run(layers, 12, seed=3))
        assert first != params_of(run(layers, 12, seed=4))

    def test_options_of_any_kind(self, run):
        """The objective receives its own objects; the record has their labels."""
        received = []

        def objective(trial):
            received.append(trial.suggest_categorical("shape", [(64, 32), len, 2.5]))
            return 1.0

        result = run(objective, 12)

        assert {type(each) for each in received} == {tuple, type(len), float}
        assert {each["shape"] for each in params_of(result)} == {"(64, 32)", "builtins.len", 2.5}

    def test_a_single_value(self, run):
        """A range or a list of one value is no param to search, and still a param."""

        def objective(trial):
            return (
                trial.suggest_float("x", 2, 2) + trial.suggest_categorical("c", [1]) + bowl(trial)
            )

        result = run(objective, 4)

        assert all(each["x"] == 2.0 and each["c"] == 1 for each in params_of(result))
        assert sorted(result.space.params) == ["k"]

    def test_values_too_wide_to_search(self, run):
        """Whole numbers beyond 2**53 and the like are drawn, and recorded."""

        def objective(trial):
            big = trial.suggest_int("big", 0, 2**60)
            return big + trial.suggest_float("wide", -1.7e308, 1.7e308) * 0 + bowl(trial)

        result = run(objective, 5)

        assert len({each["big"] for each in params_of(result)}) == 5
        assert "big" not in result.space.params

    def test_names_that_spaces_refuse(self, run):
        """An empty name is a param like others, which no sampler proposes; a number is refused."""
        result = run(lambda trial: trial.suggest_float("", 0, 1) + bowl(trial), 4)
        assert all(0 <= each[""] <= 1 for each in params_of(result))
        assert "" not in result.space.params

        result = run(lambda trial: trial.suggest_float(3, 0, 1), 1)
        assert "must be a string" in result.trials[0].reason

    def test_deprecated_methods(self, run):
        """What Optuna still has is served."""

        def objective(trial):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return (
                    trial.suggest_uniform("a", 0, 1)
                    + trial.suggest_loguniform("b", 0.1, 1)
                    + trial.suggest_discrete_uniform("c", 0, 1, 0.5)
                )

        space = run(objective, 3).space
        assert space.params == {
            "a": Float(0, 1),
            "b": Float(0.1, 1, log=True),
            "c": Float(0, 1, step=0.5),
        }

    def test_asked_twice(self, run):
        """The same name has the same value within a trial; another kind of domain is refused."""

        def objective(trial):
            assert trial.suggest_int("k", 1, 9) == trial.suggest_int("k", 1, 9)
            return trial.suggest_float("k", 1, 9)

        reason = run(objective, 1).trials[0].reason
        assert "k is Float(1.0, 9.0) here, but was Int(1, 9) before" in reason


class TestChanges:
    def test_a_range_that_depends_on_another_param(self, run, caplog):
        """Values stay within the trial's own range; the user is told once."""

        def objective(trial):
            most = trial.suggest_int("most", 2, 20)
            return -trial.suggest_int("k", 1, most)

        result = run(objective, 25)

        assert all(each["k"] <= each["most"] for each in params_of(result))
        assert result.best.value <= -17
        told = [each for each in caplog.messages if "asked for k from" in each]
        assert len(told) == 1

    @pytest.mark.parametrize(
        "second",
        [
            lambda trial: trial.suggest_int("x", 0, 1),
            lambda trial: trial.suggest_float("x", 0.1, 1, log=True),
            lambda trial: trial.suggest_categorical("x", [0, 1]),
        ],
    )
    def test_another_kind_of_domain(self, run, second):
        """As in Optuna, it is an error of the objective."""

        def objective(trial):
            return second(trial) if trial.number == 2 else trial.suggest_float("x", 0, 1)

        result = run(objective, 4)

        assert [t.state for t in result.trials].count(State.FAIL) == 1
        assert "a param keeps its kind" in result.trials[2].reason

    def test_a_param_that_disappears(self, run):
        """Later trials don't have it, and proposals go on."""

        def objective(trial):
            value = trial.suggest_float("x", 0, 1)
            return value + (trial.suggest_float("gone", 0, 1) if trial.number < 5 else 0)

        result = run(objective, 15)

        assert all(("gone" in t.params) == (t.number < 5) for t in result.trials)
        assert result.best.value < 0.1

    def test_all_params_disappear(self, run):
        """A trial that asks for nothing has no params, whatever was proposed to it."""
        result = run(lambda trial: trial.suggest_float("x", 0, 1) if trial.number < 3 else 1.0, 6)

        assert [len(each) for each in params_of(result)] == [1, 1, 1, 0, 0, 0]


class TestTrial:
    def test_what_it_knows(self, run):
        """Number, params, distributions, attributes, and the direction of its study."""
        seen = {}

        def objective(trial):
            trial.suggest_int("k", 1, 3)
            trial.set_user_attr("fold", 3)
            seen[trial.number] = (
                trial.params,
                trial.distributions,
                trial.user_attrs,
                trial.study.direction,
                isinstance(trial, optuna.trial.BaseTrial),
            )
            return 1.0

        result = run(objective, 2, direction="maximize")

        params, distributions, attrs, direction, is_trial = seen[1]
        assert params == result.trials[1].params
        assert result.trials[1].notes == {"fold": "3"}
        assert distributions == {"k": optuna.distributions.IntDistribution(1, 3)}
        assert (attrs, direction.name, is_trial) == ({"fold": 3}, "MAXIMIZE", True)

    def test_what_it_lacks(self, run):
        """The study is on the driver: what is asked of it is refused in words."""
        result = run(lambda trial: trial.study.best_value, 1)
        assert "trial.study has no 'best_value' here" in result.trials[0].reason

    def test_constraints_and_several_objectives(self, run):
        """Both end the study at the first trial, in words."""
        assert "no constraints" in run(lambda trial: trial.set_constraint("c", 1.0)).reason
        assert "returned 2 values" in run(lambda trial: (1.0, 2.0)).reason
        assert run(lambda trial: [1.0], 1).best.value == 1.0

    def test_failures(self, run):
        """Exceptions and NaN fail the trial alone; what it had asked for stays on record."""

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.set_user_attr("half", x / 2)
            if trial.number == 1:
                raise ValueError("no")
            return math.nan if trial.number == 2 else x

        result = run(objective, 4)

        states = [trial.state for trial in result.trials]
        assert states == [State.COMPLETE, State.FAIL, State.FAIL, State.COMPLETE]
        assert float(result.trials[1].notes["half"]) == result.trials[1].params["x"] / 2
        assert result.trials[1].traceback.startswith("Traceback")
        assert "manyfit/optuna" not in result.trials[1].traceback

    def test_a_bug_ends_the_study(self, run):
        """Trials that all fail alike, before and after they ask for params, are a bug."""
        assert run(lambda trial: 1 / 0, 100).count(State.FAIL) == 3

        def objective(trial):
            trial.suggest_float("x", 0, 1)
            trial.suggest_categorical("c", ["a", "b"])
            raise KeyError("x")

        assert 4 <= run(objective, 100).count(State.FAIL) < 60


class TestPruning:
    def test_reports_and_pruning(self, run):
        """`should_prune` is the pruner's decision, and `TrialPruned` ends the trial."""
        result = run(falling, 30, pruner="median")

        pruned = [trial for trial in result.trials if trial.state is State.PRUNED]
        assert pruned
        assert all("value" in trial.reason for trial in pruned)
        assert len(result.curves()) > 100

    def test_pruners_of_optuna(self, run):
        """They decide as Optuna lets them."""
        result = run(falling, 20, pruner=optuna.pruners.MedianPruner(n_startup_trials=3))

        assert result.count(State.PRUNED) > 0

    def test_a_callback_of_manyfit_says_what_to_use_instead(self, run):
        """The only metric isn't one of a training library's, and nothing can make it one."""

        def objective(trial):
            Rounds("ThisCallback", "compute it", 0).report(0, [("val-auc", 0.5)])
            return trial.suggest_float("x", 0, 1)

        trial = run(objective, 1).trials[0]
        assert trial.state is State.FAIL
        assert "ThisCallback has no use in manyfit.optuna.optimize" in trial.reason
        assert "val_auc. Use Optuna's own callback" in trial.reason

    def test_pruned_by_itself(self, run):
        """`TrialPruned` without a decision of the pruner is a pruned trial, too."""

        def objective(trial):
            trial.suggest_float("x", 0, 1)
            raise optuna.exceptions.TrialPruned("too slow")

        trial = run(objective, 1).trials[0]
        assert (trial.state, trial.reason) == (State.PRUNED, "too slow")
        assert "x" in trial.params

    def test_who_never_asks_is_never_pruned(self, run):
        """An objective that reports and doesn't ask runs to its end, as in Optuna."""

        def objective(trial):
            floor = trial.suggest_float("floor", 0, 1)
            for step in range(10):
                trial.report(floor + 0.5**step, step)
            return floor

        assert run(objective, 20, pruner="median").count(State.COMPLETE) == 20

    def test_steps_and_values(self, run):
        """A step that is reported twice is ignored with a warning; nonsense is an error."""

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            trial.report(1, 3)
            with pytest.warns(UserWarning, match="already reported"):
                trial.report(2, 3)
            with pytest.warns(UserWarning, match="before the last"):
                trial.report(2, 1)
            with pytest.raises(TypeError, match="must be a number"):
                trial.report("one", 4)
            with pytest.raises(TypeError, match="whole number"):
                trial.report(1, "four")
            with pytest.raises(ValueError, match="at least 0"):
                trial.report(1, -1)
            return x

        result = run(objective, 1)
        assert result.count(State.COMPLETE) == 1, result.trials[0].traceback
        assert [m.step for m in result.trials[0].measurements] == [3]


class TestPoints:
    def test_points_to_try_first(self, run, caplog):
        """They are tried in order; what they lack is drawn, and what is wrong is told."""
        points = [{"x": 2.0}, {"x": 2, "k": 5.0}, {"x": 7, "why": 1}]
        result = run(bowl, 5, start_with=points)

        first, second, third = params_of(result)[:3]
        assert first["x"] == 2.0
        assert second == {"x": 2.0, "k": 5}
        assert -5 <= third["x"] <= 5
        assert "x=7" in caplog.text
        assert "didn't ask for why" in caplog.text

    def test_a_range_that_was_edited(self, run, caplog):
        """A resume tells of it, and proposals follow after a few trials."""
        run(lambda trial: trial.suggest_float("x", 0, 10), 8, name="s")
        result = run(lambda trial: trial.suggest_float("x", 2, 3), 20, name="s")

        assert "Trial 8 asked for x from Float(2.0, 3.0)" in caplog.text
        assert all(2 <= each["x"] <= 3 for each in params_of(result)[8:])
        assert result.space.params["x"] == Float(2, 3)

    def test_not_tried_twice(self, run):
        """A study that goes on doesn't try its points again."""
        points = [{"x": 2.0}]
        before = run(bowl, 3, name="s", start_with=points)
        after = run(bowl, 5, name="s", start_with=points)

        assert params_of(after)[:3] == params_of(before)
        assert [trial.origin for trial in after.trials].count("start_with") == 1


class TestResume:
    @pytest.mark.parametrize("sampler", ["auto", "tpe", "random", "nearby", "quasirandom"])
    def test_goes_on_exactly(self, run, sampler):
        """A study in two calls is the study in one."""
        run(layers, 9, name="parts", sampler=sampler)
        parts = run(layers, 16, name="parts", sampler=sampler)
        whole = run(layers, 16, name="whole", sampler=sampler)

        assert params_of(parts) == params_of(whole)

    def test_read_again(self, run, tmp_path):
        """A study on disk is the result."""
        result = run(layers, 12, name="s")
        again = load_study("s", folder=tmp_path)

        assert params_of(again) == params_of(result)
        assert again.space == result.space
        assert [t.domains for t in again.trials] == [t.domains for t in result.trials]

    def test_one_trial_again(self, run, tmp_path):
        """A trial's params are those of Optuna's `FixedTrial`; a replay says so."""
        trial = run(layers, 5, name="s").trials[4]

        assert layers(optuna.trial.FixedTrial(trial.params)) == trial.value
        with pytest.raises(ArgumentError, match="FixedTrial"):
            replay_trial("s", 4, layers, folder=tmp_path)

    def test_other_kinds_of_study(self, run, tmp_path):
        """A study of `tune` isn't continued by `optimize`, nor the other way round."""
        space = {"x": Float(0, 1)}
        options = {"metric": "value", "n_trials": 3, "folder": tmp_path, "executor": "inline"}
        tune(lambda params: params["x"], space, name="t", progress=None, tracker=None, **options)
        with pytest.raises(StudyChangedError):
            run(bowl, name="t")

        run(bowl, 3, name="o")
        with pytest.raises(StudyChangedError):
            tune(lambda params: 1, space, name="o", progress=None, tracker=None, **options)

    def test_killed(self, run, tmp_path):
        """After SIGKILL in the middle of a trial, the study is what it would have been."""
        script = tmp_path / "study.py"
        script.write_text(KILLED)
        subprocess.run([sys.executable, script, tmp_path], check=False)
        before = load_study("parts", folder=tmp_path)
        parts = run(levels, 14, name="parts")
        whole = run(levels, 14, name="whole")

        assert [len(before), before.trials[-1].state] == [6, State.RUNNING]
        assert params_of(parts) == params_of(whole)
        assert len(parts.trials[5].attempts) == 2


class TestPlaces:
    @pytest.mark.parametrize(
        "executor", ["threads", pytest.param("processes", marks=pytest.mark.integration)]
    )
    def test_in_parallel(self, run, executor):
        """Several trials at once, in threads and processes, with reports."""
        result = run(falling, 12, executor=executor, parallelism=2)

        assert result.count(State.COMPLETE) + result.count(State.PRUNED) == 12
        assert all("floor" in each for each in params_of(result))

    @pytest.mark.integration
    def test_on_a_cluster(self, run, tmp_path):
        """Workers that are connected as on Spark."""
        spark = LocalSpark(tmp_path / "machine")
        result = run(layers, 8, executor=SparkExecutor(spark, parallelism=2))

        assert result.count(State.COMPLETE) == 8, result
        assert all("rate" in each for each in params_of(result))

    def test_killed_by_its_own(self, run, tmp_path, monkeypatch):
        """A trial whose process dies runs again, with the same params."""
        monkeypatch.setenv("MARKERS", str(tmp_path))

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            marker = Path(os.environ["MARKERS"]) / str(trial.number)
            if not marker.exists():
                marker.write_text(str(x))
                os.kill(os.getpid(), signal.SIGKILL)
            return x - float(marker.read_text())

        result = run(objective, 2, executor="processes", parallelism=1)

        assert [trial.value for trial in result.trials] == [0.0] * 2
        assert [len(trial.attempts) for trial in result.trials] == [2] * 2


class TestSamplers:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: optuna.samplers.TPESampler(seed=0, multivariate=True, group=True),
            lambda: optuna.samplers.RandomSampler(seed=0),
            lambda: optuna.samplers.QMCSampler(seed=0),
        ],
    )
    @pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
    def test_of_optuna(self, run, make):
        """Any sampler of Optuna proposes, in spaces that depend on their own params, too."""

        def objective(trial):
            k = trial.suggest_int("k", 1, 4)
            return k + (trial.suggest_int("m", 0, 3) if k > 1 else 0)

        result = run(objective, 15, sampler=make())
        assert 1 <= result.best.value <= 3

    def test_refused(self, run):
        """What needs the space beforehand is refused in words."""
        with pytest.raises(ArgumentError, match="'grid' needs the space before"):
            run(bowl, sampler="grid")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is experimental
            brute_force = optuna.samplers.BruteForceSampler()
        with pytest.raises(ArgumentError, match="in which order each trial asks"):
            run(bowl, sampler=brute_force)

        class Own:
            def tell(self, trial): ...
            def ask(self, number): ...

        with pytest.raises(ArgumentError, match="'Own' needs the space before"):
            run(bowl, sampler=Own())


class TestArguments:
    def test_what_is_refused(self, run):
        """A wrong objective or direction, and a study without end."""
        with pytest.raises(ObjectiveError, match="takes the trial"):
            run(lambda: 1)
        with pytest.raises(ObjectiveError, match="can't be called"):
            run(3)
        with pytest.raises(ArgumentError, match="direction must be"):
            run(bowl, direction="up")
        with pytest.raises(ArgumentError, match="would never end"):
            run(bowl, None)

    def test_after_each_trial(self, run):
        """The function has the result so far, with the space as far as it is known."""
        known = []
        result = run(
            layers, 6, on_trial_end=lambda result, trial: known.append(len(result.space.params))
        )

        assert len(known) == 6
        assert known[-1] == len(result.space.params)
        assert len(run(bowl, 20, stop=lambda result: len(result) >= 5)) == 5

    def test_repeats(self, run):
        """The best trials are repeated with their own params."""
        result = run(layers, 8, repeats=2)

        assert len(result.repeated) == 5
        assert all(t.params == result.trials[t.repeat_of].params for t in result.trials[8:])

    def test_a_changed_objective_is_told(self, run, caplog):
        """A resume says which function has changed, as `tune` does."""
        run(lambda trial: trial.suggest_float("x", 0, 1), 3, name="s")
        run(lambda trial: trial.suggest_float("x", 0, 1) + 1, 4, name="s")

        assert "is not what it was" in caplog.text

    def test_pictures_advice_and_report(self, run, tmp_path):
        """All that a result offers works with params that not all trials have."""
        result = run(layers, 30)

        assert result.importances() is not None
        assert len(result.table()) == 30
        assert isinstance(result.advice(), tuple)
        assert result.report(tmp_path / "r.html").exists()
        result.plot_slices()
        result.plot_parallel()

    def test_the_space_can_be_tuned(self, run, tmp_path):
        """The result's space is an ordinary one, for `tune`."""
        space = run(layers, 20).space
        result = tune(
            lambda params: params["rate"], space, metric="value", n_trials=3, executor="inline",
            tracker=None, progress=None, folder=tmp_path,
        )  # fmt: skip

        assert result.count(State.COMPLETE) == 3
        assert isinstance(space.params["norm"], Choice)
