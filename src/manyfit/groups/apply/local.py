"""Calls a function for each group's new rows: here, or in worker processes if that takes long."""

import contextlib
import pickle
import secrets
import select
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import cloudpickle

from manyfit.errors import ExecutorError, ObjectiveError
from manyfit.events import AttemptFinished
from manyfit.groups.apply.calling import KnownGroup, named
from manyfit.metric import Metric
from manyfit.space import Space
from manyfit.worker.channel import ENDINGS
from manyfit.worker.context import current_trial
from manyfit.worker.limits import usable_cpus
from manyfit.worker.payload import Payload, pack
from manyfit.worker.slot import Slot
from manyfit.worker.work import Limits, Site, Task, Work

# Takes a group's params and model, and its rows; returns a result.
Call: TypeAlias = Callable[[KnownGroup, Any], Any]
# A group's key as text, its params and model, and its rows.
Portion: TypeAlias = tuple[str, KnownGroup, Any]

# Seconds. Starting processes takes a second or two, so shorter work is done here.
PATIENCE = 3.0
_PARTS = 4  # parts of the work per process
_GIVEN, _DONE = "given", "done"


def called_with(
    call: Call, portions: Iterable[Portion], *, patience: float = PATIENCE, processes: int = 0
) -> list[Any]:
    """Return the result of a call for each portion, in order.

    Args:
        call: The function to call. Its results must not depend on earlier calls.
        portions: The portions, consumed one by one while calls are made here.
        patience: Seconds after which worker processes do the rest, if there are several cores.
        processes: The number of processes; by default the number of cores.

    Raises:
        Exception: Any exception of a call, with a note that names the group.
    """
    processes = processes or usable_cpus()
    left = iter(portions)
    results: list[Any] = []
    end = time.monotonic() + patience
    while processes < 2 or time.monotonic() < end:
        portion = next(left, None)
        if portion is None:
            return results
        results.append(_here(call, portion))
    rest = list(left)
    return results + _spread(call, rest, min(processes, len(rest)))


def _here(call: Call, portion: Portion) -> Any:
    group, found, rows = portion
    return named(group, partial(call, found, rows))


def _spread(call: Call, portions: Sequence[Portion], processes: int) -> list[Any]:
    """Call for each portion in worker processes; failed calls are repeated here, to raise."""
    size = max(1, -(-len(portions) // (_PARTS * max(1, processes))))
    parts = [portions[place : place + size] for place in range(0, len(portions), size)]
    found: dict[int, list[Any]] = {}
    with tempfile.TemporaryDirectory(prefix="manyfit-") as name, contextlib.ExitStack() as stack:
        home = Path(name)
        # Calls that can't be pickled, or not be loaded elsewhere, are made in this process.
        with contextlib.suppress(ObjectiveError, ExecutorError):
            data = pack(Work(_Part(call), Space({}), Metric("groups"), "apply", home))
            payload = stack.enter_context(contextlib.closing(Payload(data, Site(home, Limits()))))
            hands = [_Hand(stack, payload, home) for _ in range(processes)]
            for place, results in _driven(hands, parts):
                found[place] = results  # noqa: PERF403 - an error keeps what came before it
    return [
        result
        for place, part in enumerate(parts)
        for result in found.get(place) or [_here(call, portion) for portion in part]
    ]


class _Part:
    """The objective of a worker process, which handles a part of the portions."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __call__(self, _params: dict[str, Any]) -> float:
        trial = current_trial()
        if trial is None:
            raise RuntimeError("a part is done by a worker process")
        data = (trial.scratch / _GIVEN).read_bytes()
        portions: list[Portion] = pickle.loads(data)  # noqa: S301 - this process's parent's
        done = [_here(self._call, portion) for portion in portions]
        (trial.scratch / _DONE).write_bytes(cloudpickle.dumps(done))
        return float(len(done))


class _Hand:
    """A worker process, and its current part."""

    def __init__(self, stack: contextlib.ExitStack, payload: Payload, home: Path) -> None:
        self.slot = Slot(payload)
        stack.callback(self.slot.close)
        self.place: int | None = None
        self._home = home
        self._number = 0

    @property
    def _folder(self) -> Path:
        return self._home / "scratch" / str(self._number)

    def begin(self, place: int, part: Sequence[Portion]) -> None:
        self.place, self._number = place, secrets.randbits(48)
        self._folder.mkdir(parents=True)
        (self._folder / _GIVEN).write_bytes(cloudpickle.dumps(list(part)))
        self.slot.submit(Task(self._number, 1, {}, 0))

    def poll(self) -> Iterator[tuple[int, list[Any]]]:
        """Yield the results of the current part once they are available; none if it failed."""
        for event in self.slot.poll():
            if not isinstance(event, ENDINGS) or self.place is None:
                continue
            place, self.place = self.place, None
            if isinstance(event, AttemptFinished):
                data = (self._folder / _DONE).read_bytes()
                yield place, pickle.loads(data)  # noqa: S301 - this process's child's


def _driven(
    hands: Sequence[_Hand], parts: Sequence[Sequence[Portion]]
) -> Iterator[tuple[int, list[Any]]]:
    waiting = iter(enumerate(parts))
    while True:
        for hand in hands:
            if hand.place is None and (part := next(waiting, None)) is not None:
                hand.begin(*part)
        if all(hand.place is None for hand in hands):
            return
        _wait(hands)
        for hand in hands:
            yield from hand.poll()


def _wait(hands: Sequence[_Hand]) -> None:
    poll = select.poll()
    seconds = 1.0
    for hand in hands:
        descriptor = hand.slot.fileno()
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        seconds = min(seconds, hand.slot.patience())
    poll.poll(seconds * 1000)
