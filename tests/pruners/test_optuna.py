"""Optuna's pruners judge as they do in a study of Optuna."""

import random

import optuna
import pytest

import manyfit
from manyfit import Float
from manyfit.errors import ArgumentError
from manyfit.metric import Metric
from manyfit.pruners.auto import make_pruner
from manyfit.testing.pruners import PrunerStory

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
LOSS = Metric("loss")
PRUNERS = {
    "percentile": lambda: optuna.pruners.PercentilePruner(40.0, n_startup_trials=2),
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2),
    "patient": lambda: optuna.pruners.PatientPruner(None, patience=1),
    "threshold": lambda: optuna.pruners.ThresholdPruner(upper=1.5),
    "wilcoxon": lambda: optuna.pruners.WilcoxonPruner(p_threshold=0.4),
    "halving": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "nop": optuna.pruners.NopPruner,
}


def curves(count=20, steps=7):
    rng = random.Random(0)
    return [
        [rng.uniform(0.5, 1.0) + rng.uniform(0.0, 1.0) / (step + 1) for step in range(steps)]
        for _ in range(count)
    ]


def in_optuna(pruner):
    """The number of steps of each trial, in a study of Optuna alone."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="manyfit", pruner=pruner)
    lengths = []
    for curve in curves():
        trial = study.ask()
        for step, value in enumerate(curve):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, curve[-1])
        lengths.append(step + 1)
    return lengths


def in_manyfit(pruner):
    story = PrunerStory(make_pruner(pruner, LOSS), LOSS)
    lengths = []
    for number, curve in enumerate(curves()):
        for step, value in enumerate(curve):
            if story.report(number, step, value) is not None:
                story.prune(number)
                break
        else:
            story.finish(number, curve[-1])
        lengths.append(step + 1)
    return lengths


@pytest.mark.parametrize("make", PRUNERS.values(), ids=PRUNERS)
def test_judges_as_in_a_study_of_optuna(make):
    """The same trials end at the same steps; the instance given stays as it was."""
    pruner = make()

    assert in_manyfit(pruner) == in_optuna(make())
    assert vars(pruner).keys() == vars(make()).keys()
    if not isinstance(pruner, optuna.pruners.NopPruner):
        assert min(in_manyfit(pruner)) < 7, "it has nothing to judge"


def test_a_pruner_of_ones_own_sees_params_and_reports(tmp_path):
    """A class derived from Optuna's base is as good as one of Optuna's."""

    class Mine(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.user_attrs["params"]["x"] > 0.5 and trial.last_step == 1

    def train(params):
        for step in range(3):
            manyfit.report(step, loss=params["x"])
        return params["x"]

    result = manyfit.tune(
        train, {"x": Float(0.0, 1.0)}, metric="loss", n_trials=8, seed=0, pruner=Mine(),
        executor="inline", tracker=None, progress=None, folder=tmp_path,
    )  # fmt: skip

    for trial in result.trials:
        assert (trial.state.value == "PRUNED") == (trial.params["x"] > 0.5)
    pruned = next(trial for trial in result.trials if trial.state.value == "PRUNED")
    assert pruned.reason.endswith("at step 1: Mine of Optuna ends it")


def test_a_class_is_refused():
    """Its parentheses are missing."""
    with pytest.raises(ArgumentError, match="or an instance of one of Optuna's pruners, but got"):
        make_pruner(optuna.pruners.MedianPruner, LOSS)


def test_a_resumed_study_goes_on_exactly(tmp_path):
    """A replay brings the pruner to where it was: also Hyperband, which keeps brackets."""

    def train(params):
        for step in range(9):
            manyfit.report(step, loss=params["x"] + 1 / (step + 1))
        return params["x"]

    options = {
        "metric": "loss",
        "seed": 0,
        "sampler": "random",
        "executor": "inline",
        "tracker": None,
        "progress": None,
        "pruner": optuna.pruners.HyperbandPruner(),
    }
    space = {"x": Float(0.0, 1.0)}
    manyfit.tune(train, space, n_trials=9, name="s", folder=tmp_path / "a", **options)
    resumed = manyfit.tune(train, space, n_trials=20, name="s", folder=tmp_path / "a", **options)
    straight = manyfit.tune(train, space, n_trials=20, name="s", folder=tmp_path / "b", **options)

    def ends(result):
        return [(t.state, t.reason, len(t.measurements)) for t in result.trials]

    assert ends(resumed) == ends(straight)
    assert any(state is manyfit.State.PRUNED for state, _, _ in ends(straight))
