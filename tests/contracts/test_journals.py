"""Every journal keeps the contract."""

from pathlib import Path

from manyfit.journal.base import Journal
from manyfit.journal.file import FileJournal
from manyfit.testing.journals import JournalContract, MemoryJournal


class TestFileJournal(JournalContract):
    def open_journal(self, folder: Path) -> Journal:
        return FileJournal(folder)


class TestMemoryJournal(JournalContract):
    lines: list[str]

    def setup_method(self) -> None:
        self.lines = []

    def open_journal(self, folder: Path) -> Journal:
        return MemoryJournal(self.lines)
