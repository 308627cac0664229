"""What other studies found, in the terms of a new one."""

import logging
import math

import pandas as pd
import pytest

from manyfit import ArgumentError, Choice, Float, Int, Metric, Space, Study, tune
from manyfit.prior import earlier_studies

LOSS = Metric("loss")
SPACE = Space({"x": Float(0, 1), "depth": Int(1, 9), "kind": Choice([None, "b", 3])})


def run(folder, name="old", space=SPACE, n_trials=8, direction="minimize"):
    return tune(
        lambda params: {"loss": (params["x"] - 0.3) ** 2, "other": 1.0},
        space,
        metric="loss",
        direction=direction,
        n_trials=n_trials,
        name=name,
        folder=folder,
        seed=0,
        executor="inline",
        tracker=None,
        progress=None,
        sampler="random",
    )


def test_a_result_a_name_and_a_study_are_the_same(tmp_path):
    """However a study is named, its completed trials are what is learned from."""
    result = run(tmp_path)
    with Study(SPACE, metric="loss", name="old", folder=tmp_path, tracker=None) as study:
        found = earlier_studies([result, "old", study], SPACE, LOSS, tmp_path)

    assert found[0] == found[1] == found[2]
    assert [dict(params) for params in found[0].params] == [dict(t.params) for t in result]
    assert list(found[0].losses) == [trial.value for trial in result]


def test_tables(tmp_path):
    """A study's own table, and one of MLflow's with its texts, give what the study itself gives."""
    result = run(tmp_path)
    own = result.table()
    mlflow = pd.DataFrame(
        [
            {
                "status": "FINISHED",
                **{f"params.{name}": str(value) for name, value in trial.params.items()},
                "metrics.loss": trial.value,
            }
            for trial in result
        ]
    )
    expected = earlier_studies([result], SPACE, LOSS, tmp_path)[0]
    of_own, of_mlflow = earlier_studies([own, mlflow], SPACE, LOSS, tmp_path)

    assert of_mlflow == expected
    assert of_own.losses == expected.losses
    assert [p["x"] for p in of_own.params] == [p["x"] for p in expected.params]


def test_only_finished_runs_count():
    """Runs that were pruned or failed, and those without the metric, are left out."""
    table = pd.DataFrame(
        {
            "status": ["FINISHED"] * 7 + ["KILLED", "FAILED"],
            "tags.manyfit.state": ["COMPLETE"] * 5 + [None, "PRUNED", "WAITING", "FAIL"],
            "params.x": [str(n / 10) for n in range(9)],
            "metrics.loss": [1.0, 2.0, 3.0, 4.0, 5.0, math.nan, 0.0, 0.0, 0.0],
        }
    )
    (found,) = earlier_studies([table], SPACE, LOSS, ".")

    assert list(found.losses) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert found.params[1] == {"x": 0.1}


def test_what_lies_outside_the_space(tmp_path):
    """A trial outside the new space is left out; params that only one of them has don't matter."""
    result = run(tmp_path, n_trials=30)
    narrow = Space({"x": Float(0, 0.5), "width": Int(1, 4)})
    (found,) = earlier_studies([result], narrow, LOSS, tmp_path)

    inside = [trial.params["x"] for trial in result if trial.params["x"] <= 0.5]
    assert [params["x"] for params in found.params] == inside
    assert all(set(params) == {"x"} for params in found.params)


def test_large_is_good(tmp_path):
    """The direction is that of the new study."""
    result = run(tmp_path)
    (found,) = earlier_studies([result], SPACE, Metric("loss", "maximize"), tmp_path)

    assert list(found.losses) == [-trial.value for trial in result]


def test_too_few_trials_are_passed_over(tmp_path, caplog):
    """A study of which too little is left says so, and does no harm."""
    result = run(tmp_path, n_trials=4)
    with caplog.at_level(logging.WARNING, "manyfit"):
        assert earlier_studies([result], SPACE, LOSS, tmp_path) == []

    assert "prior_from[0] is ignored: 4 of its 4 trials fit this space" in caplog.text


@pytest.mark.parametrize("given", ["old", None, 3, {"a": 1}])
def test_no_list(given, tmp_path):
    """A single study is to be put in a list."""
    with pytest.raises(ArgumentError, match="prior_from must be a list of studies"):
        earlier_studies(given, SPACE, LOSS, tmp_path)


def test_no_study(tmp_path):
    """What is no study is named, with what would be one."""
    with pytest.raises(ArgumentError, match=r"prior_from\[0\] must be a StudyResult, a Study"):
        earlier_studies([3], SPACE, LOSS, tmp_path)


def test_another_metric(tmp_path):
    """A study, or a table, that never recorded the metric can't be learned from."""
    result = run(tmp_path)
    for given in (result, result.table()):
        with pytest.raises(ArgumentError, match=r"has no metric 'auc'; it has: loss, other"):
            earlier_studies([given], SPACE, Metric("auc"), tmp_path)


def test_a_study_begins_with_the_best_of_an_earlier_one(tmp_path):
    """The first trial is the best of what is known, and the study says what it learned from."""
    result = run(tmp_path, n_trials=30)
    warm = tune(
        lambda params: (params["x"] - 0.35) ** 2,
        SPACE,
        metric="loss",
        n_trials=1,
        prior_from=[result],
        folder=tmp_path,
        executor="inline",
        tracker=None,
        progress=None,
    )

    assert warm[0].params == result.best.params


def test_a_sampler_that_learns_nothing(tmp_path):
    """It is refused before anything is on disk."""
    result = run(tmp_path)
    with pytest.raises(ArgumentError, match="but got random"):
        Study(
            SPACE, metric="loss", name="new", folder=tmp_path, sampler="random", prior_from=[result]
        )

    assert not (tmp_path / "new").exists()
