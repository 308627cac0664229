"""Passes the recorded events of a call to its trackers."""

import inspect
from collections.abc import Mapping, Sequence

from manyfit.errors import ArgumentError
from manyfit.events import Event
from manyfit.trackers.base import Outcome, StudyInfo, Tracker
from manyfit.trackers.mirrors import Mirrors
from manyfit.trial import Trial


def hear_the_end(trackers: Sequence[Tracker]) -> Sequence[Tracker]:
    """Return the trackers, all of which can be told how groups have ended.

    Raises:
        ArgumentError: One of them can't.
    """
    for tracker in trackers:
        try:
            inspect.signature(tracker.close).bind("", (), None)
        except TypeError as error:
            raise ArgumentError(
                "tune_groups calls tracker.close(reason, trials, outcome), but close of "
                f"{type(tracker).__name__} doesn't take these: {error}"
            ) from error
    return trackers


class SearchTracker:
    """The tracker of a study within a call: it passes the study's events to the call's trackers.

    Args:
        mirrors: The trackers of the call.
    """

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Do nothing: the call has opened its trackers."""

    def prepare(self, trial: Trial) -> Mapping[str, str]:  # noqa: ARG002 - the seam's signature
        """Return no environment variables."""
        return {}

    def record(self, event: Event, trial: Trial | None) -> None:
        """Pass it on."""
        self._mirrors.record(event, trial)

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """Do nothing: the call closes its trackers."""
