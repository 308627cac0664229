"""A pipeline of Spark ML with explicit param maps, as made by `ParamGridBuilder`."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pyspark.ml import Estimator, Pipeline
from pyspark.ml.param import Param, Params

from manyfit._labels import Label, label
from manyfit.choice import Choice
from manyfit.errors import ArgumentError, SpaceError
from manyfit.prefixes import Path, prefix_order
from manyfit.space import Space
from manyfit.spark_ml.stages import Stage, fingerprint, names_of, nested, slots_of
from manyfit.trial import Trial

# Stands for the value of a param that a map lacks: the stage's own value applies.
_LACKING = object()
_DEFAULT = "default"
_MOST_LABEL = 100


class Maps:
    """A pipeline and the param maps to try; the counterpart of `Recipe` for a space.

    A map may set any param of the pipeline's stages, of stages nested in those (the classifier of
    OneVsRest), and the stages of the pipeline itself, even to lists of different lengths. Equal
    maps are tried once.

    Args:
        estimator: The pipeline, or any other estimator.
        maps: The param maps, at least one.

    Attributes:
        space: A Choice for each param that occurs, with labels that are the same in every process.
        given: The point of each map, in the order of `maps`.
        points: Each point once; those that share the front of the pipeline are adjacent.

    Raises:
        ArgumentError: `estimator` isn't an estimator, there are no maps, or a map sets a param that
            isn't of this pipeline, or sets it to an invalid value.
    """

    def __init__(self, estimator: Any, maps: Sequence[Mapping[Any, Any]]) -> None:
        _check(estimator, maps)
        self.estimator = estimator
        values = [value for each in maps for value in each.values()]
        self._stages = [stage for holder in (estimator, *values) for stage in nested(holder)]
        self._names = names_of(self._stages)
        self._params = {self._name(param): param for each in maps for param in each}
        self._values: dict[str, dict[tuple[type, Label], Any]] = {}
        labels = {name: self._list(name, param, maps) for name, param in self._params.items()}
        self.space = Space({name: Choice(list(_once(each))) for name, each in labels.items()})
        self.given = [
            {name: each[place] for name, each in labels.items()} for place in range(len(maps))
        ]
        once = list({self.space.key(point): point for point in self.given}.values())
        paths = [tuple(stage.key for stage in self.stages(point)) for point in once]
        self.points = [once[place] for place in prefix_order(paths)]
        self.forks = _forks(paths)

    def _name(self, param: Param[Any]) -> str:
        if param.parent not in self._names:
            raise ArgumentError(
                f"{param} in estimatorParamMaps is not a param of the estimator or a stage in it"
            )
        return f"{self._names[param.parent]}.{param.name}"

    def _list(self, name: str, param: Param[Any], maps: Sequence[Mapping[Any, Any]]) -> list[Label]:
        """Record the values of a param in all maps; returns a label for each map."""
        values = [_converted(name, param, each) for each in maps]
        found: dict[Hashable, Label] = {}
        for value in sorted(values, key=lambda value: value is _LACKING):  # the default is last
            if _sameness(value) not in found:
                found[_sameness(value)] = _free(self._label(value), found.values())
        labels = [found[_sameness(value)] for value in values]
        self._values[name] = {
            (type(each), each): value for each, value in zip(labels, values, strict=True)
        }
        return labels

    def _label(self, value: Any) -> Label:
        if value is _LACKING:
            return _DEFAULT
        if isinstance(value, Params):
            return self._names[value.uid]
        if isinstance(value, list) and any(isinstance(item, Params) for item in value):
            return ", ".join(str(self._label(item)) for item in value)
        try:
            found = label(value)
        except SpaceError:  # its text differs from process to process
            return type(value).__name__
        is_long = isinstance(found, str) and len(found) > _MOST_LABEL
        return f"{str(found)[:_MOST_LABEL]}..." if is_long else found

    # ── a trial ───────────────────────────────────────────────────────────────────────────────

    def _map(self, params: Mapping[str, Any]) -> dict[Param[Any], Any]:
        values = {
            param: self._values[name][type(params[name]), params[name]]
            for name, param in self._params.items()
        }
        return {param: value for param, value in values.items() if value is not _LACKING}

    def stages(self, params: Mapping[str, Any]) -> list[Stage]:
        return list(_configured(self.estimator, self._map(params)))

    def assemble(self, params: Mapping[str, Any]) -> Any:
        return self.estimator.copy(self._map(params))

    def variants(self, length: int) -> float:  # noqa: ARG002 - a recipe for a space needs it
        """Return infinity: no configuration is left to chance, since all are listed."""
        return math.inf

    def slots(self, params: Mapping[str, Any]) -> int | None:
        return slots_of(stage.stage for stage in self.stages(params))

    @property
    def has_barriers(self) -> bool:
        """Whether a stage of the pipeline or of a map needs several tasks at the same time."""
        return slots_of(self._stages) is not None


class Listed:
    """A sampler that proposes the points of a list in order, each once.

    Args:
        space: The space of the points.
        points: The points, in stored form.
    """

    def __init__(self, space: Space, points: Iterable[Mapping[str, Any]]) -> None:
        self._space = space
        self._left = {space.key(point): point for point in points}

    def tell(self, trial: Trial) -> None:
        self._left.pop(self._space.key(trial.params), None)

    def ask(self, number: int) -> Mapping[str, Any] | None:  # noqa: ARG002 - as of all samplers
        """Return the first point that has not been tried; None when all have."""
        return next(iter(self._left.values()), None)


def _check(estimator: Any, maps: Any) -> None:
    if not isinstance(estimator, Estimator):
        raise ArgumentError(f"estimator must be an estimator, but got {estimator!r:.200}")
    is_list = isinstance(maps, Sequence) and all(isinstance(each, Mapping) for each in maps)
    if not (is_list and maps and all(isinstance(key, Param) for each in maps for key in each)):
        raise ArgumentError(
            "estimatorParamMaps must be a list of at least one map from params to values, as "
            f"ParamGridBuilder().addGrid(lr.regParam, [0.0, 0.1]).build() is, but got {maps!r:.200}"
        )


def _converted(name: str, param: Param[Any], values: Mapping[Any, Any]) -> Any:
    """Return a map's value for a param, converted as the stage will convert it."""
    if param not in values:
        return _LACKING
    value = values[param]
    try:
        found = param.typeConverter(value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} can't be {value!r:.200}: {error}") from error
    return found.item() if isinstance(found, np.generic) else found


def _sameness(value: Any) -> Hashable:
    """Return a key that is equal for equal values; for stages, only for the same object."""
    if value is _LACKING or isinstance(value, Params):
        return object, id(value)
    if isinstance(value, list):
        return list, tuple(map(_sameness, value))
    return fingerprint(value)


def _free(wanted: Label, taken: Iterable[Label]) -> Label:
    """Return a label that is not taken, with a number appended if necessary."""
    others = {(type(each), each) for each in taken}
    found, number = wanted, 1
    while (type(found), found) in others:
        number += 1
        found = f"{wanted}_{number}"
    return found


def _once(labels: Iterable[Label]) -> Iterator[Label]:
    return (each for _, each in dict.fromkeys((type(each), each) for each in labels))


def _configured(stage: Any, values: Mapping[Any, Any]) -> Iterator[Stage]:
    """Yield the stages of an estimator, configured by a param map."""
    if not isinstance(stage, Pipeline):
        yield Stage(stage, values)
        return
    if stage.stages not in values and not stage.isDefined(stage.stages):
        raise ArgumentError(f"{stage} has no stages, and a map gives it none")
    for inner in values[stage.stages] if stage.stages in values else stage.getStages():
        yield from _configured(inner, values)


def _forks(paths: Iterable[Path]) -> tuple[int, ...]:
    """Return the lengths of prefixes after which paths diverge, or one of them ends."""
    following: dict[Path, set[Path]] = defaultdict(set)
    for path in paths:
        for length in range(1, len(path) + 1):
            following[path[:length]].add(path[length : length + 1])
    return tuple(sorted({len(prefix) for prefix, nexts in following.items() if len(nexts) > 1}))
