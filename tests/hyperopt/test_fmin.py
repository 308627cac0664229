"""fmin: what it does besides the scripts: studies, resuming, stopping, failing, refusing."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial

import numpy as np
import pytest

import manyfit
from manyfit import State
from manyfit.errors import ArgumentError, SpaceError
from manyfit.hyperopt import (
    AllTrialsFailed,
    Trials,
    anneal,
    fmin,
    fmin_pass_expr_memo_ctrl,
    hp,
    rand,
    tpe,
    trials_from_docs,
)
from manyfit.hyperopt.exceptions import (
    InvalidAnnotatedParameter,
    InvalidLoss,
    InvalidResultStatus,
)

SPACE = {"x": hp.uniform("x", -1, 1), "c": hp.choice("c", ["a", "b"])}


def loss_of(point):
    return point["x"] ** 2 + (point["c"] == "a")


@pytest.fixture
def search(tmp_path):
    """fmin, quiet, in a folder of the test's own, with random search and a seed."""
    return partial(fmin, algo=rand.suggest, verbose=False, folder=tmp_path / "studies", rstate=0)


def test_a_search_is_a_study_of_manyfit(search):
    """Its result has the table, with params by label, and the choices by their options."""
    trials = Trials()
    best = search(loss_of, SPACE, max_evals=10, trials=trials)

    result = trials.result
    assert len(result) == 10
    assert result.best.params == {"x": best["x"], "c": ["a", "b"][best["c"]]}
    assert trials.losses() == [trial.value for trial in result]
    assert trials.tids == [trial.number for trial in result]


def test_a_search_with_a_name_goes_on(search):
    """max_evals is the total of all calls of a name; the objective runs for new trials only."""
    calls = []

    def objective(point):
        calls.append(point)
        return {"loss": loss_of(point), "status": "ok", "at": len(calls), "list": [len(calls)]}

    search(objective, SPACE, max_evals=4, name="tuned")
    trials = Trials()
    search(objective, SPACE, max_evals=7, name="tuned", trials=trials)
    again = Trials()
    search(objective, SPACE, max_evals=7, name="tuned", trials=again)

    assert len(calls) == len(trials) == len(again) == 7
    assert [result["at"] for result in again.results] == [1, 2, 3, 4, 5, 6, 7]
    assert again.results[6]["list"] == [7]
    assert again.losses() == trials.losses()


def test_a_changed_objective_is_told(search, caplog):
    """As in a study of tune: results of another function are not comparable."""
    search(loss_of, SPACE, max_evals=2, name="changed")
    search(lambda point: 5 * point["x"], SPACE, max_evals=3, name="changed")

    (notice,) = caplog.messages
    assert "study changed is not what it was" in notice
    assert "__wrapped__" not in notice


def test_a_resumed_search_is_the_same_as_one_that_never_stopped(search):
    """With a seed, its trials and its best are equal."""
    straight, halting = Trials(), Trials()
    best = search(loss_of, SPACE, algo=tpe.suggest, max_evals=12, trials=straight)
    for total in (3, 8, 12):
        last = search(
            loss_of, SPACE, algo=tpe.suggest, max_evals=total, trials=halting, name="halting"
        )

    assert halting.vals == straight.vals
    assert last == best


KILLED = """
    import os, sys
    from manyfit.hyperopt import fmin, hp, rand, tpe

    def objective(x):
        with open("calls", "a") as file:
            file.write("x")
        if os.path.getsize("calls") == int(sys.argv[1]):
            os.kill(os.getpid(), 9)
        return {"loss": x**2, "status": "ok", "list": [x]}

    best = fmin(
        objective, hp.uniform("x", -1, 1), tpe.suggest, 9, name="killed", rstate=1, verbose=False,
        trials_save_file="trials.pkl",
    )
    print(best["x"])
"""


@pytest.mark.integration
def test_a_killed_search_goes_on(tmp_path):
    """After SIGKILL, the same call runs the trial that was running again, and ends as usual."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED), encoding="utf-8")
    ended = [
        subprocess.run(
            [sys.executable, script, kill_at], cwd=tmp_path, capture_output=True, text=True
        )
        for kill_at in ("4", "0")
    ]

    assert [each.returncode for each in ended] == [-9, 0], ended[1].stderr
    assert len((tmp_path / "calls").read_text(encoding="utf-8")) == 10
    result = manyfit.load_study("killed", folder=tmp_path / ".manyfit")
    assert result.count(State.COMPLETE) == 9
    assert float(ended[1].stdout) == result.best.params["x"]


def test_trials_of_elsewhere_are_learnt_from_and_counted(search):
    """Documents without a study are told to the new one, if they fit; the others only count."""
    earlier, trials = Trials(), None
    search(loss_of, SPACE | {"x": hp.uniform("x", -2, 2)}, max_evals=8, trials=earlier)
    fits = sum(abs(x) <= 1 for x in earlier.vals["x"])
    trials = trials_from_docs(earlier.trials)

    search(loss_of, SPACE, algo=tpe.suggest, max_evals=10, trials=trials)

    assert 0 < fits < 8
    assert len(trials) == 10
    assert trials.losses()[:8] == earlier.losses()
    assert trials.tids == list(range(10))
    assert len(trials.result) == fits + 2


def test_a_search_of_enough_trials_runs_nothing(search):
    """With max_evals reached, or 0, the objective is never called."""
    trials = Trials()
    best = search(loss_of, SPACE, max_evals=3, trials=trials)

    assert search(lambda point: 1 / 0, SPACE, max_evals=3, trials=trials) == best
    with pytest.raises(AllTrialsFailed, match="none of the 0 trials"):
        search(loss_of, SPACE, max_evals=0)
    assert search(loss_of, SPACE, max_evals=0, return_argmin=False) is None


def test_the_objective_sees_the_caller_and_its_trials(search):
    """It runs in this process and thread, one call at a time; trials grows meanwhile."""
    trials, seen = Trials(), []

    def objective(x):
        seen.append(len(trials))
        return x

    search(objective, hp.uniform("x", 0, 1), max_evals=5, trials=trials)

    assert seen == [0, 1, 2, 3, 4]


def test_what_the_objective_returns_is_kept_itself(search):
    """In this process, any object, without a copy; also of a trial that failed."""
    model = object()
    trials = Trials()

    def objective(x):
        if x > 0.5:
            return {"status": "fail", "model": model}
        return {"status": "ok", "loss": x, "model": model, "attachments": {"a": b"b"}}

    search(objective, hp.uniform("x", 0, 1), max_evals=12, trials=trials)

    assert {*trials.statuses()} == {"ok", "fail"}
    assert all(result["model"] is model for result in trials.results)
    assert all("attachments" not in result for result in trials.results)
    assert trials.trial_attachments(trials.best_trial)["a"] == b"b"


class BrokenError(Exception):
    pass


def test_an_exception_ends_the_search_and_is_raised_itself(search):
    """As in Hyperopt; the trials before it are kept, and a further call goes on after it."""
    trials, error = Trials(), BrokenError("this one")

    def objective(point):
        if len(trials) == 3 and not trials.count_by_state_unsynced(3):
            raise error
        return loss_of(point)

    with pytest.raises(BrokenError) as raised:
        search(objective, SPACE, max_evals=6, trials=trials)
    assert raised.value is error
    assert len(trials) == 3

    search(objective, SPACE, max_evals=6, trials=trials)

    assert len(trials) == 6
    assert trials.count_by_state_unsynced(3) == 1


def test_ctrl_c_ends_the_program_as_in_hyperopt(search):
    """The trials before it are kept, and a further call runs the interrupted one again."""
    trials, numbers = Trials(), []

    def objective(point):
        numbers.append(manyfit.current_trial().number)
        if len(numbers) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        return loss_of(point)

    with pytest.raises(KeyboardInterrupt):
        search(objective, SPACE, max_evals=5, trials=trials)
    assert len(trials) == 2

    search(objective, SPACE, max_evals=5, trials=trials)

    assert numbers == [0, 1, 2, 2, 3, 4]
    assert trials.tids == [0, 1, 2, 3, 4]


def test_exceptions_are_caught_and_counted(search):
    """With catch_eval_exceptions they fail their trials only, even if all do."""
    trials = Trials()

    def objective(point):
        raise BrokenError("always")

    with pytest.raises(AllTrialsFailed, match="BrokenError"):
        search(objective, SPACE, max_evals=25, trials=trials, catch_eval_exceptions=True)

    assert len(trials) == 0
    assert trials.count_by_state_unsynced(3) == 25


@pytest.mark.parametrize(
    ("returned", "error"),
    [(None, InvalidLoss), ({"loss": 1}, InvalidResultStatus), ({"status": "ok"}, InvalidLoss)],
)
def test_a_wrong_result_ends_the_search(search, returned, error):
    """As an exception does."""
    with pytest.raises(error):
        search(lambda point: returned, SPACE, max_evals=5)


def test_losses_that_are_no_numbers_are_kept(search):
    """NaN and infinity are results, as in Hyperopt, and never the best unless all are."""
    trials = Trials()
    values = iter([math.nan, math.inf, 0.5, -math.inf, 0.25])
    search(lambda x: next(values), hp.uniform("x", 0, 1), max_evals=5, trials=trials)

    assert math.isnan(trials.losses()[0])
    assert trials.losses()[1:] == [math.inf, 0.5, -math.inf, 0.25]
    assert trials.best_trial["result"]["loss"] == -math.inf


def test_a_pruned_trial_has_failed_and_says_why(search):
    """manyfit.report lets a hopeless trial end; it counts in max_evals."""
    trials = Trials()

    def objective(x):
        for step in range(5):
            manyfit.report(step, loss=x + 1 / (step + 1))
        return x

    search(
        objective,
        hp.uniform("x", 0, 1),
        max_evals=12,
        trials=trials,
        pruner=manyfit.MedianPruner(n_startup=3),
    )

    pruned = [result for result in trials.results if result["status"] == "fail"]
    assert pruned
    assert len(trials) == 12
    assert all(result["reason"] for result in pruned)


def test_a_small_space_ends_a_search_and_says_so(search, caplog):
    """No point is tried twice."""
    trials = Trials()
    search(lambda c: c, hp.choice("c", [1, 2, 3]), max_evals=10, trials=trials)

    assert sorted(trials.losses()) == [1, 2, 3]
    assert "fmin ended before max_evals=10: the space is exhausted" in caplog.text


def test_a_negated_score_raises_no_doubt(search, caplog):
    """fmin only minimises; in a study of tune, the user would be told of the direction."""
    search(lambda x: -x, hp.uniform("x", 0, 1), max_evals=2)

    assert caplog.messages == []


def test_early_stop_functions_get_what_they_returned(search):
    """After each trial, with the trials so far; anew in each call."""
    told = []

    def stop(trials, *args):
        told.append((len(trials), args))
        return len(trials) >= 3, [*args, len(trials)]

    trials = Trials()
    search(loss_of, SPACE, max_evals=9, trials=trials, early_stop_fn=stop)
    search(loss_of, SPACE, max_evals=9, trials=trials, early_stop_fn=stop)

    assert told == [(1, ()), (2, (1,)), (3, (1, 2)), (4, ())]


def test_an_error_of_an_early_stop_function_is_raised(search):
    """It ends the search, and the trials so far are kept."""
    trials = Trials()
    with pytest.raises(ZeroDivisionError):
        search(loss_of, SPACE, max_evals=9, trials=trials, early_stop_fn=lambda trials: 1 / 0)

    assert len(trials) == 1


def test_a_loss_below_the_threshold_ends_a_search(search):
    """A loss equal to the threshold doesn't end it, as in Hyperopt."""
    trials = Trials()
    values = iter([3.0, 2.0, 2.0, 1.0, 0.0])
    search(
        lambda x: next(values), hp.uniform("x", 0, 1), max_evals=5, trials=trials, loss_threshold=2
    )

    assert trials.losses() == [3.0, 2.0, 2.0, 1.0]


def test_progress_of_the_users_own(search):
    """A context manager, as in hyperopt.progress: initial, total, update and postfix."""
    import contextlib

    class Bar:
        count, postfix = 0, ""

        def update(self, n):
            self.count += n

    bar, given = Bar(), []

    @contextlib.contextmanager
    def progress(initial, total):
        given.append((initial, total))
        yield bar

    search(
        lambda x: 2.0, hp.uniform("x", 0, 1), max_evals=4, show_progressbar=progress, verbose=True
    )

    assert given == [(0, 4)]
    assert (bar.count, bar.postfix) == (4, "best loss: 2.0")


@pytest.mark.parametrize("rstate", [3, np.random.default_rng(3), np.random.RandomState(3)])
def test_a_seed_may_be_given_in_each_way(search, rstate):
    """A number, a generator, or a RandomState as older versions took."""
    found = search(loss_of, SPACE, max_evals=2, rstate=rstate)

    assert set(found) == {"x", "c"}


@pytest.mark.parametrize(
    ("algo", "sampler"),
    [
        (None, "GPSampler"),
        (tpe.suggest, "GPSampler"),
        (rand.suggest, "RandomSampler"),
        (anneal.suggest, "NearbySampler"),
        (partial(tpe.suggest, verbose=False), "GPSampler"),
        (partial(tpe.suggest, n_startup_jobs=2, gamma=0.5), "OptunaSampler"),
        (partial(partial(tpe.suggest, n_startup_jobs=2), n_EI_candidates=3), "OptunaSampler"),
        ("quasirandom", "QuasiRandomSampler"),
    ],
)
def test_each_algorithm_has_a_sampler(search, caplog, capsys, algo, sampler):
    """Hyperopt's names, with settings too; and what manyfit.tune takes."""
    from manyfit.hyperopt.algorithms import sampler_of
    from manyfit.metric import Metric
    from manyfit.samplers.auto import make_sampler
    from manyfit.space import Space

    given = sampler_of(tpe.suggest if algo is None else algo, 0)
    made, _ = make_sampler(given, Space({"x": manyfit.Float(0, 1)}), Metric("loss"), 0)

    assert type(made).__name__ == sampler
    assert search(loss_of, SPACE, algo=algo, max_evals=3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"algo": lambda *args: None}, "algo must be"),
        ({"algo": partial(rand.suggest, gamma=1)}, "rand.suggest has no 'gamma'"),
        ({"algo": partial(tpe.suggest, gamma=0)}, "gamma must be"),
        ({"pass_expr_memo_ctrl": True}, "pass_expr_memo_ctrl is not supported"),
        ({"trials": []}, "trials must be Trials"),
        ({"max_evals": -1}, "max_evals must be"),
        ({"max_evals": 2.5}, "max_evals must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"loss_threshold": "low"}, "loss_threshold must be"),
        ({"rstate": "seed"}, "rstate must be"),
        ({"points_to_evaluate": {"x": 1}}, "points_to_evaluate must be a list"),
        ({"points_to_evaluate": [{"z": 1}]}, "'z' is not a label"),
        ({"points_to_evaluate": [{"x": 5}]}, "x must be a number"),
        ({"max_evals": None}, "never end"),
        ({"space": "all"}, "annotated"),
        ({"space": {"x": manyfit.Float(0, 1)}}, "manyfit.tune"),
    ],
)
def test_wrong_arguments_are_refused(search, options, said):
    """Before the objective is called; the message says what to do."""
    calls = []
    with pytest.raises((ArgumentError, SpaceError), match=said):
        search(calls.append, **{"space": SPACE, "max_evals": 2, **options})

    assert calls == []


def test_what_hyperopt_has_and_this_has_not_is_named():
    """The message says what to use instead."""
    from manyfit import hyperopt

    with pytest.raises(ArgumentError, match="use tpe"):
        _ = hyperopt.atpe
    with pytest.raises(ArgumentError, match="SparkTrials"):
        _ = hyperopt.MongoTrials
    with pytest.raises(ArgumentError, match="expr, memo and ctrl"):
        fmin_pass_expr_memo_ctrl(loss_of)
    with pytest.raises(ArgumentError, match=r"functools.partial"):
        tpe.suggest([1], None, None, 3)
    with pytest.raises(AttributeError):
        _ = hyperopt.unheard_of


def test_objects_of_hyperopt_itself_are_told_apart(search):
    """Half a change of imports is refused with the other half."""
    hyperopt = pytest.importorskip("hyperopt")

    with pytest.raises(ArgumentError, match=r"import tpe, rand and anneal from manyfit.hyperopt"):
        search(loss_of, SPACE, algo=hyperopt.tpe.suggest, max_evals=2)
    with pytest.raises(ArgumentError, match=r"trials_from_docs\(trials.trials\)"):
        search(loss_of, SPACE, max_evals=2, trials=hyperopt.Trials())


def test_annotations_that_are_no_hyperparameters_are_refused(search):
    """Each argument of an annotated objective needs one."""

    def objective(x: hp.uniform("x", 0, 1), n: int):
        return x

    with pytest.raises(InvalidAnnotatedParameter, match="n must have"):
        search(objective, "annotated", max_evals=2)


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_file_without_trials_is_refused(tmp_path, content):
    """By its path, with what to do; it is not overwritten."""
    path = tmp_path / "trials.pkl"
    path.write_bytes(content)

    with pytest.raises(ArgumentError, match=r"has no trials that can be read.*Remove it to begin"):
        fmin(loss_of, SPACE, max_evals=1, trials_save_file=str(path), folder=tmp_path)
    assert path.read_bytes() == content


def test_a_name_of_hyperopt_that_is_missing():
    """Scripts that try an import, and do without, go on; others are told what to use."""
    with pytest.raises(ImportError, match=r"hyperopt has no atpe: use tpe"):
        from manyfit.hyperopt import atpe  # noqa: F401


@pytest.mark.parametrize("returned", [True, (True,), (False, None)])
def test_a_stop_function_that_returns_no_pair(tmp_path, returned):
    """It is told what to return."""
    with pytest.raises(ArgumentError, match="early_stop_fn must return whether to end the search"):
        fmin(loss_of, SPACE, max_evals=2, early_stop_fn=lambda *_: returned, folder=tmp_path)
