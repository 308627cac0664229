"""The seam between the driver and the study's record."""

from collections.abc import Iterator
from typing import Protocol

from manyfit.events import Event


class Journal(Protocol):
    """An append-only list of events that survives whatever happens to this process.

    Owned by one driver at a time and called from its one thread.
    """

    def read(self) -> Iterator[Event]:
        """Yield every event, oldest first; to be exhausted before the first `append`.

        Raises:
            JournalCorruptError: A whole line is damaged. A torn last line, which a death while
                writing leaves, was never acted on, and is dropped.
        """

    def append(self, event: Event) -> None:
        """Add an event. It may be lost until `commit` returns.

        Raises:
            JournalError: It can't be written; what was written before stays readable.
        """

    def commit(self) -> None:
        """Return once every appended event would survive a power cut; free if there is none.

        Raises:
            JournalError: The disk refuses, or the record is somebody else's by now.
        """

    def close(self) -> None:
        """Commit, and let another driver have the study. Safe to call twice."""
