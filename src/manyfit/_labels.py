"""What stands for an arbitrary value in a record: itself where it is plain JSON, else a label."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeGuard

from manyfit._redact import redact_value
from manyfit.errors import SpaceError

Label: TypeAlias = bool | int | float | str | None

_PLAIN = (type(None), bool, int, float, str)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def is_label(value: object) -> TypeGuard[Label]:
    """Whether a value is a plain JSON scalar, and so its own label.

    Exact types only: a subclass, such as a string Enum, would come back from a file as something
    else.
    """
    return type(value) in _PLAIN and not (isinstance(value, float) and not math.isfinite(value))


def label(value: object) -> Label:
    """Return what stands for a Choice's option in a record.

    Raises:
        SpaceError: Its `repr` holds a memory address, and would differ in the next process.
    """
    if is_label(value):
        return value
    name = getattr(value, "__qualname__", None)
    if callable(value) and isinstance(name, str):
        return f"{value.__module__}.{name}"
    if isinstance(value, set | frozenset):  # the order of a set differs from process to process
        return f"{{{', '.join(sorted(map(repr, value)))}}}"
    text = repr(value)
    if _ADDRESS.search(text):
        raise SpaceError(
            f"the option {text} has no lasting label: its repr holds a memory address. "
            "Use a string as the option, and look the object up by it in the objective"
        )
    return text


def constant_to_json(name: str, value: object) -> Any:
    """Return what is recorded of a constant: itself where it is plain JSON, else a label.

    What looks like a credential is redacted, and a long text is cut.
    """
    if is_label(value):
        return redact_value(name, value)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: constant_to_json(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [constant_to_json(name, item) for item in value]
    try:
        text = str(label(value))
    except SpaceError:
        text = f"{type(value).__module__}.{type(value).__qualname__} object"
    return redact_value(name, text if len(text) <= 200 else text[:197] + "...")


def is_recorded(name: str, value: object) -> bool:
    """Whether a record has a constant itself: it is plain JSON, and nothing of it is redacted."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_recorded(name, each) for key, each in value.items())
    if isinstance(value, list):
        return all(is_recorded(name, each) for each in value)
    return is_label(value) and redact_value(name, value) == value


def same(one: object, other: object) -> bool:
    """Whether two values are recorded alike; by text, because True == 1 == 1.0."""
    return json.dumps(constant_to_json("", one)) == json.dumps(constant_to_json("", other))
