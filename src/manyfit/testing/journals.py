"""The contract suite of journals, and an in-memory fake."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from manyfit.errors import JournalError
from manyfit.event_lines import decode, encode
from manyfit.events import (
    AttemptFinished,
    AttemptStarted,
    DriverStarted,
    Event,
    Reported,
    StudyCreated,
    StudyEnded,
    TrialAsked,
)
from manyfit.journal.base import Journal


class MemoryJournal:
    """A journal in memory, which a test can inspect and abandon.

    Args:
        lines: The lines of an earlier journal; this one continues the same list.

    Example:
        >>> journal = MemoryJournal()
        >>> journal.append(StudyEnded("64 trials are done", at=1.0))
        >>> journal.survivors()
        []
        >>> journal.commit()
        >>> journal.survivors()
        [StudyEnded(reason='64 trials are done', at=1.0)]
    """

    def __init__(self, lines: list[str] | None = None) -> None:
        self.lines = [] if lines is None else lines
        self.commits = 0
        self._durable = len(self.lines)
        self._closed = False

    def read(self) -> Iterator[Event]:
        """Yield every event, oldest first."""
        return map(decode, list(self.lines))

    def append(self, event: Event) -> None:
        """Add an event.

        Raises:
            JournalError: The journal is closed.
        """
        if self._closed:
            raise JournalError("the journal in memory is closed")
        self.lines.append(encode(event))

    def commit(self) -> None:
        """Make the events so far durable; counted in `commits` if there are new ones.

        Raises:
            JournalError: The journal is closed.
        """
        if self._closed:
            raise JournalError("the journal in memory is closed")
        if self._durable < len(self.lines):
            self._durable = len(self.lines)
            self.commits += 1

    def close(self) -> None:
        """Commit, and accept no more."""
        if not self._closed:
            self.commit()
            self._closed = True

    def survivors(self) -> list[Event]:
        """Return the events that would be left after a power cut now."""
        return [decode(line) for line in self.lines[: self._durable]]


class JournalContract:
    """The contract of every journal. Subclass it, and override `open_journal`.

    Example:
        >>> class TestMyJournal(JournalContract):
        ...     def open_journal(self, folder):
        ...         return FileJournal(folder)
    """

    def open_journal(self, folder: Path) -> Journal:
        """Open the journal in `folder`; opened again, it has the same events."""
        raise NotImplementedError

    def test_a_new_journal_is_empty(self, tmp_path: Path) -> None:
        """Nothing is read from a journal without events."""
        journal = self.open_journal(tmp_path)

        assert list(journal.read()) == []
        journal.close()

    def test_events_come_back_equal_and_in_order(self, tmp_path: Path) -> None:
        """The next driver reads every committed event, unchanged and in order."""
        self._write(tmp_path, EVENTS)

        assert self._read(tmp_path) == EVENTS

    def test_appending_goes_on_after_reading(self, tmp_path: Path) -> None:
        """A journal that is opened again keeps what it had and adds to its end."""
        self._write(tmp_path, EVENTS[:3])
        self._write(tmp_path, EVENTS[3:])

        assert self._read(tmp_path) == EVENTS

    def test_close_commits(self, tmp_path: Path) -> None:
        """An appended event survives a close without a commit."""
        journal = self.open_journal(tmp_path)
        journal.append(EVENTS[0])
        journal.close()

        assert self._read(tmp_path) == EVENTS[:1]

    def test_many_appends_share_a_commit(self, tmp_path: Path) -> None:
        """One commit covers everything appended before it, and a second one finds nothing to do."""
        journal = self.open_journal(tmp_path)
        for event in EVENTS:
            journal.append(event)
        journal.commit()
        journal.commit()
        journal.close()

        assert self._read(tmp_path) == EVENTS

    def test_closing_twice_is_safe(self, tmp_path: Path) -> None:
        """A second close does nothing, even if another driver has opened the study."""
        journal = self.open_journal(tmp_path)
        journal.close()
        other = self.open_journal(tmp_path)
        journal.close()
        other.append(EVENTS[0])
        other.close()

        assert self._read(tmp_path) == EVENTS[:1]

    def test_a_closed_journal_refuses(self, tmp_path: Path) -> None:
        """Appending to a closed journal is an error, never a silent loss."""
        journal = self.open_journal(tmp_path)
        journal.close()

        with pytest.raises(JournalError, match="closed"):
            journal.append(EVENTS[0])

    def test_what_json_has_no_numbers_for(self, tmp_path: Path) -> None:
        """NaN and infinities in metrics are preserved."""
        metrics = {"val_loss": 0.5, "a": float("nan"), "b": float("inf"), "c": float("-inf")}
        self._write(tmp_path, [Reported(0, 1, 3, metrics, at=4.0)])

        (event,) = self._read(tmp_path)

        assert isinstance(event, Reported)
        assert repr(event.metrics) == repr(metrics)

    def test_line_breaks_within_an_event(self, tmp_path: Path) -> None:
        """Text with line breaks and any script in it stays one event."""
        event = StudyEnded("first\nsecond\r\nthird\u2028\x85 終 🏁 \x00", at=1.0)
        self._write(tmp_path, [event, EVENTS[0]])

        assert self._read(tmp_path) == [event, EVENTS[0]]

    def _write(self, folder: Path, events: list[Event]) -> None:
        journal = self.open_journal(folder)
        list(journal.read())
        for event in events:
            journal.append(event)
            journal.commit()
        journal.close()

    def _read(self, folder: Path) -> list[Event]:
        journal = self.open_journal(folder)
        try:
            return list(journal.read())
        finally:
            journal.close()


EVENTS: list[Event] = [
    StudyCreated("s", {"params": {}}, "val_loss", "minimize", seed=7, manyfit="0.1.0", at=1.0),
    DriverStarted("laptop", 4242, at=1.5),
    TrialAsked(0, {"learning_rate": 0.1 + 0.2, "structure": "small"}, "sampler", at=2.0),
    AttemptStarted(0, 1, "process-0", at=2.5),
    Reported(0, 1, 0, {"val_loss": 0.5, "val_accuracy": 0.25}, at=3.0),
    AttemptFinished(0, 1, {"val_loss": 0.25}, seconds=1.25, at=3.75),
]
