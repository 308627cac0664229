"""Warns of an objective that is large when pickled, and names its large parts."""

import re
from collections.abc import Iterable, Iterator, Sized

import cloudpickle

from manyfit.ship.listing import megabytes
from manyfit.worker.blame import kind_of, name_of, parts

# Bytes. Every worker receives the objective; from this size on, sharing its data is worth the
# effort.
HEAVY = 10_000_000
_SHARE = 0.05
_DEEPEST = 8
_MOST_NAMED = 3


def size_warning(size: int, objective: object) -> str | None:
    """Return a warning that names the large parts of an objective, by the names in its code.

    This takes a few times as long as pickling the objective.

    Args:
        size: The size of the pickled objective, in bytes.
        objective: The objective, as for `tune`.

    Returns:
        None at 10 MB or less; otherwise a message that names the largest parts, if single parts are
        large, and advises `manyfit.share`.

    Example:
        >>> size_warning(2_000_000, print) is None
        True
    """
    if size <= HEAVY:
        return None
    least = size * _SHARE
    # A function of a module is pickled by name, without what it refers to.
    heavy = list(_heavy(objective, "", least, set())) if _weight(objective) >= least else []
    largest = sorted(heavy, key=lambda part: -part[0])[:_MOST_NAMED]
    named = "; ".join(f"{way} is {megabytes(weight)} ({what})" for weight, way, what in largest)
    share = _arguments(way for _, way, _ in largest)
    return (
        f"the objective {name_of(objective)} is {megabytes(size)} when pickled, and every worker "
        f"receives all of it{': ' if named else ''}{named}. Send large data once per machine: "
        f"data = manyfit.share({share}), and read it from data in the objective"
    )


def _heavy(value: object, way: str, least: float, seen: set[int]) -> Iterator[tuple[int, str, str]]:
    """Yield the weight, name and kind of large parts, each the innermost that has the weight."""
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
        whole = hasattr(part, "shape")  # arrays and tables are not divided
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
