"""The worker process: runs one task after another and sends events to its slot.

::

    slot ──tasks, stop requests──► inbox (a thread) ──► main thread ──events──► slot

Nothing outlives the driver. When the driver's end of a pipe closes, for whatever reason, this
process and everything it started is killed, by itself and by the guard (`worker.guard`).
"""

import faulthandler
import gc
import json
import os
import queue
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from manyfit._redact import redact
from manyfit.worker.channel import Channel, PipeWriter, Stop
from manyfit.worker.limits import kill_tree
from manyfit.worker.output import ProcessOutput
from manyfit.worker.payload import unpack
from manyfit.worker.script import adopt
from manyfit.worker.task import Place, run_task
from manyfit.worker.work import Task

# After a trial of at least this many seconds, garbage is collected: the time for it is negligible.
_LONG = 0.5


def main(fds: Sequence[int], folder: str, name: str, code: Sequence[str]) -> None:
    """Serve until told to leave.

    Args:
        fds: Three descriptors: one to write events to, one to read orders from, which closes when
            the parent dies, and one of the pickled work.
        folder: The study's folder on this machine.
        name: The name of this process's location.
        code: Folders with code that was sent from the driver.
    """
    events, orders, payload = fds
    for fd in fds:
        os.set_inheritable(fd, False)
    faulthandler.enable(file=2, all_threads=False)
    writer = PipeWriter(events)
    inbox = _Inbox(orders, writer)
    output = ProcessOutput()
    try:
        work = replace(unpack(payload), folder=Path(folder))
        adopt(work.objective, work.space)
    except BaseException:  # noqa: BLE001 - unpickling imports the user's modules
        writer.line(json.dumps({"broken": redact(traceback.format_exc())}))
        return
    writer.line(json.dumps({"ready": os.getpid()}))
    pid = os.getpid()
    place = Place(f"{name}:{pid}", output.to, alone=True, killable=True, code=tuple(code))
    for task, channel in inbox.tasks():
        began = time.monotonic()
        run_task(work, task, channel, place)
        if os.getpid() != pid:  # the objective forked, and its child has returned to here
            os._exit(0)
        if time.monotonic() - began > _LONG:
            gc.collect()  # models have reference cycles: without this, two would share the memory


class _Inbox:
    """Reads the slot's orders in a thread, so that stop requests arrive while a trial runs."""

    def __init__(self, fd: int, writer: PipeWriter) -> None:
        self._writer = writer
        self._tasks: queue.SimpleQueue[tuple[Task, Channel] | None] = queue.SimpleQueue()
        self._channels: dict[tuple[int, int], Channel] = {}
        threading.Thread(target=self._read, args=(fd,), name="manyfit-inbox", daemon=True).start()

    def tasks(self) -> Iterator[tuple[Task, Channel]]:
        """Yield tasks as they arrive, until told to leave."""
        while (given := self._tasks.get()) is not None:
            yield given

    def _read(self, fd: int) -> None:
        with open(fd, "rb", closefd=False) as lines:
            for line in lines:
                self._obey(json.loads(line))
        kill_tree(os.getpid())

    def _obey(self, order: Mapping[str, Any]) -> None:
        match order:
            case {"task": fields}:
                task = Task(**fields)
                channel = Channel(self._writer.event)
                self._channels = {(task.number, task.attempt): channel}
                self._tasks.put((task, channel))
            case {"stop": [number, attempt, reason]}:
                channel_of = self._channels.get((number, attempt))
                if channel_of is not None:
                    channel_of.request(Stop(reason))
            case {"leave": True}:
                self._tasks.put(None)
