"""The files of tasks on their way between driver and worker: see `manyfit.worker.exchange`.

::

    worker ──{"fetch": [digest, file, start]}──► driver      on a connection of its own
           ◄────────{"piece": start} + bytes────
    worker ──{"result": [number, attempt]} + bytes──► driver      before the attempt's ending
"""

import contextlib
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from manyfit.data.shared import Item, alive
from manyfit.data.stock import Fetch
from manyfit.errors import ExecutorError
from manyfit.remote.line import Line
from manyfit.worker.exchange import result_file
from manyfit.worker.work import Task

PIECE = 1 << 24  # bytes sent at a time: neither end holds more of a file in memory
_LOOK = 0.5  # seconds between two looks at whether the driver is there


# ── the worker's end ──────────────────────────────────────────────────────────────────────────────


def fetching_from_driver(dial: Callable[[], Line]) -> Callable[[str], Fetch]:
    """Return a function that makes a `Fetch` for the set with a digest.

    Args:
        dial: Connects to the driver. A fetch has its own connection, because orders may arrive on
            the worker's meanwhile.
    """

    def fetching(digest: str) -> Fetch:
        def fetch(item: Item) -> Iterator[bytes]:
            with contextlib.closing(dial()) as line:
                for start in range(0, item.size, PIECE):
                    line.send({"fetch": [digest, item.file, start]})
                    yield _answer(line, item)

        return fetch

    return fetching


def _answer(line: Line, item: Item) -> bytes:
    waiting = select.poll()
    waiting.register(line.fileno(), select.POLLIN)
    while line.gone is None:
        for frame in line.receive():
            match frame.message:
                case {"piece": _}:
                    return frame.blob
                case {"refused": why}:
                    raise ExecutorError(f"{item.file} of the shared data can't be fetched: {why}")
        waiting.poll(_LOOK * 1000)
    raise ConnectionError(line.gone)


def send_result(line: Line, folder: Path, task: Task) -> None:
    """Send the file that an attempt left, if there is one, and remove all of the task's files."""
    path = result_file(folder, task.number, task.attempt)
    if path.exists():
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                line.send({"result": [task.number, task.attempt]}, piece)
    shutil.rmtree(path.parent, ignore_errors=True)


# ── the driver's end ──────────────────────────────────────────────────────────────────────────────


def piece_of(asked: Any) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a worker that fetches shared data: a message and a piece of a file."""
    match asked:
        case [str(digest), str(file), int(start)] if start >= 0:
            pass
        case _:
            return {"refused": f"{asked!r:.200} names no piece of a file"}, b""
    shared = alive(digest)
    if shared is None or file not in shared.items_by_file:
        return {"refused": "the driver no longer has it"}, b""
    try:
        with shared.path(file).open("rb") as opened:
            opened.seek(start)
            return {"piece": start}, opened.read(PIECE)
    except (OSError, ExecutorError) as error:
        return {"refused": str(error)}, b""


def take_result(folder: Path, number: int, attempt: int, piece: bytes) -> None:
    """Append what a worker has sent to the attempt's file.

    Raises:
        ExecutorError: The driver's disk is full, for example.
    """
    path = result_file(folder, number, attempt)
    try:
        with path.open("ab") as file:
            file.write(piece)
    except OSError as error:
        raise ExecutorError(f"can't keep the result of a task in {path}: {error}") from error
