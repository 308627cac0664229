"""Hyperparameters by Hyperopt's names: their laws, their values and their rules."""

import math

import numpy as np
import pytest

from manyfit.errors import SpaceError
from manyfit.hyperopt import DuplicateLabel, hp, scope, space_eval
from manyfit.hyperopt.layout import Layout
from manyfit.hyperopt.pyll.stochastic import sample

# One of each law, with the function by which Hyperopt draws it, and its arguments.
LAWS = {
    "uniform": (hp.uniform, "uniform", (-2, 3)),
    "loguniform": (hp.loguniform, "loguniform", (-4, 1)),
    "quniform": (hp.quniform, "quniform", (1, 10, 1.5)),
    "quniform of tenths": (hp.quniform, "quniform", (0, 1, 0.1)),
    "quniform beyond its bounds": (hp.quniform, "quniform", (1, 11, 4)),
    "qloguniform": (hp.qloguniform, "qloguniform", (0, 4, 3)),
    "normal": (hp.normal, "normal", (1, 2)),
    "qnormal": (hp.qnormal, "qnormal", (1, 3, 2)),
    "lognormal": (hp.lognormal, "lognormal", (-1, 0.5)),
    "qlognormal": (hp.qlognormal, "qlognormal", (1, 1, 2)),
    "uniformint": (hp.uniformint, "quniform", (2, 6, 1.0)),
    "randint below": (hp.randint, "randint", (5,)),
    "randint between": (hp.randint, "randint", (3, 9)),
    "pchoice": (hp.pchoice, "categorical", ([0.1, 0.6, 0.0, 0.3],)),
    "choice": (hp.choice, "randint", (4,)),
}
DRAWS = 20_000
# The largest distance of two distribution functions that chance makes once in a thousand times, if
# one of them is known (Kolmogorov and Smirnov).
DISTANCE = 1.95 / math.sqrt(DRAWS)


def layout_of(name):
    """The layout of a space of one hyperparameter, x."""
    law, _, args = LAWS[name]
    if name == "pchoice":
        return Layout.of(law("x", [(p, i) for i, p in enumerate(args[0])]))
    if name == "choice":
        return Layout.of(law("x", list(range(args[0]))))
    return Layout.of(law("x", *args[:2] if name == "uniformint" else args))


def hyperopt_draws(name):
    stochastic = pytest.importorskip("hyperopt.pyll.stochastic")
    _, function, args = LAWS[name]
    rng = np.random.default_rng(1)
    return np.asarray(getattr(stochastic, function)(*args, rng=rng, size=DRAWS), float)


@pytest.mark.parametrize("name", LAWS)
def test_quantiles_are_those_of_hyperopts_draws(name):
    """A share u of 20,000 draws of Hyperopt is below our value at u, to the precision of chance."""
    drawn, layout = hyperopt_draws(name), layout_of(name)
    units = np.linspace(0.005, 0.995, 67)
    domain = layout.space.params["x"]

    values = np.array([layout.values({"x": domain.decode(u)})["x"] for u in units], float)

    below = (drawn[:, None] < values - 1e-9).mean(axis=0)
    upto = (drawn[:, None] <= values + 1e-9).mean(axis=0)
    assert (below - DISTANCE <= units).all()
    assert (units <= upto + DISTANCE).all()


@pytest.mark.soak("contracts")
@pytest.mark.parametrize("name", LAWS)
def test_draws_are_distributed_as_hyperopts(name):
    """20,000 draws of each could be of one distribution: Kolmogorov-Smirnov, or chi-square."""
    from scipy.stats import chi2_contingency, ks_2samp

    theirs, layout = hyperopt_draws(name), layout_of(name)
    rng = np.random.default_rng(2)
    ours = np.array([layout.values(layout.space.sample(rng))["x"] for _ in range(DRAWS)], float)

    values, places = np.unique(np.round([*theirs, *ours], 6), return_inverse=True)
    if len(values) > 100:
        assert ks_2samp(theirs, ours).pvalue > 0.001
        return
    table = [np.bincount(half, minlength=len(values)) for half in (places[:DRAWS], places[DRAWS:])]
    common = np.sum(table, axis=0) >= 10
    assert chi2_contingency([each[common] for each in table]).pvalue > 0.001


@pytest.mark.parametrize(
    ("made", "given", "value"),
    [
        (hp.quniform("x", 0, 1, 0.1), 0.30000000000000004, 0.30000000000000004),
        (hp.quniform("x", 0, 9, 1), 4.0, 4.0),
        (hp.uniformint("x", 0, 9), 4.0, 4),
        (hp.randint("x", 9), 4, 4),
        (scope.int(hp.quniform("x", 0, 9, 1)), 4.0, 4),
        (hp.choice("x", ["a", "b"]), 1, "b"),
        (hp.pchoice("x", [(0.5, "a"), (0.5, None)]), 1, None),
    ],
)
def test_values_have_hyperopts_types(made, given, value):
    """Rounded laws give floats with Hyperopt's rounding errors, whole ones ints."""
    found = space_eval(made, {"x": given})

    assert (type(found), found) == (type(value), value)


def test_rounded_values_are_rounded_as_in_hyperopt():
    """A stored 0.3 reads as 3 * 0.1, which is what Hyperopt's arithmetic gives."""
    layout = Layout.of(hp.quniform("x", 0, 1, 0.1))

    assert layout.values({"x": 0.3}) == {"x": 0.30000000000000004}
    assert layout.space.store(layout.stored({"x": 0.30000000000000004})) == {"x": 0.3}


@pytest.mark.parametrize(
    ("law", "args", "value"),
    [(hp.randint, (1,), 0), (hp.randint, (4, 5), 4), (hp.quniform, (0.1, 0.4, 1), 0.0)],
)
def test_a_law_of_one_value_is_no_param_and_has_its_value(law, args, value):
    """It is not searched, and is among the values nevertheless."""
    layout = Layout.of({"x": law("x", *args)})

    assert layout.space.params == {}
    assert layout.values({}) == {"x": value}
    assert layout.stored({"x": value}) == {}


@pytest.mark.parametrize(
    ("law", "args", "said"),
    [
        (hp.uniform, (1, 1), "low < high"),
        (hp.uniform, (0, -1), "low < high"),
        (hp.uniform, (0, hp.uniform("y", 0, 1)), "finite numbers"),
        (hp.uniform, (0, math.inf), "finite numbers"),
        (hp.loguniform, (1, 1000), r"np.log\(1\), np.log\(1000\)"),
        (hp.quniform, (0, 1, 0), "q > 0"),
        (hp.normal, (0, 0), "sigma > 0"),
        (hp.lognormal, (0, -1), "sigma > 0"),
        (hp.randint, (0,), "no value"),
        (hp.randint, (5, 5), "no value"),
        (hp.randint, (2.5,), "whole numbers"),
        (hp.choice, ([],), "at least one option"),
        (hp.pchoice, ([(0.5, 1), (0.4, 2)],), "sum to 1"),
        (hp.pchoice, ([(0.5, 1), (0.5, 2, 3)],), "pairs"),
        (hp.pchoice, ([(-1, 1), (2, 2)],), "sum to 1"),
    ],
)
def test_wrong_arguments_are_refused(law, args, said):
    """The message says what is wrong, before anything runs; they are ValueErrors, as Hyperopt's."""
    with pytest.raises(SpaceError, match=said) as raised:
        law("x", *args)

    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("label", [None, 3, "", b"x"])
def test_a_label_is_a_string(label):
    """Anything else is a TypeError, as in Hyperopt."""
    with pytest.raises(TypeError, match="label"):
        hp.uniform(label, 0, 1)


def test_bounds_that_look_like_values_are_doubted(caplog):
    """loguniform takes logarithms: 1e-5 and 1e-1 give values from 1.00001 to 1.10517."""
    hp.loguniform("rate", 1e-5, 1e-1)
    hp.loguniform("rate", math.log(1e-5), math.log(1e-1))

    (warning,) = caplog.messages
    assert "from 1.00001 to 1.10517" in warning
    assert "np.log(1e-05), np.log(0.1)" in warning


def test_bounds_that_are_values_are_refused_if_they_are_too_large():
    """The advice has no logarithm of zero."""
    with pytest.raises(SpaceError, match=r"at most 709, but got 1000\. For values up to 1000"):
        hp.loguniform("units", 0, 1000)


def test_the_same_label_twice_is_refused():
    """Also in different branches, and for equal laws; one object may be in several places."""
    shared = hp.uniform("x", 0, 1)
    with pytest.raises(DuplicateLabel, match="'x'"):
        Layout.of([hp.uniform("x", 0, 1), hp.uniform("x", 0, 1)])
    with pytest.raises(DuplicateLabel, match="'x'"):
        Layout.of(hp.choice("c", [hp.uniform("x", 0, 1), hp.uniform("x", 0, 1)]))

    first, second = sample([shared, {"again": shared}])

    assert first == second["again"]


def test_arithmetic_and_functions_are_computed_in_the_trial():
    """Expressions, scope's functions and one's own, anywhere in a space."""

    @scope.define
    def doubled(x):
        return 2 * x

    x = hp.randint("x", 1, 9)
    space = [1 + x, 10 - x, x * 2, 2**x, -x, x / 2, x // 2, x > 3, (5, 6, 7)[2] + x]
    space += [scope.doubled(x), scope.max(x, 4), scope.sqrt(x), scope.pos_args(1, x)[1]]
    scope.undefine("doubled")

    assert space_eval(space, {"x": 4}) == (5, 6, 8, 16, -4, 2, 2, True, 11, 8, 4, 2, 4)


def test_what_has_no_label_is_no_hyperparameter():
    """scope.uniform would draw without a record; an expression is neither true nor a list."""
    with pytest.raises(SpaceError, match="use hp instead"):
        scope.uniform(0, 1)
    with pytest.raises(AttributeError, match=r"@scope.define"):
        scope.unheard_of(1)
    with pytest.raises(TypeError, match="no truth value"):
        bool(hp.uniform("x", 0, 1))
    with pytest.raises(TypeError, match="no items"):
        list(hp.uniform("x", 0, 1))
