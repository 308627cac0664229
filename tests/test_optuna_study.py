"""A result as a study of Optuna: what its plots, importances and dashboard are told."""

import datetime
import math
import warnings

import optuna
import pytest
from optuna.trial import TrialState

from manyfit import Choice, Float, Int, Study, load_study, note, report, tune
from manyfit.optuna import optimize

SPACE = {
    "model": Choice({"svm": {"C": Float(1e-3, 1e3, log=True)}, "forest": {"depth": Int(2, 20)}}),
    "scale": Choice([None, True, (1, 2)]),
    "drop": Float(0.0, 0.5, step=0.1),
    "noise": Float.normal(0, 1),
    "epochs": 4,
}


def train(params):
    floor = abs(params.get("depth", 5) - 7) / 10 + params["drop"]
    note(kind=params["model"])
    if params["drop"] > 0.45:
        raise MemoryError("too large")
    for step in range(params["epochs"]):
        report(step, accuracy=1 - floor - 0.5**step, seconds=1.0)
    return {"accuracy": 1 - floor, "size": 3}


@pytest.fixture
def run(tmp_path):
    def run(objective=train, space=SPACE, **options):
        settings = {"metric": "accuracy", "direction": "maximize", "n_trials": 30, "seed": 1}
        quiet = {"executor": "inline", "tracker": None, "progress": None, "name": "s"}
        return tune(objective, space, folder=tmp_path, **{**settings, **quiet, **options})

    return run


class TestStudiesOfTune:
    def test_trials(self, run):
        """Params with their distributions, values, states, reports, times and attributes."""
        result = run(pruner="median")
        study = result.to_optuna()

        assert study.study_name == "s"
        assert study.direction.name == "MAXIMIZE"
        assert study.user_attrs == {"metric": "accuracy", "constants": {"epochs": 4}}
        assert study.best_trial.number == result.best.number
        assert [t.state.name for t in study.trials] == [t.state.value for t in result.trials]
        for ours, theirs in zip(result.trials, study.trials, strict=True):
            assert ("C" in theirs.params) == (ours.params["model"] == "svm")
            assert theirs.value == ours.value or theirs.state is TrialState.PRUNED
            assert len(theirs.intermediate_values) == len(ours.measurements)
            assert theirs.user_attrs["kind"] == ours.params["model"]
            assert theirs.datetime_start == datetime.datetime.fromtimestamp(
                ours.attempts[0].started_at
            )
            assert theirs.duration.total_seconds() < 60

    def test_distributions(self, run):
        """Those of the space; labels for options, and the values tried for a prior."""
        study = run().to_optuna()
        all_of_them = {n: d for t in study.trials for n, d in t.distributions.items()}

        assert all_of_them["C"] == optuna.distributions.FloatDistribution(1e-3, 1e3, log=True)
        assert all_of_them["depth"] == optuna.distributions.IntDistribution(2, 20)
        assert all_of_them["drop"].step == 0.1
        assert all_of_them["scale"].choices == (None, True, "(1, 2)")
        noise = [t.params["noise"] for t in study.trials]
        assert (all_of_them["noise"].low, all_of_them["noise"].high) == (min(noise), max(noise))

    def test_failed_and_pruned(self, run):
        """The reason is an attribute; a pruned trial has its last report as its value."""
        study = run(pruner="median", n_trials=40).to_optuna()

        failed = study.get_trials(states=[TrialState.FAIL])
        pruned = study.get_trials(states=[TrialState.PRUNED])
        assert failed[0].user_attrs["reason"] == "MemoryError: too large"
        assert pruned[0].value == max(pruned[0].intermediate_values.items())[1]
        assert "accuracy" in pruned[0].user_attrs["reason"]

    def test_reports_of_nan(self, run):
        """A NaN stays a report, and is no value."""

        def objective(params):
            report(0, accuracy=math.nan)
            return 1.0

        trial = run(objective, n_trials=1).to_optuna().trials[0]
        assert trial.state is TrialState.PRUNED
        assert math.isnan(trial.intermediate_values[0])
        assert trial.value is None

    def test_repeats(self, run):
        """Repeats are an attribute of their trial, so that the best trial is one of the search."""
        result = run(repeats=2)
        study = result.to_optuna()

        assert len(study.trials) == 30
        leader = result.repeated[0].number
        assert len(study.trials[leader].user_attrs["repeats"]) == 2

    def test_outside_the_space(self, run):
        """What is outside is left out, and old numbers are kept."""
        run()
        narrow = {**SPACE, "drop": Float(0.2, 0.3, step=0.1)}
        result = run(space=narrow, on_space_change="keep", n_trials=5)
        study = result.to_optuna()

        assert len(study.trials) == len(result) - len(result.outside)
        kept = [t.number for t in result.trials if t.number not in result.outside]
        assert [t.user_attrs.get("number", t.number) for t in study.trials] == kept

    def test_on_record(self, run, tmp_path):
        """A study that was loaded gives the same."""
        result = run()
        again = load_study("s", folder=tmp_path).to_optuna()

        assert [t.params for t in again.trials] == [t.params for t in result.to_optuna().trials]

    def test_no_trials(self, tmp_path):
        """A study of nothing is an empty one."""
        with Study(SPACE, metric="accuracy", folder=tmp_path, tracker=None) as study:
            assert study.result().to_optuna().trials == []


class TestStudiesOfOptimize:
    def test_trials(self, tmp_path):
        """Each trial has its own distributions, and attributes with their types."""

        def objective(trial):
            most = trial.suggest_int("most", 2, 9)
            trial.set_user_attr("half", most / 2)
            trial.set_user_attr("words", ["a", "b"])
            trial.suggest_categorical("only", ["this"])
            return trial.suggest_int("k", 1, most)

        result = optimize(
            objective, 10, executor="inline", tracker=None, progress=None, folder=tmp_path
        )
        study = result.to_optuna()

        for ours, theirs in zip(result.trials, study.trials, strict=True):
            assert theirs.params == ours.params
            assert theirs.distributions["k"].high == ours.params["most"]
            assert theirs.user_attrs == {"half": ours.params["most"] / 2, "words": ["a", "b"]}


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_plots_and_importances(run):
    """Optuna's own tools work with it."""
    study = run(pruner="median").to_optuna()
    plots = optuna.visualization

    assert set(optuna.importance.get_param_importances(study)) >= {"model", "drop", "scale"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for plot in (plots.plot_intermediate_values, plots.plot_slice, plots.plot_timeline):
            assert plot(study).data is not None
    assert len(study.trials_dataframe()) == 30
