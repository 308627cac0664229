"""Runs a single trial in a Spark task, if workers can't connect to the driver."""

import contextlib
import os
import select
import time
from collections.abc import Mapping
from typing import Any

from manyfit._redact import secret_values
from manyfit.event_lines import encode
from manyfit.remote.follow import Follower
from manyfit.remote.mailbox import Mailbox
from manyfit.remote.remote_slot import RemoteSlot
from manyfit.remote.sealed import opened
from manyfit.remote.setup import unpacked
from manyfit.worker.channel import ENDINGS
from manyfit.worker.slot import Slot
from manyfit.worker.work import Task

# Seconds between checks of the mailbox, which may be an object store.
_LOOK = 0.5


def run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Run one attempt to its end; returns its events and its log.

    Args:
        settings: A parcel of the packed `setup`, the `task`, `secrets` among its params,
            `broadcasts` by digest, `mailbox` (None if there is none), and `place`.
    """
    if settings["place"]["attempt"]:
        # Spark reruns a lost task by itself, but the driver decides whether a trial runs again.
        return {"lost": "Spark lost its task"}
    setup = unpacked(*opened(settings["setup"]))
    task = Task(**settings["task"])
    remote_slot = RemoteSlot(setup, settings["place"], settings["broadcasts"])
    with contextlib.closing(remote_slot):
        remote_slot.slot.submit(task, settings["secrets"])
        events = _Post(settings["mailbox"]).follow(remote_slot.slot)
        known = (
            *secret_values({**os.environ, **remote_slot.env, **task.env}),
            *settings["secrets"],
        )
        log = Follower(remote_slot.log_of(task.number, task.attempt), known).all()
    return {"events": events, "log": log.decode("utf-8", "replace")}


class _Post:
    """Sends events to the driver while a trial runs, if possible, and checks for a stop request."""

    def __init__(self, url: str | None) -> None:
        self._outgoing = Mailbox(f"{url}/events") if url else None
        self._incoming = Mailbox(f"{url}/orders") if url else None
        self._sent = 0
        self._look_at = 0.0

    def follow(self, slot: Slot) -> list[str]:
        """Return the events that were not sent before the attempt ended, including its ending."""
        unsent: list[str] = []
        ended = False
        while not ended:
            events = slot.poll()
            unsent += map(encode, events)
            ended = any(isinstance(event, ENDINGS) for event in events)
            if not ended:
                self._exchange(slot, unsent)
                _wait(slot)
        return unsent

    def _exchange(self, slot: Slot, unsent: list[str]) -> None:
        if self._outgoing is None or self._incoming is None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK
        if unsent:
            self._sent += 1
            self._outgoing.put(f"{self._sent:08}", "\n".join(unsent))
            unsent.clear()
        for reason in self._incoming.take():
            slot.stop(reason)


def _wait(slot: Slot) -> None:
    waiting = select.poll()
    fd = slot.fileno()
    if fd is not None:
        waiting.register(fd, select.POLLIN)
    waiting.poll(min(_LOOK, slot.patience()) * 1000)
