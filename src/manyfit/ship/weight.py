"""Say what makes an objective heavy to send."""

import re
from collections.abc import Iterable, Iterator, Sized

import cloudpickle

from manyfit.ship.listing import megabytes
from manyfit.worker.blame import kind_of, name_of, parts

# Every worker is sent the objective; at this size sharing its data saves more than it asks for.
HEAVY = 10_000_000
_SHARE = 0.05
_DEEPEST = 8
_MOST_NAMED = 3


def size_warning(size: int, objective: object) -> str | None:
    """Say what in a pickled objective is large, by the names in the user's code.

    Looking takes a few times as long as pickling the objective.

    Args:
        size: Of the pickled objective, in bytes.
        objective: As for `tune`.

    Returns:
        None at 10 MB or less. Else a message that names the largest parts and advises
        `manyfit.share`; without names where no single part is large.

    Example:
        >>> size_warning(2_000_000, print) is None
        True
    """
    if size <= HEAVY:
        return None
    least = size * _SHARE
    # A function of a module travels by its name: what it refers to stays behind.
    heavy = list(_heavy(objective, "", least, set())) if _weight(objective) >= least else []
    largest = sorted(heavy, key=lambda part: -part[0])[:_MOST_NAMED]
    named = "; ".join(f"{way} is {megabytes(weight)} ({what})" for weight, way, what in largest)
    share = _arguments(way for _, way, _ in largest)
    return (
        f"the objective {name_of(objective)} is {megabytes(size)} when pickled, and every worker "
        f"is sent all of it{': ' if named else ''}{named}. Hand large data over once per machine: "
        f"data = manyfit.share({share}), and read it from data in the objective"
    )


def _heavy(value: object, way: str, least: float, seen: set[int]) -> Iterator[tuple[int, str, str]]:
    """Yield weight, name and kind of heavy parts, each as deep inside as its weight goes."""
    if way.count("→") >= _DEEPEST:
        return
    for name, part in parts(value):
        if id(part) in seen:
            continue
        seen.add(id(part))
        weight = _weight(part)
        if weight < least:
            continue
        path = f"{way} → its {name}" if way else f"its {name}"
        whole = hasattr(part, "shape")  # arrays and tables, whatever they consist of
        inner = [] if whole else list(_heavy(part, path, least, seen))
        yield from inner or [(weight, path, _described(part))]


def _weight(value: object) -> int:
    try:
        return len(cloudpickle.dumps(value))
    except Exception:  # noqa: BLE001 - objects raise what they like from their own hooks
        return 0


def _described(value: object) -> str:
    if hasattr(value, "shape"):
        dtype = f", {value.dtype}" if hasattr(value, "dtype") else ""
        return f"{kind_of(value)} of shape {value.shape}{dtype}"
    size = f" of length {len(value)}" if isinstance(value, Sized) else ""
    return f"{kind_of(value)}{size}"


def _arguments(ways: Iterable[str]) -> str:
    quoted = (re.findall(r"'([^\W\d]\w*)'", way)[-1:] for way in ways)
    names = dict.fromkeys(name for found in quoted for name in found)
    return ", ".join(f"{name}=..." for name in names or ("x",))
