"""A pipeline of Spark ML and its space: turns the params of a trial into stages.

The names that Spark gives a stage's params change from process to process. Here they get stable
names, such as `hashingTF.numFeatures`: the stage's class, with a number if there are several of it.
"""

import contextlib
import math
from collections.abc import Mapping
from typing import Any

from pyspark.ml import Estimator, Pipeline, Transformer
from pyspark.ml.param import Param, Params

from manyfit._numbers import as_number
from manyfit.choice import Choice, Domain, size_of
from manyfit.errors import ArgumentError, SpaceError
from manyfit.space import Space
from manyfit.spark_ml.stages import Stage, flat, names_of, nested, numbered, short_name, slots_of


class Recipe:
    """A pipeline that the params of a trial configure.

    Args:
        estimator: The pipeline, or any other estimator.
        space: A mapping from params of its stages to domains or constants. A key may also be a
            stage itself, with a Choice of stages to replace it (None leaves it out). Params of a
            stage that is one of several options are active only when it is chosen.

    Attributes:
        space: The space, with stable names.

    Raises:
        ArgumentError: `estimator` isn't an estimator.
        SpaceError: A key is neither a param of a stage nor a stage; or a domain breaks a rule.
    """

    def __init__(self, estimator: Any, space: Mapping[Any, Any]) -> None:
        if not isinstance(estimator, Estimator):
            raise ArgumentError(
                f"pipeline must be a Pipeline or another estimator, but got {estimator!r:.200}"
            )
        if not isinstance(space, Mapping):
            raise SpaceError(
                "space must map params of stages to domains, such as {lr.regParam: Float(0, 1)}, "
                f"but got {space!r:.200}"
            )
        self.estimator = estimator
        self._places = list(flat(estimator))
        # By uid, because a copy of the estimator has copies of the stages in the space.
        replaced = {key.uid: domain for key, domain in space.items() if isinstance(key, Params)}
        self._options = {
            place: _options(stage, replaced[stage.uid])
            for place, stage in enumerate(self._places)
            if stage.uid in replaced
        }
        stages = [
            inner
            for place, given in enumerate(self._places)
            for stage in (given, *self._alternatives(place))
            for inner in nested(stage)
        ]
        self._names = names_of(stages)
        self._stages = {stage.uid: stage for stage in stages}
        self._params = {self.name(key): key for key in space if isinstance(key, Param)}
        self._entries = {self.name(key): value for key, value in space.items()}
        self.space = self._space()

    def __len__(self) -> int:
        return len(self._places)

    def _alternatives(self, place: int) -> list[Any]:
        options = self._options.get(place)
        stages = [self._places[place]] if options is None else options.values()
        return [stage for stage in stages if stage is not None]

    def name(self, key: Any) -> str:
        """Return the stable name of a param, or of a stage that may be replaced.

        Raises:
            SpaceError: The key is neither.
        """
        if isinstance(key, Param):
            if key.parent in self._names:
                return f"{self._names[key.parent]}.{key.name}"
        elif isinstance(key, Params) and key.uid in self._names:
            return self._names[key.uid]
        raise SpaceError(
            f"{key!s:.200} in the space is neither a param of one of this pipeline's stages nor "
            "one of them. A key is a param such as lr.regParam, or a stage such as lr itself"
        )

    # ── the space ─────────────────────────────────────────────────────────────────────────────

    def _space(self) -> Space:
        """Return the space with stable names, in the order of the stages.

        A grid then changes the last stage first, so that successive trials share the most.
        """
        entries: dict[str, Any] = {}
        for place in range(len(self)):
            inside = {stage.uid: self._inside(stage) for stage in self._alternatives(place)}
            if place in self._options:
                entries[self.name(self._places[place])] = self._choice(place, inside)
            else:
                entries |= inside[self._places[place].uid]
        space = Space(entries)
        if strays := self._params.keys() - space.params.keys() - space.constants.keys():
            raise SpaceError(
                f"{min(strays)} is in the space, but its stage is none of the options for its place"
            )
        return space

    def _choice(self, place: int, inside: Mapping[str, Mapping[str, Any]]) -> Choice:
        options = self._options[place]
        if not any(inside.values()):
            return Choice(list(options))
        return Choice({label: {} if s is None else inside[s.uid] for label, s in options.items()})

    def _inside(self, stage: Any) -> dict[str, Any]:
        """Return the entries of the space for a stage and the stages nested in it."""
        owners = {inner.uid for inner in nested(stage)}
        return {
            name: self._entries[name]
            for name, param in self._params.items()
            if param.parent in owners
        }

    @property
    def forks(self) -> tuple[int, ...]:
        """The stage indices before which trials can diverge."""
        return tuple(place for place in range(1, len(self)) if self._is_tuned(place))

    def _is_tuned(self, place: int) -> bool:
        return place in self._options or any(
            isinstance(entry, Domain)
            for stage in self._alternatives(place)
            for entry in self._inside(stage).values()
        )

    def variants(self, length: int) -> float:
        """Return the number of configurations of the first stages; may be infinite."""
        total = 1.0
        for place in range(length):
            entries: dict[str, Any] = {}
            for stage in self._alternatives(place):
                entries |= self._inside(stage)
            if place in self._options:
                inside = {stage.uid: self._inside(stage) for stage in self._alternatives(place)}
                entries = {"stage": self._choice(place, inside)}
            size = size_of(entries)
            total = math.inf if size is None else total * size
        return total

    # ── a trial ───────────────────────────────────────────────────────────────────────────────

    @property
    def given(self) -> dict[str, Any]:
        """The pipeline's own params, in stored form, moved to the nearest point of the space."""
        point: dict[str, Any] = {}
        for name, domain in self.space.walk(point):
            point[name] = _nearest(domain, self._value(name))
        return point

    def _value(self, name: str) -> Any:
        """Return the pipeline's value for a param of the space; None if it has none."""
        param = self._params.get(name)
        if param is not None:
            stage = self._stages[param.parent]
            return stage.getOrDefault(param) if stage.isDefined(param) else None
        for place, options in self._options.items():
            if self.name(self._places[place]) == name:
                uid = self._places[place].uid
                return next(
                    (label for label, s in options.items() if s is not None and s.uid == uid), None
                )
        return None

    def stored(self, point: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a point of the space with stable names; stages become labels.

        Raises:
            SpaceError: A key is neither a param of a stage nor a stage.
        """
        found: dict[str, Any] = {}
        for key, value in point.items():
            if isinstance(key, str):
                found[key] = value
                continue
            labels = self._labels(key)
            found[self.name(key)] = labels.get(id(value), value) if labels else value
        return found

    def _labels(self, key: Any) -> dict[int, str]:
        for place, options in self._options.items():
            if isinstance(key, Params) and self._places[place].uid == key.uid:
                return {id(stage): label for label, stage in options.items()}
        return {}

    def stages(self, params: Mapping[str, Any]) -> list[Stage]:
        """Return the stages for the params of a trial."""
        values = {param: params[name] for name, param in self._params.items() if name in params}
        found = []
        for place, given in enumerate(self._places):
            options = self._options.get(place)
            chosen = given if options is None else options[params[self.name(given)]]
            found.append(Stage(chosen, values))
        return found

    def assemble(self, params: Mapping[str, Any]) -> Any:
        stages = [stage.stage for stage in self.stages(params) if stage.stage is not None]
        if isinstance(self.estimator, Pipeline):
            return Pipeline(stages=stages)
        return stages[0]

    def slots(self, params: Mapping[str, Any]) -> int | None:
        return slots_of(stage.stage for stage in self.stages(params))

    @property
    def has_barriers(self) -> bool:
        """Whether a stage, or an option for one, needs several tasks at the same time."""
        return any(slots_of(self._alternatives(place)) is not None for place in range(len(self)))


def _nearest(domain: Domain, value: Any) -> Any:
    """Return the stored value of a domain that is nearest to a stage's value."""
    if isinstance(domain, Choice):
        with contextlib.suppress(SpaceError):
            return domain.store("", value)
        return domain.labels[0]
    number = as_number(value)
    return domain.snap(number) if math.isfinite(number) else domain.decode(0.5)


def _options(stage: Any, domain: Any) -> dict[str, Any]:
    """Return the stages to choose from, by stable labels."""
    if not isinstance(domain, Choice) or domain.branches is not None:
        raise SpaceError(
            f"{stage} in the space must have a Choice of stages, such as Choice([{stage}, None]), "
            f"but got {domain!r:.200}"
        )
    for option in domain.options:
        if option is not None and not isinstance(option, Estimator | Transformer):
            raise SpaceError(f"an option for {stage} must be a stage or None, but got {option!r}")
    names = numbered([short_name(option) for option in domain.options])
    return dict(zip(names, domain.options, strict=True))
