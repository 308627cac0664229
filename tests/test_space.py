"""Spaces: what every space keeps, and what a person is told who writes one wrongly."""

import json
import math
import pickle
import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manyfit.errors import SpaceError
from manyfit.space import Choice, Float, Int, Space

# ── spaces of every shape ─────────────────────────────────────────────────────────────────────


@st.composite
def floats(draw):
    number = st.floats(-1e9, 1e9)
    low, high = sorted(draw(st.lists(number, min_size=2, max_size=2, unique=True)))
    return Float(low, high)


@st.composite
def log_floats(draw):
    low, high = sorted(draw(st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=2, unique=True)))
    return Float(low, high, log=True)


@st.composite
def stepped_floats(draw):
    scale = 10.0 ** -draw(st.integers(0, 6))
    low = draw(st.integers(-1000, 1000)) * scale
    step = draw(st.integers(1, 50)) * scale
    return Float(low, low + draw(st.floats(1.01, 30)) * step, step=step)


@st.composite
def ints(draw):
    low = draw(st.integers(-(2**40), 2**40))
    width = draw(st.integers(1, 10**6))
    return Int(low, low + width, step=draw(st.integers(1, width)))


@st.composite
def log_ints(draw):
    low = draw(st.integers(1, 10**6))
    return Int(low, low + draw(st.integers(1, 10**6)), log=True)


FLOATS = st.floats(allow_nan=False).map(
    lambda x: x + 0.0
)  # -0.0 is 0.0, and can't be an option beside it
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, st.text(max_size=5))
OPTIONS = st.one_of(SCALARS, st.tuples(st.integers(), st.text(max_size=2)), st.lists(st.integers()))


def weights_for(count):
    return st.none() | st.lists(st.floats(0.01, 100), min_size=count, max_size=count)


@st.composite
def choices(draw):
    options = draw(
        st.lists(OPTIONS, min_size=1, max_size=5, unique_by=lambda option: repr(option).strip("'"))
    )
    return Choice(options, weights=draw(weights_for(len(options))))


class Fork:
    """Branches before they have names."""

    def __init__(self, branches, weights):
        self.branches = branches
        self.weights = weights


@st.composite
def forks(draw, inner):
    branches = draw(st.lists(st.lists(inner, max_size=3), min_size=1, max_size=3))
    return Fork(branches, draw(weights_for(len(branches))))


def name_all(nodes, prefix):
    """Give every node of a drawn structure a name of its own."""
    entries = {}
    for index, node in enumerate(nodes):
        name = f"{prefix}{index}"
        if isinstance(node, Fork):
            branches = {
                f"b{i}": name_all(branch, f"{name}b{i}p") for i, branch in enumerate(node.branches)
            }
            entries[name] = Choice(branches, weights=node.weights)
        else:
            entries[name] = node
    return entries


CONSTANTS = OPTIONS.filter(lambda value: not isinstance(value, list))
LEAVES = st.one_of(
    floats(), log_floats(), stepped_floats(), ints(), log_ints(), choices(), CONSTANTS
)
FINITE = st.one_of(
    stepped_floats(), st.builds(lambda low, width: Int(low, low + width), *[st.integers(1, 4)] * 2),
    choices(), SCALARS,
)  # fmt: skip


def spaces_of(leaves):
    nodes = st.recursive(leaves, forks, max_leaves=6)
    return st.lists(nodes, max_size=4).map(lambda found: Space(name_all(found, "p")))


SPACES = spaces_of(LEAVES)
SEEDS = st.integers(0, 2**32).map(np.random.default_rng)
quick = settings(suppress_health_check=list(HealthCheck))


class TestAnySpace:
    @quick
    @given(SPACES, SEEDS)
    def test_its_points_survive_everything(self, space, rng):
        """What is drawn lies in the space, and comes back from JSON, the unit cube and objectives.

        Of the unit cube's points, only a Float may differ in its last digits.
        """
        params = space.sample(rng)

        space.check(params)
        assert tuple(params) == space.active(params)
        back = json.loads(json.dumps(params, allow_nan=False))
        assert space.contains(back)
        assert space.key(back) == space.key(params)
        assert space.key(space.store(params)) == space.key(params)
        assert space.key(space.store(space.materialize(params))) == space.key(params)
        self.comes_back_from_the_cube(space, params)

    def comes_back_from_the_cube(self, space, params):
        unit = space.encode(params)
        back = space.decode(unit)

        assert [name for name, u in zip(space.params, unit, strict=True) if not math.isnan(u)] == [
            name for name in space.params if name in params
        ]
        assert np.all((unit >= 0) & (unit <= 1) | np.isnan(unit))
        assert back.keys() == params.keys()
        for name, value in params.items():
            domain = space.params[name]
            if isinstance(domain, Float) and domain.step is None:
                assert back[name] == pytest.approx(value, rel=1e-9, abs=1e-6)
            else:
                assert repr(back[name]) == repr(value)

    @quick
    @given(SPACES, st.data())
    def test_decodes_the_whole_cube(self, space, data):
        """Every point of the unit cube, corners included, stands for params in the space."""
        place = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
        count = len(space.params)
        unit = data.draw(st.lists(place, min_size=count, max_size=count))

        space.check(space.decode(unit))

    @quick
    @given(SPACES, SEEDS)
    def test_it_survives_records_and_pickling(self, space, rng):
        """From its JSON, or pickled, a space takes and gives the same, and no change is seen."""
        record = json.dumps(space.to_json(), allow_nan=False)
        recorded = Space.from_json(json.loads(record))
        pickled = pickle.loads(pickle.dumps(space))
        params = space.sample(rng)

        assert json.dumps(recorded.to_json()) == record
        assert recorded.difference(space) == space.difference(recorded) == []
        assert list(recorded.params) == list(space.params)
        assert recorded.contains(params)
        assert space == recorded == pickled
        assert hash(pickled) == hash(space)
        assert repr(pickled.materialize(params)) == repr(space.materialize(params))

    @quick
    @given(spaces_of(FINITE), st.data())
    def test_the_grid_holds_each_point_once(self, space, data):
        """`size` counts the grid, which repeats nothing; `at` looks up any point of it."""
        if space.size > 200:
            return
        grid = list(space.grid())

        assert len({space.key(params) for params in grid}) == len(grid) == space.size
        assert all(map(space.contains, grid))
        index = data.draw(st.integers(0, space.size - 1))
        assert space.at(index) == grid[index]


# ── by example ────────────────────────────────────────────────────────────────────────────────

SPACE = Space(
    {
        "lr": Float(1e-4, 0.1, log=True),
        "batch": Int(16, 512, log=True),
        "model": Choice(
            {
                "svm": {
                    "C": Float(0.1, 10),
                    "kernel": Choice({"rbf": {"gamma": Int(1, 5)}, "no": {}}),
                },
                "forest": {"depth": Int(2, 9), "trees": 100},
            }
        ),
        "epochs": 10,
    }
)
SVM = {"lr": 0.01, "batch": 32, "model": "svm", "C": 1.0, "kernel": "no"}
FOREST = {"lr": 0.01, "batch": 32, "model": "forest", "depth": 3}


class TestSpace:
    def test_flat_views(self):
        """`params` are all domains in order, branches included; `constants` all the rest."""
        assert list(SPACE.params) == ["lr", "batch", "model", "C", "kernel", "gamma", "depth"]
        assert SPACE.constants == {"trees": 100, "epochs": 10}

    def test_active_names(self):
        """A param is active when all the choices above it were made for its branch."""
        assert SPACE.active(SVM) == ("lr", "batch", "model", "C", "kernel")
        assert SPACE.active({**SVM, "kernel": "rbf"})[-1] == "gamma"
        assert SPACE.active(FOREST) == ("lr", "batch", "model", "depth")

    def test_what_the_objective_receives(self):
        """Options for labels, and the constants that are active, with nothing nested."""
        assert SPACE.materialize(FOREST) == {**FOREST, "trees": 100, "epochs": 10}
        assert SPACE.materialize(SVM) == {**SVM, "epochs": 10}

    def test_a_missing_param_is_named(self):
        """A point that lacks a param can't be what an objective receives."""
        with pytest.raises(SpaceError, match=r"C is missing: it must be .*Given:"):
            SPACE.materialize({name: value for name, value in SVM.items() if name != "C"})

    def test_options_are_handed_over_as_copies(self):
        """The objective receives what is an option, and may change it: it is a copy."""
        option = {"layers": [64, 64]}
        space = Space({"net": Choice([option, max])})
        stored = space.store({"net": option})

        assert stored == {"net": "{'layers': [64, 64]}"}
        assert space.materialize(stored)["net"] == option
        space.materialize(stored)["net"]["layers"].append(1)
        assert space.materialize(stored)["net"] == option == {"layers": [64, 64]}
        assert space.materialize({"net": "builtins.max"})["net"] is max

    def test_of_takes_both(self):
        """A space stays itself, a dict becomes one."""
        assert Space.of(SPACE) is SPACE
        assert Space.of({"x": Int(1, 2)}) == Space({"x": Int(1, 2)})

    def test_the_repr_makes_the_same_space(self):
        """What is printed can be pasted; a constant that is a credential is not printed."""
        assert eval(repr(SPACE)) == SPACE
        assert "hunter2-hunter2" not in repr(Space({"password": "hunter2-hunter2"}))

    def test_equality_knows_types(self):
        """True, 1 and 1.0 are different options; other objects are no spaces."""
        assert Space({"x": Choice([True])}) != Space({"x": Choice([1])})
        assert Space({"x": Choice([1.0])}) != Space({"x": Choice([1])})
        assert Space({"x": 1}) != {"x": 1}

    def test_branches_may_share_a_name(self):
        """Two branches of one Choice may hold the same name, if it stands for the same."""
        x = Float(0, 1)
        space = Space({"m": Choice({"a": {"x": x, "y": Int(1, 2)}, "b": {"y": Int(1, 2), "x": x}})})

        assert list(space.params) == ["m", "x", "y"]
        assert space.contains({"m": "b", "x": 0.5, "y": 1})

    def test_numpy_scalars_become_pythons(self):
        """Bounds, options, constants and points may come from NumPy; what is stored is Python's."""
        space = Space(
            {
                "a": Float(np.float64(0.5), np.int64(2)),
                "b": Int(np.int32(1), np.float64(9.0)),
                "c": Choice(np.array([1, 2])),
                "d": np.float64(0.25),
            }
        )
        stored = space.store({"a": np.float64(1), "b": np.int64(3), "c": np.int64(2)})

        assert (
            repr(space)
            == "Space({'a': Float(0.5, 2.0), 'b': Int(1, 9), 'c': Choice([1, 2]), 'd': 0.25})"
        )
        assert repr(stored) == "{'a': 1.0, 'b': 3, 'c': 2}"

    def test_only_constants(self):
        """A space without anything to tune has one configuration."""
        space = Space({"epochs": 10})

        assert space.size == 1
        assert list(space.grid()) == [{}]
        assert space.encode({}).shape == (0,)
        assert space.materialize(space.decode([])) == {"epochs": 10}

    def test_grid_order(self):
        """The last name changes fastest, and a branch's params come within it."""
        space = Space({"a": Choice({"x": {"n": Int(1, 2)}, "y": {}}), "b": Choice([False, True])})

        assert list(space.grid()) == [
            {"a": "x", "n": 1, "b": False},
            {"a": "x", "n": 1, "b": True},
            {"a": "x", "n": 2, "b": False},
            {"a": "x", "n": 2, "b": True},
            {"a": "y", "b": False},
            {"a": "y", "b": True},
        ]

    def test_a_vast_grid_is_looked_into_at_once(self):
        """A place far out is found without going through what comes before it."""
        space = Space({f"x{i}": Int(1, 10) for i in range(30)})

        assert space.size == 10**30
        assert set(space.at(10**30 - 1).values()) == {10}
        with pytest.raises(IndexError, match="has none at"):
            space.at(10**30)

    def test_an_infinite_space_has_no_grid(self):
        """The error names what makes it infinite, and what to do."""
        with pytest.raises(SpaceError, match=r"lr, C may be any number.*step.*Choice"):
            SPACE.grid()
        assert SPACE.size is None

    def test_decoding_refuses_what_is_no_point(self):
        """Too few entries, or NaN where a param is active, are errors; NaN elsewhere is not."""
        unit = SPACE.encode(FOREST)
        assert SPACE.decode(unit).keys() == FOREST.keys()
        unit[0] = math.nan

        with pytest.raises(SpaceError, match="lr is active, but its entry in the unit cube is NaN"):
            SPACE.decode(unit)
        with pytest.raises(SpaceError, match="needs 7 entries, but got 2"):
            SPACE.decode([0.5, 0.5])

    def test_the_key_ignores_order_and_tells_types_apart(self):
        """Two dicts of the same params have one key, and 1, 1.0 and True have three."""
        assert SPACE.key(SVM) == SPACE.key(dict(reversed(SVM.items())))
        assert len({SPACE.key({"x": value}) for value in (1, 1.0, True)}) == 3


def without(params, name):
    return {key: value for key, value in params.items() if key != name}


class TestPoints:
    """What a person hears who gives a point that doesn't fit."""

    @pytest.mark.parametrize(
        ("point", "message"),
        [
            ({**SVM, "lr": 1.0}, "lr must be a number from 0.0001 to 0.1, but got 1.0 (float)"),
            ({**SVM, "lr": "0.01"}, "lr must be a number from 0.0001 to 0.1, but got '0.01' (str)"),
            (
                {**SVM, "lr": math.nan},
                "lr must be a number from 0.0001 to 0.1, but got nan (float)",
            ),
            ({**SVM, "batch": 32.5}, "batch must be a whole number from 16 to 512, but got 32.5"),
            ({**SVM, "batch": True}, "batch must be a whole number from 16 to 512, but got True"),
            (
                {**SVM, "batch": 10**400},
                "batch must be a whole number from 16 to 512, but got 1000",
            ),
            (
                {**SVM, "model": "tree"},
                "model must be one of 'svm', 'forest', but got 'tree' (str)",
            ),
            ({**SVM, "model": None}, "model must be one of 'svm', 'forest', but got None"),
            (
                {**SVM, "model": ["svm"]},
                "model must be one of 'svm', 'forest', but got ['svm'] (list)",
            ),
            ({**SVM, "depth": 3}, "depth is only active when model is 'forest'. Leave it out"),
            ({**SVM, "gamma": 3}, "gamma is only active when model is 'svm' and kernel is 'rbf'."),
            ({**FOREST, "bach": 1}, "'bach' is not in the space. Did you mean batch?"),
            ({**FOREST, "zzz": 1}, "'zzz' is not in the space. It has lr, batch, model"),
            ({**FOREST, 3: 1}, "3 is not in the space"),
            (
                without(SVM, "C"),
                "C is missing: it must be a number from 0.1 to 10.0. Given: lr,",
            ),
            ({}, "lr is missing: it must be a number from 0.0001 to 0.1. Given: nothing"),
            ([0.1, 32], "must be a dict"),
        ],
    )
    def test_neither_checked_nor_stored(self, point, message):
        """Who, which rule, what was given: from `check` and `store`; and it isn't contained."""
        for refuse in (SPACE.check, SPACE.store):
            with pytest.raises(SpaceError) as caught:
                refuse(point)
            assert message in str(caught.value)
        assert not SPACE.contains(point)

    @pytest.mark.parametrize(
        "params",
        [
            {**SVM, "lr": 1},
            {**SVM, "lr": np.float64(0.01)},
            {**SVM, "batch": 32.0},
            {**SVM, "batch": np.int64(32)},
            {**SVM, "epochs": 10},
        ],
    )
    def test_the_stored_form_is_strict(self, params):
        """Params with NumPy values, whole floats or constants are not in stored form."""
        assert not SPACE.contains(params)

    def test_constants_may_be_repeated(self):
        """A point may name a constant with its value, and with no other."""
        assert SPACE.store({**FOREST, "epochs": 10, "trees": 100}) == FOREST
        with pytest.raises(SpaceError, match="epochs is the constant 10, but got 20"):
            SPACE.store({**FOREST, "epochs": 20})
        with pytest.raises(SpaceError, match="trees is only active when model is 'forest'"):
            SPACE.store({**SVM, "trees": 100})

    def test_whole_floats_are_whole_numbers(self):
        """A whole number that went through a table, as 32.0, is stored as 32."""
        stored = SPACE.store({**FOREST, "batch": 32.0})

        assert repr(stored["batch"]) == "32"


class TestMistakes:
    """What a person hears who writes a space that can't be."""

    @pytest.mark.parametrize(
        ("entries", "message"),
        [
            (
                [Int(1, 2)],
                "a space must be a dict of names and domains, but got [Int(1, 2)] (list)",
            ),
            ({"": Int(1, 2)}, "a name in the space must be a non-empty string, but got ''"),
            ({1: Int(1, 2)}, "a name in the space must be a non-empty string, but got 1"),
            (
                {"x": [1, (Int(1, 2),)]},
                "x.1 in the space has a Float, Int or Choice inside a tuple",
            ),
            (
                {"x": Int(1, 2), "m": Choice({"a": {"x": Int(1, 2)}})},
                "x is in the space twice: at the top and when m is 'a'",
            ),
            (
                {"m": Choice({"a": {"x": Int(1, 2)}}), "n": Choice({"b": {"x": Int(1, 2)}})},
                "x is in the space twice: when m is 'a' and when n is 'b'",
            ),
            (
                {"m": Choice({"a": {"x": Int(1, 2)}, "b": {"x": Int(1, 3)}})},
                "x stands for Int(1, 2) when m is 'a', but for Int(1, 3) when m is 'b'. Give them",
            ),
            (
                {"m": Choice({"a": {"x": Int(1, 2)}, "b": {"x": 1}})},
                "x stands for Int(1, 2) when m is 'a', but for 1 when m is 'b'",
            ),
            ({"m": Choice({"a": {"m": Int(1, 2)}})}, "m is in the space twice"),
        ],
    )
    def test_names(self, entries, message):
        """A name is a text, in one place, or in branches that exclude one another and agree."""
        with pytest.raises(SpaceError) as caught:
            Space(entries)
        assert message in str(caught.value)

    def test_domains_of_other_libraries(self):
        """A domain of another library is no constant: it is translated, or refused in words."""
        for module, message in {
            "hyperopt.pyll.base": "x is a domain of hyperopt: call manyfit.hyperopt.fmin, or",
            "skopt.space": "x is a domain of skopt: write a Float, an Int or a Choice",
            "scipy.stats._multivariate": "x: prior must be a distribution of scipy.stats with its",
        }.items():
            foreign = type("Uniform", (), {"__module__": module})()
            with pytest.raises(SpaceError, match=message):
                Space({"x": foreign})


class TestOpenPoints:
    """Points that name some params: what they leave open is drawn."""

    SPACE: ClassVar = Space(
        {
            "lr": Float(1e-4, 0.1, log=True),
            "model": Choice(
                {
                    "svm": {"C": Float(0.1, 10.0), "kernel": Choice({"rbf": {"g": Int(1, 9)}})},
                    "forest": {"depth": Int(2, 9)},
                    "bayes": {},
                }
            ),
        }
    )

    @pytest.mark.parametrize(
        "point", [{}, {"lr": 0.01}, {"depth": 3}, {"g": 4}, {"model": "bayes"}, {"kernel": "rbf"}]
    )
    def test_the_rest_is_drawn(self, point):
        """In the branches where those are that it names; what it names is kept."""
        for seed in range(10):
            params = self.SPACE.store(point, np.random.default_rng(seed))
            assert self.SPACE.contains(params)
            assert params == {**params, **point}

    @pytest.mark.parametrize(
        ("point", "message"),
        [
            ({"depth": 3, "C": 1.0}, "is only active when model is"),
            ({"deep": 3}, "Did you mean depth"),
            ({"lr": 1.0}, "lr must be"),
            ({"depth": 3, "model": "svm"}, "depth is only active when model is 'forest'"),
        ],
    )
    def test_what_is_wrong_stays_wrong(self, point, message):
        """Names and values are checked as ever."""
        with pytest.raises(SpaceError, match=message):
            self.SPACE.store(point, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("value", "way"),
    [
        ({64, 32}, "Choice(sorted(...)) around it. A constant can be a frozenset"),
        ((n for n in (64, 32)), "Choice(...) around it. A constant can be a tuple"),
        (map(str, [1]), "Choice(...) around it. A constant can be a tuple"),
        ({64: 1}.keys(), "Choice(...) around it. A constant can be a tuple"),
        (np.array([64, 32]), "A constant can be the only option of a Choice: Choice([array])"),
        (pd.Series([64, 32]), "A constant can be the only option of a Choice: Choice([array])"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_else_may_be_options_is_refused(value, way):
    """A set, what gives its items out once, and arrays of one dimension, each with its ways out."""
    for entries in ({"act": value}, {"m": Choice({"a": {"act": value}})}):
        with pytest.raises(SpaceError, match=f"options, or a constant.* {re.escape(way)}"):
            Space(entries)


def test_collections_that_are_constants(tmp_path):
    """The ways out work, and what can't be options is a constant as it is."""
    array = np.array([64, 32])
    with (tmp_path / "f").open("w") as file:
        values = (frozenset({1}), np.ones((2, 2)), pd.DataFrame({"a": [1]}), file, b"x", Sequence)
        space = Space({str(n): value for n, value in enumerate(values)} | {"x": Choice([array])})
        assert len(space.constants) == len(values)
        assert space.materialize({"x": space.params["x"].labels[0]})["x"].tolist() == [64, 32]


@pytest.mark.parametrize("kind", [Float, Int, Choice])
def test_a_class_without_its_brackets_is_refused(kind):
    """At the top, in a branch, in a collection, and as an option."""
    for entries in ({"lr": kind}, {"m": {"lr": kind}}, {"lr": {kind}}, {"lr": (1, kind)}):
        with pytest.raises(
            SpaceError, match=f"lr in the space is the class {kind.__name__}|inside"
        ):
            Space(entries)
    with pytest.raises(SpaceError, match=r"branch 'a' is the class .* call it, as in"):
        Choice({"a": {"lr": kind}})
    with pytest.raises(SpaceError, match="an option of a Choice can't hold"):
        Choice([kind])


@pytest.mark.parametrize("value", [["relu", "tanh"], [64], [], range(3)], ids=repr)
def test_a_list_may_be_options_and_is_refused(value):
    """At the top and in branches, with both ways out; on record, and within, it is as it was."""
    for entries in ({"act": value}, {"m": Choice({"a": {"act": value}})}):
        with pytest.raises(SpaceError, match=r"act in the space .* write Choice\(...\) around it"):
            Space(entries)
    assert Space({"act": tuple(value), "net": {"sizes": value}}).size == 1
    record = {"act": {"type": "constant", "value": list(value)}}
    assert Space.from_json(record).constants == {"act": list(value)}


class TestRecords:
    def test_the_record(self):
        """The record of a space is for ever: this one must stay readable."""
        record = {
            "lr": {"type": "float", "low": 0.0001, "high": 0.1, "log": True},
            "drop": {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1},
            "batch": {"type": "int", "low": 16, "high": 512, "log": True},
            "units": {"type": "int", "low": 8, "high": 64, "step": 8},
            "act": {"type": "choice", "options": [None, True, "relu"], "weights": [1.0, 1.0, 2.0]},
            "model": {
                "type": "choice",
                "branches": {"svm": {"C": {"type": "int", "low": 1, "high": 9}}, "mean": {}},
            },
            "epochs": {"type": "constant", "value": {"most": 10}},
        }
        space = Space(
            {
                "lr": Float(1e-4, 0.1, log=True),
                "drop": Float(0, 0.5, step=0.1),
                "batch": Int(16, 512, log=True),
                "units": Int(8, 64, step=8),
                "act": Choice([None, True, "relu"], weights=[1, 1, 2]),
                "model": Choice({"svm": {"C": Int(1, 9)}, "mean": {}}),
                "epochs": {"most": 10},
            }
        )

        assert space.to_json() == record
        assert Space.from_json(record) == space

    def test_what_is_no_json_is_recorded_by_label(self):
        """Functions by name, other values by their repr, objects without one by their type."""
        space = Space(
            {
                "f": Choice([max, (1, 2), math.inf, frozenset("ba"), b"x"]),
                "g": min,
                "h": object(),
                "i": (1, {"a": b"x"}),
                "j": "x" * 500,
                "k": slice(10**6),
                "l": np.ones((2, 5000)),
            }
        )

        record = space.to_json()

        options = ["builtins.max", "(1, 2)", "inf", "{'a', 'b'}", "b'x'"]
        assert record.pop("f") == {"type": "choice", "options": options}
        assert {name: entry["value"] for name, entry in record.items()} == {
            "g": "builtins.min",
            "h": "builtins.object object",
            "i": [1, {"a": "b'x'"}],
            "j": "x" * 500,
            "k": "slice(None, 1000000, None)",
            "l": repr(np.ones((2, 5000))),
        }

    def test_a_long_label_is_cut(self):
        """A constant whose repr is a book leaves its beginning."""
        value = Space({"x": frozenset(range(1000))}).to_json()["x"]["value"]

        assert len(value) == 200
        assert value.endswith("...")

    def test_credentials_stay_out(self):
        """Constants that look like credentials are redacted in the record, at any depth."""
        secret = "hunter2-hunter2"
        space = Space(
            {
                "api_key": secret,
                "url": f"https://me:{secret}@host/db",
                "nested": {"password": secret, "tokens": [1, 2]},
                "m": Choice({"a": {"db_password": secret}}),
                "max_tokens": 512,
            }
        )

        assert secret not in json.dumps(space.to_json())
        assert space.to_json()["max_tokens"]["value"] == 512
        assert space.materialize({"m": "a"})["api_key"] == secret
        assert Space.from_json(space.to_json()) == space

    def test_no_record(self):
        """Something else is refused, and named."""
        with pytest.raises(SpaceError, match="not a record of a Float"):
            Space.from_json({"x": {"type": "complex"}})

    def test_difference_in_sentences(self):
        """Each name that changed, went or came gets one line."""
        new = Space(
            {
                "lr": Float(1e-4, 0.2, log=True),
                "batch": Int(16, 512, log=True),
                "model": Choice({"svm": {"C": Int(1, 9)}, "mean": {}}, weights=[2, 1]),
                "epochs": 20,
            }
        )

        assert SPACE.difference(new) == [
            "lr: Float(0.0001, 0.1, log=True) became Float(0.0001, 0.2, log=True)",
            (
                "model: Choice of the branches svm, forest became "
                "Choice of the branches svm, mean weighted [2.0, 1.0]"
            ),
            "C (when model is 'svm'): Float(0.1, 10.0) became Int(1, 9)",
            "epochs: the constant 10 became the constant 20",
            "- kernel (when model is 'svm'): Choice of the branches rbf, no",
            "- gamma (when model is 'svm' and kernel is 'rbf'): Int(1, 5)",
            "- depth (when model is 'forest'): Int(2, 9)",
            "- trees (when model is 'forest'): the constant 100",
        ]
        assert new.difference(SPACE)[-1].startswith("+ trees")

    def test_a_new_order_of_names_is_no_difference(self):
        """Only what is in a space counts, not the order in which it was written."""
        one, other = Space({"a": Int(1, 2), "b": 3}), Space({"b": 3, "a": Int(1, 2)})

        assert one.difference(other) == []
