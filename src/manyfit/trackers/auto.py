"""Turn what a user passes as `tracker=` and `progress=` into trackers."""

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias, TypeGuard, cast

from manyfit._checks import has_methods
from manyfit.errors import ArgumentError
from manyfit.trackers.base import Tracker

# What `tracker=` takes.
Trackers: TypeAlias = Tracker | Literal["auto"] | Sequence[Tracker | Literal["auto"]] | None


def make_trackers(tracker: Trackers, progress: str | bool | None) -> tuple[Tracker, ...]:
    """Return the trackers of a study: progress first, so that it shows before MLflow is loaded.

    Args:
        tracker: `"auto"` for MLflow if it is installed, a tracker, a sequence of these, or None.
        progress: `"auto"` or True, `"plain"`, or None or False.

    Raises:
        ArgumentError: One of them is none of these.

    Example:
        >>> make_trackers(None, None)
        ()
    """
    shown = _progress(progress)
    return (*([] if shown is None else [shown]), *_trackers(tracker))


def _progress(word: str | bool | None) -> Tracker | None:
    if word is None or word is False:
        return None
    # Imported here because rich takes a tenth of a second, which `import manyfit` saves.
    from manyfit.trackers.terminal import make_progress  # noqa: PLC0415

    return make_progress(word)


def _trackers(tracker: Trackers) -> Iterator[Tracker]:
    if tracker is None:
        return
    several = isinstance(tracker, Sequence) and not (isinstance(tracker, str) or _tracks(tracker))
    for each in cast("Sequence[object]", tracker) if several else (tracker,):
        if _tracks(each):
            yield each
        elif each != "auto":
            raise ArgumentError(
                "tracker must be 'auto', a Tracker, a sequence of these, or None, but got "
                f"{tracker!r:.200}"
            )
        elif is_installed("mlflow"):
            # Imported here because `import manyfit` doesn't need it.
            from manyfit.trackers.mlflow import MlflowTracker  # noqa: PLC0415

            yield MlflowTracker()


def _tracks(value: object) -> TypeGuard[Tracker]:
    return has_methods(value, "open", "prepare", "record", "close")


def is_installed(package: str) -> bool:
    """Return whether a package can be imported; a mere folder of that name doesn't count."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None
