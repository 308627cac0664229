"""What an objective of Hyperopt returns, and how it travels from a worker to the driver.

A result is a number, or a dict with `status`, `loss` and anything else. Within one process the dict
itself is kept. From a worker come numbers as metrics, and everything else as short texts: JSON if
possible.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manyfit.hyperopt.exceptions import InvalidLoss, InvalidResultStatus

STATUS_NEW = "new"
STATUS_RUNNING = "running"
STATUS_SUSPENDED = "suspended"
STATUS_OK = "ok"
STATUS_FAIL = "fail"
STATUS_STRINGS = (STATUS_NEW, STATUS_RUNNING, STATUS_SUSPENDED, STATUS_OK, STATUS_FAIL)

# The note with the names of values that came as text, because they aren't JSON or are too long.
_TEXTS = "not_json"
# A longer note would be cut, and its JSON could not be read.
_MOST = 1000


def checked(returned: Any) -> dict[str, Any]:
    """Return what an objective returned as a dict with `status`, and with `loss` if that is ok.

    Raises:
        InvalidResultStatus: It has no status, or none of Hyperopt's.
        InvalidLoss: The status is ok, and there is no loss, or it isn't a number.
    """
    if isinstance(returned, float | int | np.number):
        return {"loss": float(returned), "status": STATUS_OK}
    try:
        result = dict(returned)
    except (TypeError, ValueError) as error:
        raise InvalidLoss(
            "an objective returns its loss as a number, or a dict with loss and status, but this "
            f"one returned {returned!r:.200}"
        ) from error
    if result.get("status") not in STATUS_STRINGS:
        raise InvalidResultStatus(
            f"the dict that an objective returns needs a status, {STATUS_OK!r} or {STATUS_FAIL!r}, "
            f"but got {result.get('status')!r:.100}. It has: {', '.join(map(str, result))}"
        )
    if result["status"] == STATUS_OK:
        try:
            result["loss"] = float(result["loss"])
        except (TypeError, ValueError, KeyError) as error:
            raise InvalidLoss(
                f"the objective returned the status {STATUS_OK!r}, but its loss is "
                f"{result.get('loss', 'missing')!r:.100}"
            ) from error
    return result


def sent(result: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Return a checked result as the metrics and notes of a trial.

    A result without a usable loss has notes only: its trial is a FAIL, and has no metrics.
    """
    usable = is_usable(result)
    values = {str(name): _plain(value) for name, value in result.items()}
    metrics = {n: float(v) for n, v in values.items() if usable and type(v) in (int, float)}
    rest = {n: v for n, v in values.items() if n not in metrics and not (usable and n == "status")}
    notes = {name: _note(value) for name, value in rest.items()}
    texts = [name for name, note in notes.items() if note is None]
    found = {n: str(rest[n]) if note is None else note for n, note in notes.items()}
    return metrics, {**found, _TEXTS: ", ".join(texts)} if texts else found


def _note(value: Any) -> str | None:
    """Return a value as JSON, or a string as it is if it can't be taken for JSON; None if long."""
    if isinstance(value, str) and _read(value) is value:
        text = value
    else:
        try:
            text = json.dumps(value, default=_listed)
        except (TypeError, ValueError):
            return None
    return text if len(text) <= _MOST else None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")


def received(metrics: Mapping[str, float], notes: Mapping[str, str]) -> dict[str, Any]:
    """Return the result whose metrics and notes were recorded.

    Numbers without a fraction are ints, except for the loss.
    """
    texts = cut(notes)
    values = {name: text if name in texts else _read(text) for name, text in notes.items()}
    values.pop(_TEXTS, None)
    numbers = {n: int(v) if n != "loss" and v.is_integer() else v for n, v in metrics.items()}
    return {"status": STATUS_OK, **numbers, **values}


def cut(notes: Mapping[str, str]) -> list[str]:
    """Return the names of values that came as text, because they aren't JSON or are too long."""
    return notes[_TEXTS].split(", ") if _TEXTS in notes else []


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_usable(result: Mapping[str, Any]) -> bool:
    """Return whether a result has a loss from which a sampler can learn."""
    return result["status"] == STATUS_OK and math.isfinite(result["loss"])
