"""Advice on a study before it runs: on request, and by itself."""

import logging

import pytest

from manyfit import Advice, ArgumentError, Choice, Float, Int, Study, load_study, review, tune

# A study of five trials about which two things can be said.
DOUBTFUL = {"learning_rate": Float(1e-5, 1.0), "seed": Int(0, 9)}


class Listener:
    """A tracker that keeps the sentences for users."""

    def __init__(self):
        self.said = []

    def open(self, study, history):
        self.said.append([note for note in study.notes if note.startswith("advice: ")])

    def prepare(self, trial):
        return {}

    def record(self, event, trial):
        pass

    def close(self, reason, trials, outcome=None):
        pass


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def options(tmp_path, listener):
    """Options for `tune` on this thread."""
    own = {"tracker": listener, "folder": tmp_path, "executor": "inline", "progress": None}
    return {**own, "metric": "val_loss", "n_trials": 2, "seed": 0, "name": "tale"}


def train(params):
    return params["learning_rate"]


class TestInTune:
    def test_is_said_at_the_start(self, listener, options):
        """Each piece is a line with what to do and where to read more."""
        tune(train, DOUBTFUL, **options)

        ((rate, seed),) = listener.said
        assert rate.startswith("advice: 90 % of random values of learning_rate are above 0.1")
        assert rate.endswith("(docs/advice.md#log-scale)")
        assert "seed: the luck of a seed" in seed

    def test_is_not_said_again(self, listener, options):
        """A study that is resumed, finished or not, doesn't repeat it."""
        for n_trials in (1, 1, 2):
            tune(train, DOUBTFUL, **{**options, "n_trials": n_trials})

        assert [len(each) for each in listener.said] == [2, 0, 0]

    def test_what_is_new_is_said(self, listener, options):
        """A changed call may deserve another piece of advice, which is then said once."""
        grid = {"learning_rate": Choice([0.1, 0.2, 0.3, 0.4]), "a": Int(1, 9), "b": Int(1, 9)}
        tune(train, grid, **{**options, "n_trials": 3, "sampler": "random"})
        for _ in range(2):
            tune(train, grid, **{**options, "n_trials": 4, "sampler": "grid"})

        none, (new,), again = listener.said
        assert "the grid has 324 configurations" in new
        assert none == again == []

    def test_can_be_switched_off(self, listener, options):
        """With `advice=False` nothing is said; switched on later, all of it is."""
        tune(train, DOUBTFUL, **options, advice=False)
        tune(train, DOUBTFUL, **options)

        assert [len(each) for each in listener.said] == [0, 2]

    def test_the_direction_is_warned_of_once(self, listener, options, caplog):
        """A doubtful direction is a warning of its own, whether or not advice is wanted."""
        with caplog.at_level(logging.WARNING, "manyfit"):
            tune(train, DOUBTFUL, **{**options, "metric": "val_accuracy"})

        assert [len(each) for each in listener.said] == [2]
        assert caplog.text.count("val_accuracy is usually better when larger") == 1

    def test_is_no_change_of_the_study(self, options, caplog):
        """That there is new advice isn't reported as a change of what runs."""
        tune(train, DOUBTFUL, **options, advice=False)
        with caplog.at_level(logging.WARNING, "manyfit"):
            tune(train, DOUBTFUL, **options)

        assert caplog.text == ""
        assert len(load_study("tale", folder=options["folder"])) == 2

    def test_asking_says_nothing(self, listener, tmp_path):
        """A loop of one's own isn't interrupted; `review` is there for it."""
        with Study(DOUBTFUL, metric="loss", folder=tmp_path, tracker=listener) as study:
            study.ask()

        assert listener.said == [[]]


class TestReview:
    def test_takes_what_tune_takes(self):
        """Space, metric, direction, budget, sampler and memory are all looked at."""
        found = review(
            {"n_jobs": Int(1, 8)},
            metric="loss",
            direction="maximize",
            n_trials=4,
            parallelism=4,
            sampler="grid",
            trial_memory=1 << 60,
        )

        assert [each.code for each in found] == ["direction", "memory", "grid", "speed-only"]
        assert isinstance(found[0], Advice)

    @pytest.mark.parametrize(
        "wrong", [{"n_trials": -1}, {"parallelism": 0}, {"trial_memory": 0}, {"direction": "up"}]
    )
    def test_refuses_what_tune_refuses(self, wrong):
        """A bad argument is an error here, too."""
        with pytest.raises(ArgumentError):
            review({}, **{"metric": "loss", **wrong})
