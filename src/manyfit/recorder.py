"""Puts events where they belong, in the only safe order: memory, disk, then mirrors."""

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
    """The one door through which events enter a study.

    An event the engine refuses is never written. One that is written is shown to nobody, and acted
    on by nobody, before `commit` has put it on disk. Many events share one commit, so that a
    thousand reports don't cost a thousand fsyncs.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self.engine = engine
        self.trackers: Sequence[Tracker] = ()
        self.doubts: Doubts | None = None
        self._journal = journal
        self._unseen: list[tuple[Event, Trial | None]] = []

    def put(self, event: Event) -> None:
        """Take an event in.

        Raises:
            IllegalEventError: It can't have happened; nothing was written.
            JournalError: It can't be written; this study must not go on.
        """
        self.engine.apply(event)
        self._journal.append(event)
        self._unseen.append((event, self._trial_of(event)))
        if self.doubts is not None:
            self.doubts.heed(event)

    def commit(self) -> None:
        """Put everything taken in on disk, then show it to the trackers.

        Raises:
            JournalError: The disk refuses; this study must not go on.
        """
        if not self._unseen:
            return
        self._journal.commit()
        unseen, self._unseen = self._unseen, []
        for event, trial in unseen:
            for tracker in self.trackers:
                tracker.record(event, trial)

    def take_over(self, at: float, *, isolated: bool, orphans_count: bool) -> None:
        """Note that this process drives the study now, and write off what ran under an earlier one.

        Args:
            at: Wall time.
            isolated: Whether trials will run in processes of their own.
            orphans_count: Whether what an earlier driver left open used up an attempt.
        """
        self.put(DriverStarted(socket.gethostname(), os.getpid(), at, isolated))
        self.write_off("the driver died while it ran", at, counts=orphans_count)

    def write_off(self, reason: str, at: float, *, counts: bool) -> None:
        """Put every attempt that is still open on record as lost, and commit."""
        for trial in self.engine.running:
            self.put(AttemptLost(trial.number, len(trial.attempts), reason, counts, at))
        self.commit()

    def _trial_of(self, event: Event) -> Trial | None:
        number = getattr(event, "number", None)
        return None if number is None else self.engine.trials[number]
