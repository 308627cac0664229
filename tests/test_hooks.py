"""Functions of the user after each trial: what they see, and what they end."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

import manyfit
from manyfit import Float, tune
from manyfit.errors import ArgumentError

SPACE = {"x": Float(0.0, 1.0)}


@pytest.fixture
def options(tmp_path):
    return {
        "metric": "loss",
        "folder": tmp_path,
        "name": "s",
        "tracker": None,
        "seed": 0,
        "executor": "inline",
        "progress": None,
        "n_trials": 9,
        "advice": False,
    }


def train(params):
    if params["x"] > 0.8:
        raise ValueError("too large")
    return params["x"]


def numbers(result):
    return [trial.number for trial in result.trials if trial.state.is_finished]


class TestStop:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (True, "the stop function <lambda> ended the search"),
            ("good enough", "good enough"),
        ],
    )
    def test_ends_the_search(self, options, said, reason):
        """It sees each trial, failed ones too, when that is on record; a string is the reason."""
        seen = []

        def stop(result):
            seen.append(numbers(result))
            on_record = manyfit.load_study("s", folder=options["folder"])
            assert numbers(on_record) == seen[-1]
            return said if len(seen[-1]) == 4 else None

        stop.__qualname__ = "<lambda>"
        result = tune(train, SPACE, stop=stop, **options)

        assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
        assert result.reason == reason
        assert len(result.trials) == 4

    def test_beside_other_rules(self, options):
        """The first rule that applies ends the study; functions alone are limit enough."""
        rules = [manyfit.NoImprovement(100), lambda result: len(result.trials) >= 3]
        result = tune(train, SPACE, stop=rules, **{**options, "n_trials": None})

        assert len(result.trials) == 3

    def test_repeats_follow(self, options):
        """The search is over, as with Target; the function isn't obeyed twice."""
        result = tune(
            lambda params: params["x"], SPACE, stop=lambda r: len(r) > 1, repeats=2, **options
        )

        assert [t.origin for t in result.trials] == ["sampler"] * 2 + ["repeat"] * 4
        assert result.reason.endswith("<lambda> ended the search, and 4 repeats")

    def test_a_resumed_study_asks_first(self, options):
        """Killed between a trial's end and the function, a study goes on as if it hadn't been."""
        tune(train, SPACE, **{**options, "n_trials": 3})
        result = tune(train, SPACE, stop=lambda result: len(result.trials) >= 3, **options)
        assert len(result.trials) == 3

        result = tune(train, SPACE, stop=lambda result: len(result.trials) >= 5, **options)
        assert len(result.trials) == 5, "a function that says no more than that ends nothing"

    def test_says_something_else(self, options):
        """A rule that returns neither yes, no nor a reason is a bug, and is told as one."""
        with pytest.raises(ArgumentError, match=r"must return whether to end the search \(True"):
            tune(train, SPACE, stop=lambda result: result.best.value, **options)


class TestOnTrialEnd:
    @pytest.mark.parametrize(
        "executor", ["inline", "threads", pytest.param("processes", marks=pytest.mark.integration)]
    )
    def test_is_called_once_for_each_trial(self, options, executor):
        """On this thread, with the result so far and the trial as the objective saw it."""
        seen = []

        def after(result, trial):
            assert result.trials[trial.number] == trial
            seen.append((trial.number, trial.state.value, os.getpid()))

        options |= {"executor": executor, "parallelism": 2 if executor != "inline" else 1}
        result = tune(train, SPACE, on_trial_end=after, **options)

        assert sorted(seen) == [(t.number, t.state.value, os.getpid()) for t in result.trials]

    @pytest.mark.parametrize("executor", ["inline", "processes"])
    def test_what_it_raises_ends_the_study(self, options, executor):
        """The reason is on record, the error is raised, and the study can go on."""

        def after(result, trial):
            if trial.number == 2:
                raise RuntimeError("no disk")

        options |= {"executor": executor, "parallelism": 1}
        with pytest.raises(RuntimeError, match="no disk") as caught:
            tune(train, SPACE, on_trial_end=after, **options)

        reason = (
            "the driver ended with RuntimeError: no disk, which on_trial_end raised after trial 2"
        )
        assert caught.value.__notes__ == [f"{reason}. The trials so far are on record."]
        so_far = manyfit.load_study("s", folder=options["folder"])
        assert (so_far.reason, numbers(so_far)) == (reason, [0, 1, 2])
        assert len(tune(train, SPACE, **options).trials) == 9

    def test_comes_before_stop(self, options):
        """What a hook prepares, such as a plot, is there when a rule ends the study."""
        order = []
        tune(
            train,
            SPACE,
            stop=lambda result: order.append("stop") or True,
            on_trial_end=lambda result, trial: order.append("end"),
            **options,
        )
        assert order == ["end", "stop"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"on_trial_end": 3}, "on_trial_end must be a function of the result so far and the trial"),
        ({"on_trial_end": lambda trial: None}, "on_trial_end must be a function of the result so"),
        ({"stop": lambda: True}, "stop must be a function of the result so far, but got"),
        ({"stop": [lambda a, b: True]}, "stop must be a function of the result so far, but got"),
    ],
)
def test_refuses_what_can_not_be_called(options, given, message):
    """Before anything runs."""
    with pytest.raises(ArgumentError, match=message):
        tune(train, SPACE, **{**options, **given})
    assert manyfit.load_study("s", folder=options["folder"]).trials == ()


def test_groups_have_no_functions():
    """Their trials end on other machines: the argument is refused, not ignored."""
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"g": [1, 2], "y": [1.0, 2.0]})
    with pytest.raises(ArgumentError, match=r"stop must be Target.* in tune_groups"):
        manyfit.tune_groups(
            rows, by="g", objective=lambda params, rows: 1.0, space=SPACE, metric="loss",
            n_trials=2, stop=lambda result: True,
        )  # fmt: skip


@pytest.mark.integration
def test_a_killed_driver_goes_on(tmp_path):
    """Killed while the function runs, a study ends where it would have."""
    script = textwrap.dedent("""
        import os, signal, sys
        import manyfit

        def stop(result):
            if len(result) == 3 and sys.argv[2] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            return len(result) >= 3

        result = manyfit.tune(
            lambda params: params["x"], {"x": manyfit.Float(0.0, 1.0)}, metric="loss",
            stop=stop, name="s", seed=0, executor="inline", tracker=None, progress=None,
            folder=sys.argv[1],
        )
        print(len(result), result.reason)
    """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    killed = subprocess.run([*command, "kill"], check=False, capture_output=True)
    resumed = subprocess.run([*command, "go"], check=True, capture_output=True, text=True)

    assert killed.returncode == -signal.SIGKILL
    assert resumed.stdout == "3 the stop function stop ended the search\n"


def test_the_result_so_far_is_of_a_study_that_runs(options):
    """Its reason says so, also when a study that had ended is resumed."""
    seen = []

    def look(result):
        seen.append(result.reason)

    for n_trials in (2, 3):
        result = tune(train, SPACE, stop=look, **{**options, "n_trials": n_trials})

    assert set(seen) == {"still running"}
    assert result.reason == "all 3 trials done"
