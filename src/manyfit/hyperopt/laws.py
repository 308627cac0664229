"""The laws of Hyperopt's hyperparameters, each as the domain of Manyfit that has the same draws."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from manyfit._numbers import as_number
from manyfit._optional import load
from manyfit.domain import Float, Int
from manyfit.errors import SpaceError

logger = logging.getLogger("manyfit")

_MOST_LOG = 709.0  # the exponential of more overflows a float


@dataclass(frozen=True)
class Law:
    """How a hyperparameter is drawn.

    Attributes:
        name: The function in `hp`.
        given: Its arguments, as text.
        domain: The domain; None for a choice, whose options decide, and if there is one value only.
        only: That value.
        q: The unit of the values of a rounded law.
        weights: The probabilities of a choice's options; None if they are equal.
        count: The number of a choice's options; 0 for a number.
    """

    name: str
    given: str
    domain: Float | Int | None = None
    only: float | int | None = None
    q: float | None = None
    weights: Sequence[float] | None = None
    count: int = 0

    @property
    def rule(self) -> str:
        """The rule that a value must keep, as the end of a sentence."""
        if self.count:
            return f"the index of an option, from 0 to {self.count - 1}"
        return str(self.only) if self.domain is None else self.domain.rule

    def read(self, stored: Any) -> float | int:
        """Return a stored value as Hyperopt has it: `round(x / q) * q`, with its rounding error."""
        return float(np.round(stored / self.q) * self.q) if self.q else stored

    def __str__(self) -> str:
        return self.given


def uniform(low: Any, high: Any) -> Law:
    """Return the law of numbers between two bounds, all equally likely."""
    low, high = _range("uniform", low, high)
    return Law("uniform", f"{low!r}, {high!r}", Float(low, high))


def loguniform(low: Any, high: Any) -> Law:
    """Return the law of exp(u) for a uniform u: the bounds are logarithms."""
    low, high = _log_range("loguniform", low, high)
    return Law("loguniform", f"{low!r}, {high!r}", Float(math.exp(low), math.exp(high), log=True))


def quniform(low: Any, high: Any, q: Any, name: str = "quniform") -> Law:
    """Return the law of round(u / q) * q for a uniform u."""
    low, high = _range(name, low, high)
    prior = load("scipy.stats").uniform(low, high - low)
    given = f"{low!r}, {high!r}" + (f", {q!r}" if name == "quniform" else "")
    return _rounded(Law(name, given, q=_unit(name, q)), prior, low, high)


def qloguniform(low: Any, high: Any, q: Any) -> Law:
    """Return the law of round(exp(u) / q) * q for a uniform u."""
    low, high = _log_range("qloguniform", low, high)
    ends = math.exp(low), math.exp(high)
    given = f"{low!r}, {high!r}, {q!r}"
    law = Law("qloguniform", given, q=_unit("qloguniform", q))
    return _rounded(law, load("scipy.stats").loguniform(*ends), *ends)


def normal(mu: Any, sigma: Any) -> Law:
    """Return the law of normal numbers."""
    mu, sigma = _scale("normal", mu, sigma)
    return Law("normal", f"{mu!r}, {sigma!r}", Float.normal(mu, sigma))


def qnormal(mu: Any, sigma: Any, q: Any) -> Law:
    """Return the law of round(n / q) * q for a normal n."""
    mu, sigma, q = *_scale("qnormal", mu, sigma), _unit("qnormal", q)
    return Law("qnormal", f"{mu!r}, {sigma!r}, {q!r}", Float.normal(mu, sigma, step=q), q=q)


def lognormal(mu: Any, sigma: Any) -> Law:
    """Return the law of exp(n) for a normal n."""
    mu, sigma = _scale("lognormal", mu, sigma)
    return Law("lognormal", f"{mu!r}, {sigma!r}", Float.lognormal(mu, sigma))


def qlognormal(mu: Any, sigma: Any, q: Any) -> Law:
    """Return the law of round(exp(n) / q) * q for a normal n."""
    mu, sigma, q = *_scale("qlognormal", mu, sigma), _unit("qlognormal", q)
    return Law("qlognormal", f"{mu!r}, {sigma!r}, {q!r}", Float.lognormal(mu, sigma, step=q), q=q)


def randint(low: Any, high: Any = None) -> Law:
    """Return the law of whole numbers below `low`, or from `low` to `high` - 1."""
    given = f"{low!r}" if high is None else f"{low!r}, {high!r}"
    first, end = (0, _whole(low)) if high is None else (_whole(low), _whole(high))
    if not first < end:
        raise SpaceError(f"hp.randint({given}) has no value: it needs low < high")
    if end - first == 1:
        return Law("randint", given, only=first)
    return Law("randint", given, Int(first, end - 1))


def choice(count: int) -> Law:
    """Return the law of indices of options, all equally likely."""
    if count == 0:
        raise SpaceError("hp.choice needs at least one option")
    return Law("choice", "", count=count)


def pchoice(weights: Sequence[Any]) -> Law:
    """Return the law of indices of options with these probabilities."""
    found = [as_number(weight) for weight in weights]
    if not all(0 <= weight <= 1 for weight in found) or not math.isclose(sum(found), 1.0):
        raise SpaceError(
            f"hp.pchoice needs probabilities that sum to 1, but got {list(weights)!r:.200}"
        )
    return Law("pchoice", "", weights=found, count=len(found))


def _rounded(law: Law, prior: Any, low: float, high: float) -> Law:
    """Return a law rounded to multiples of `q`; its values may lie up to q / 2 out of bounds."""
    q = law.q or 1.0
    unit = Fraction(repr(q))  # exact, so that the values are the shortest decimals
    first, last = (float(int(np.round(end / q)) * unit) for end in (low, high))
    if first == last:
        return replace(law, q=None, only=float(np.round(low / q) * q))
    return replace(law, domain=Float(first, last, step=q, prior=prior))


def _number(name: str, value: Any) -> float:
    number = as_number(value)
    if not math.isfinite(number):
        raise SpaceError(f"hp.{name} needs finite numbers, but got {value!r:.200}")
    return number


def _range(name: str, low: Any, high: Any) -> tuple[float, float]:
    first, last = _number(name, low), _number(name, high)
    if not first < last:
        raise SpaceError(f"hp.{name} needs low < high, but got {low!r} and {high!r}")
    return first, last


def _log_range(name: str, low: Any, high: Any) -> tuple[float, float]:
    first, last = _range(name, low, high)
    advice = f"For values from {low!r} to {high!r}, write np.log({low!r}), np.log({high!r})"
    if first <= 0:
        advice = (
            f"For values up to {high!r}, write np.log({high!r}), and np.log of a least value > 0"
        )
    if last > _MOST_LOG:
        raise SpaceError(
            f"hp.{name} takes the logarithms of the bounds, at most {_MOST_LOG:g}, but got "
            f"{high!r}. {advice}"
        )
    if first > 0 and last <= 1:
        logger.warning(
            "hp.%s takes the logarithms of the bounds, so with %r and %r its values are from %.6g "
            "to %.6g. %s",
            *(name, low, high, math.exp(first), math.exp(last), advice),
        )
    return first, last


def _scale(name: str, mu: Any, sigma: Any) -> tuple[float, float]:
    mean, deviation = _number(name, mu), _number(name, sigma)
    if deviation <= 0:
        raise SpaceError(f"hp.{name} needs sigma > 0, but got {sigma!r}")
    return mean, deviation


def _unit(name: str, q: Any) -> float:
    unit = _number(name, q)
    if unit <= 0:
        raise SpaceError(f"hp.{name} needs q > 0, but got {q!r}")
    return unit


def _whole(value: Any) -> int:
    number = _number("randint", value)
    if number % 1:
        raise SpaceError(f"hp.randint needs whole numbers, but got {value!r}")
    return int(number)
