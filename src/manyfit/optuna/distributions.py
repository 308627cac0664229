"""Optuna's distributions as domains, with labels for options."""

import contextlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from manyfit._labels import Label, label
from manyfit.choice import to_json
from manyfit.errors import SpaceError
from manyfit.space import Choice, Domain, Float, Int


def domain_of(distribution: BaseDistribution) -> Domain | None:
    """Return a distribution's domain; None if it can't be searched or has only one value.

    Example:
        >>> domain_of(IntDistribution(1, 8, log=True)), domain_of(IntDistribution(3, 3))
        (Int(1, 8, log=True), None)
    """
    if distribution.single():
        return None
    try:
        match distribution:
            case FloatDistribution(low=low, high=high, log=log, step=step):
                return Float(low, high, log=log, step=step)
            case IntDistribution(low=low, high=high, log=log, step=step):
                return Int(low, high, log=log, step=step)
            case CategoricalDistribution(choices=choices):
                return Choice(labels_of(choices))
    except SpaceError:  # bounds beyond what a Float or an Int can tell apart
        return None
    return None


def labels_of(choices: Sequence[Any]) -> list[Label]:
    """Return the labels of options, each once; an option without a lasting label has its index.

    Example:
        >>> labels_of([None, 1, True, (64, 32), object(), 1])
        [None, 1, True, '(64, 32)', 'option 4']
    """
    labels = [_label(place, option) for place, option in enumerate(choices)]
    return list({(type(each), each): each for each in labels}.values())


def _label(place: int, option: Any) -> Label:
    try:
        return label(option.item() if isinstance(option, np.generic) else option)
    except SpaceError:
        return f"option {place}"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A value that an objective is given.

    Attributes:
        value: What the objective receives.
        stored: It, in stored form.
        domain: The record of its domain; of a domain that isn't searched, the record of the value.
        is_drawn: Whether it was drawn here, and not proposed.
    """

    value: Any
    stored: Label
    domain: dict[str, Any]
    is_drawn: bool = False


class Asked:
    """What an objective asks for: a name with a distribution.

    Args:
        name: The param's name.
        distribution: The distribution.
    """

    def __init__(self, name: str, distribution: BaseDistribution) -> None:
        self.name = name
        self.distribution = distribution
        self.domain = domain_of(distribution)

    def suggest(self, proposals: Mapping[str, Any], seed: int) -> Suggestion:
        """Return the proposed value if it is in the domain; otherwise draw one.

        Args:
            proposals: What the driver proposed, in stored form.
            seed: The trial's seed, which determines what is drawn for each name.
        """
        rng = random.Random(f"{seed}:{self.name}")  # noqa: S311 - nothing secret
        if self.domain is None:
            return self._unsearched(rng)
        if self.name in proposals:
            with contextlib.suppress(SpaceError):  # the range has changed
                return self._given(self.domain, self.domain.store(self.name, proposals[self.name]))
        return self._given(self.domain, self.domain.decode(rng.random()), is_drawn=True)

    def _given(self, domain: Domain, stored: Any, *, is_drawn: bool = False) -> Suggestion:
        record = to_json(self.name, domain)
        value = stored
        if isinstance(self.distribution, CategoricalDistribution):
            value = self._option(stored)
        return Suggestion(value, stored, record, is_drawn)

    def _option(self, stored: Label) -> Any:
        options = self.distribution.choices  # type: ignore[attr-defined] # it is categorical
        return next(
            option
            for place, option in enumerate(options)
            if (type(stored), stored) == (type(known := _label(place, option)), known)
        )

    def _unsearched(self, rng: random.Random) -> Suggestion:
        value = _drawn(self.distribution, rng)
        stored = _label(0, value)
        return Suggestion(value, stored, {"type": "constant", "value": stored}, is_drawn=True)


def _drawn(distribution: BaseDistribution, rng: random.Random) -> Any:
    """Return the only value of a distribution, or any of one that is too wide to be searched."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[0]
        case IntDistribution(low=low, high=high, step=step):
            return rng.randrange(low, high + 1, step)
        case FloatDistribution(low=low, high=high):
            share = rng.random()
            return low if distribution.single() else low * (1.0 - share) + high * share
    raise TypeError(f"{distribution!r} is none of Optuna's distributions")
