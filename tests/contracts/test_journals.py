"""Every journal keeps the contract."""

from pathlib import Path

from manyfit.journal.base import Journal
from manyfit.journal.file import FileJournal
from manyfit.testing.journals import JournalContract, MemoryJournal


class TestFileJournal(JournalContract):
    """On disk."""

    def open_journal(self, folder: Path) -> Journal:
        """Open it."""
        return FileJournal(folder)


class TestMemoryJournal(JournalContract):
    """The fake."""

    lines: list[str]

    def setup_method(self) -> None:
        """Begin with nothing."""
        self.lines = []

    def open_journal(self, folder: Path) -> Journal:
        """Open it."""
        return MemoryJournal(self.lines)
