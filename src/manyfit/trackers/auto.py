"""Which trackers a study has, from the words its user said."""

import importlib.util
from collections.abc import Callable
from typing import Literal

from manyfit._checks import has_methods
from manyfit.errors import ArgumentError
from manyfit.trackers.base import Tracker


def make_trackers(
    tracker: Literal["auto"] | Tracker | None, progress: str | bool | None
) -> tuple[Tracker, ...]:
    """Return the mirrors of a study: progress first, so that it is on screen before MLflow is up.

    Args:
        tracker: `"auto"` for MLflow where it is installed, a tracker, or None.
        progress: `"auto"` or True, `"plain"`, or None or False.

    Raises:
        ArgumentError: One of them is none of these.

    Example:
        >>> make_trackers(None, None)
        ()
    """
    found = (_progress(progress), _tracker(tracker))
    return tuple(each for each in found if each is not None)


def _progress(word: str | bool | None) -> Tracker | None:
    if word is None or word is False:
        return None
    # Here, not above: rich costs a tenth of a second that `import manyfit` does without.
    from manyfit.trackers.terminal import make_progress  # noqa: PLC0415

    return make_progress(word)


def _tracker(tracker: Literal["auto"] | Tracker | None) -> Tracker | None:
    if tracker is None:
        return None
    if tracker == "auto":
        return _mlflow()() if is_installed("mlflow") else None
    if not has_methods(tracker, "open", "prepare", "record", "close"):
        raise ArgumentError(f"tracker must be 'auto', None or a Tracker, but got {tracker!r:.200}")
    return tracker


def _mlflow() -> Callable[[], Tracker]:
    from manyfit.trackers.mlflow import MlflowTracker  # noqa: PLC0415 - only where it is used

    return MlflowTracker


def is_installed(package: str) -> bool:
    """Whether a package can be imported; a mere folder of that name doesn't count."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None
