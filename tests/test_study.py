import json
import logging
import math
import os
import random
import re
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

import manyfit
from manyfit import Choice, Float, Int, State, Study, tune
from manyfit.events import AttemptStarted
from manyfit.journal.file import FileJournal
from manyfit.testing.scripted import ScriptedExecutor, finishes

SPACE = {"x": Float(0.0, 1.0), "kind": Choice(["a", "b"])}


@pytest.fixture
def quiet(tmp_path):
    """Options for a study nobody watches."""
    return {"metric": "loss", "folder": tmp_path, "tracker": None, "seed": 0}


@pytest.fixture
def inline(quiet):
    """Options for `tune` on this thread."""
    return {**quiet, "executor": "inline", "progress": None}


def train(params):
    return {"loss": (params["x"] - 0.3) ** 2, "other": 1.0}


class TestTune:
    def test_finds_good_params_and_puts_every_trial_on_record(self, inline):
        """The best trial is near the optimum, and the journal knows all of them."""
        result = tune(train, SPACE, n_trials=25, name="fashion", **inline)

        assert result.best.value < 0.01
        assert result.count(State.COMPLETE) == 25
        assert manyfit.load_study("fashion", folder=inline["folder"]).best == result.best

    def test_objective_receives_choices_and_constants_as_given(self, inline):
        """What is in the space reaches the objective by value: functions, tuples, constants."""
        seen = []

        def train(params):
            seen.append(params)
            return 1.0

        space = {"f": Choice([math.sin, math.cos]), "sizes": Choice([(64, 32)]), "epochs": 7}
        result = tune(train, space, n_trials=2, sampler="grid", **inline)

        assert [p["f"] for p in seen] == [math.sin, math.cos]
        assert seen[0]["sizes"] == (64, 32)
        assert seen[0]["epochs"] == 7
        assert result.best.params == seen[0]

    def test_branches_give_only_active_params(self, inline):
        """A branch's parameters are there when the branch is chosen, and only then."""
        seen = []

        def train(params):
            seen.append(set(params))
            return 1.0

        space = {"model": Choice({"svm": {"C": Float(0.1, 1)}, "forest": {"depth": Int(1, 9)}})}
        tune(train, space, n_trials=12, **inline)

        assert {frozenset(names) for names in seen} == {
            frozenset({"model", "C"}),
            frozenset({"model", "depth"}),
        }

    def test_resumes_under_the_same_name(self, inline):
        """n_trials counts the trials of all runs together, and a finished study runs nothing."""
        calls = []

        def train(params):
            calls.append(params)
            return params["x"]

        tune(train, SPACE, n_trials=4, name="s", **inline)
        tune(train, SPACE, n_trials=10, name="s", **inline)
        result = tune(train, SPACE, n_trials=10, name="s", **inline)

        assert len(calls) == len(result) == 10
        assert result.reason == "all 10 trials done"

    @pytest.mark.parametrize("sampler", ["random", "quasirandom", "tpe"])
    def test_a_resumed_study_continues_exactly_where_it_was(self, inline, sampler):
        """Stopped and resumed, the proposals are those of a study that was never stopped."""
        for n_trials in (5, 13, 24):
            tune(train, SPACE, n_trials=n_trials, name="parts", sampler=sampler, **inline)
        parts = manyfit.load_study("parts", folder=inline["folder"])
        whole = tune(train, SPACE, n_trials=24, name="whole", sampler=sampler, **inline)

        assert [t.params for t in parts] == [t.params for t in whole]

    def test_a_finite_space_ends_when_it_is_exhausted(self, inline):
        """No configuration is tried twice; the study says that there are no more."""
        space = {"a": Choice([1, 2, 3]), "b": Choice([True, False])}
        result = tune(lambda params: params["a"], space, n_trials=50, **inline)

        assert len(result) == 6
        assert "exhausted: it has 6" in result.reason

    def test_pruned_trials_end_at_their_report(self, inline):
        """Inline, a verdict ends the trial in the very report that led to it."""
        steps = {}

        def train(params):
            number = manyfit.current_trial().number
            for step in range(20):
                steps[number] = step
                manyfit.report(step, loss=1.0 if number < 6 else 5.0)
            return 1.0

        result = tune(train, SPACE, n_trials=8, pruner=manyfit.MedianPruner(min_steps=3), **inline)

        assert [t.state for t in result][6:] == [State.PRUNED] * 2
        assert steps[6] < 19
        assert "median" in result[6].reason

    def test_start_with_comes_first(self, inline):
        """Known good points are tried first, constants and labels understood."""
        points = [{"x": 0.5, "kind": "b"}, {"x": 0.25, "kind": "a"}]
        result = tune(train, SPACE, n_trials=3, start_with=points, **inline)

        assert [t.params for t in result][:2] == points
        assert [t.origin for t in result] == ["start_with", "start_with", "sampler"]


class TestNotes:
    @pytest.mark.parametrize("executor", ["inline", "processes"])
    def test_what_is_returned_beside_numbers_is_kept(self, inline, caplog, executor):
        """On record, in the table, and said once; no trial is lost by it."""

        def train(params):
            return {"loss": params["x"], "status": "ok", "checkpoint": "/models/7"}

        options = {**inline, "executor": executor, "name": "s"}
        result = tune(train, SPACE, n_trials=3, parallelism=1, **options)

        assert result.failures() == ()
        assert result.best.notes == {"status": "ok", "checkpoint": "/models/7"}
        assert result.best.metrics == {"loss": result.best.value}
        assert list(result.table()["notes_checkpoint"]) == ["/models/7"] * 3
        assert manyfit.load_study("s", folder=inline["folder"])[2].notes == result[2].notes
        (record,) = caplog.records
        assert "returned status, checkpoint besides its metrics" in record.message

    @pytest.mark.parametrize("executor", ["inline", "processes"])
    def test_noted_ones(self, inline, executor):
        """They stay with trials that are pruned or fail, and what is returned replaces them."""

        def train(params):
            manyfit.note(path="/models/1", epoch=3)
            manyfit.note(epoch=4)
            if params["x"] < 0.5:
                raise manyfit.TrialStopped("enough")
            if params["x"] < 0.75:
                raise ValueError("broken")
            return {"loss": params["x"], "path": "/models/2"}

        points = [{"x": 0.25, "kind": "a"}, {"x": 0.625, "kind": "a"}, {"x": 0.875, "kind": "a"}]
        options = {**inline, "executor": executor, "name": "s", "start_with": points}
        result = tune(train, SPACE, n_trials=3, parallelism=1, **options)

        states, notes = zip(*((t.state.value, t.notes) for t in result), strict=True)
        assert states == ("PRUNED", "FAIL", "COMPLETE")
        assert notes[:2] == ({"path": "/models/1", "epoch": "4"},) * 2
        assert notes[2] == {"path": "/models/2", "epoch": "4"}
        assert [t.notes for t in manyfit.load_study("s", folder=inline["folder"])] == [*notes]
        assert list(result.table().sort_values("number")["notes_epoch"]) == ["4"] * 3

    def test_told_ones(self, quiet):
        """In your own loop, too."""
        with Study(SPACE, **quiet) as study:
            told = study.tell(study.ask(), {"loss": 0.5, "path": "/models/7"})
            assert told.notes == {"path": "/models/7"}


class TestStartingPoints:
    def test_what_a_point_leaves_open_is_drawn(self, inline):
        """And is known again on a resume, with another seed too; two alike are drawn apart."""
        points = [{"x": 0.25}, {"kind": "b"}, {"kind": "b"}, {}, {"x": 0.5, "kind": "a"}]
        options = {**inline, "start_with": points, "name": "s"}
        tune(train, SPACE, n_trials=2, **options)
        result = tune(train, SPACE, n_trials=8, **options)

        assert [trial.origin for trial in result] == ["start_with"] * 5 + ["sampler"] * 3
        assert result[0].params["x"] == 0.25
        assert result[1].params["kind"] == result[2].params["kind"] == "b"
        assert result[1].params["x"] != result[2].params["x"]
        assert result[4].params == points[4]


class TestCopies:
    """What a trial, or a reader of the record, does to an option or a constant."""

    SPACE: ClassVar = {"layers": Choice([[64], [64, 32]]), "net": {"sizes": [1]}, "x": Int(0, 99)}

    @pytest.mark.parametrize("executor", ["inline", "threads"])
    def test_no_other_trial_and_no_record_sees_it(self, inline, executor):
        """Each trial gets options and constants of its own, also in the driver's process."""

        def train(params):
            params["layers"].append(10)
            params["net"]["sizes"].append(2)
            return len(params["layers"]) + 10 * len(params["net"]["sizes"])

        options = {**inline, "executor": executor, "sampler": "random", "parallelism": 1}
        result = tune(train, self.SPACE, n_trials=6, **options)

        assert all(t.value == len(t.params["layers"]) + 1 + 20 for t in result)
        assert self.SPACE["layers"].options == ([64], [64, 32])
        assert {str(t.params["net"]) for t in result} == {"{'sizes': [1]}"}

    def test_training_on_the_best_params_changes_no_record(self, inline):
        """What a result hands out may be changed too; the result shows what was tried."""
        result = tune(lambda p: p["x"], self.SPACE, n_trials=3, **inline)
        before = str([trial.params for trial in result])

        for trial in (result.best, result[0], *result, result.best_by("loss")):
            trial.params["layers"].clear()
            trial.params.pop("x")

        assert str([trial.params for trial in result]) == before

    def test_whoever_made_the_space_may_change_what_it_was_made_of(self, quiet):
        """The space has copies: later trials get what the record says."""
        layers, net = [64], {"sizes": [1]}
        with Study({"layers": Choice([layers]), "net": net, "x": Float(0, 1)}, **quiet) as study:
            layers.append(32)
            net["sizes"].clear()
            params = study.ask().params

        assert (params["layers"], params["net"]) == ([64], {"sizes": [1]})

    def test_a_trial_asked_for_is_ones_own(self, quiet):
        """What becomes of its params in your own loop is not what it is told with."""
        with Study(self.SPACE, **quiet) as study:
            asked = study.ask()
            asked.params["net"]["sizes"].clear()
            told = study.tell(asked, 1.0)

            assert told.params["net"] == study.result()[0].params["net"] == {"sizes": [1]}


class TestFailing:
    def test_one_failure_is_one_failed_trial(self, inline):
        """The others go on; the traceback is kept."""

        def train(params):
            if manyfit.current_trial().number == 1:
                raise KeyError("missing column")
            return 1.0

        result = tune(train, SPACE, n_trials=4, **inline)

        assert result.count(State.COMPLETE) == 3
        assert result[1].reason == "KeyError: 'missing column'"
        assert "in train" in result.failures()[0].traceback

    @pytest.mark.parametrize(
        ("returned", "reason"),
        [
            (math.nan, "loss is NaN"),
            (math.inf, "loss is inf"),
            (None, "returned None"),
            ("0.5", "loss must be a number, but got '0.5' of type str"),
            ({"accuracy": 0.5}, "no 'loss', the metric being tuned. It returned: accuracy"),
            ({"loss": 1.0, "status": "fail"}, "the objective returned the status 'fail'"),
        ],
    )
    def test_each_unusable_result_has_its_own_message(self, inline, returned, reason):
        """NaN, infinity, nothing, a string, a missing metric: FAIL, and never best."""
        result = tune(lambda params: returned, SPACE, n_trials=1, **inline)

        assert result[0].state is State.FAIL
        assert reason in result[0].reason

    def test_fatal_error_ends_the_study(self, inline):
        """The objective can say that going on makes no sense."""

        def train(params):
            if manyfit.current_trial().number == 1:
                raise manyfit.FatalError("the disk is full")
            return 1.0

        result = tune(train, SPACE, n_trials=9, **inline)

        assert result.reason == "FatalError: the disk is full"
        assert len(result) == 2

    def test_a_bug_ends_the_study(self, inline):
        """When trials all over the space fail alike, best says how, with the traceback."""

        def train(params):
            return params["learning_rate"]

        result = tune(train, SPACE, n_trials=50, **inline)

        assert len(result) < 15
        assert "all over the space, all failed with KeyError: 'learning_rate'" in result.reason
        with pytest.raises(manyfit.NoResultError, match="KeyError: 'learning_rate'"):
            result.best  # noqa: B018
        assert len(tune(train, SPACE, n_trials=20, max_failures=20, **inline)) == 20

    @pytest.mark.parametrize("sampler", ["auto", "random", "tpe"])
    @pytest.mark.parametrize("seed", range(3))
    def test_half_a_space_that_fails_costs_its_trials_only(self, inline, sampler, seed):
        """What a param causes is no bug: NaN, or an exception in the same line every time."""

        def train(params):
            if params["x"] > 0.3:
                return math.nan
            if params["kind"] == "a":
                raise ValueError("needs a package")
            return params["x"]

        options = {**inline, "sampler": sampler, "seed": seed}
        assert len(tune(train, SPACE, n_trials=15, **options)) == 15

    @pytest.mark.parametrize(
        ("metric", "direction", "value", "suspicion"),
        [
            ("val_accuracy", "minimize", 0.9, "usually better when larger"),
            ("val_loss", "maximize", 0.9, "usually better when smaller"),
            ("rmse", "minimize", -0.9, "Return it without the sign"),
        ],
    )
    def test_a_direction_that_looks_wrong_is_asked_about(
        self, inline, caplog, metric, direction, value, suspicion
    ):
        """Minimizing an accuracy, or a negative error, is allowed, and pointed out once."""
        options = {**inline, "metric": metric}
        with caplog.at_level(logging.WARNING, "manyfit"):
            tune(lambda p: value, {"x": Float(0, 1)}, n_trials=3, direction=direction, **options)

        assert [suspicion in record.message for record in caplog.records] == [True]


class TestRefusing:
    """Bad input fails before any compute is spent."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"n_trials": 0}, "n_trials must be a whole number, at least 1"),
            ({"n_trials": 2.5}, "n_trials must be a whole number"),
            ({"n_trials": True}, "n_trials must be a whole number"),
            (
                {"timeout": "1h"},
                "timeout must be a number of seconds, at least 0",
            ),
            (
                {"n_trials": 1, "trial_memory": "2GB"},
                "trial_memory must be a number of bytes",
            ),
            ({"n_trials": 1, "stop": 5}, "stop must be Target"),
            ({"n_trials": 1, "stop": manyfit.Target}, "stop must be Target"),
            ({"n_trials": 1, "start_with": 5}, "start_with must be a list of points"),
            ({"n_trials": 1, "start_with": {"x": 0.5}}, "start_with must be a list of points"),
            ({"n_trials": 1, "name": 5}, "name must be made of"),
            ({"n_trials": 1, "name": "x" * 300}, "not be long"),
            ({"n_trials": 1, "folder": 3}, "folder must be a path"),
            ({}, "this study would never end"),
            ({"n_trials": 1, "direction": "min"}, "direction must be 'minimize' or 'maximize'"),
            ({"n_trials": 1, "executor": "spark"}, "executor must be 'inline', 'processes'"),
            *(
                ({"n_trials": 1, "executor": given}, "executor must be .* an Executor, .* but got")
                for given in (None, 5, ["threads"], manyfit.SparkExecutor, Float(0, 1))
            ),
            ({"n_trials": 1, "stop": [manyfit.Target]}, "stop must be Target"),
            ({"n_trials": 1, "tracker": manyfit.MlflowTracker}, "tracker must be .* a Tracker"),
            ({"n_trials": 1, "sampler": "bayes"}, "sampler"),
            ({"n_trials": 1, "pruner": "hyperband"}, "pruner"),
            ({"n_trials": 1, "parallelism": 0}, "parallelism must be a whole number, at least 1"),
            ({"n_trials": 1, "executor": "inline", "parallelism": 2}, "one trial at a time"),
            (
                {"n_trials": 1, "trial_timeout": 0},
                "trial_timeout must be a number of seconds",
            ),
            (
                {"n_trials": 1, "trial_memory": -5},
                "trial_memory must be a number of bytes",
            ),
            (
                {"n_trials": 1, "cpus_per_trial": 0},
                "cpus_per_trial must be a whole number",
            ),
            ({"n_trials": 1, "max_attempts": 0}, "max_attempts must be a whole number, at least 1"),
            ({"n_trials": 1, "repeats": 0}, "repeats must be a whole number, at least 1, or None"),
            ({"n_trials": 1, "repeats": True}, "repeats must be .* got True"),
            ({"repeats": 3}, "this study would never end"),
            ({"n_trials": 1, "lag": 0}, "lag must be a whole number, at least 1, or None"),
            ({"n_trials": 1, "lag": 1.5}, "lag must be .* got 1.5"),
            ({"n_trials": 1, "lag": 2, "pruner": "median"}, "leave pruner out, but got 'median'"),
            ({"n_trials": 1, "name": "a/b"}, "name must be made of"),
            ({"n_trials": 1, "name": ".."}, "name must be made of"),
            ({"n_trials": 1, "name": ""}, "name must be made of"),
            ({"n_trials": 1, "stop": [3]}, "stop must be Target"),
            ({"n_trials": 1, "on_space_change": "ignore"}, "on_space_change must be"),
            ({"n_trials": 1, "metric": ""}, "metric must be the name"),
            ({"n_trials": 1, "seed": -1}, "seed must be a whole number"),
            ({"n_trials": 1, "seed": 0.5}, "seed must be a whole number"),
            ({"n_trials": 1, "start_with": [{"x": 2.0, "kind": "a"}]}, "x"),
            ({"n_trials": 1, "start_with": [{"y": 0.5}]}, "y"),
            ({"n_trials": 1, "start_with": [3]}, "a point must be a dict"),
            ({"n_trials": 1, "progress": "loud"}, "progress"),
            ({"n_trials": 1, "tracker": "wandb"}, "tracker"),
        ],
    )
    def test_arguments(self, quiet, options, message):
        """Each message names the argument and the rule, and the objective is never called."""
        calls = []

        with pytest.raises(manyfit.ManyfitError, match=message):
            tune(calls.append, SPACE, **{**quiet, **options})
        assert calls == []

    @pytest.mark.parametrize("objective", [None, "train", lambda: 1.0, lambda a, b: 1.0])
    def test_objectives_that_cannot_be_called_with_params(self, inline, objective):
        """Not callable, or not with one dict: said before anything runs."""
        with pytest.raises(manyfit.ObjectiveError, match="takes the params as one dict"):
            tune(objective, SPACE, n_trials=1, **inline)

    def test_a_changed_space_is_shown_and_refused(self, inline):
        """Resuming with another space names every difference, and the two ways on."""
        tune(train, SPACE, n_trials=2, name="s", **inline)
        wider = {"x": Float(0.0, 2.0), "kind": Choice(["a", "b"]), "z": Int(0, 3)}

        with pytest.raises(manyfit.StudyChangedError) as caught:
            tune(train, wider, n_trials=4, name="s", **inline)
        message = str(caught.value)
        assert "x: Float(0.0, 1.0) became Float(0.0, 2.0)" in message
        assert "+ z: Int(0, 3)" in message
        assert "on_space_change='keep'" in message

    def test_a_changed_metric_or_direction_is_refused(self, inline):
        """Values of two metrics can't be compared."""
        tune(train, SPACE, n_trials=2, name="s", **inline)

        with pytest.raises(manyfit.StudyChangedError, match=r"tunes loss \(minimize\)"):
            tune(train, SPACE, n_trials=4, name="s", **{**inline, "metric": "other"})
        with pytest.raises(manyfit.StudyChangedError, match=r"loss \(maximize\)"):
            tune(train, SPACE, n_trials=4, name="s", direction="maximize", **inline)

    def test_a_changed_metric_that_was_never_recorded_is_refused_alike(self, inline):
        """The old trials need not know the new metric for the message to be the same."""
        tune(lambda params: 1.0, SPACE, n_trials=2, name="s", **inline)

        with pytest.raises(manyfit.StudyChangedError, match=r"tunes loss \(minimize\)"):
            tune(train, SPACE, n_trials=4, name="s", **{**inline, "metric": "acc"})

    def test_an_unchanged_space_of_functions_is_no_change(self, inline):
        """Options that are on record as labels are compared as such."""
        space = {"f": Choice([math.sin, math.cos]), "x": Float(0, 1), "limit": 5}
        for n_trials in (1, 2):
            result = tune(lambda params: 1.0, space, n_trials=n_trials, name="s", **inline)

        assert len(result) == 2

    def test_before_a_first_trial_anything_may_change(self, inline):
        """A study that never got going doesn't hold its user to a first mistake."""
        with Study(
            SPACE,
            name="s",
            **{k: v for k, v in inline.items() if k not in ("executor", "progress")},
        ):
            pass
        result = tune(
            train, {"x": Float(0, 9)}, n_trials=1, name="s", **{**inline, "metric": "other"}
        )

        assert manyfit.load_study("s", folder=inline["folder"]).metric == result.metric

    def test_two_drivers_cannot_hold_one_study(self, quiet):
        """The second one is told who holds it."""
        with (
            Study(SPACE, name="s", **quiet),
            pytest.raises(manyfit.StudyLockedError, match="s"),
        ):
            Study(SPACE, name="s", **quiet)
        Study(SPACE, name="s", **quiet).close()


class TestRepeats:
    def noisy(self, params):
        noise = random.Random(manyfit.current_trial().seed).gauss(0.0, 0.2)
        return {"loss": params["x"] + noise}

    def test_the_winner_is_named_by_its_mean(self, inline):
        """The best trials are run again over fresh seeds, and best is who does best on average."""
        result = tune(self.noisy, SPACE, n_trials=20, repeats=4, name="s", **inline)

        assert result.reason == "all 20 trials done, and 20 repeats"
        assert len(result.repeated) == 5
        assert {each.failed for each in result.repeated} == {0}
        assert result.best.number == result.repeated[0].number < 20
        seeds = {result[number].number for each in result.repeated for number in each.trials}
        assert seeds == set(range(20, 40))
        assert manyfit.load_study("s", folder=inline["folder"]).repeated == result.repeated

    def test_a_resumed_study_repeats_what_is_missing(self, inline):
        """A search first, its repeats in a later call, and nothing twice."""
        tune(self.noisy, SPACE, n_trials=6, name="s", **inline)
        parts = tune(self.noisy, SPACE, n_trials=6, repeats=2, name="s", **inline)
        again = tune(self.noisy, SPACE, n_trials=6, repeats=2, name="s", **inline)
        whole = tune(self.noisy, SPACE, n_trials=6, repeats=2, name="whole", **inline)

        assert len(parts) == len(again) == 16
        assert parts.repeated == again.repeated == whole.repeated

    def test_repeats_are_never_pruned(self, inline):
        """A repeat runs to its end, whatever the pruner thinks of its reports."""

        def train(params):
            for step in range(10):
                manyfit.report(step, loss=1.0 + (manyfit.current_trial().number > 5))
            return 1.0

        result = tune(train, SPACE, n_trials=6, repeats=2, pruner="median", **inline)

        assert result.count(State.COMPLETE) == 16

    def test_choices_of_objects_are_repeated_too(self, inline):
        """What the objective receives is made from the record, again."""
        seen = []

        def train(params):
            seen.append(params["f"])
            return params["f"](0.5)

        result = tune(train, {"f": Choice([math.sin, math.cos])}, repeats=1, **inline)

        assert seen[2:] == [math.sin, math.cos]
        assert result.best.params["f"] is math.sin


class TestLag:
    def test_parallelism_does_not_change_the_proposals(self, inline):
        """One at a time or four, TPE proposes the same, also after a resume."""
        options = {**inline, "lag": 4, "sampler": "tpe", "executor": "threads"}
        alone = tune(train, SPACE, n_trials=24, name="a", **options)
        tune(train, SPACE, n_trials=17, name="b", parallelism=4, **options)
        several = tune(train, SPACE, n_trials=24, name="b", parallelism=3, **options)

        assert [t.params for t in alone] == [t.params for t in several]

    def test_no_trial_is_pruned(self, inline):
        """The automatic pruner is none, since its verdicts depend on who runs beside whom."""

        def train(params):
            for step in range(10):
                manyfit.report(step, loss=float(manyfit.current_trial().number))
            return 1.0

        result = tune(train, SPACE, n_trials=9, lag=1, **inline)

        assert result.count(State.COMPLETE) == 9

    def test_ask_gives_none_until_an_earlier_trial_is_told(self, quiet):
        """A loop of your own can't run ahead of what a proposal builds on."""
        with Study(SPACE, lag=2, **quiet) as study:
            first, second = study.ask(), study.ask()
            assert study.ask() is None
            study.tell(second, 1.0)
            assert study.ask() is None
            study.tell(first, 1.0)

            assert study.ask().number == 2


class TestChangedSpace:
    def test_keep_goes_on_with_the_trials_that_fit(self, inline):
        """Old trials inside the new space count towards n_trials; the others are on record only."""
        points = [{"x": 0.2, "kind": "a"}, {"x": 0.9, "kind": "a"}]
        tune(train, SPACE, n_trials=2, start_with=points, name="s", **inline)
        narrow = {"x": Float(0.0, 0.5), "kind": Choice(["a", "b"])}
        result = tune(train, narrow, n_trials=3, name="s", on_space_change="keep", **inline)

        assert len(result) == 4
        assert result.outside == {1}
        assert manyfit.load_study("s", folder=inline["folder"]).outside == {1}

    def test_what_is_outside_is_told_and_never_best(self, inline, caplog, capsys):
        """Once at the change, and in the progress: neither counted nor announced as best."""
        tune(train, {"x": Float(0, 1)}, n_trials=9, name="s", **inline)
        options = {**inline, "progress": "plain", "on_space_change": "keep", "name": "s"}

        for _ in range(2):  # the second time it is no news
            result = tune(train, {"x": Float(0.6, 1)}, n_trials=9, **options)

        outside = len(result.outside)
        (record,) = caplog.records
        assert record.message == (
            f"{outside} of 9 trials of study s are outside its space as it is now, and count no "
            "more (x: Float(0.0, 1.0) became Float(0.6, 1.0)). They stay on record: with the "
            "former space they count again."
        )
        said = capsys.readouterr().err
        left = f"{9 - outside} trials" if outside != 8 else "1 trial"
        assert f"resumed, with {left} finished before; {outside} outside the space" in said
        best = re.findall(r"best.*\(trial (\d+)", said)
        assert best
        assert not result.outside & set(map(int, best))
        assert f"trial {result.best.number}" in str(result)

    def test_a_new_param_leaves_no_trial_unsaid(self, inline, caplog):
        """None of the trials has it, so that all of them are outside."""
        tune(train, {"x": Float(0, 1)}, n_trials=3, name="s", **inline)
        space = {"x": Float(0, 1), "y": Float(0, 1)}
        tune(train, space, n_trials=1, name="s", on_space_change="keep", **inline)

        assert "3 of 3 trials of study s are outside its space" in caplog.text
        assert "+ y: Float(0.0, 1.0)" in caplog.text

    def test_kept_once_it_stays_kept(self, inline):
        """The new space is on record: resuming with it again needs no permission."""
        tune(train, SPACE, n_trials=2, name="s", **inline)
        wider = {"x": Float(0.0, 2.0), "kind": Choice(["a", "b"])}
        tune(train, wider, n_trials=4, name="s", on_space_change="keep", **inline)

        assert len(tune(train, wider, n_trials=5, name="s", **inline)) == 5


class TestAskAndTell:
    def test_a_loop_of_ones_own(self, quiet):
        """Ask for params, tell what they gave: the same record as tune makes."""
        with Study(SPACE, name="s", **quiet) as study:
            for _ in range(5):
                trial = study.ask()
                study.tell(trial, {"loss": trial.params["x"], "other": 2.0})
            best = study.result().best

        loaded = manyfit.load_study("s", folder=quiet["folder"])
        assert len(loaded) == 5
        assert loaded.best == best
        assert loaded.best.metrics["other"] == 2.0

    def test_n_trials_and_exhaustion_end_it(self, quiet):
        """There is no trial to give out when the budget or the space is used up."""
        with Study({"a": Choice([1, 2, 3])}, name="s", n_trials=2, **quiet) as study:
            asked = [study.ask(), study.ask()]
            for trial in asked:
                study.tell(trial, 1.0)
            assert study.ask() is None

    @pytest.mark.parametrize(
        ("n_trials", "told", "before", "after"),
        [
            (2, 2, "all 2 trials done", "all 2 trials done"),
            (
                5,
                4,
                "the space is exhausted: it has 3",
                "the space is exhausted: it has 3",
            ),
            (3, 1, "not ended: 1 of 3 trials so far", "closed after 1 of 3 trials"),
            (None, 1, "not ended: 1 trial so far", "closed after 1 trial"),
        ],
    )
    def test_the_result_says_how_far_it_is(self, quiet, n_trials, told, before, after):
        """It says so while it is open, when it is closed, and on record."""
        with Study({"a": Choice([1, 2, 3])}, name="s", n_trials=n_trials, **quiet) as study:
            for _ in range(told):
                if (trial := study.ask()) is not None:
                    study.tell(trial, 1.0)
            assert study.result().reason.startswith(before)

        assert study.result().reason.startswith(after)
        assert manyfit.load_study("s", folder=quiet["folder"]).reason == study.result().reason

    def test_reports_and_prunes(self, quiet):
        """report returns the pruner's reason; prune puts the trial on record as PRUNED."""
        pruner = manyfit.MedianPruner(min_steps=1, n_startup=2)
        with Study(SPACE, name="s", pruner=pruner, **quiet) as study:
            for loss in (1.0, 2.0, 3.0):
                trial = study.ask()
                study.report(trial, 1, loss=loss)
                study.tell(trial, loss)
            trial = study.ask()
            assert study.report(trial, 0, loss=9.0) is None
            reason = study.report(trial, 1, loss=9.0)
            assert "median" in reason
            assert study.prune(trial).reason == reason

    def test_a_bad_result_fails_the_trial(self, quiet):
        """NaN told is a FAIL with its message, as in tune."""
        with Study(SPACE, name="s", **quiet) as study:
            assert study.tell(study.ask(), math.nan).state is State.FAIL
            assert study.fail(study.ask(), "the robot fell over").reason == "the robot fell over"

    def test_threads_share_a_study(self, quiet):
        """Each trial is given to one thread, and what each thread tells is on record."""
        given, gate = Counter(), threading.Barrier(8)

        def work(study):
            gate.wait()
            while (trial := study.ask()) is not None:
                given[trial.number] += 1
                study.report(trial, 0, loss=1.0)
                study.tell(trial, trial.params["x"])
                len(study.result())

        with Study(SPACE, n_trials=40, **quiet) as study, ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(work, study) for _ in range(8)]:
                done.result()
            result = study.result()

        assert given == Counter(range(40))
        assert [trial.value for trial in result] == [trial.params["x"] for trial in result]

    def test_trials_that_fail_alike_are_a_bug(self, quiet):
        """Told as errors all over the space, they end the study; their traceback is on record."""

        def fail_all(study):
            while (trial := study.ask()) is not None and trial.number < 40:
                study.fail(trial, "KeyError: 'price'", error="KeyError", traceback="line 3")
            return trial

        with Study(SPACE, name="s", **quiet) as study:
            assert fail_all(study) is None
            (failure,) = study.result().failures()
        assert failure.traceback == "line 3"
        with Study(SPACE, name="s", max_failures=99, **quiet) as study:
            assert fail_all(study).number == 40

    def test_what_is_not_told_is_given_out_again(self, quiet):
        """A process that ends in the middle loses no trial, and no number is used twice."""
        with Study(SPACE, name="s", **quiet) as study:
            first = study.ask()
        with Study(SPACE, name="s", **quiet) as study:
            again = study.ask()
            assert (again.number, again.params) == (first.number, first.params)
            assert len(again.attempts) == 2

    @pytest.mark.parametrize("what", [None, 0, {"x": 0.5}])
    def test_what_is_told_of_is_a_trial(self, quiet, what):
        """Telling None, which `ask` returns at the end, or a number, is refused with what to do."""
        with Study(SPACE, name="s", n_trials=1, **quiet) as study:
            study.ask()
            for call in (study.tell, study.prune, study.fail):
                arguments = () if call == study.prune else (1.0,)
                with pytest.raises(manyfit.ArgumentError, match=r"ask\(\) returns None when"):
                    call(what, *arguments)

    @pytest.mark.parametrize("told", [0, 1])
    def test_telling_twice_or_a_stranger_is_refused(self, quiet, told):
        """A result counts once, and only for a trial that was given out here."""
        with Study(SPACE, name="s", **quiet) as study:
            trial = study.ask()
            study.tell(trial, 1.0)
            stranger = trial if not told else manyfit.Trial(7, {})
            with pytest.raises(manyfit.ArgumentError, match="is not running here"):
                study.tell(stranger, 1.0)

    def test_telling_before_asking_is_refused(self, quiet):
        """The message says what to do first."""
        with (
            Study(SPACE, name="s", **quiet) as study,
            pytest.raises(manyfit.ArgumentError, match="ask"),
        ):
            study.tell(manyfit.Trial(0, {}), 1.0)

    def test_a_trial_whose_processes_keep_dying_is_given_up(self, quiet, tmp_path):
        """A trial lost too often is a FAIL, and the next one is given out instead."""
        with Study(SPACE, name="s", **quiet) as study:
            first = study.ask()
        with FileJournal(tmp_path / "s") as journal:
            *_, lost, _end = journal.read()
            journal.append(AttemptStarted(first.number, 2, "process-0", at=1.0))
            journal.append(replace(lost, attempt=2, counts=True))
        with Study(SPACE, name="s", max_attempts=1, **quiet) as study:
            assert study.ask().number == first.number + 1
            assert study.result()[0].state is State.FAIL

    def test_advice_that_was_not_taken_is_still_on_record(self, quiet):
        """Asking on while a trial has been advised to end changes nothing for that trial."""
        pruner = manyfit.MedianPruner(min_steps=0, n_startup=1)
        with Study(SPACE, name="s", pruner=pruner, **quiet) as study:
            first, second = study.ask(), study.ask()
            study.report(first, 0, loss=1.0)
            study.tell(first, 1.0)
            study.report(second, 0, loss=9.0)
            study.ask()
            assert study.tell(second, 9.0).state is State.COMPLETE

    def test_tuning_and_asking_do_not_mix(self, quiet):
        """Trials that were given out by hand can't be run by an executor meanwhile."""
        with Study(SPACE, name="s", **quiet) as study:
            study.ask()
            with pytest.raises(manyfit.ArgumentError, match="can't tune as well"):
                study.tune(train, n_trials=2)


class TestModes:
    @pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
    def test_files_are_for_whom_the_umask_says(self, quiet, tmp_path, umask):
        """Private stays private, and a group's the group's: also a log that had a secret in it."""

        def leak(params):
            os.system("echo password=hunter2hunter2")
            return params["x"]

        before = os.umask(umask)
        try:
            tune(leak, SPACE, name="s", n_trials=1, parallelism=1, progress=None, **quiet)
        finally:
            os.umask(before)

        files = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"journal.jsonl", "lock", "00000-1.log"}
        assert {oct(path.stat().st_mode & 0o777) for path in files} == {oct(0o666 & ~umask)}
        assert "hunter2" not in (tmp_path / "s" / "logs" / "00000-1.log").read_text()


class TestLocale:
    CODE = """
        import sys, manyfit
        from manyfit.cli import main
        for executor in ("inline", "threads", "processes"):
            options = dict(metric="größe", name=f"études-終-{executor}", folder=sys.argv[1])
            result = manyfit.tune(
                lambda params: params["größe"], {"größe": manyfit.Float(0, 1)}, n_trials=3,
                executor=executor, tracker=None, progress="plain", **options,
            )
            assert manyfit.load_study(result.name, folder=sys.argv[1]).best == result.best
            main(["show", result.name, "--folder", sys.argv[1]])
        assert len(manyfit.study_names(sys.argv[1])) == 3
        main(["list", "--folder", sys.argv[1]])
    """

    def test_names_and_paths_are_utf_8_in_any_locale(self, tmp_path):
        """Under LC_ALL=C, where Python expects ASCII, all is there and called the same."""
        folder = tmp_path / "données"
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(self.CODE), encoding="utf-8")
        ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = subprocess.run(
            [sys.executable, str(script), str(folder)],
            env={**os.environ, **ascii_only},
            capture_output=True,
            text=True,
        )

        assert done.returncode == 0, done.stderr
        for executor in ("inline", "threads", "processes"):
            assert done.stdout.count(rf"\xe9tudes-\u7d42-{executor}") >= 2
            result = manyfit.load_study(f"études-終-{executor}", folder=folder)
            assert result.count(State.COMPLETE) == 3


class TestOtherWork:
    """A study is resumed with what is not the same as before."""

    @pytest.fixture
    def said(self, inline, caplog):
        """Run two calls of one name; return what the second one says."""

        def said(first, second):
            for n_trials, (objective, space, options) in enumerate((first, second), start=2):
                caplog.clear()
                tune(objective, space, name="s", n_trials=n_trials, **inline, **options)
            return [record.getMessage() for record in caplog.records]

        return said

    def test_the_same_work_is_not_mentioned(self, said):
        """Nothing is said where nothing has changed, `n_trials` aside."""
        space = {**SPACE, "rows": np.eye(3)}

        assert said((train, space, {}), (train, dict(space), {})) == []

    def test_another_objective_is_told(self, said):
        """The message names what has changed, what becomes of the results, and a way out."""
        (message,) = said((train, SPACE, {}), (lambda params: params["x"], SPACE, {}))

        assert "train is gone" in message
        assert "Its results so far (2) are kept and compared" in message
        assert "give tune another name" in message

    def test_other_data_is_told(self, said):
        """A constant that its label can't tell apart, and what a closure holds."""

        def over(rows):
            return lambda params: params["x"] * rows.sum()

        (message,) = said(
            (over(np.arange(3)), {**SPACE, "table": np.zeros((1, 999))}, {}),
            (over(np.arange(4)), {**SPACE, "table": np.eye(1, 999, 998)}, {}),
        )

        assert "rows has changed" in message
        assert "the constant table has changed" in message

    def test_other_settings_are_told(self, said):
        """The sampler, the pruner and the lag, as they were and as they are."""
        (message,) = said(
            (train, SPACE, {"sampler": "random", "pruner": manyfit.MedianPruner(min_steps=3)}),
            (train, SPACE, {"sampler": "quasirandom", "pruner": None}),
        )

        assert "sampler is quasirandom, and was random" in message
        assert "pruner is none, and was MedianPruner(" in message


class TestTrackers:
    class Mirror:
        """Keeps what it is told."""

        def __init__(self):
            self.said = []

        def open(self, study, history):
            self.said.append(("open", study, len(history)))

        def prepare(self, trial):
            return {}

        def record(self, event, trial):
            self.said.append(("record", type(event).__name__, trial))

        def close(self, reason, trials):
            self.said.append(("close", reason, len(trials)))

    def test_a_tracker_sees_the_study_from_beginning_to_end(self, inline):
        """It is opened with the history, shown every event, and closed with the reason."""
        mirror = self.Mirror()
        tune(train, SPACE, n_trials=2, name="s", **inline)
        tune(train, SPACE, n_trials=3, name="s", **{**inline, "tracker": mirror})

        opened, *_, closed = mirror.said
        assert (opened[1].name, opened[1].n_trials, opened[2]) == ("s", 3, 2)
        assert closed == ("close", "all 3 trials done", 3)
        assert [entry[1] for entry in mirror.said[1:-1]] == [
            "DriverStarted",
            "TrialAsked",
            "AttemptStarted",
            "AttemptFinished",
            "StudyEnded",
        ]

    def test_it_is_told_what_the_executor_cannot_do(self, inline):
        """Limits that can't be kept are said once, before anything runs."""
        mirror = self.Mirror()
        limits = {"trial_timeout": 60, "trial_memory": 10**9}
        tune(train, SPACE, n_trials=1, **{**inline, **limits, "tracker": mirror})
        notes = " ".join(mirror.said[0][1].notes)

        assert "can't kill a trial" in notes
        assert "can't limit memory" in notes

    def test_it_is_closed_when_the_driver_fails(self, inline):
        """Whatever ends the driver, the mirror learns of it, and the study can be resumed."""

        class Broken(ScriptedExecutor):
            def poll(self, handle, timeout):
                raise manyfit.ExecutorError("no more workers")

        mirror = self.Mirror()
        options = {**inline, "executor": Broken(lambda task: finishes(task, 1.0))}
        with pytest.raises(manyfit.ExecutorError):
            tune(train, SPACE, n_trials=2, name="s", **{**options, "tracker": mirror})

        assert mirror.said[-1][1] == "the driver ended with ExecutorError: no more workers"
        assert len(tune(train, SPACE, n_trials=2, name="s", **inline)) == 2

    def test_it_knows_of_repeats_and_lag(self, inline):
        """It is told how many trials there are with repeats, and what to expect of a lag."""
        mirror = self.Mirror()
        executor = ScriptedExecutor(lambda task: finishes(task, 1.0), parallelism=4)
        options = {**inline, "tracker": mirror, "executor": executor}
        tune(train, SPACE, n_trials=2, repeats=3, lag=2, **options)

        opened = mirror.said[0][1]
        assert opened.n_trials == 8
        assert "after the search its 5 best trials are run 3 times more each" in opened.notes
        assert "lag=2 keeps at most 2 of 4 slots busy" in opened.notes


class TestRecord:
    def test_credentials_never_reach_the_journal(self, inline, monkeypatch):
        """Constants, messages and tracebacks that hold a secret are written without it."""
        monkeypatch.setenv("STORE_PASSWORD", "correct-horse-battery")

        def train(params):
            raise ValueError(f"no access with {params['api_key']} or correct-horse-battery")

        space = {"x": Float(0, 1), "api_key": "s3cr3t-value-of-mine"}
        tune(train, space, n_trials=1, name="s", **inline)
        text = (inline["folder"] / "s" / "journal.jsonl").read_text()

        assert "correct-horse-battery" not in text
        assert '"api_key"' in text
        created = json.loads(text.splitlines()[0])
        assert "s3cr3t-value-of-mine" not in json.dumps(created)

    @pytest.mark.parametrize("executor", ["inline", "threads", "processes"])
    def test_a_secret_constant_stays_out_of_journal_and_logs(self, quiet, tmp_path, executor):
        """What the space holds under a secret name is hidden wherever text is written."""

        def train(params):
            print("using", params["api_key"])
            if manyfit.current_trial().number == 0:
                raise ValueError(params["api_key"])
            return params["x"]

        space = {"x": Float(0, 1), "api_key": "my-own-value-12345"}
        options = {**quiet, "executor": executor, "progress": None, "parallelism": 1}
        result = tune(train, space, n_trials=2, name="s", **options)
        written = [path for path in (tmp_path / "s").rglob("*") if path.is_file()]

        assert len(written) >= 3
        assert not [path for path in written if b"my-own-value-12345" in path.read_bytes()]
        assert "my-own-value-12345" not in str(result)
        assert result.best.params["api_key"] == "my-own-value-12345"

    def test_a_warning_is_in_the_log_of_every_trial(self, quiet):
        """That an earlier trial has shown it in the same process doesn't hide it."""

        def train(params):
            import warnings

            warnings.warn("did not converge", UserWarning, stacklevel=1)
            return 1.0

        result = tune(train, SPACE, n_trials=3, parallelism=1, progress=None, **quiet)

        for trial in result:
            assert "did not converge" in result.log_of(trial).read_text()

    def test_an_executor_of_ones_own(self, quiet):
        """Anything that keeps the Executor contract can run the trials."""
        executor = ScriptedExecutor(lambda task: finishes(task, task.params["x"]), parallelism=3)
        result = tune(train, SPACE, n_trials=7, executor=executor, progress=None, **quiet)

        assert result.count(State.COMPLETE) == 7

    def test_the_seed_stays_with_the_study(self, inline, caplog):
        """A study keeps its first seed, and says so when another one is given."""
        one = tune(train, SPACE, n_trials=3, name="s", **inline)
        with caplog.at_level(logging.WARNING, "manyfit"):
            tune(train, SPACE, n_trials=3, name="s", **{**inline, "seed": 5})

        assert "keeps its first seed, 0" in caplog.text
        assert len(one) == 3


def test_load_study_lists_what_there_is(inline):
    """A name that isn't there is answered with those that are."""
    tune(train, SPACE, n_trials=1, name="fashion", **inline)

    with pytest.raises(manyfit.ArgumentError, match="there are: fashion"):
        manyfit.load_study("fashon", folder=inline["folder"])
