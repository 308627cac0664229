"""Spaces of other libraries, as people have them: SciPy, Optuna, Ray Tune, ConfigSpace."""

import ConfigSpace
import numpy as np
import optuna
import pytest
import scipy.stats
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from manyfit import Choice, Float, Int, Space, tune
from manyfit.errors import SpaceError
from manyfit.hyperopt import hp


def sampler(name, **fields):
    return type(name, (), {"__module__": "ray.tune.search.sample", **fields})()


def domain(name, law, **fields):
    """A stand-in for a domain of Ray Tune, with the attributes that those have."""
    return sampler(name, get_sampler=lambda _: law, **fields)


UNIFORM, LOG = sampler("_Uniform"), sampler("_LogUniform", base=10)


def stepped(law, q):
    return sampler("Quantized", sampler=law, q=q)


def tens(law, name="Float"):
    return domain(name, law, lower=10, upper=100)


stats = scipy.stats
TRANSLATED = {
    "scipy uniform": (stats.uniform(1, 9), Float(1, 10)),
    "scipy loguniform": (stats.loguniform(1e-3, 1), Float(1e-3, 1, log=True)),
    "scipy moved": (stats.loguniform(1, 10, loc=2), Float(prior=stats.loguniform(1, 10, loc=2))),
    "scipy randint": (stats.randint(1, 10), Int(1, 9)),
    "scipy gamma": (stats.gamma(2), Float(prior=stats.gamma(2))),
    "scipy poisson": (stats.poisson(2), Int(prior=stats.poisson(2))),
    "optuna float": (FloatDistribution(1e-3, 1, log=True), Float(1e-3, 1, log=True)),
    "optuna step": (FloatDistribution(0, 1, step=0.25), Float(0, 1, step=0.25)),
    "optuna int": (IntDistribution(1, 9, step=2), Int(1, 9, step=2)),
    "optuna options": (CategoricalDistribution(("a", None)), Choice(["a", None])),
    "configspace float": (ConfigSpace.Float("C", (0.1, 10), log=True), Float(0.1, 10, log=True)),
    "configspace int": (ConfigSpace.Integer("n", (1, 9)), Int(1, 9)),
    "configspace options": (
        ConfigSpace.Categorical("k", ["a", "b"], weights=[1, 3]),
        Choice(["a", "b"], weights=[1, 3]),
    ),
    "ray uniform": (tens(UNIFORM), Float(10, 100)),
    "ray loguniform": (tens(LOG), Float(10, 100, log=True)),
    "ray quniform": (tens(stepped(UNIFORM, 5)), Float(10, 100, step=5)),
    "ray off the grid": (
        tens(stepped(UNIFORM, 20)),
        Float(prior=stats.uniform(10, 90), step=20),
    ),
    "ray qloguniform": (tens(stepped(LOG, 5)), Float(prior=stats.loguniform(10, 100), step=5)),
    "ray randn": (
        domain("Float", sampler("_Normal", mean=1, sd=2), lower=None, upper=None),
        Float.normal(1, 2),
    ),
    "ray randint": (tens(UNIFORM, "Integer"), Int(10, 99)),
    "ray qrandint": (tens(stepped(UNIFORM, 5), "Integer"), Int(10, 100, step=5)),
    "ray qrandint of 1": (tens(stepped(UNIFORM, 1), "Integer"), Int(10, 99)),
    "ray lograndint": (tens(LOG, "Integer"), Int(10, 99, log=True)),
    "ray choice": (domain("Categorical", None, categories=["a", "b"]), Choice(["a", "b"])),
    "ray grid_search": ({"grid_search": [1, 2]}, Choice([1, 2])),
}


@pytest.mark.parametrize(("given", "wanted"), TRANSLATED.values(), ids=TRANSLATED)
def test_a_domain_is_taken_as_it_is(given, wanted):
    """At the top, inside a dict or a list, and in a branch."""
    assert Space({"x": given}).params == {"x": wanted}
    nested = Space({"a": {"x": given, "n": 1}, "b": [given], "m": Choice({"on": {"y": given}})})
    same = Space({"a": {"x": wanted, "n": 1}, "b": [wanted], "m": Choice({"on": {"y": wanted}})})
    assert nested == same


def test_a_distribution_of_one_value_is_a_constant():
    """As in Optuna, which calls it single."""
    assert Space({"x": IntDistribution(4, 4)}).constants == {"x": 4}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            domain("Function", None),
            "x is a Function of Ray Tune: write a Float, an Int or",
        ),
        (stats.norm, "x: prior must be a distribution of scipy.stats with its parameters"),
        (stats.multivariate_normal(), "x: prior must be a distribution of scipy.stats"),
        (stats.uniform(1, 0), r"x: Float needs a finite number|x: Float\(.*needs low < high"),
        (hp.uniform("x", 0, 1), "x is a domain of manyfit.hyperopt: call manyfit.hyperopt.fmin"),
    ],
)
def test_what_has_no_counterpart_is_refused(given, message):
    """By its name, with what to write."""
    with pytest.raises(SpaceError, match=message):
        Space({"x": given})


@pytest.mark.parametrize(
    "given", [FloatDistribution(0, 1), ConfigSpace.Float("x", (0, 1)), stats.norm()]
)
def test_a_domain_is_no_option(given):
    """It would not be searched; the objective would receive the domain itself."""
    with pytest.raises(SpaceError, match="an option of a Choice can't hold"):
        Choice([1, given])


@pytest.mark.parametrize("around", [lambda s: s, lambda s: Choice({"a": s})], ids=["in", "branch"])
def test_a_space_of_configspace_is_the_whole_space(around):
    """Inside a dict and as a branch its conditions would be lost, so it is refused there."""
    inner = ConfigSpace.ConfigurationSpace({"x": (0.0, 1.0)})
    with pytest.raises(SpaceError, match="a ConfigurationSpace of ConfigSpace: it can only be the"):
        Space({"m": around(inner)})


def configuration_space(*conditions):
    space = ConfigSpace.ConfigurationSpace(seed=0)
    space.add(
        ConfigSpace.Categorical("model", ["svm", "tree", "none"], weights=[1, 2, 1]),
        ConfigSpace.Float("C", (0.1, 10), log=True),
        ConfigSpace.Categorical("kernel", ["rbf", "linear"]),
        ConfigSpace.Float("gamma", (0.001, 1.0)),
        ConfigSpace.Integer("depth", (1, 9)),
        ConfigSpace.Float("shift", (-2, 2), distribution=ConfigSpace.Normal(0, 1)),
        ConfigSpace.Categorical("size", ["s", "m", "l"], ordered=True),
        ConfigSpace.Constant("seed", 3),
    )
    space.add([make(space) for make in conditions])
    return space


CONDITIONS = (
    lambda s: ConfigSpace.EqualsCondition(s["C"], s["model"], "svm"),
    lambda s: ConfigSpace.EqualsCondition(s["kernel"], s["model"], "svm"),
    lambda s: ConfigSpace.EqualsCondition(s["gamma"], s["kernel"], "rbf"),
    lambda s: ConfigSpace.InCondition(s["depth"], s["model"], ["svm", "tree"]),
)


def test_conditions_of_configspace_become_branches(tmp_path):
    """Nested ones, too, and a child of several values of its parent."""
    given = configuration_space(*CONDITIONS)
    space = Space(given)

    kernel = Choice({"rbf": {"gamma": Float(0.001, 1)}, "linear": {}})
    svm = {"C": Float(0.1, 10, log=True), "depth": Int(1, 9), "kernel": kernel}
    assert space.params["model"] == Choice(
        {"svm": svm, "tree": {"depth": Int(1, 9)}, "none": {}}, weights=[1, 2, 1]
    )
    assert space.params["shift"] == Float(-2, 2, prior=stats.norm(0, 1))
    assert space.params["size"] == Choice(["s", "m", "l"])
    assert space.constants == {"seed": 3}
    for configuration in given.sample_configuration(20):
        space.store(dict(configuration))
    for seed in range(20):
        drawn = space.materialize(space.sample(np.random.default_rng(seed)))
        ConfigSpace.Configuration(given, values=drawn).check_valid_configuration()
    result = tune(
        lambda params: params["shift"], given, metric="loss", n_trials=3, seed=0,
        executor="inline", tracker=None, progress=None, folder=tmp_path,
    )  # fmt: skip
    assert len(result) == 3


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            lambda s: ConfigSpace.GreaterThanCondition(s["C"], s["depth"], 3),
            r"the condition C \| depth > 3 of ConfigSpace is refused: only one",
        ),
        (
            lambda s: ConfigSpace.AndConjunction(
                ConfigSpace.EqualsCondition(s["C"], s["model"], "svm"),
                ConfigSpace.EqualsCondition(s["C"], s["kernel"], "rbf"),
            ),
            "is refused: only one condition, on the value of a categorical parent, can become",
        ),
    ],
)
def test_other_conditions_are_refused_by_name(condition, message):
    """A space that would be searched differently is no translation."""
    with pytest.raises(SpaceError, match=message):
        Space(configuration_space(condition))


def test_forbidden_clauses_are_refused():
    """They would be tried."""
    space = configuration_space()
    space.add(ConfigSpace.ForbiddenEqualsClause(space["size"], "l"))
    with pytest.raises(SpaceError, match=r"forbids Forbidden: size == 'l': a space has no such"):
        Space(space)


def test_distributions_of_a_study_of_optuna_are_a_space():
    """`study.trials[0].distributions` is a dict of them."""
    study = optuna.create_study()
    trial = study.ask()
    trial.suggest_float("x", 1e-3, 1, log=True)
    trial.suggest_categorical("kind", ["a", "b"])

    assert Space(trial.distributions) == Space(
        {"x": Float(1e-3, 1, log=True), "kind": Choice(["a", "b"])}
    )
