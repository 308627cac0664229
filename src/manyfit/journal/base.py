"""The protocol of a journal, in which the driver records a study's events."""

from collections.abc import Iterator
from typing import Protocol

from manyfit.events import Event


class Journal(Protocol):
    """An append-only list of events that survives the death of this process.

    One driver at a time owns it, and calls it from one thread.
    """

    def read(self) -> Iterator[Event]:
        """Yield every event, oldest first; exhaust it before the first `append`.

        Raises:
            JournalCorruptError: A complete line is damaged. A torn last line, left by a death while
                writing, was never acted on, and is dropped.
        """

    def append(self, event: Event) -> None:
        """Add an event. It may be lost until `commit` returns.

        Raises:
            JournalError: The event can't be written; earlier ones stay readable.
        """

    def commit(self) -> None:
        """Return once every appended event would survive a power cut; free if there are none.

        Raises:
            JournalError: The disk refuses, or another process has taken over the journal.
        """

    def close(self) -> None:
        """Commit, and release the study for another driver. Safe to call twice."""
