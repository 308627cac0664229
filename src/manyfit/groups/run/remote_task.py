"""Tune a batch of groups in a task of a cluster: what runs there, beside its worker process."""

import atexit
import contextlib
import select
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from manyfit.errors import ManyfitError
from manyfit.groups.job import GroupJob
from manyfit.groups.run.batch import Portion
from manyfit.groups.run.batch_runner import BatchRunner, GroupBatch, wait
from manyfit.metric import Metric
from manyfit.remote.line import Line, UnreachableError, dial
from manyfit.remote.remote_slot import RemoteSlot
from manyfit.remote.setup import unpacked
from manyfit.remote.wire import Credentials, Frame
from manyfit.ship.facts import facts
from manyfit.worker.timings import Timings

_IDLE = 5.0  # seconds that a slot is kept for the next task
_LOOK = 0.5  # seconds between two looks at whether the driver is there

# By token of the setup; tasks of one process may run at the same time, in threads.
_idle: dict[str, list[tuple[float, RemoteSlot]]] = defaultdict(list)
_lock = threading.Lock()


def tune(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dial the driver, tune the batch that it gives, and send each row when its group ends.

    The rest of a batch is given up when the driver is gone.

    Args:
        settings: `addresses`, `credentials`, fields of `timings`, `imports` to look for and
            `broadcasts` by digest, as a worker has them; the `token` of the setup, the `key` of the
            batch, what `GroupJob.without_objective` takes of the
            `job`, and `place`.
    """
    try:
        addresses = [tuple(address) for address in settings["addresses"]]
        credentials = Credentials(**settings["credentials"])
        line = dial(addresses, credentials, Timings(**settings["timings"]))
    except UnreachableError as error:
        return {"unreachable": str(error)}
    slot = _take(settings["token"])
    with contextlib.closing(line):
        try:
            hello = {"hello": settings["place"], "facts": facts(settings["imports"])}
            line.send({**hello, "batch": settings["key"], "has_setup": slot is not None})
            order = _next(line)
            if slot is None:
                setup = unpacked(order.message["setup"], order.blob)
                slot = RemoteSlot(setup, settings["place"], settings["broadcasts"])
            _tune(line, slot, order.message, settings["job"])
        except BaseException as error:
            if slot is not None:
                slot.close()
            if line.gone is not None:
                return {"left": line.gone}
            if isinstance(error, ManyfitError | OSError):
                return {"failed": f"{settings['place']['name']}: {error}"}
            raise
    _give_back(settings["token"], slot)
    return {}


def _tune(line: Line, slot: RemoteSlot, order: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    known = GroupJob.without_objective(Metric("groups"), **job)
    runner = BatchRunner(slot.slot, slot.folder, known)
    portions = tuple(Portion(*portion) for portion in order["portions"])
    runner.submit(GroupBatch(portions, points=order["points"]))
    try:
        beat_at = 0.0
        while runner.busy:
            for row in runner.poll():
                line.send({"row": row.to_json()}, row.model or b"")
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + line.timings.beat
                line.send({"beat": True})
            line.receive()
            _check(line)
            if runner.busy:
                wait([runner], min(_LOOK, runner.patience()))
    except BaseException:
        runner.close()
        raise


def _next(line: Line) -> Frame:
    """Return the driver's order."""
    waiting = select.poll()
    waiting.register(line.fileno(), select.POLLIN)
    while True:
        for frame in line.receive():
            if "portions" in frame.message:
                return frame
        _check(line)
        waiting.poll(_LOOK * 1000)


def _check(line: Line) -> None:
    if line.gone is not None:
        raise ConnectionError(line.gone)


# ── slots between tasks ───────────────────────────────────────────────────────────────────────────


def _take(token: str) -> RemoteSlot | None:
    """Return an idle slot with this setup, if there is one; others have had their time."""
    with _lock:
        return _idle[token].pop()[1] if _idle[token] else None


def _give_back(token: str, slot: RemoteSlot) -> None:
    with _lock:
        _idle[token].append((time.monotonic(), slot))
    timer = threading.Timer(_IDLE, _end_idle, args=(_IDLE,))
    timer.daemon = True
    timer.start()


def _end_idle(age: float) -> None:
    """End the slots that have been idle for so long."""
    latest = time.monotonic() - age
    old = []
    with _lock:
        for token, slots in tuple(_idle.items()):
            old += [slot for since, slot in slots if since <= latest]
            _idle[token] = [each for each in slots if each[0] > latest]
            if not _idle[token]:
                del _idle[token]
    for slot in old:
        slot.close()


atexit.register(_end_idle, 0.0)
