"""A pipeline of Spark ML and a space for it: from the params of a trial to its stages.

Spark keys a stage's params by objects whose names change from process to process. Here they get
names that last, such as `hashingTF.numFeatures`: the stage's class, and a number where there are
several of it.
"""

import contextlib
import math
from collections.abc import Mapping
from typing import Any

from pyspark.ml import Estimator, Pipeline, Transformer
from pyspark.ml.param import Param, Params

from manyfit.choice import Choice, Domain, size_of
from manyfit.domain import as_number
from manyfit.errors import ArgumentError, SpaceError
from manyfit.space import Space
from manyfit.spark_ml.stages import Stage, flat, names_of, nested, numbered, short_name, slots_of


class Recipe:
    """A pipeline, and how the params of a trial change it.

    Args:
        estimator: The pipeline, or any other estimator.
        space: Keys are params of its stages, or a stage itself, for which a Choice has other stages
            (and None to leave it out). Values are domains, or constants. Params of a stage that is
            only one of some options are active when it is chosen.

    Attributes:
        space: The space by names that last.

    Raises:
        ArgumentError: The estimator is none.
        SpaceError: A key is no param of a stage, and no stage; or a domain breaks a rule.
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
        # By uid, since a copy of the estimator has copies of the stages that the space was made of.
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
        """Return the name in the space of a param, or of a stage that may be another.

        Raises:
            SpaceError: It is neither.
        """
        if isinstance(key, Param):
            if key.parent in self._names:
                return f"{self._names[key.parent]}.{key.name}"
        elif isinstance(key, Params) and key.uid in self._names:
            return self._names[key.uid]
        raise SpaceError(
            f"{key!s:.200} in the space is neither a param of one of this pipeline's stages nor "
            "one of them. Keys are such as lr.regParam, or lr itself, of what is in the pipeline"
        )

    # ── the space ─────────────────────────────────────────────────────────────────────────────

    def _space(self) -> Space:
        """Return the space by names that last, in the order of the stages.

        In that order a grid changes the last stage first, so that neighbours share the most.
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
        """Return what the space has for a stage and the stages in it."""
        owners = {inner.uid for inner in nested(stage)}
        return {
            name: self._entries[name]
            for name, param in self._params.items()
            if param.parent in owners
        }

    @property
    def forks(self) -> tuple[int, ...]:
        """After how many stages one follows that differs from trial to trial."""
        return tuple(place for place in range(1, len(self)) if self._is_tuned(place))

    def _is_tuned(self, place: int) -> bool:
        return place in self._options or any(
            isinstance(entry, Domain)
            for stage in self._alternatives(place)
            for entry in self._inside(stage).values()
        )

    def variants(self, length: int) -> float:
        """Return how many configurations the first stages have; infinite for a continuous param."""
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
        """The pipeline as it is, in stored form, or what the space has that is nearest to it."""
        point: dict[str, Any] = {}
        for name, domain in self.space.walk(point):
            point[name] = _nearest(domain, self._value(name))
        return point

    def _value(self, name: str) -> Any:
        """Return what the pipeline has for a param of the space; None if it has nothing."""
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
        """Return a point of the space with names that last; stages become their labels.

        Raises:
            SpaceError: A key is no param of a stage, and no stage.
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
        """Return the estimator for the params of a trial, to be fitted as a whole."""
        stages = [stage.stage for stage in self.stages(params) if stage.stage is not None]
        if isinstance(self.estimator, Pipeline):
            return Pipeline(stages=stages)
        return stages[0]

    def slots(self, params: Mapping[str, Any]) -> int | None:
        """Return how many tasks a trial needs at the same time; None if it needs no number."""
        return slots_of(stage.stage for stage in self.stages(params))

    @property
    def has_barriers(self) -> bool:
        """Whether a stage, or an option for one, needs a number of tasks at the same time."""
        return any(slots_of(self._alternatives(place)) is not None for place in range(len(self)))


def _nearest(domain: Domain, value: Any) -> Any:
    """Return the stored value that is nearest to one of a stage; one of its own if none is."""
    if isinstance(domain, Choice):
        with contextlib.suppress(SpaceError):
            return domain.store("", value)
        return domain.labels[0]
    number = as_number(value)
    return domain.snap(number) if math.isfinite(number) else domain.decode(0.5)


def _options(stage: Any, domain: Any) -> dict[str, Any]:
    """Return the stages to choose from, by labels that last."""
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
