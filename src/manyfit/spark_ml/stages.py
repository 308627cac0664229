"""Stages of Spark ML: their nested stages, their names, and their equality."""

import hashlib
import pickle
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol

import cloudpickle
from pyspark.ml import Pipeline
from pyspark.ml.param import Params

from manyfit.choice import Choice
from manyfit.space import Space

# The label of an option that leaves its stage out.
_LEFT_OUT = "none"
# Params with the number of tasks that a barrier fit needs at the same time.
_SLOTS = ("num_workers", "num_processes")


@dataclass(frozen=True)
class Stage:
    """A stage of a trial, made only when needed, because Spark may refuse a value.

    Attributes:
        given: The stage to configure; None to leave it out.
        values: Values of params, which may include those of other stages.
    """

    given: Any
    values: Mapping[Any, Any] = field(default_factory=dict)

    @cached_property
    def stage(self) -> Any:
        """A copy with its params set, which is fitted or transforms rows; or None."""
        return None if self.given is None else self.given.copy(self.values)

    @cached_property
    def key(self) -> Hashable:
        """A key that is equal for stages that do the same to the same data."""
        # Two fits of one estimator have the same uid, so the object's identity is part of the key.
        return (
            None if self.given is None else (id(self.given), fingerprint(self.given, self.values))
        )


class Configurations(Protocol):
    """A pipeline that the params of a trial configure: `Recipe` for a space, `Maps` for maps."""

    @property
    def estimator(self) -> Any:
        """The pipeline, or another estimator."""

    @property
    def space(self) -> Space:
        """The space, with stable names."""

    @property
    def forks(self) -> tuple[int, ...]:
        """The stage indices before which trials can diverge."""

    @property
    def has_barriers(self) -> bool:
        """Whether a stage may need several tasks at the same time."""

    def variants(self, length: int) -> float:
        """Return the number of configurations of the first stages that a sampler may propose."""

    def stages(self, params: Mapping[str, Any]) -> list[Stage]:
        """Return the stages for the params of a trial."""

    def assemble(self, params: Mapping[str, Any]) -> Any:
        """Return the estimator for the params of a trial, to be fitted as a whole."""

    def slots(self, params: Mapping[str, Any]) -> int | None:
        """Return the number of tasks that a trial needs at the same time; None if any will do."""


def fingerprint(value: Any, values: Mapping[Any, Any] = MappingProxyType({})) -> Hashable:
    """Return a key that is equal for equal values of params, and for stages with equal params.

    Args:
        value: A value, a stage, or a list.
        values: Params of stages that override the stages' own.
    """
    if isinstance(value, Params):
        own = {
            param: new
            for param, new in values.items()
            if param.parent == value.uid and value.hasParam(param.name)
        }
        held = value.extractParamMap(own).items()
        prints = {param.name: fingerprint(item, values) for param, item in held}
        return type(value), tuple(sorted(prints.items(), key=lambda pair: pair[0]))
    if isinstance(value, list | tuple):
        return type(value), tuple(fingerprint(item, values) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return type(value), value
    try:
        return type(value), hashlib.sha256(cloudpickle.dumps(value)).hexdigest()
    except (pickle.PicklingError, TypeError, AttributeError):
        return type(value), id(value)  # equal only to itself; the recipe keeps it alive


def flat(estimator: Any) -> Iterator[Any]:
    """Yield the stages of a pipeline, and of the pipelines in it."""
    if isinstance(estimator, Pipeline):
        for stage in estimator.getStages():
            yield from flat(stage)
    else:
        yield estimator


def nested(value: Any) -> Iterator[Params]:
    """Yield a stage and the stages that its params hold, such as the classifier of OneVsRest."""
    if isinstance(value, Params):
        yield value
        for item in value.extractParamMap().values():
            yield from nested(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from nested(item)


def slots_of(stages: Iterable[Any]) -> int | None:
    """Return the largest number of tasks that a stage needs at the same time; None if none does."""
    needs = [
        int(stage.getOrDefault(name))
        for stage in stages
        for name in _SLOTS
        if isinstance(stage, Params) and stage.hasParam(name)
    ]
    return max(needs, default=None)


def names_of(stages: Iterable[Params]) -> dict[str, str]:
    """Return a name for each stage, by uid, that is the same in every process."""
    found: dict[str, Params] = {}
    for stage in stages:
        found.setdefault(stage.uid, stage)
    names = numbered([short_name(stage) for stage in found.values()])
    return dict(zip(found, names, strict=True))


def numbered(names: Sequence[str]) -> list[str]:
    """Append numbers to names that occur more than once.

    Example:
        >>> numbered(["hashingTF", "idf", "hashingTF"])
        ['hashingTF_1', 'idf', 'hashingTF_2']
    """
    often, seen = Counter(names), Counter[str]()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if often[name] == 1 else f"{name}_{seen[name]}")
    return distinct


def short_name(stage: Any) -> str:
    """Return the name of a stage's class as a variable name: `HashingTF` gives `hashingTF`."""
    if stage is None:
        return _LEFT_OUT
    name = type(stage).__name__
    return name[0].lower() + name[1:]


def copied(value: Any, extra: Mapping[Any, Any]) -> Any:
    """Return a value with copies of its stages, whose params are overridden by `extra`."""
    if isinstance(value, Params):
        return value.copy(dict(extra))
    if isinstance(value, Mapping):
        return {key: copied(item, extra) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [copied(item, extra) for item in value]
    if isinstance(value, Choice) and value.branches is None:
        options = [copied(option, extra) for option in value.options]
        return Choice(options, weights=value.weights)
    return value
