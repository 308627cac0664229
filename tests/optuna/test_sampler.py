"""Manyfit's sampler in studies of Optuna: what it learns from them, and what it proposes."""

import math
import pickle
import threading
import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from manyfit.optuna import GPSampler


@pytest.fixture(autouse=True)
def quiet():
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(verbosity)


def study_of(seed=0, **options):
    return optuna.create_study(sampler=GPSampler(seed=seed), **options)


def bowl(trial):
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
    return (x - 2) ** 2 + (y + 1) ** 2


def branches(trial):
    model = trial.suggest_categorical("model", ["svm", "forest", "mean"])
    scale = trial.suggest_categorical("scale", [False, True])
    if model == "mean":
        return 2.0
    if model == "forest":
        return 0.6 + (trial.suggest_int("depth", 1, 20) - 12) ** 2 / 100
    kernel = trial.suggest_categorical("kernel", ["rbf", "linear"])
    value = (math.log10(trial.suggest_float("C", 1e-3, 1e3, log=True)) - 1) ** 2 / 16
    if kernel == "rbf":
        value += (trial.suggest_float("gamma", 0, 1) - 0.3) ** 2 - 0.2
    return value + 0.1 * scale


def space_of(study):
    """Return what the sampler would propose for the next trial."""
    trial = study.ask()
    space = study.sampler.infer_relative_search_space(study, study.trials[trial.number])
    return study.sampler.sample_relative(study, study.trials[trial.number], space)


def slope(trial):
    """What is best for y hangs on x."""
    return abs(trial.suggest_float("x", -5, 5) - trial.suggest_float("y", -5, 5))


def worse_branch(trial):
    """Branch b is worse than a, whatever y is, so that free trials leave it alone."""
    if trial.suggest_categorical("model", ["a", "b"]) == "a":
        return trial.suggest_float("x", 0, 1) ** 2
    return 5 + (trial.suggest_float("y", -5, 5) - 4) ** 2


class TestFinds:
    def test_better_than_random(self):
        """After 30 trials it is far closer to the optimum than random search, on average."""
        found, drawn = [], []
        for seed in range(3):
            study = study_of(seed)
            study.optimize(bowl, n_trials=30)
            found.append(study.best_value)
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
            study.optimize(bowl, n_trials=30)
            drawn.append(study.best_value)

        assert np.mean(found) < np.mean(drawn) / 20

    def test_maximize(self):
        """A study that maximizes gets the mirror image of one that minimizes."""
        down, up = study_of(), study_of(direction="maximize")
        down.optimize(bowl, n_trials=15)
        up.optimize(lambda trial: -bowl(trial), n_trials=15)

        assert [t.params for t in up.trials] == [t.params for t in down.trials]

    def test_branches(self):
        """What only some options bring with them is searched where these are chosen."""
        study = study_of(seed=2)
        study.optimize(branches, n_trials=45)

        best = study.best_trial.params
        assert best["model"] == "svm"
        assert best["kernel"] == "rbf"
        assert study.best_value < -0.15

    def test_pruning(self):
        """With a pruner, most trials are cut short, and those teach it too."""

        def objective(trial):
            floor = bowl(trial)
            for step in range(10):
                trial.report(floor + 10 * 0.5**step, step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return floor

        study = study_of(pruner=optuna.pruners.MedianPruner(n_startup_trials=3))
        study.optimize(objective, n_trials=30)

        assert len(study.get_trials(states=[TrialState.PRUNED])) > 5
        assert study.best_value < 0.3

    def test_hyperband(self):
        """A pruner that shows each trial a part of the study is no obstacle."""

        def objective(trial):
            floor = bowl(trial)
            for step in range(9):
                trial.report(floor + 10 * 0.5**step, step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return floor

        study = study_of(pruner=optuna.pruners.HyperbandPruner(max_resource=9))
        study.optimize(objective, n_trials=30)

        assert len(study.trials) == 30

    def test_failures(self):
        """Trials that fail don't stop it, and it looks elsewhere."""

        def objective(trial):
            x = trial.suggest_float("x", 0, 1)
            if x > 0.5:
                raise MemoryError
            return 1 - x

        study = study_of()
        study.optimize(objective, n_trials=30, catch=MemoryError)
        late = study.trials[15:]

        assert sum(t.state is TrialState.FAIL for t in late) < 10
        assert study.best_value < 0.6

    def test_all_fail(self):
        """A study without any success goes on."""
        study = study_of()
        study.optimize(lambda trial: bowl(trial) * math.nan, n_trials=12)

        assert {t.state for t in study.trials} == {TrialState.FAIL}

    @pytest.mark.parametrize("value", [math.inf, -math.inf, 1.7e308])
    def test_values_without_bounds(self, value):
        """Infinite values, which Optuna accepts, count as very large ones."""
        study = study_of()
        study.optimize(
            lambda trial: value if trial.suggest_float("x", 0, 1) > 0.5 else 1.0, n_trials=15
        )

        assert len(study.trials) == 15


class TestParams:
    def test_all_kinds(self):
        """Whatever a trial can ask for is proposed within its distribution, without a warning."""

        def objective(trial):
            values = [
                trial.suggest_float("a", 1e-6, 1, log=True),
                trial.suggest_float("b", 0.1, 0.9, step=0.1),
                trial.suggest_int("c", 1, 10**6, log=True),
                trial.suggest_int("d", 3, 30, step=9),
                trial.suggest_int("e", -5, 5),
                trial.suggest_int("f", 7, 7),
                trial.suggest_int("huge", 0, 2**60) / 2**60,
            ]
            trial.suggest_categorical("g", ["only"])
            return sum(values[3:])

        study = study_of()
        study.optimize(objective, n_trials=15)

        assert {t.params["d"] for t in study.trials} <= {3, 12, 21, 30}
        assert {round(10 * t.params["b"]) for t in study.trials} <= set(range(1, 10))
        assert all(t.params["b"] in [n / 10 for n in range(1, 10)] for t in study.trials[6:])
        assert set(space_of(study)) == {"a", "b", "c", "d", "e"}

    def test_options_of_all_kinds(self):
        """Options are any values; those that Optuna takes for the same count once."""
        options = [None, True, 1, 1.0, "1", (64, 64), math.nan, 0]
        picked = []

        def objective(trial):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # Optuna's, of the tuple
                option = trial.suggest_categorical("option", options)
            picked.append(option)
            return float(option == (64, 64))

        study = study_of(direction="maximize")
        study.optimize(objective, n_trials=20)

        assert {repr(option) for option in picked} <= {repr(option) for option in options}
        assert {type(option) for option in picked[:12]} >= {type(None), str, tuple, float}
        assert study.best_params["option"] == (64, 64)

    def test_nothing_to_search(self):
        """A study whose trials ask for nothing runs, and so does one with a single value."""
        study = study_of()
        study.optimize(lambda trial: 1.0, n_trials=8)
        study.optimize(lambda trial: trial.suggest_int("n", 3, 3), n_trials=8)

        assert len(study.trials) == 16

    def test_a_study_that_grows(self):
        """A param that came later is searched; trials that lacked it go on counting."""
        study = study_of()
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.3) ** 2, n_trials=10)

        def grown(trial):
            x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
            return (x - 0.3) ** 2 + (y - 0.9) ** 2 - 0.16

        study.optimize(grown, n_trials=15)

        assert set(space_of(study)) == {"x", "y"}
        assert study.best_value < -0.155

    def test_a_range_that_moves(self):
        """A range that changes is searched as it was last; values beyond it count as its bound."""
        study = study_of()
        study.optimize(lambda trial: trial.suggest_float("x", 0, 10), n_trials=8)
        study.optimize(lambda trial: trial.suggest_float("x", 2, 3), n_trials=8)

        assert all(2 <= t.params["x"] <= 3 for t in study.trials[8:])
        assert 2 <= space_of(study)["x"] <= 3

    def test_other_options(self):
        """Added trials in which a name stood for other options, or a number, don't count there."""
        study = study_of()
        for distribution, value in (
            (FloatDistribution(0, 1), 0.5),
            (CategoricalDistribution(["a", "b"]), "b"),
            (CategoricalDistribution(["a", "c"]), "c"),
        ):
            for index in range(5):
                distributions = {"c": distribution, "x": FloatDistribution(0, 1)}
                params = {"c": value, "x": index / 5}
                study.add_trial(
                    create_trial(params=params, distributions=distributions, value=index)
                )

        proposed = space_of(study)
        assert proposed["c"] in ("a", "c")
        assert proposed["x"] < 0.5

    def test_a_number_decides(self):
        """Params that a number brings with it are searched where they are asked for."""

        def objective(trial):
            layers = trial.suggest_int("layers", 1, 3)
            units = [trial.suggest_int(f"units{i}", 1, 64) for i in range(layers)]
            return abs(layers - 2) + sum(abs(u - 32) for u in units) / 64

        study = study_of()
        study.optimize(objective, n_trials=25)

        assert study.best_params["layers"] == 2
        assert study.best_value < 0.3

    def test_branches_are_recognised(self):
        """Of params of different branches, a proposal has those of one, nested ones too."""
        study = study_of(seed=1)
        study.sampler = optuna.samplers.RandomSampler(seed=0)
        study.optimize(branches, n_trials=40)
        study.sampler = GPSampler(seed=0)
        allowed = [
            {"model", "scale"},
            {"model", "scale", "depth"},
            {"model", "scale", "C", "kernel"},
            {"model", "scale", "C", "kernel", "gamma"},
        ]
        for _ in range(10):
            assert set(space_of(study)) in allowed

    def test_a_param_of_two_branches(self):
        """One that several options bring with them is the same param in each."""

        def objective(trial):
            kind = trial.suggest_categorical("kind", ["a", "b", "c"])
            return (
                1.0 if kind == "c" else (trial.suggest_float("x", 0, 1) - 0.4) ** 2 + (kind == "a")
            )

        study = study_of()
        study.optimize(objective, n_trials=25)

        assert study.best_value < 0.01
        assert study.best_params["kind"] == "b"


class TestStudies:
    def test_repeatable(self):
        """The same seed gives the same study, another one another."""
        studies = [study_of(seed) for seed in (3, 3, 4)]
        for study in studies:
            study.optimize(branches, n_trials=15)
        one, same, other = ([t.params for t in study.trials] for study in studies)

        assert one == same
        assert one != other

    def test_without_a_seed(self):
        """Without a seed, no two studies are the same."""
        values = set()
        for _ in range(3):
            study = optuna.create_study(sampler=GPSampler())
            study.optimize(bowl, n_trials=3)
            values.add(study.trials[2].value)

        assert len(values) == 3

    @pytest.mark.parametrize("seed", [-1, 2**32])
    def test_a_seed_out_of_range(self, seed):
        """A seed that isn't one is refused."""
        with pytest.raises(ValueError, match="Seed must be between 0 and"):
            GPSampler(seed=seed)

    def test_several_objectives(self):
        """A study of several objectives is refused, with a way out."""
        study = optuna.create_study(directions=["minimize", "maximize"], sampler=GPSampler(seed=0))

        with pytest.raises(ValueError, match=r"one objective, but this one has 2.*NSGAII"):
            study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=1)

    def test_resumed(self):
        """A new sampler on the trials of an old study goes on as that would have."""
        straight = study_of()
        straight.optimize(bowl, n_trials=12)
        resumed = study_of()
        resumed.add_trials(straight.trials)

        assert space_of(resumed) == space_of(straight)

    def test_added_trials(self):
        """Trials of another make count like its own."""
        study = study_of()
        distributions = {
            "x": FloatDistribution(0, 1),
            "n": IntDistribution(1, 9),
            "c": CategoricalDistribution(["a", "b"]),
        }
        rng = np.random.default_rng(0)
        for _ in range(30):
            x, n, c = rng.random(), int(rng.integers(1, 10)), "ab"[rng.integers(2)]
            value = (x - 0.3) ** 2 + abs(n - 7) / 9 + (c == "a")
            params = {"x": x, "n": n, "c": c}
            study.add_trial(create_trial(params=params, distributions=distributions, value=value))
        proposed = [space_of(study) for _ in range(5)]

        assert sum(
            each["c"] == "b" and abs(each["x"] - 0.3) < 0.15 and abs(each["n"] - 7) <= 1
            for each in proposed
        )

    def test_enqueued(self):
        """An enqueued trial gets its params, the rest is proposed, and it counts as what it was."""
        study = study_of()
        study.optimize(bowl, n_trials=8)
        study.enqueue_trial({"x": 2.0})
        study.enqueue_trial({"x": 2.0, "y": -1.0})
        study.optimize(bowl, n_trials=4)

        assert [t.params["x"] for t in study.trials[8:10]] == [2.0, 2.0]
        assert study.best_params == {"x": 2.0, "y": -1.0}
        assert all(t.params != {"x": 2.0, "y": -1.0} for t in study.trials[10:])

    @pytest.mark.parametrize(
        ("objective", "which", "fixed"),
        [(slope, "x", 4.0), (worse_branch, "model", "b")],
        ids=["a number", "a branch"],
    )
    def test_some_params_fixed(self, objective, which, fixed):
        """Under a sampler that fixes some params, it proposes what goes with these."""
        found = []
        for seed in range(5):
            study = study_of(seed)
            study.optimize(objective, n_trials=16)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.sampler = optuna.samplers.PartialFixedSampler({which: fixed}, study.sampler)
            study.optimize(objective, n_trials=8)

            then = [trial.params for trial in study.trials[16:]]
            assert [params[which] for params in then] == [fixed] * 8
            found.append(sorted(abs(params["y"] - 4) for params in then))
        middle = np.median(found, axis=0)
        assert middle[0] < 0.1
        assert middle[3] < 1.0

    def test_several_studies(self):
        """One sampler may serve several studies in turn."""
        sampler = GPSampler(seed=0)
        one, other = (optuna.create_study(sampler=sampler) for _ in range(2))
        for _ in range(12):
            one.optimize(bowl, n_trials=1)
            other.optimize(branches, n_trials=1)

        assert set(space_of(one)) == {"x", "y"}
        assert "model" in space_of(other)

    def test_pickled(self):
        """A sampler that was saved goes on where it was."""
        study = study_of()
        study.optimize(bowl, n_trials=10)
        saved = pickle.dumps(study.sampler)
        expected = space_of(study)
        study.tell(study.trials[10].number, state=TrialState.FAIL)
        again = study_of()
        again.add_trials(study.trials[:10])
        again.sampler = pickle.loads(saved)

        assert space_of(again) == expected


class TestAtOnce:
    def test_ask_and_tell(self):
        """Trials that are out at the same time are kept apart, and finish in any order."""
        study = study_of()
        study.optimize(bowl, n_trials=10)
        for round_ in range(3):
            trials = [study.ask() for _ in range(8)]
            values = [bowl(trial) for trial in trials]
            assert len({tuple(trial.params.values()) for trial in trials}) == 8
            for index in np.random.default_rng(round_).permutation(8):
                study.tell(trials[index], values[index])

        assert study.best_value < 0.1

    def test_before_they_ask_for_anything(self):
        """What was proposed to a trial counts as running before it has asked for it."""
        study = study_of()
        study.optimize(bowl, n_trials=10)

        proposals = [space_of(study) for _ in range(6)]
        assert len({tuple(proposal.values()) for proposal in proposals}) == 6

    def test_threads(self):
        """With `n_jobs`, trials of all threads differ."""
        barrier = threading.Barrier(4)

        def objective(trial):
            value = bowl(trial)
            barrier.wait(timeout=60)
            return value

        study = study_of()
        study.optimize(objective, n_trials=24, n_jobs=4)

        assert len({tuple(t.params.values()) for t in study.trials}) == 24
        assert study.best_value < 1.0

    def test_a_trial_that_hangs(self):
        """One that never ends is no obstacle."""
        study = study_of()
        study.ask()
        study.optimize(bowl, n_trials=20)
        study.ask().suggest_float("x", -5, 5)
        study.optimize(bowl, n_trials=3)

        assert study.best_value < 0.1
