"""The line that counts on a terminal."""

import contextlib
import os
import pty
import sys
from collections.abc import Iterator

import pytest

from manyfit.trackers.terminal_count import counted


def test_a_terminal_shows_how_many_are_done(monkeypatch):
    """The items come one by one, with a line that is removed at the end."""
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with os.fdopen(theirs, "w", encoding="utf-8") as screen:
        monkeypatch.setattr(sys, "stderr", screen)

        items = list(counted("abc", "studies simulated"))
        os.set_blocking(ours, False)
        shown = "".join(_parts(ours))
    os.close(ours)

    assert items == ["a", "b", "c"]
    assert "3/3" in shown
    assert "studies simulated" in shown


def _parts(descriptor: int) -> Iterator[str]:
    with contextlib.suppress(BlockingIOError):
        while True:
            yield os.read(descriptor, 4096).decode()


def test_elsewhere_nothing_is_shown(capsys: pytest.CaptureFixture[str]):
    """A log has no use for a line that changes."""
    assert list(counted([1, 2], "studies simulated")) == [1, 2]
    assert capsys.readouterr() == ("", "")
