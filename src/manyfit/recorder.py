"""Records events in the only safe order: memory, then disk, then trackers."""

import os
import socket
from collections.abc import Sequence

from manyfit.doubts import Doubts
from manyfit.engine import Engine
from manyfit.events import AttemptLost, DriverStarted, Event
from manyfit.journal.base import Journal
from manyfit.trackers.base import Tracker
from manyfit.trial import Trial


class Recorder:
    """The only way for events to enter a study.

    An event that the engine refuses is never written. No event is shown to a tracker or acted on
    before `commit` has put it on disk. Many events share one commit, so that a thousand reports
    don't cost a thousand fsyncs.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self.engine = engine
        self.trackers: Sequence[Tracker] = ()
        self.doubts: Doubts | None = None
        self._journal = journal
        self._unseen: list[tuple[Event, Trial | None]] = []

    def put(self, event: Event) -> None:
        """Apply and write an event; `commit` puts it on disk.

        Raises:
            IllegalEventError: The event can't follow what is recorded; nothing was written.
            JournalError: The event can't be written; the study must not go on.
        """
        self.engine.apply(event)
        self._journal.append(event)
        self._unseen.append((event, self._trial_of(event)))
        if self.doubts is not None:
            self.doubts.heed(event)

    def commit(self) -> None:
        """Put all events so far on disk, then show them to the trackers.

        Raises:
            JournalError: The events can't be written; the study must not go on.
        """
        if not self._unseen:
            return
        self._journal.commit()
        unseen, self._unseen = self._unseen, []
        for event, trial in unseen:
            for tracker in self.trackers:
                tracker.record(event, trial)

    def take_over(self, at: float, *, isolated: bool, orphans_count: bool) -> None:
        """Record that this process drives the study, and write off attempts of an earlier driver.

        Args:
            at: Wall time.
            isolated: Whether trials will run in processes of their own.
            orphans_count: Whether the attempts that an earlier driver left open count against
                `max_attempts`.
        """
        self.put(DriverStarted(socket.gethostname(), os.getpid(), at, isolated))
        self.write_off("the driver died while it ran", at, counts=orphans_count)

    def write_off(self, reason: str, at: float, *, counts: bool) -> None:
        """Record every open attempt as lost, and commit."""
        for trial in self.engine.running:
            self.put(AttemptLost(trial.number, len(trial.attempts), reason, counts, at))
        self.commit()

    def _trial_of(self, event: Event) -> Trial | None:
        number = getattr(event, "number", None)
        return None if number is None else self.engine.trials[number]
