"""Deep copies of values that are handed out, so that a trial's changes reach nobody else."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from manyfit._labels import is_label

# Handles to objects in a JVM or on a cluster: an incomplete copy, once deleted, would release the
# original.
_HANDLES = ("pyspark.", "py4j.")


def own(value: Any) -> Any:
    """Return a deep copy of a value, in which some objects are not copied.

    These are immutable objects (and read-only arrays, such as those of `manyfit.share`), handles to
    Spark's objects, and objects that can't be copied, such as a lock or an open file. The copy
    holds the originals.

    Example:
        >>> layers = [64]
        >>> own(layers) == layers, own(layers) is layers
        (True, False)
    """
    try:
        return _copied(value)
    except RecursionError:  # it contains itself
        return copy.deepcopy(value)


def _copied(value: Any) -> Any:
    kind = type(value)
    if is_label(value) or _is_fixed(value):
        return value
    if kind in (list, tuple):
        return kind(map(_copied, value))
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    try:
        return copy.deepcopy(value)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - objects raise what they like from their own hooks
        return value


def own_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict with a copy of each value, made by `own`.

    Example:
        >>> own_values({"layers": [64]})
        {'layers': [64]}
    """
    return {name: own(value) for name, value in values.items()}


def _is_fixed(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return not (value.flags.writeable or value.dtype.hasobject)
    return any(base.__module__.startswith(_HANDLES) for base in type(value).__mro__)
