"""What is handed out is a copy: what a trial does to it, no other trial and no record sees."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from manyfit._labels import is_label

# Handles to what lives in a JVM or on a cluster: a half-made copy would let go of the original.
_HANDLES = ("pyspark.", "py4j.")


def own(value: Any) -> Any:
    """Return a deep copy of a value, or the value itself where there is nothing to protect.

    That is so for what can't be changed (an array that is read-only too, such as those of
    `manyfit.share`), for handles to Spark's objects, and for what can't be copied, such as a lock
    or an open file.

    Example:
        >>> layers = [64]
        >>> own(layers) == layers, own(layers) is layers
        (True, False)
    """
    if is_label(value) or _is_fixed(value) or type(value).__module__.startswith(_HANDLES):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - objects raise what they like from their own hooks
        return value


def own_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict of copies, each as `own` makes it.

    Example:
        >>> own_values({"layers": [64]})
        {'layers': [64]}
    """
    return {name: own(value) for name, value in values.items()}


def _is_fixed(value: object) -> bool:
    if not isinstance(value, np.ndarray):
        return False
    return not (value.flags.writeable or value.dtype.hasobject)
