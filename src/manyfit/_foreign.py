"""Domains of other libraries as ours: of SciPy, Optuna, ConfigSpace and Ray Tune.

They are recognised by the modules of their classes, so no library is imported for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manyfit._optional import load
from manyfit.domain import Float, Int
from manyfit.errors import SpaceError

_CONFIGSPACE = "ConfigSpace."
_RAY = "ray.tune."
_OPTUNA = "optuna.distributions"
_SCIPY = "scipy.stats."
_GRID = {"grid_search"}  # the key of what `ray.tune.grid_search` returns
_REFUSED = {
    "hyperopt.": "call manyfit.hyperopt.fmin, or write a Float, an Int or a Choice",
    "manyfit.hyperopt.": "call manyfit.hyperopt.fmin, or write a Float, an Int or a Choice",
    "skopt.": "write a Float, an Int or a Choice",
}


@dataclass(frozen=True)
class Options:
    """What becomes a Choice."""

    options: Sequence[Any]
    weights: Sequence[float] | None = None


def is_foreign(value: object) -> bool:
    """Return whether a value is a domain of another library."""
    module = type(value).__module__
    if module.startswith((_CONFIGSPACE, _RAY, _OPTUNA, _SCIPY, *_REFUSED)):
        return True
    if isinstance(value, Mapping) and value.keys() == _GRID:
        return isinstance(value["grid_search"], list | tuple)
    return False


def translated(name: str, value: Any) -> Any:
    """Return a domain of another library as a Float, an Int, `Options` or a constant.

    Raises:
        SpaceError: It has no counterpart; the message says what to write.
    """
    module = type(value).__module__
    for prefix, advice in _REFUSED.items():
        if module.startswith(prefix):
            raise SpaceError(f"{name} is a domain of {prefix.rstrip('.')}: {advice}")
    if module.startswith(_CONFIGSPACE):
        return _of_configspace(name, value)
    if isinstance(value, Mapping):
        return Options(list(value["grid_search"]))
    if module.startswith(_OPTUNA):
        return _of_optuna(name, value)
    if module.startswith(_RAY):
        return _of_ray(name, value)
    try:
        return of_scipy(value)
    except SpaceError as error:
        raise SpaceError(f"{name}: {error}") from error


def of_scipy(value: Any) -> Float | Int:
    """Return a frozen distribution of SciPy: a range if it is uniform, and a prior otherwise.

    Example:
        >>> from scipy.stats import gamma, loguniform, randint, uniform
        >>> of_scipy(uniform(1, 9)), of_scipy(loguniform(1e-4, 1)), of_scipy(randint(1, 10))
        (Float(1.0, 10.0), Float(0.0001, 1.0, log=True), Int(1, 9))
        >>> of_scipy(gamma(2))
        Float(prior=gamma(a=2.0))
    """
    family = getattr(getattr(value, "dist", None), "name", None)
    given = {"loc", "scale"} & getattr(value, "kwds", {}).keys()
    is_moved = bool(given) or len(getattr(value, "args", ())) > 2
    match family:
        case "uniform":
            return Float(*value.support())
        case "loguniform" | "reciprocal" if not is_moved:
            return Float(*value.support(), log=True)
        case "randint":
            return Int(*map(int, value.support()))
    return Int(prior=value) if hasattr(value, "pmf") else Float(prior=value)


def _of_optuna(name: str, value: Any) -> Any:
    if hasattr(value, "choices"):
        return Options(value.choices)
    if value.single():
        return value.low
    if type(value).__name__ == "IntDistribution":
        return Int(value.low, value.high, log=value.log, step=value.step)
    if type(value).__name__ == "FloatDistribution":
        return Float(value.low, value.high, log=value.log, step=value.step)
    raise SpaceError(
        f"{name} is an old {type(value).__name__} of Optuna: give a FloatDistribution, an "
        "IntDistribution or a CategoricalDistribution"
    )


def _of_configspace(name: str, value: Any) -> Any:
    kind = type(value).__name__
    if hasattr(value, "conditions"):
        raise SpaceError(
            f"{name} is a {kind} of ConfigSpace: it can only be the whole space. Write its params "
            "in a dict, and its conditions as branches of a Choice"
        )
    if kind == "CategoricalHyperparameter":
        return Options(value.choices, value.weights)
    if kind == "OrdinalHyperparameter":
        return Options(value.sequence)
    if kind == "Constant":
        return value.value
    domain: Any = Int if kind.endswith("IntegerHyperparameter") else Float
    if kind.startswith("Uniform"):
        return domain(value.lower, value.upper, log=value.log)
    if not kind.startswith(("Normal", "Beta")) or value.log:
        raise SpaceError(
            f"{name} is {value!r:.200} of ConfigSpace: write a Float, an Int or a Choice"
        )
    stats = load("scipy.stats")
    if hasattr(value, "mu"):
        return domain(value.lower, value.upper, prior=stats.norm(value.mu, value.sigma))
    prior = stats.beta(value.alpha, value.beta, value.lower, value.upper - value.lower)
    return domain(value.lower, value.upper, prior=prior)


def _of_ray(name: str, value: Any) -> Any:
    """Return a domain of Ray Tune, whose upper bounds of whole numbers are exclusive by default."""
    kind, sampler, step = type(value).__name__, value.get_sampler(), None
    if kind == "Categorical":
        return Options(value.categories)
    if kind not in ("Float", "Integer"):
        raise SpaceError(
            f"{name} is a {kind} of Ray Tune: write a Float, an Int or a Choice, and compute what "
            "follows from it in the objective"
        )
    if type(sampler).__name__ == "Quantized":
        sampler, step = sampler.sampler, sampler.q
    law = type(sampler).__name__.lstrip("_")
    if law == "Normal":
        return Float.normal(sampler.mean, sampler.sd, step=step)
    domain: Any = Int if kind == "Integer" else Float
    low, high, is_log = value.lower, value.upper, law == "LogUniform"
    if step is None or (step == 1 and domain is Int):
        return domain(low, high - 1 if domain is Int else high, log=is_log)
    if not is_log and low % step == 0:
        return domain(low, high, step=step)
    stats = load("scipy.stats")  # multiples of the step, as Ray rounds
    prior = stats.loguniform(low, high) if is_log else stats.uniform(low, high - low)
    return domain(prior=prior, step=step)
