"""Saves and loads `ManyfitValidator` and its model, in the layout of Spark ML's own.

Plain values, such as a space and param maps, are JSON; stages in them have folders of their own.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pyspark.ml.linalg import DenseMatrix, DenseVector, SparseVector
from pyspark.ml.param import Param, Params
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import is_remote

from manyfit._labels import is_label
from manyfit._optional import load
from manyfit.choice import Choice, from_json, to_json
from manyfit.domain import Float, Int
from manyfit.errors import ArgumentError
from manyfit.spark_ml.stages import nested

# Params whose values contain stages, or have them as keys. The estimator's own come first.
_HOLDERS = ("estimator", "evaluator", "estimatorParamMaps", "space")
_MODEL = "bestModel"
_SUB_MODELS = "subModels"
_OPTION = "persistSubModels"


class Writer(MLWriter):
    """Saves a validator or its model.

    Args:
        instance: The validator or the model.
        metrics: For a model: its metrics, by attribute.
        model: For a model: its best model.
        sub_models: For a model: those of each fold, or of the single split; None if there are none.

    Raises:
        ArgumentError: `instance` contains something that can't be saved.
    """

    def __init__(
        self,
        instance: Params,
        metrics: Mapping[str, Any] | None = None,
        model: Any = None,
        sub_models: list[Any] | None = None,
    ) -> None:
        super().__init__()
        self._instance = instance
        self._model = model
        self._sub_models = sub_models
        record = _Encoder()
        held = {
            name: record.encode(name, instance.getOrDefault(name))
            for name in _HOLDERS
            if instance.isSet(name)
        }
        _check_writable(_MODEL, model)
        self._stages = record.stages
        self._extra = {"held": held, "stages": len(record.stages), "metrics": metrics}

    def save(self, path: str) -> None:
        """Save to a path; an existing one is an error, unless `overwrite` was called.

        Raises:
            ArgumentError: An option is unknown, or sub-models can't be saved; nothing is written.
        """
        self._parts()
        if self.shouldOverwrite and is_remote():  # Spark's own is for classic sessions
            load("pyspark.ml.connect.readwrite").RemoteMLWriter.handleOverwrite(path, True)
            self.saveImpl(path)
        else:
            super().save(path)

    def saveImpl(self, path: str) -> None:  # noqa: N802 - Spark's name
        """Save to a path that doesn't exist."""
        plain = {
            name: value
            for name, value in DefaultParamsWriter.extractJsonParams(
                self._instance, _HOLDERS
            ).items()
            if self._instance.isSet(name)
        }
        parts, places = self._parts()
        extra = {**self._extra, _SUB_MODELS: places}
        DefaultParamsWriter.saveMetadata(self._instance, path, self.sparkSession, extra, plain)
        for folder, part in parts.items():
            part.write().session(self.sparkSession).save(os.path.join(path, folder))  # noqa: PTH118

    def _parts(self) -> tuple[dict[str, Any], list[Any] | None]:
        """Return the parts with folders of their own, and the folders of sub-models."""
        parts = {f"stages/{place}": stage for place, stage in enumerate(self._stages)}
        if self._model is not None:
            parts[_MODEL] = self._model
        if not self._keeps_sub_models():
            return parts, None
        places = _places(self._sub_models or [], _SUB_MODELS, parts)
        return parts, places

    def _keeps_sub_models(self) -> bool:
        known = set() if self._model is None else {_OPTION.lower()}
        if unknown := self.optionMap.keys() - known:
            has = f"{_OPTION} only" if known else "none"
            raise ArgumentError(f"the writer has no option {', '.join(unknown)}: it has {has}")
        asked: str = self.optionMap.get(_OPTION.lower(), f"{self._sub_models is not None}").lower()
        if asked not in ("true", "false"):
            raise ArgumentError(f"{_OPTION} must be true or false, but got {asked!r:.100}")
        if asked == "true" and self._sub_models is None:
            raise ArgumentError(
                f"{_OPTION}=true needs sub-models, and none were collected: fit with "
                "collectSubModels=True"
            )
        return asked == "true"


class Reader(MLReader[Any]):
    """Loads what `Writer` saved.

    Args:
        kind: The validator's class, or its model's.
    """

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self._kind = kind

    def load(self, path: str) -> Any:
        """Load from a path.

        Raises:
            ArgumentError: The path contains something else.
        """
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        name = f"{self._kind.__module__}.{self._kind.__qualname__}"
        if metadata["class"] != name:
            raise ArgumentError(f"{path} contains a {metadata['class']}, not a {name}")
        record = _Decoder(
            [self._part(path, f"stages/{place}") for place in range(metadata["stages"])]
        )
        if metadata["metrics"] is None:
            found = self._kind()
        else:
            model = self._part(path, _MODEL)
            found = self._kind(model, **metadata["metrics"])
            found.subModels = self._sub_models(path, metadata.get(_SUB_MODELS))
        found._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(found, metadata)
        return found._set(**{name: record.decode(held) for name, held in metadata["held"].items()})

    def _sub_models(self, path: str, places: Any) -> Any:
        """Return the models in these folders, in lists of the same shape; None for no model."""
        if isinstance(places, list):
            return [self._sub_models(path, place) for place in places]
        return None if places is None else self._part(path, places)

    def _part(self, path: str, folder: str) -> Any:
        place = os.path.join(path, folder)  # noqa: PTH118 - it may be an address
        return DefaultParamsReader.loadParamsInstance(place, self.sparkSession)


def _places(models: list[Any], folder: str, parts: dict[str, Any]) -> list[Any]:
    """Return the folder of each model, named as Spark names it, and add it to the parts."""
    places: list[Any] = []
    for number, model in enumerate(models):
        place = f"{folder}/{number}"
        if isinstance(model, list):
            places.append(_places(model, f"{folder}/fold{number}", parts))
        elif model is None:
            places.append(None)
        else:
            _check_writable(place, model)
            parts[place] = model
            places.append(place)
    return places


class _Encoder:
    """Turns values into plain JSON, and collects their stages, which are saved separately."""

    def __init__(self) -> None:
        self.stages: list[Any] = []
        # id of a stage → the index of its outer stage, and its uid
        self._places: dict[int, tuple[int, str]] = {}

    def encode(self, where: str, value: Any) -> Any:
        """Return a value as JSON: its kind and its contents."""
        match value:
            case Params():
                return {"stage": self._place(where, value)}
            case Param():
                return {"param": (value.parent, value.name)}
            case Choice() if value.branches is None:
                options = [self.encode(where, option) for option in value.options]
                return {"choice": (options, value.weights)}
            case list() | tuple():
                return {"list": [self.encode(where, item) for item in value]}
            case Mapping():
                return {"map": [self._pair(where, key, item) for key, item in value.items()]}
        return _plain(where, value)

    def _pair(self, where: str, key: Any, item: Any) -> tuple[Any, Any]:
        return self.encode(where, key), self.encode(f"{where}, {key}", item)

    def _place(self, where: str, stage: Params) -> tuple[int, str]:
        if id(stage) not in self._places:
            _check_writable(where, stage)
            for inner in nested(stage):
                self._places.setdefault(id(inner), (len(self.stages), inner.uid))
            self.stages.append(stage)
        return self._places[id(stage)]


class _Decoder:
    """Turns JSON back into values.

    Args:
        stages: The stages that were saved separately.
    """

    def __init__(self, stages: list[Any]) -> None:
        self._stages = {
            (place, inner.uid): inner
            for place, stage in enumerate(stages)
            for inner in nested(stage)
        }
        self._by_uid = {uid: stage for (_, uid), stage in self._stages.items()}

        self._makers: dict[str, Callable[[Any], Any]] = {
            "stage": lambda held: self._stages[tuple(held)],
            "param": lambda held: self._by_uid[held[0]].getParam(held[1]),
            "choice": lambda held: Choice(list(map(self.decode, held[0])), weights=held[1]),
            "list": lambda held: list(map(self.decode, held)),
            "map": lambda held: {self.decode(key): self.decode(item) for key, item in held},
            "domain": from_json,
            "vector": DenseVector,
            "sparse": lambda held: SparseVector(*held),
            "matrix": lambda held: DenseMatrix(*held),
            "value": lambda held: held,
        }

    def decode(self, record: Mapping[str, Any]) -> Any:
        """Return the value that `_Encoder.encode` turned into this record."""
        ((kind, held),) = record.items()
        return self._makers[kind](held)


def _plain(where: str, value: Any) -> dict[str, Any]:
    """Return a value without stages as JSON."""
    match value:
        case Float() | Int():
            return {"domain": to_json(where, value)}
        case DenseVector():
            return {"vector": value.toArray().tolist()}
        case SparseVector():
            return {"sparse": (value.size, value.indices.tolist(), value.values.tolist())}
        case DenseMatrix():
            rows = value.toArray()
            return {"matrix": (*rows.shape, rows.ravel(order="F").tolist())}
    plain = value.item() if isinstance(value, np.generic) else value
    if is_label(plain) or isinstance(plain, float):
        return {"value": plain}
    raise ArgumentError(
        f"{where} can't be saved, since it has {value!r:.200}: it may have stages of Spark ML, "
        "Float, Int, Choice, vectors, matrices, and plain JSON values"
    )


def _check_writable(where: str, stage: Any) -> None:
    for inner in nested(stage):
        if not isinstance(inner, MLWritable):
            raise ArgumentError(
                f"{where} can't be saved, since {inner.uid} has no write(): derive its class from "
                "pyspark.ml.util.DefaultParamsWritable"
            )
