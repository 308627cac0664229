"""Hyperparameters by Hyperopt's names, arguments and laws: `from manyfit.hyperopt import hp`.

Bounds of log laws are logarithms. The rounded laws (`q...`) give floats, as in Hyperopt: wrap them
in `scope.int` where a whole number is needed, or use `uniformint`.
"""

from collections.abc import Iterable
from typing import Any

from manyfit.errors import SpaceError
from manyfit.hyperopt import laws
from manyfit.hyperopt.expression import Expression, Param, Switch, apply, as_expression
from manyfit.hyperopt.laws import Law


def uniform(label: str, low: float, high: float) -> Expression:
    """Return a number between two bounds, all equally likely."""
    return _number(label, laws.uniform(low, high))


def loguniform(label: str, low: float, high: float) -> Expression:
    """Return exp(u) for a uniform u: the bounds are the logarithms of the smallest and largest."""
    return _number(label, laws.loguniform(low, high))


def quniform(label: str, low: float, high: float, q: float) -> Expression:
    """Return round(u / q) * q, as a float, for a uniform u."""
    return _number(label, laws.quniform(low, high, q))


def qloguniform(label: str, low: float, high: float, q: float) -> Expression:
    """Return round(exp(u) / q) * q, as a float, for a uniform u."""
    return _number(label, laws.qloguniform(low, high, q))


def normal(label: str, mu: float, sigma: float) -> Expression:
    """Return a normally distributed number, without bounds."""
    return _number(label, laws.normal(mu, sigma))


def qnormal(label: str, mu: float, sigma: float, q: float) -> Expression:
    """Return round(n / q) * q, as a float, for a normal n."""
    return _number(label, laws.qnormal(mu, sigma, q))


def lognormal(label: str, mu: float, sigma: float) -> Expression:
    """Return exp(n) for a normal n."""
    return _number(label, laws.lognormal(mu, sigma))


def qlognormal(label: str, mu: float, sigma: float, q: float) -> Expression:
    """Return round(exp(n) / q) * q, as a float, for a normal n."""
    return _number(label, laws.qlognormal(mu, sigma, q))


def randint(label: str, low: int, high: int | None = None) -> Expression:
    """Return an int from 0 to `low` - 1; with `high`, from `low` to `high` - 1."""
    return apply(int, _param(label, laws.randint(low, high)))


def uniformint(label: str, low: float, high: float) -> Expression:
    """Return round(u), as an int, for a uniform u: the bounds are drawn half as often."""
    return apply(int, _param(label, laws.quniform(low, high, 1.0, "uniformint")))


def choice(label: str, options: Iterable[Any]) -> Expression:
    """Return one of the options, which may hold hyperparameters of their own."""
    listed = list(options)
    return Switch(_param(label, laws.choice(len(listed))), [as_expression(each) for each in listed])


def pchoice(label: str, p_options: Iterable[tuple[float, Any]]) -> Expression:
    """Return one of the options, each with its probability: a list of (probability, option)."""
    listed: list[Any] = list(p_options)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in listed):
        raise SpaceError(f"hp.pchoice needs (probability, option) pairs, but got {listed!r:.200}")
    law = laws.pchoice([weight for weight, _ in listed])
    return Switch(_param(label, law), [as_expression(option) for _, option in listed])


def _number(label: str, law: Law) -> Expression:
    return apply(float, _param(label, law))


def _param(label: Any, law: Law) -> Param:
    if not isinstance(label, str) or not label:
        raise TypeError(f"hp.{law.name} needs a label, a string, first, but got {label!r:.200}")
    return Param(label, law)
