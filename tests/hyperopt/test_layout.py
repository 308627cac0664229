"""Spaces of Hyperopt as spaces of Manyfit, and back."""

import pickle

import numpy as np
import pytest

from manyfit import Choice, Float, Int, Space
from manyfit.errors import SpaceError
from manyfit.hyperopt import hp, space_eval
from manyfit.hyperopt.layout import Layout


def test_branches_are_named_by_what_tells_them_apart():
    """By the first text in a dict or tuple, by a plain option itself, otherwise by the index."""
    kernel = hp.choice("kernel", [("linear",), ("rbf", hp.uniform("gamma", 0, 1))])
    space = hp.choice("model", [{"type": "svm", "kernel": kernel}, None, {"type": "bayes"}])

    layout = Layout.of({"model": space, "n": hp.randint("n", 3)})

    assert layout.space.params["n"] == Int(0, 2)
    assert layout.space.params["model"] == Choice(
        {
            "svm": {"kernel": Choice({"linear": {}, "rbf": {"gamma": Float(0.0, 1.0)}})},
            "None": {},
            "bayes": {},
        }
    )
    stored = {"n": 1, "model": "svm", "kernel": "rbf", "gamma": 0.5}
    values = {"model": 0, "kernel": 1, "gamma": 0.5, "n": 1}
    assert layout.values(stored) == values
    assert layout.space.store(layout.stored(values)) == stored
    assert layout.materialize(stored) == space_eval(
        {"model": {"type": "svm", "kernel": ("rbf", 0.5)}, "n": 1}, {}
    )


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["adam", "sgd"], ("adam", "sgd")),
        ([1, True, 1.0, None, "1"], (1, True, 1.0, None, "1")),
        (np.arange(1, 4), (1, 2, 3)),
        (range(2), (0, 1)),
        ([[64, 32], [16]], ("(64, 32)", "(16,)")),
        ([int, max], ("int", "max")),
        ([object(), lambda: 1], (0, 1)),
        (["same", "same"], (0, 1)),
        ([float("nan"), 1.5], ("nan", 1.5)),
        ([hp.uniform("a", 0, 1), hp.uniform("b", 0, 1)], ("0", "1")),
        ([{"a": "same", "x": hp.uniform("a", 0, 1)}, {"a": "same"}], ("0", "1")),
    ],
)
def test_options_have_labels_that_last(options, labels):
    """Plain options are recorded as they are, clear ones by their text, others by their index."""
    layout = Layout.of(hp.choice("x", options))

    assert list(map(repr, layout.space.params["x"].labels)) == list(map(repr, labels))


def test_each_option_comes_back_by_its_index():
    """Options that are equal, or equal in Python only, are not mixed up."""
    options = [1, True, 1.0, "1", None]
    layout = Layout.of(hp.choice("x", options))

    for index, option in enumerate(options):
        stored = layout.space.store(layout.stored({"x": index}))
        assert layout.values(stored) == {"x": index}
        assert (type(layout.materialize(stored)), layout.materialize(stored)) == (
            type(option),
            option,
        )


def test_an_option_that_is_never_drawn_keeps_its_index():
    """With the probability 0 it isn't in Manyfit's space; the indices of the others stay."""
    layout = Layout.of(hp.pchoice("x", [(0.3, "a"), (0.0, "b"), (0.7, "c")]))

    assert layout.space.params["x"] == Choice(["a", "c"], weights=[0.3, 0.7])
    assert layout.values({"x": "c"}) == {"x": 2}


def test_a_param_used_in_several_branches_is_in_each():
    """In branches that exclude one another it is active in both, and inactive elsewhere."""
    depth = hp.randint("depth", 2, 9)
    space = hp.choice("m", [("tree", depth), ("forest", depth, 1), ("linear",)])

    layout = Layout.of(space)

    assert layout.space.active({"m": "tree"}) == ("m", "depth")
    assert layout.space.active({"m": "forest"}) == ("m", "depth")
    assert layout.space.active({"m": "linear"}) == ("m",)


def test_a_param_of_two_independent_choices_is_drawn_once_and_shown_if_used():
    """It is at the top of Manyfit's space; Hyperopt's values have it only where it is used."""
    x = hp.uniform("x", 0, 1)
    layout = Layout.of([hp.choice("a", [x, 0]), hp.choice("b", [x, 0])])

    assert layout.space.active({}) == ("a", "x", "b")
    label = {i: layout.labels["a"][i] for i in (0, 1)}
    unused = {"a": label[1], "b": label[1], "x": 0.5}
    used = {"a": label[1], "b": label[0], "x": 0.5}
    assert layout.values(unused) == {"a": 1, "b": 1}
    assert layout.values(used) == {"a": 1, "x": 0.5, "b": 0}
    assert layout.materialize(used) == (0, 0.5)


def test_a_choice_used_in_two_places_takes_its_branches_along():
    """A param within a choice that moved to the top is in the branches of that choice."""
    inner = hp.choice("inner", [hp.uniform("x", 0, 1), "none"])
    layout = Layout.of({"a": hp.choice("a", [inner, 1]), "again": inner})

    assert layout.space.active({"inner": layout.labels["inner"][0]}) == ("a", "inner", "x")


def test_every_random_point_is_the_point_of_its_values():
    """Stored params, Hyperopt's values and the user's structure stand for one another."""
    space = {
        "lr": hp.loguniform("lr", -9, 0),
        "layers": hp.choice("layers", [[hp.qlognormal("u1", 3, 1, 1)], [64, hp.randint("u2", 9)]]),
        5: hp.pchoice("p", [(0.2, {"a": hp.normal("n", 0, 1)}), (0.8, None)]),
    }
    layout = Layout.of(space)
    rng = np.random.default_rng(0)

    for _ in range(50):
        stored = layout.space.sample(rng)
        values = layout.values(stored)
        assert layout.space.store(layout.stored(values)) == stored
        assert space_eval(space, values) == layout.materialize(stored)


def test_a_layout_travels():
    """It is pickled with the objective; what it makes is the same."""
    import cloudpickle

    layout = Layout.of([hp.qnormal("x", 0, 1, 0.5), 2 ** hp.randint("y", 1, 5)])
    copy = pickle.loads(cloudpickle.dumps(layout))

    stored = layout.space.sample(np.random.default_rng(0))
    assert copy.materialize(stored) == layout.materialize(stored)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"c": 2}, "index of an option"),
        ({"c": "a"}, "index of an option"),
        ({"c": True}, "index of an option"),
        ({"d": 0}, "'d' is not a label of the space, which has c, x"),
    ],
)
def test_a_wrong_point_is_refused(values, said):
    """The message names the label, the rule and what was given."""
    layout = Layout.of([hp.choice("c", ["a", "b"]), hp.uniform("x", 0, 1)])

    with pytest.raises(SpaceError, match=said):
        layout.stored(values)


def test_spaces_of_other_libraries_are_refused():
    """A space of Hyperopt's own hp, or Manyfit's own domains, get a sentence on what to do."""
    with pytest.raises(SpaceError, match=r"manyfit.tune"):
        Layout.of({"x": Float(0, 1)})
    with pytest.raises(SpaceError, match=r"x is a domain of manyfit.hyperopt"):
        Space({"x": hp.uniform("x", 0, 1)})
    theirs = pytest.importorskip("hyperopt").hp.uniform("x", 0, 1)
    with pytest.raises(SpaceError, match=r"from manyfit.hyperopt"):
        Layout.of({"x": theirs})


def test_a_missing_value_is_named():
    """space_eval needs what the chosen options need, and nothing else."""
    space = hp.choice("c", [hp.uniform("x", 0, 1), "b"])

    assert space_eval(space, {"c": 1}) == "b"
    with pytest.raises(SpaceError, match="x is missing"):
        space_eval(space, {"c": 0})
    with pytest.raises(SpaceError, match="c must be the index"):
        space_eval(space, {"c": 2})
