"""A worker: runs in a task of the cluster and serves one slot of the study until told to leave.

::

    driver's hub ◄──TCP──► worker ──tasks, stops──► slot ──► child: trial 0, trial 3, ...
                             └── beats (a thread)    └◄─ events, log

It doesn't import any of the user's code, which only the child process does.
"""

import contextlib
import os
import select
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from manyfit._redact import redact, secret_values
from manyfit.errors import ManyfitError
from manyfit.event_lines import encode
from manyfit.events import AttemptEvent, AttemptLost
from manyfit.remote.exchange import fetching_from_driver, send_result
from manyfit.remote.follow import Follower
from manyfit.remote.line import Line, UnreachableError, dial
from manyfit.remote.remote_slot import RemoteSlot
from manyfit.remote.setup import unpacked
from manyfit.remote.tunnel import Tunnel
from manyfit.remote.wire import Credentials, Frame
from manyfit.ship.facts import facts
from manyfit.worker.channel import ENDINGS
from manyfit.worker.limits import machine_memory, private_memory
from manyfit.worker.slot import Slot
from manyfit.worker.timings import Timings
from manyfit.worker.work import Task


def serve(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Connect to the driver and serve until it disconnects; returns how it ended.

    Args:
        settings: `addresses`, `imports` to look for, `broadcasts` by digest, the fields of
            `credentials` and of `timings`, and `place`, which is sent to the driver.
    """
    try:
        line = _dial(settings)
    except UnreachableError as error:
        return {"unreachable": str(error), **_introduction(settings)}
    with contextlib.closing(line):
        line.send(_introduction(settings))
        return _Worker(line, settings).run()


def _dial(settings: Mapping[str, Any]) -> Line:
    addresses = [tuple(address) for address in settings["addresses"]]
    credentials = Credentials(**settings["credentials"])
    return dial(addresses, credentials, Timings(**settings["timings"]))


def _introduction(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"hello": settings["place"], "facts": facts(settings["imports"])}


class _Worker:
    def __init__(self, line: Line, settings: Mapping[str, Any]) -> None:
        self._line = line
        self._settings = settings
        self._remote_slot: RemoteSlot | None = None
        self._follower: Follower | None = None
        self._exchanging: tuple[Path, Task] | None = None  # the machine's folder, and the task
        self._timings = line.timings
        self._tunnel = Tunnel(lambda: _dial(settings), line.timings)
        self._leaving = ""
        self._for_good = False
        self._log_at = 0.0
        self._over = threading.Event()

    def run(self) -> dict[str, Any]:
        """Serve; returns why it ended, and whether starting again is useless."""
        beats = threading.Thread(target=self._beat, name="manyfit-beats", daemon=True)
        beats.start()
        try:
            while self._line.gone is None and not self._leaving:
                self._wait()
                for frame in self._line.receive():
                    self._obey(frame)
                self._tell()
        except (ManyfitError, OSError) as error:
            self._break(f"{type(error).__name__}: {error}")
        finally:
            self._over.set()
            self._tunnel.close()
            if self._remote_slot is not None:
                self._remote_slot.close()
        return {"left": self._leaving or self._line.gone, "for_good": self._for_good}

    @property
    def _slot(self) -> Slot | None:
        return None if self._remote_slot is None else self._remote_slot.slot

    def _wait(self) -> None:
        waiting = select.poll()
        waiting.register(self._line.fileno(), select.POLLIN)
        seconds = 1.0
        if self._slot is not None:
            seconds = min(self._timings.log, self._slot.patience())
            fd = self._slot.fileno()
            if fd is not None:
                waiting.register(fd, select.POLLIN)
        waiting.poll(seconds * 1000)

    def _obey(self, frame: Frame) -> None:
        slot = self._slot
        match frame.message:
            case {"setup": message}:
                self._prepare(message, frame.blob)
            case {"task": fields, "secrets": secrets} if slot is not None:
                self._start(slot, Task(**fields), secrets, frame.blob)
            case {"stop": [number, attempt, reason]} if _is_at(slot, number, attempt):
                slot.stop(reason)
            case {"kill": [number, attempt, reason]} if _is_at(slot, number, attempt):
                slot.kill(reason)
            case {"leave": reason, **rest}:
                self._leaving, self._for_good = reason, "for_good" in rest

    def _prepare(self, message: Mapping[str, Any], blob: bytes) -> None:
        settings = self._settings
        try:
            setup = unpacked(message, blob)
            self._remote_slot = RemoteSlot(setup, settings["place"], settings["broadcasts"])
        except Exception as error:  # noqa: BLE001 - storage and its plugins raise what they like
            said = error if isinstance(error, ManyfitError) else traceback.format_exc()
            self._break(f"{said}")
        else:
            self._line.send({"ready": True})

    def _break(self, why: str) -> None:
        self._leaving, self._for_good = why, True
        self._line.send({"broken": redact(why)})

    def _start(self, slot: Slot, task: Task, secrets: Sequence[str], given: bytes) -> None:
        if self._remote_slot is None:
            raise ManyfitError("a task came before the setup")
        if task.exchange is not None and not self._receive(self._remote_slot, task, given):
            return
        env = {**os.environ, **self._remote_slot.env, **task.env}
        task = replace(task, env={**task.env, **self._tunnel.variables(env)})
        slot.submit(task, secrets)
        known = (*secret_values({**os.environ, **self._remote_slot.env, **task.env}), *secrets)
        self._follower = Follower(self._remote_slot.log_of(task.number, task.attempt), known)

    def _receive(self, remote_slot: RemoteSlot, task: Task, given: bytes) -> bool:
        """Put a task's files in their places. Returns whether it can start; if not, it is lost."""
        try:
            remote_slot.receive(task, given, fetching_from_driver(lambda: _dial(self._settings)))
        except (ManyfitError, OSError, UnreachableError) as error:
            reason = redact(f"what it needs didn't arrive: {error}")
            self._line.send({"event": encode(_lost(task, reason))})
            return False
        self._exchanging = remote_slot.folder, task
        return True

    def _tell(self) -> None:
        """Send new events, and the log before the ending."""
        if self._slot is None:
            return
        events = self._slot.poll()
        for event in events:
            self._tell_event(event)
        if self._follower is not None and time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + self._timings.log
            task = self._slot.task
            if task is not None and (news := self._follower.news()):
                self._line.send({"log": [task.number, task.attempt]}, news)

    def _tell_event(self, event: AttemptEvent) -> None:
        if isinstance(event, ENDINGS) and self._follower is not None:
            if log := self._follower.all():
                self._line.send({"whole log": [event.number, event.attempt]}, log)
            self._follower = None
        if isinstance(event, ENDINGS) and self._exchanging is not None:
            folder, task = self._exchanging
            self._exchanging = None
            send_result(self._line, folder, task)
        self._line.send({"event": encode(event)})

    def _beat(self) -> None:
        while not self._over.wait(self._timings.beat):
            pid = None if self._slot is None else self._slot.pid
            total, available = machine_memory()
            used = private_memory(pid) if pid is not None else 0
            self._line.send({"beat": {"used": used, "total": total, "available": available}})


def _lost(task: Task, reason: str) -> AttemptLost:
    return AttemptLost(task.number, task.attempt, reason, counts=True, at=time.time())


def _is_at(slot: Slot | None, number: int, attempt: int) -> TypeGuard[Slot]:
    task = None if slot is None else slot.task
    return task is not None and (task.number, task.attempt) == (number, attempt)
