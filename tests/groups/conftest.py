"""Groups that are tuned in the process of the test."""

import contextlib
import os
from dataclasses import replace

import pytest

from manyfit.worker.channel import Channel
from manyfit.worker.payload import unpack
from manyfit.worker.task import Place, run_task

PLACE = Place("here", lambda *_: contextlib.nullcontext(), alone=True, killable=True)


class SlotHere:
    """Stands in for a slot, whose process would take a second to start: runs the same work here."""

    def __init__(self, payload):
        work = unpack(os.dup(payload.fileno()))
        self._work = replace(work, folder=payload.site.folder)
        self._task = None

    def submit(self, task):
        """Take a batch of groups."""
        self._task = task

    def poll(self):
        """Tune the batch; returns what has happened."""
        events, task, self._task = [], self._task, None
        if task is not None:
            run_task(self._work, task, Channel(events.append), PLACE)
        return events

    def fileno(self):
        """Return None: nothing is to be waited for."""

    def patience(self):
        """Return 0: nothing is to be waited for."""
        return 0.0

    def leave(self):
        """Do nothing: there is no process to end."""

    def close(self, _within=0.0):
        """Forget a batch that has not begun."""
        self._task = None


@pytest.fixture
def spark(classic):
    """A session of 2 slots, since each starts two processes that import pandas."""
    return classic.on("local[2]")


@pytest.fixture
def here(monkeypatch):
    """Groups of pandas are tuned in this process, and not in others."""
    monkeypatch.setattr("manyfit.groups.run.local.Slot", SlotHere)


@pytest.fixture
def late(monkeypatch):
    """Slots here say that a batch has ended only after its rows were taken.

    Returns a list of whether a slot had something to say, for each time that one is waited for.
    """
    waits = []

    class LateSlot(SlotHere):
        _kept = ()

        def poll(self):
            events, self._kept = self._kept, super().poll()
            return events

        def patience(self):
            waits.append(bool(self._kept))
            return 0.0

    monkeypatch.setattr("manyfit.groups.run.local.Slot", LateSlot)
    return waits


@pytest.fixture
def forget():
    """Cuts a call's record off before its first row, as if the driver had died there."""

    def cut(folder):
        path = folder / "journal.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        first = next(at for at, line in enumerate(lines) if b'"event":"group-ended"' in line)
        path.write_bytes(b"".join(lines[:first]))

    return cut
