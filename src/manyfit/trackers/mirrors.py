"""All trackers of a study, or of a call over groups, as one: none of them can fail it."""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from manyfit._redact import redact
from manyfit.events import Event
from manyfit.trackers.base import Outcome, StudyInfo, Tracker
from manyfit.trial import Trial

logger = logging.getLogger("manyfit")

T = TypeVar("T")


class Mirrors:
    """Tells several trackers the same; one that raises is told nothing more, except to close.

    Args:
        trackers: The trackers, in the order in which they are told.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)
        self._opened: list[Tracker] = []
        self._told: list[Tracker] = []

    def open(self, study: StudyInfo, history: Sequence[Trial]) -> None:
        """Open all of them; if one raises, nothing has run, and those that are open are closed."""
        for tracker in self._trackers:
            try:
                tracker.open(study, history)
            except BaseException as error:
                self.close(f"the driver ended with {type(error).__name__}: {error}", history)
                raise
            self._opened.append(tracker)
        self._told = list(self._opened)

    def prepare(self, trial: Trial) -> Mapping[str, str]:
        """Return the environment variables of all of them."""
        env: dict[str, str] = {}
        for tracker in tuple(self._told):
            env |= self._try(tracker, lambda tracker=tracker: _variables(tracker, trial)) or {}
        return env

    def record(self, event: Event, trial: Trial | None) -> None:
        """Tell of an event that is on disk."""
        for tracker in tuple(self._told):
            self._try(tracker, tracker.record, event, trial)

    def close(self, reason: str, trials: Sequence[Trial], outcome: Outcome | None = None) -> None:
        """Close those that are open."""
        opened, self._opened, self._told = self._opened, [], []
        how = () if outcome is None else (outcome,)  # a tracker of studies alone needn't take it
        for tracker in opened:
            self._try(tracker, tracker.close, reason, trials, *how)

    def _try(self, tracker: Tracker, call: Callable[..., T], *given: object) -> T | None:
        try:
            return call(*given)
        except Exception as error:  # noqa: BLE001 - it is the user's code, and decides nothing
            self._told = [other for other in self._told if other is not tracker]
            logger.warning(
                "tracker %s raised %s and is told nothing more; all else goes on, and the record "
                "has everything:\n%s",
                type(tracker).__name__,
                type(error).__name__,
                redact(traceback.format_exc()).rstrip(),
            )
            return None


def _variables(tracker: Tracker, trial: Trial) -> dict[str, str]:
    env = dict(tracker.prepare(trial))
    for pair in env.items():
        if not all(isinstance(part, str) for part in pair):
            raise TypeError(f"prepare must return variables, text to text, but returned {pair!r}")
    return env
