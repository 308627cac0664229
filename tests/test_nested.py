"""Nested dicts and lists in a space: named by path, and given to the objective as written."""

import json

import numpy as np
import pytest

import manyfit
from manyfit import Choice, Float, Int, Space, tune
from manyfit.errors import SpaceError
from manyfit.metric import Metric
from manyfit.samplers.auto import make_sampler

SGD_BRANCH = {"momentum": Float(0, 1), "rest": {"decay": Int(1, 3)}}
NESTED = {
    "optimizer": {
        "lr": Float(1e-4, 1e-1, log=True),
        "betas": [Float(0.8, 0.95), 0.999],
        "kind": Choice(
            {"sgd": {"momentum": Float(0, 1), "rest": {"decay": Int(1, 3)}}, "adam": {}}
        ),
    },
    "layers": [{"units": Int(1, 9)}, {"units": Int(1, 9), "name": "last"}],
    "model.depth": Int(1, 3),
    "kwargs": {"verbose": 0},
}
SGD = {
    "optimizer.lr": 0.01,
    "optimizer.betas.0": 0.9,
    "optimizer.kind": "sgd",
    "optimizer.momentum": 0.5,
    "optimizer.rest.decay": 2,
    "layers.0.units": 3,
    "layers.1.units": 4,
    "model.depth": 1,
}
GIVEN = {
    "optimizer": {
        "lr": 0.01,
        "betas": [0.9, 0.999],
        "kind": "sgd",
        "momentum": 0.5,
        "rest": {"decay": 2},
    },
    "layers": [{"units": 3}, {"units": 4, "name": "last"}],
    "model.depth": 1,
    "kwargs": {"verbose": 0},
}


def test_params_are_named_by_their_paths():
    """Dict keys and list indices, joined by dots; a branch's params are beside its Choice."""
    space = Space(NESTED)

    assert list(space.params) == list(SGD)
    assert space.constants == {
        "optimizer.betas.1": 0.999,
        "layers.1.name": "last",
        "kwargs": {"verbose": 0},
    }
    assert space.paths("optimizer.momentum") == ((("optimizer.kind", "sgd"),),)


def test_the_objective_gets_what_was_written():
    """With the same nesting; a name that has a dot without being nested stays as it is."""
    assert Space(NESTED).materialize(SGD) == GIVEN
    adam = {k: v for k, v in SGD.items() if k not in ("optimizer.momentum", "optimizer.rest.decay")}
    given = Space(NESTED).materialize({**adam, "optimizer.kind": "adam"})
    assert given["optimizer"] == {"lr": 0.01, "betas": [0.9, 0.999], "kind": "adam"}


def test_a_record_keeps_the_nesting():
    """Also inside branches, and in spaces made from others."""
    space = Space(NESTED)
    again = Space.from_json(json.loads(json.dumps(space.to_json())))

    assert again == space
    assert again.materialize(SGD) == GIVEN
    wider = again.replaced({"layers.0.units": Int(1, 20), "optimizer.momentum": Float(0, 2)})
    assert wider.materialize(SGD) == GIVEN
    assert wider.difference(space) != []


def test_points_may_be_nested_or_named_by_path():
    """As the objective gets them, in part, or both."""
    space = Space(NESTED)

    assert space.store(GIVEN) == SGD
    assert space.store(SGD) == SGD
    rng = np.random.default_rng(0)
    part = space.store({"optimizer": {"lr": 0.05}, "layers.1.units": 7}, rng)
    assert (part["optimizer.lr"], part["layers.1.units"]) == (0.05, 7)
    assert space.materialize(GIVEN) == space.materialize(SGD)


def test_a_param_is_in_a_point_once():
    """By its path and inside its dict are two places, of which neither may silently win."""
    space = Space({"optimizer": {"lr": Float(0, 1)}})
    with pytest.raises(SpaceError, match=r"a point has optimizer\.lr twice"):
        space.store({"optimizer": {"lr": 0.5}, "optimizer.lr": 0.4})


def test_a_space_inside_a_space_is_refused():
    """It would be a constant; its dict is what belongs there."""
    with pytest.raises(SpaceError, match="a is a Space inside a space: write its dict there"):
        Space({"a": Space({"x": Float(0, 1)})})


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"optimizer": {"rate": 1}}, r"'optimizer.rate' is not in the space. Did you mean optimi"),
        ({"layers": [{"units": 1}, {}, {"units": 1}]}, r"'layers.2.units' is not in the space"),
        ({"optimizer": 3}, r"'optimizer' is not in the space"),
        ({"optimizer": {"lr": 3}}, r"optimizer.lr must be a number from 0.0001 to 0.1"),
        ({"optimizer": {"betas": [0.9, 0.5]}}, r"optimizer.betas.1 is the constant 0.999, but got"),
    ],
)
def test_refuses_points_in_words(point, message):
    """The path says where."""
    with pytest.raises(SpaceError, match=message):
        Space(NESTED).store(point, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"a.b": Float(0, 1), "a": {"b": Float(0, 1)}}, "a.b is in the space twice"),
        (
            {"a": {"b": {"c": Int(1, 2)}}, "m": Choice({"x": {"a": 1}})},
            "a is in the space twice",
        ),
        ({"a": {"b.c": Float(0, 1)}}, "a key in a must be a non-empty string without dots"),
        (
            {"a": {"0": Float(0, 1)}},
            "without dots that is no number",
        ),
        ({"a": {3: Float(0, 1)}}, "a key in a must be a non-empty string without dots"),
        ({"a": (Float(0, 1), 2)}, "a in the space has a Float, Int or Choice inside a tuple"),
        ({"a": {"b": {Float(0, 1)}}}, "a.b in the space has a Float, Int or Choice inside a set"),
        (
            {"a": {"b": Float(0, 1), "c": [1, 2]}},
            r"a.c in the space .* is the list",
        ),
        ({"a": [Choice({"x": {"y": Int(1, 2)}})]}, "a.0 is a Choice of branches inside a list"),
        ({"a": {"b": Float}}, "a.b in the space is the class Float, not an instance of it"),
        (
            {"a": {"x": Int(1, 2)}, "m": Choice({"b": {"a": {"x": Int(1, 2)}}})},
            "a.x is in",
        ),
    ],
)
def test_refuses_spaces_in_words(space, message):
    """What can't be named by its path, clashes, or may be meant as options."""
    with pytest.raises(SpaceError, match=message):
        Space(space)


@pytest.mark.parametrize("sampler", ["random", "gp", "tpe", "nearby", "quasirandom"])
def test_samplers_see_flat_params(sampler):
    """Nesting is nothing to them."""
    space = Space(NESTED)
    proposer, _ = make_sampler(sampler, space, Metric("loss"), 0)
    for number in range(3):
        space.check(proposer.ask(number))


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_study_shows_paths_and_gives_nested_params(tmp_path, executor):
    """The best params can be passed to the objective; tables, reports and advice have columns."""

    def train(params):
        return params["optimizer"]["lr"] + params["layers"][1]["units"]

    options = {
        "metric": "loss",
        "name": "s",
        "seed": 0,
        "folder": tmp_path,
        "tracker": None,
        "progress": None,
        "executor": executor,
        "parallelism": 1,
        "start_with": [GIVEN],
    }
    tune(train, NESTED, n_trials=4, **options)
    result = tune(train, NESTED, n_trials=16, **options)

    assert result[0].params == GIVEN
    assert train(result.best.params) == result.best.value
    assert manyfit.load_study("s", folder=tmp_path).best == result.best
    assert result.table()["params_optimizer.lr"].notna().all()
    assert "optimizer.lr = " in repr(result)
    assert "params_layers.1.units" in result.report(tmp_path / "r.html").read_text()
    assert any(found.params[0] == "layers.1.units" for found in result.importances().params)
    later = tune(
        train, NESTED, n_trials=2, **{**options, "name": "t", "start_with": []}, prior_from=[result]
    )
    assert later[0].params == result.best.params


def test_credentials_inside_are_redacted():
    """A nested constant is recorded under its path, whose last word tells what it is."""
    space = Space({"client": {"api_key": "hunter2-hunter2", "timeout": Float(1, 2)}})
    params = space.materialize({"client.timeout": 1.5})

    assert "hunter2" not in json.dumps(space.to_json())
    assert "hunter2" not in repr(manyfit.Trial(0, params))
    assert params["client"]["api_key"] == "hunter2-hunter2"
